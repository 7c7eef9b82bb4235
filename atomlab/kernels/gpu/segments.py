"""Gather, segment sum and the sum over both ends of a bond: without atomics, so a sum has one order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from . import device
from .device import kept, ours, specified, wide
from .rows import Rows, rows_of

__all__ = ["gather", "segment_sum", "sum_rows"]


@triton.jit(do_not_specialize=["rows"])  # or another length of a list would be another kernel
def _sum(out, x, first, order, columns, rows, ORDERED: tl.constexpr, PLACES: tl.constexpr, BLOCK: tl.constexpr):
    """out[a] = Σ x[order[p] % rows] over the places p of list a; order[p] is p itself where ORDERED."""
    a = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    stop = tl.load(first + a + 1)
    total = tl.zeros([BLOCK], dtype=x.dtype.element_ty)
    for start in range(tl.load(first + a), stop, PLACES):
        place = start + tl.arange(0, PLACES)
        row = place
        if not ORDERED:
            row = tl.load(order + place, mask=place < stop, other=0) % rows
        inside = (place < stop)[:, None] & (column < columns)[None, :]
        total += tl.sum(tl.load(x + row[:, None] * columns + column[None, :], mask=inside, other=0.0), axis=0)
    tl.store(out + a * columns + column, total, mask=column < columns)


def sum_rows(x: Tensor, lists: Rows) -> Tensor:
    """The rows of x (E, ...) summed by lists: (size, ...). A list of places beyond E counts them from E again."""
    columns = x.shape[1:].numel()
    if lists.pieces is None:
        found = _launch(x, len(x), columns, lists.first, lists.order)
    else:
        starts, firsts = lists.pieces
        found = _launch(_launch(x, len(x), columns, starts, lists.order), len(starts), columns, firsts, None)
    return found.view(lists.size, *x.shape[1:])


def _launch(x: Tensor, rows: int, columns: int, first: Tensor, order: Tensor | None) -> Tensor:
    out = x.new_empty(len(first) - 1, columns)
    block = wide(columns)
    grid = (len(out), triton.cdiv(columns, block))
    constants = {"ORDERED": order is None, "PLACES": max(4, 512 // block), "BLOCK": block}
    device.launch(_sum, grid, out, x, first, first if order is None else order, columns, rows, **constants)
    return out


class SegmentSum(Rule):
    """Rows of x (E, ...) summed by their index."""

    def __init__(self, index: Tensor, size: int):
        self.index, self.size = index, size

    def forward(self, x):
        return (sum_rows(x[0], rows_of(self.index, self.size)),)

    def backward(self, g, x, wanted):
        return (g[0].index_select(0, self.index),)

    def double(self, v, g, x, wanted):
        return self.forward(v), (None,)

    def reference(self, x):
        return (specified("segment_sum")(x, self.index, self.size),)


@implements("triton", "segment_sum")
def segment_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    return apply(SegmentSum(index, size), x)[0] if x.numel() and size and ours(x) else NotImplemented


class Gather(Rule):
    """Rows of x (N, ...) at an index. The copy itself is torch's; what flows back is summed here."""

    def __init__(self, index: Tensor):
        self.index = index

    def forward(self, x):
        return (x[0].index_select(0, self.index),)

    def backward(self, g, x, wanted):
        return (sum_rows(g[0], rows_of(self.index, len(x[0]))),)

    def double(self, v, g, x, wanted):
        return self.forward(v), (None,)

    def reference(self, x):
        return (x.index_select(0, self.index),)


@implements("triton", "gather")
def gather(x: Tensor, index: Tensor) -> Tensor:
    return apply(Gather(index), x)[0] if x.numel() and len(index) and ours(x) else NotImplemented


class PairSum(Rule):
    """Bond values (H, ...) summed at both ends."""

    def __init__(self, i: Tensor, j: Tensor, size: int):
        self.i, self.j, self.size = i, j, size

    def forward(self, x):
        i, j, size = self.i, self.j, self.size
        lists = kept(i, ("ends", id(j), j._version, size), lambda _: (j, Rows(torch.cat([i, j]), size)))[1]
        return (sum_rows(x[0], lists),)

    def backward(self, g, x, wanted):
        return (g[0].index_select(0, self.i) + g[0].index_select(0, self.j),)

    def double(self, v, g, x, wanted):
        return self.forward(v), (None,)

    def reference(self, x):
        return (specified("pair_sum")(x, self.i, self.j, self.size),)


@implements("triton", "pair_sum")
def pair_sum(values: Tensor, i: Tensor, j: Tensor, size: int) -> Tensor:
    return apply(PairSum(i, j, size), values)[0] if values.numel() and size and ours(values) else NotImplemented
