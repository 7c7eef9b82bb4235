"""Whether inference may read radial functions from tables instead of computing their network.

`auto`: in float32 only, whose rounding hides a table's error; `always`: in float64 too; `never`. Set by
`kernels.radial_tables(...)`, or for a process by ATOMLAB_TABLES.
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
    """Within the `with` block: tables of radial functions `auto` (float32 only), `always` or `never`."""
    token = _chosen.set(_checked(when))
    try:
        yield
    finally:
        _chosen.reset(token)


def tabulated(dtype: torch.dtype) -> bool:
    """Whether a call made now with this type may use tables."""
    when = _checked(_chosen.get() or os.environ.get("ATOMLAB_TABLES") or "auto")
    return when == "always" or (when == "auto" and dtype == torch.float32)


def _checked(when: str) -> str:
    if when not in CHOICES:
        raise InputError("Radial tables cannot be used like that", got=when, allowed=CHOICES)
    return when
