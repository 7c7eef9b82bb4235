"""Whether inference may read radial functions from tables instead of computing their network.

`auto`: in float32 only, whose rounding hides a table's error, and only in calculators, which use the same weights again
and again and so earn the making of a table; `always`: everywhere, in float64 too; `never`. Set by
`kernels.radial_tables(...)`, or for a process by ATOMLAB_TABLES.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from ..errors import InputError

__all__ = ["radial_tables", "repeated", "tabulated"]

CHOICES = ("auto", "always", "never")
_chosen: ContextVar[str | None] = ContextVar("radial_tables", default=None)
_repeated: ContextVar[bool] = ContextVar("repeated", default=False)


@contextmanager
def radial_tables(when: str) -> Iterator[None]:
    """Within the `with` block: tables of radial functions `auto` (calculators in float32), `always` or `never`."""
    token = _chosen.set(_checked(when))
    try:
        yield
    finally:
        _chosen.reset(token)


@contextmanager
def repeated() -> Iterator[None]:
    """Within the `with` block the same weights are used for one structure after another of the same elements."""
    token = _repeated.set(True)
    try:
        yield
    finally:
        _repeated.reset(token)


def tabulated(dtype: torch.dtype) -> bool:
    """Whether a call made now with weights of that type may use tables."""
    when = _checked(_chosen.get() or os.environ.get("ATOMLAB_TABLES") or "auto")
    return when == "always" or (when == "auto" and dtype == torch.float32 and _repeated.get())


def _checked(when: str) -> str:
    if when not in CHOICES:
        raise InputError("Radial tables cannot be used like that", got=when, allowed=CHOICES)
    return when
