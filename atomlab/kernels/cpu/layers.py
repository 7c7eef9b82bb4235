"""Layers on many rows: a product of matrices and what follows it, as one operation."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.dense import dense as dense_reference
from ..reference.dense import pair_dense as pair_dense_reference
from . import gates, products, segments
from .arrays import real
from .compiled import library
from .simd import width
from .threads import over_rows


@functools.cache
def text(dtype: str, columns: int, wide: int) -> str:
    """Source of the loops for numbers of columns that are multiples of `columns`, on vectors of `wide` numbers."""
    return products.behind(products.text(dtype, columns) + gates.text(dtype, wide), "layers")


def _blocks(dtype: str, shape: tuple[int, int], size: int) -> ModuleType | None:
    """The loops that do a layer and what follows in one go; None while there are none."""
    both = math.gcd(*shape)
    panel, wide = products.panel(both, dtype)[0], width(size, dtype)
    return library(f"layers_{dtype}_{panel}_{wide}", text(dtype, both, wide))


class Layer(Rule):
    """`then` on the result of `first`; x: the tensors of `first` (`many` of them), then the others of `then`.

    Its second derivative is made of theirs.
    """

    def __init__(self, first: products.Dense, then: gates.Activated | gates.Gated, many: int, code, reference):
        self.first, self.then, self.many, self.code, self.specified = first, then, many, code, reference
        self.gates = isinstance(then, gates.Gated)
        self.between: Tensor | None = None  # kept for the derivatives

    def forward(self, x):
        rows, columns = len(x[0]), len(x[1])
        self.between, out = x[0].new_empty((rows, columns)), x[0].new_empty((rows, self.then.size))
        times, plus = self._beside(x[self.many :])
        tensors = self.first.arrays(*x[: self.many]), gates.arrays(x[0], (times, plus, self.between, out))
        self._run(self.code.layer, x, *tensors[0], *tensors[1])
        return (out,)

    def backward(self, g, x, wanted):
        z, times = self.between, self._beside(x[self.many :])[0]
        dz, dx = torch.empty_like(z), torch.empty_like(x[0])
        dtimes = None if times is None or not wanted[self.many] else torch.empty_like(times)
        self._run(self.code.layer_backward, x, *gates.arrays(z, (g[0], z, times, x[1], dz, dtimes, dx)))
        others = self.first.backward((dz,), x[: self.many], (False, *wanted[1 : self.many]))[1:]
        beside = () if times is None else (dtimes,)
        return (dx, *others, *beside, *(g if len(x) > self.many + len(beside) else ()))

    def reference(self, *x):
        return self.specified(*x)

    def _beside(self, rest):
        if isinstance(self.then, gates.Gated):
            return (rest[0] if rest else None), None
        return self.then.beside(rest)

    def _run(self, function, x, *arrays):
        (rows, inner), columns = x[0].shape, len(x[1])
        over_rows(function, rows, inner, columns, self.gates, *arrays, work=inner * rows * columns)

    def double(self, v, g, x, wanted):
        x, z, everything = x[: self.many], (self.between, *x[self.many :]), (True,) * len(x)
        dz = self.then.backward(g, z, everything)[0]
        along, direct = self.first.double(v[: self.many], (dz,), x, everything)
        dg, (bent, *rest) = self.then.double((*along, *v[self.many :]), g, z, everything)
        through = self.first.backward((bent,), x, everything)
        return dg, (*(t if s is None else s + t for s, t in zip(direct, through)), *rest)


class Linear(Rule):
    """`first` alone."""

    def __init__(self, first: products.Dense, reference: Callable):
        self.first, self.specified = first, reference

    def forward(self, x):
        return self.first.forward(x)

    def backward(self, g, x, wanted):
        return self.first.backward(g, x, wanted)

    def double(self, v, g, x, wanted):
        return self.first.double(v, g, x, wanted)

    def reference(self, *x):
        return self.specified(*x)


def _with(first: products.Dense, after: str, shape, like: Tensor, many: int, beside: tuple[bool, bool], reference):
    """`first` and what follows it; None while code is being compiled."""
    if not after:
        return Linear(first, reference)
    columns = shape[0]
    size = columns // 2 if after == "gate" else columns
    code, blocks = gates.loops(like, size), _blocks(real(like), shape, size)
    if code is None or blocks is None:
        return None
    then = gates.Gated(code, size) if after == "gate" else gates.Activated(code, size, *beside)
    return Layer(first, then, many, blocks, reference)


@implements("numba", "dense")
def dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    after: str = "",
    times: Tensor | None = None,
    plus: Tensor | None = None,
) -> Tensor:
    code, there = products.both(x, weight), [t for t in (bias, times, plus) if t is not None]
    if code is None or any(real(t) != real(x) for t in there):
        return NotImplemented
    biased, beside = bias is not None, (times is not None, plus is not None)

    def reference(*tensors):
        left = list(tensors)
        named = [left.pop(0) if is_there else None for is_there in (True, True, biased, *beside)]
        return (dense_reference.__wrapped__(*named[:3], after, *named[3:]),)

    rule = _with(products.Dense(*code, biased), after, weight.shape, x, 2 + biased, beside, reference)
    return NotImplemented if rule is None else apply(rule, x, weight, *there)[0]


@implements("numba", "pair_dense")
def pair_dense(x: Tensor, weight: Tensor, bias: Tensor, nodes: Tensor, i: Tensor, j: Tensor, after: str = "") -> Tensor:
    code = products.both(x, weight)
    if code is None or any(real(t) != real(x) for t in (bias, nodes)):
        return NotImplemented
    sums = segments.loops(nodes, nodes.shape[1] // 2)
    if sums is None:
        return NotImplemented

    def reference(*tensors):
        return (pair_dense_reference.__wrapped__(*tensors, i, j, after),)

    first = products.PairDense(*code, sums, i, j, len(nodes))
    rule = _with(first, after, weight.shape, x, 4, (False, False), reference)
    return NotImplemented if rule is None else apply(rule, x, weight, bias, nodes)[0]
