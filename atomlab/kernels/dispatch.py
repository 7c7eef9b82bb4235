"""The one table of operations and backends.

An operation is declared once, with `@op`: its body is plain torch, differentiable to any order, and is the
specification. A faster backend adds `@implements("numba", name)`. Which one runs is decided per call, by
`ATOMLAB_KERNELS`, by `use(...)`, or by `auto`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import InputError, nearest, notice

__all__ = ["BACKENDS", "available", "current", "implements", "op", "use"]

BACKENDS = ("reference", "numba", "triton")
OPS: dict[str, dict[str, Callable]] = {}
_chosen: str | None = None


def op(function: Callable) -> Callable:
    """Declare an operation. The decorated body is the reference implementation."""
    name = function.__name__
    table = OPS.setdefault(name, {})
    table["reference"] = function

    @functools.wraps(function)
    def call(*args, **kwargs):
        backend = current()
        return table.get(backend, function)(*args, **kwargs)

    return call


def implements(backend: str, name: str) -> Callable[[Callable], Callable]:
    """Register an implementation of the operation `name` for a backend."""

    def register(function: Callable) -> Callable:
        OPS.setdefault(name, {})[_checked(backend)] = function
        return function

    return register


def available() -> dict[str, str]:
    """Every backend with 'ready', or with the reason why it cannot be used here."""
    state = {"reference": "ready"}
    for backend in BACKENDS[1:]:
        written = any(backend in table for table in OPS.values())
        state[backend] = "ready" if written else "has no kernels in this version"
    return state


def current() -> str:
    """The backend that a call made now would use."""
    asked = _chosen or os.environ.get("ATOMLAB_KERNELS", "reference")
    if asked == "reference":
        return asked
    state = available().get(_checked(asked))
    if state != "ready":
        notice(f"kernels-{asked}", f"The kernels '{asked}' are not used: {asked} {state}. The torch reference is used.")
        return "reference"
    return asked


@contextmanager
def use(backend: str) -> Iterator[None]:
    """Within the `with` block, use this backend."""
    global _chosen
    before, _chosen = _chosen, _checked(backend)
    try:
        yield
    finally:
        _chosen = before


def _checked(backend: str) -> str:
    if backend not in BACKENDS:
        mend = nearest(backend, BACKENDS)
        raise InputError("There is no such kernel backend", got=backend, allowed=BACKENDS, mend=mend)
    return backend
