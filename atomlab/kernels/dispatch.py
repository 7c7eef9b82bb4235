"""The one table of operations and backends.

An operation is declared once, with `@op`: its body is plain torch, differentiable to any order, and is the
specification. A faster backend adds `@implements("numba", name)`; it answers a call, or returns NotImplemented where it
cannot (another device or type, or its code is being compiled), and the reference answers. Which backend is asked is
decided per call, by `use(...)`, by `ATOMLAB_KERNELS`, or by `DEFAULT`; `auto` is triton for tensors on a GPU and numba
for the others.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, cast

from ..errors import InputError, nearest, notice

__all__ = ["BACKENDS", "available", "current", "implements", "interactive", "op", "steady", "use", "waits"]

BACKENDS = ("reference", "numba", "triton")
CHOICES = ("auto", *BACKENDS)
DEFAULT = "auto"
ROOMS = {"numba": "cpu", "triton": "gpu"}  # where a backend's implementations are
LOADING = "is being loaded"  # for calls that a backend's own import makes
OPS: dict[str, dict[str, Callable]] = {}
_chosen: str | None = None
_loaded: dict[str, str] = {}
_waits: ContextVar[bool | None] = ContextVar("waits", default=None)


class Operation(Protocol):
    """What `@op` makes of a function: the table's answer, and the reference beside it."""

    __wrapped__: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


def op(function: Callable) -> Operation:
    """Declare an operation. The decorated body is the reference implementation."""
    name = function.__name__
    table = OPS.setdefault(name, {})
    table["reference"] = function

    @functools.wraps(function)
    def call(*args, **kwargs):
        for backend in _asked():
            faster = table.get(backend)
            if faster is not None:
                out = faster(*args, **kwargs)
                if out is not NotImplemented:
                    return out
        return function(*args, **kwargs)

    return cast(Operation, call)


def implements(backend: str, name: str) -> Callable[[Callable], Callable]:
    """Register an implementation of the operation `name` for a backend."""

    def register(function: Callable) -> Callable:
        OPS.setdefault(name, {})[_checked(backend, BACKENDS)] = function
        return function

    return register


def available() -> dict[str, str]:
    """Every backend with 'ready', or with the reason why it cannot be used here."""
    return {"reference": "ready", **{backend: _load(backend) for backend in ROOMS}}


def current(device: str = "cpu") -> str:
    """The backend that a call made now with tensors on `device` would ask first."""
    mine = [b for b in _asked() if b == "reference" or _chosen_by_name() or (b == "triton") == (device != "cpu")]
    return mine[0] if mine else "reference"


@contextmanager
def use(backend: str) -> Iterator[None]:
    """Within the `with` block, use this backend: auto, reference, numba or triton."""
    global _chosen
    before, _chosen = _chosen, _checked(backend, CHOICES)
    try:
        yield
    finally:
        _chosen = before


@contextmanager
def steady() -> Iterator[None]:
    """Within the `with` block every call waits for code that must be compiled first, whatever is interactive in it."""
    with _set(True):
        yield


@contextmanager
def interactive() -> Iterator[None]:
    """Within the `with` block, outside `steady`, nobody waits: while code is being compiled, the reference answers.

    For a calculator in a notebook or a preview. Runs are not interactive: they never change their backend half-way, so
    that a seed gives the same numbers again.
    """
    with _set(_waits.get() or False):
        yield


@contextmanager
def _set(value: bool) -> Iterator[None]:
    token = _waits.set(value)
    try:
        yield
    finally:
        _waits.reset(token)


def waits() -> bool:
    """Whether a call made now waits for code that is being compiled."""
    return _waits.get() is not False


def _chosen_by_name() -> str | None:
    name = _chosen or os.environ.get("ATOMLAB_KERNELS") or DEFAULT
    return None if _checked(name, CHOICES) == "auto" else name


def _asked() -> tuple[str, ...]:
    """The backends to ask, in this order, before the reference."""
    name = _chosen_by_name()
    if name is None:
        # that a machine has no GPU needs no word
        return (("numba",) if _ready("numba") else ()) + (("triton",) if _load("triton") == "ready" else ())
    return (name,) if name != "reference" and _ready(name) else ()


def _ready(backend: str) -> bool:
    """Whether a backend that is wanted can be used; if not, that is said once."""
    state = _load(backend)
    if state not in ("ready", LOADING):
        text = f"The kernels '{backend}' are not used: {backend} {state}. The torch reference is used."
        notice(f"kernels-{backend}", text)
    return state == "ready"


def _load(backend: str) -> str:
    """Import a backend's implementations, once: 'ready', or why not."""
    if backend not in _loaded:
        _loaded[backend] = LOADING
        try:
            room = importlib.import_module(f"..{ROOMS[backend]}", __name__)
            _loaded[backend] = room.missing() or "ready"
        except ImportError as error:
            _loaded[backend] = f"cannot be imported ({error})"
    return _loaded[backend]


def _checked(backend: str, allowed: tuple[str, ...]) -> str:
    if backend not in allowed:
        mend = nearest(backend, allowed)
        raise InputError("There is no such kernel backend", got=backend, allowed=allowed, mend=mend)
    return backend
