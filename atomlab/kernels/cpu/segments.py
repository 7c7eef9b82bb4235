"""Gather and segment sum."""

from __future__ import annotations

import functools
from types import ModuleType

import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.convolution import pair_sum as pair_reference
from ..reference.segments import gather as gather_reference
from ..reference.segments import segment_sum as reference
from .arrays import flat, real, sorted_rows
from .compiled import library, template
from .simd import width
from .threads import over_rows


@functools.cache
def _loops(dtype: str, wide: int) -> str:
    return template("segments", REAL=dtype, WIDTH=wide)


def loops(x: Tensor, size: int) -> ModuleType | None:
    """The compiled loops for rows of `size` numbers of the type of x; None while there are none."""
    dtype = real(x)
    wide = width(size, dtype)
    return library(f"segments_{dtype}_{wide}", _loops(dtype, wide))


class SegmentSum(Rule):
    """Rows of x (E, ...) summed by their index."""

    def __init__(self, code: ModuleType, index: Tensor, size: int):
        self.code, self.index, self.size = code, index, size

    def forward(self, x):
        (x,) = x
        first, order = sorted_rows(self.index, self.size)
        out = x.new_empty((self.size, *x.shape[1:]))
        columns = x[0].numel()
        over_rows(self.code.sum_rows, self.size, first, order, flat(x), columns, flat(out), work=x.numel(), ends=first)
        return (out,)

    def backward(self, g, x, wanted):
        return (g[0].index_select(0, self.index),)

    def double(self, v, g, x, wanted):
        return self.forward((v[0],)), (None,)

    def reference(self, *x):
        return (reference.__wrapped__(x[0], self.index, self.size),)


class Gather(Rule):
    """Rows of x (N, ...) at an index (E,)."""

    def __init__(self, code: ModuleType, index: Tensor, size: int):
        self.index, self.back = index, SegmentSum(code, index, size)

    def forward(self, x):
        return (x[0].index_select(0, self.index),)

    def backward(self, g, x, wanted):
        return self.back.forward(g)

    def double(self, v, g, x, wanted):
        return self.forward(v), (None,)

    def reference(self, *x):
        return (gather_reference.__wrapped__(x[0], self.index),)


class PairSum(Rule):
    """Rows of x (H, ...) summed at both ends of their bonds."""

    def __init__(self, code: ModuleType, i: Tensor, j: Tensor, size: int):
        self.ends, self.given = [SegmentSum(code, index, size) for index in (i, j)], (i, j, size)

    def forward(self, x):
        one, other = (end.forward(x)[0] for end in self.ends)
        return (one.add_(other),)

    def backward(self, g, x, wanted):
        i, j, _ = self.given
        return (g[0].index_select(0, i).add_(g[0].index_select(0, j)),)

    def double(self, v, g, x, wanted):
        return self.forward(v), (None,)

    def reference(self, *x):
        return (pair_reference.__wrapped__(x[0], *self.given),)


@implements("numba", "segment_sum")
def segment_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    if real(x) is None or x.numel() == 0 or size == 0:
        return NotImplemented
    code = loops(x, x[0].numel())
    return NotImplemented if code is None else apply(SegmentSum(code, index, size), x)[0]


@implements("numba", "gather")
def gather(x: Tensor, index: Tensor) -> Tensor:
    if real(x) is None or x.numel() == 0 or len(index) == 0 or not (torch.is_grad_enabled() and x.requires_grad):
        return NotImplemented  # without a derivative torch's own is as fast
    code = loops(x, x[0].numel())
    return NotImplemented if code is None else apply(Gather(code, index, len(x)), x)[0]


@implements("numba", "pair_sum")
def pair_sum(values: Tensor, i: Tensor, j: Tensor, size: int) -> Tensor:
    if real(values) is None or values.numel() == 0 or size == 0:
        return NotImplemented
    code = loops(values, values[0].numel())
    return NotImplemented if code is None else apply(PairSum(code, i, j, size), values)[0]
