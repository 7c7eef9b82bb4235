"""Gather and segment sum: each is the other's derivative."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import op

__all__ = ["gather", "segment_sum"]


@op
def gather(x: Tensor, index: Tensor) -> Tensor:
    """Rows of `x` (N, ...) at `index` (E,): (E, ...)."""
    return x.index_select(0, index)


@op
def segment_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum of the rows of `x` (E, ...) by their `index` (E,) into (size, ...). Rows nobody names are 0."""
    return x.new_zeros((size, *x.shape[1:])).index_add(0, index, x)
