"""Compiled kernels by name: each call of one, in whichever thread, inside a context manager of the caller's choice."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

__all__ = ["Clock", "kernels"]


@contextmanager
def kernels(around: Callable[[str], AbstractContextManager]) -> Iterator[None]:
    """`around(name)` is entered around every compiled kernel, and around the steps of MACE's fused pass."""
    from atomlab.architectures import mace_fused

    def within(function: Callable) -> Callable:
        name = getattr(function, "__name__", str(function))

        def call(*args):
            with around("steps of the fused pass (Python)" if name == "run" else name):
                return function(*args)

        return call

    def split(over_rows: Callable) -> Callable:
        return lambda function, *args, **kw: over_rows(within(function), *args, **kw)

    class Named:
        """A module whose functions are named; the pass calls these itself, on its part of the atoms."""

        def __init__(self, module: Any, title: str):
            self.module, self.title = module, title

        def __getattr__(self, key: str) -> Any:
            function = getattr(self.module, key)
            if key in ("measure", "harmonics", "look_up", "repel", "basis", "bond_gradients", "product"):
                return function  # `over_rows` names them

            def call(*args):
                with around(f"{self.title} {key}"):
                    return function(*args)

            return call

    def start(self: Any, graph: Any, atoms: Any, weights: Any, code: Any, room: Any) -> None:
        paths = {path: Named(module, "convolution") for path, module in code.paths.items()}
        named = {"bonds": "bonds", "density": "density", "polynomials": "contraction"}
        parts = {field: Named(getattr(code, field), title) for field, title in named.items()}
        begin(self, graph, atoms, weights, dataclasses.replace(code, paths=paths, **parts), room)

    modules = [m for name, m in list(sys.modules.items()) if name.startswith("atomlab.") and hasattr(m, "over_rows")]
    before, begin = [(m, m.over_rows) for m in modules], mace_fused._Pass.__init__
    for module, original in before:
        if not module.__name__.endswith("cpu.threads"):
            module.over_rows = split(original)
    mace_fused._Pass.__init__ = start
    try:
        yield
    finally:
        mace_fused._Pass.__init__ = begin
        for module, original in before:
            module.over_rows = original


class Clock:
    """CPU seconds by name and thread, of what is inside a name and inside no other."""

    def __init__(self) -> None:
        self.spent: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.inside = threading.local()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        stack = self.inside.__dict__.setdefault("stack", [])
        stack.append(0.0)
        begun = time.thread_time()
        try:
            yield
        finally:
            took, inner = time.thread_time() - begun, stack.pop()
            self.spent[threading.get_ident()][name] += took - inner
            if stack:
                stack[-1] += took

    def longest(self) -> dict[str, float]:
        """For each name the seconds of the thread that was longest at it."""
        names = {name for by_name in self.spent.values() for name in by_name}
        return {name: max(by_name.get(name, 0.0) for by_name in self.spent.values()) for name in names}

    def here(self) -> dict[str, float]:
        """Of this thread."""
        return dict(self.spent.get(threading.get_ident(), {}))
