"""Gather and segment sum."""

from __future__ import annotations

import functools
from types import ModuleType

from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
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


@implements("numba", "segment_sum")
def segment_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    if real(x) is None or x.numel() == 0 or size == 0:
        return NotImplemented
    code = loops(x, x[0].numel())
    return NotImplemented if code is None else apply(SegmentSum(code, index, size), x)[0]
