"""Whether inference may read radial functions from tables instead of computing their network.

`auto`: in float32 only, whose rounding hides a table's error, and where the same weights are used often enough to earn
the making of a table; `always`: in float64 too, and at once; `never`. Set by `kernels.radial_tables(...)`, or for a
process by ATOMLAB_TABLES.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from ..errors import InputError

__all__ = ["radial_tables", "tabulated"]

CHOICES = ("auto", "always", "never")
_chosen: ContextVar[str | None] = ContextVar("radial_tables", default=None)


@contextmanager
def radial_tables(when: str) -> Iterator[None]:
    """Within the `with` block: tables of radial functions `auto` (float32, where they pay), `always` or `never`."""
    token = _chosen.set(_checked(when))
    try:
        yield
    finally:
        _chosen.reset(token)


def tabulated(dtype: torch.dtype, used: int, price: int) -> bool:
    """Whether a call made now may use tables: weights of that type, used so often, for tables worth `price` uses."""
    when = _checked(_chosen.get() or os.environ.get("ATOMLAB_TABLES") or "auto")
    return when == "always" or (when == "auto" and dtype == torch.float32 and used > price)


def _checked(when: str) -> str:
    if when not in CHOICES:
        raise InputError("Radial tables cannot be used like that", got=when, allowed=CHOICES)
    return when
