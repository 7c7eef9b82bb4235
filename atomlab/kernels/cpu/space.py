"""Room for the arrays of a pass, kept for the next one: fresh memory costs more than what is computed in it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

__all__ = ["Space", "space"]

KEPT_BYTES = 2**29  # what a space may hold while nobody uses it
MANY = 2000  # flat arrays remembered
_idle: list[Space] = []
_lock = threading.Lock()


class Space:
    """Arrays by name and type."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}
        self.flat: dict[tuple[str, int, torch.dtype], np.ndarray] = {}
        self.bytes = 0

    def array(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An array of that name; what it holds is of no meaning."""
        size, kept = math.prod(shape), self.kept.get((name, dtype))
        if kept is None or kept.numel() < size:
            before = 0 if kept is None else kept.numel()
            kept = self.kept[name, dtype] = torch.empty(size + size // 8, dtype=dtype)
            self.bytes += (kept.numel() - before) * kept.element_size()
        return kept[:size].view(shape)

    def numbers(self, name: str, size: int, dtype: torch.dtype) -> np.ndarray:
        """The same as a flat array for compiled loops, which costs less when it is asked for again."""
        found = self.flat.get((name, size, dtype))
        if found is None:
            before = self.kept.get((name, dtype))
            made = self.array(name, (size,), dtype)
            if self.kept[name, dtype] is not before or len(self.flat) > MANY:
                self.flat.clear()  # views of what is no longer kept
            found = self.flat[name, size, dtype] = made.numpy()
        return found


@contextmanager
def space() -> Iterator[Space]:
    """Room that no other thread uses meanwhile."""
    with _lock:
        mine = _idle.pop() if _idle else Space()
    yield mine
    if mine.bytes <= KEPT_BYTES:
        with _lock:
            _idle.append(mine)
