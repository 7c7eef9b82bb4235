"""The table of what every backend must agree on with the reference: one line per operation and shape.

A case makes its own inputs: `make(dtype)` returns the function of its differentiable tensors, and those tensors. To
bring an operation under the comparison, add cases here; `test_backends.py` does the rest, for every backend that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from atomlab import kernels

Problem = tuple[Callable[..., Tensor | tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """`op`: the operation that the function calls, once. `empty`: a backend may leave this one to the reference.

    `small`: few enough numbers for gradcheck (finite differences of every input). `slow`: only with --slow.
    """

    op: str
    name: str
    make: Callable[[torch.dtype], Problem]
    small: bool = False
    empty: bool = False
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Normal numbers: the same in both types, since they are drawn in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def indices(size: int, many: int, seed: int = 0, ordered: bool = True) -> Tensor:
    """`many` numbers below `size`."""
    drawn = torch.randint(size, (many,), generator=torch.Generator().manual_seed(seed))
    return drawn.sort().values if ordered else drawn


def segments(rows: int, size: int, *columns: int, ordered: bool = True) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        index = indices(max(size - 1, 1), rows, ordered=ordered)  # the last row has nobody
        return lambda x: kernels.segment_sum(x, index, size), (random(rows, *columns, dtype=dtype),)

    return make


def gathers(atoms: int, rows: int, *columns: int, ordered: bool = True) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        index = indices(atoms, rows, ordered=ordered)
        return lambda x: kernels.gather(x, index), (random(atoms, *columns, dtype=dtype),)

    return make


CASES = [
    Case("segment_sum", "one row", segments(1, 1, 1), small=True),
    Case("segment_sum", "scalars", segments(13, 5), small=True),
    Case("segment_sum", "odd", segments(13, 5, 3), small=True),
    Case("segment_sum", "unsorted", segments(37, 8, 2, 5, ordered=False)),
    Case("segment_sum", "wide", segments(37, 8, 48)),
    Case("segment_sum", "nothing", segments(0, 4, 3), empty=True),
    Case("segment_sum", "large", segments(100_000, 3_000, 7)),
    Case("gather", "odd", gathers(5, 13, 3), small=True),
    Case("gather", "unsorted", gathers(8, 37, 2, 5, ordered=False)),
    Case("gather", "nothing", gathers(4, 0, 3), empty=True),
    Case("gather", "large", gathers(3_000, 100_000, 7)),
]
