"""Layers on many rows: a product of matrices and what follows it, as one operation."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.dense import dense as dense_reference
from ..reference.dense import pair_dense as pair_dense_reference
from . import gates, products, segments
from .arrays import real


class Layer(Rule):
    """`then` on the result of `first`; x: the tensors of `first` (`many` of them), then the others of `then`."""

    def __init__(self, first: Rule, then: Rule, many: int, reference: Callable):
        self.first, self.then, self.many, self.reference = first, then, many, reference
        self.between: Tensor | None = None  # kept for the derivatives

    def forward(self, x):
        (self.between,) = self.first.forward(x[: self.many])
        return self.then.forward((self.between, *x[self.many :]))

    def backward(self, g, x, wanted):
        dz, *rest = self.then.backward(g, (self.between, *x[self.many :]), (True, *wanted[self.many :]))
        return (*self.first.backward((dz,), x[: self.many], wanted[: self.many]), *rest)

    def double(self, v, g, x, wanted):
        x, z, everything = x[: self.many], (self.between, *x[self.many :]), (True,) * len(x)
        dz = self.then.backward(g, z, everything)[0]
        along, direct = self.first.double(v[: self.many], (dz,), x, everything)
        dg, (bent, *rest) = self.then.double((*along, *v[self.many :]), g, z, everything)
        through = self.first.backward((bent,), x, everything)
        return dg, (*(t if s is None else s + t for s, t in zip(direct, through)), *rest)


class Linear(Layer):
    """`first` alone."""

    def __init__(self, first: Rule, reference: Callable):
        self.first, self.reference = first, reference
        self.forward, self.backward, self.double = first.forward, first.backward, first.double


def _with(first: Rule, after: str, columns: int, like: Tensor, many: int, beside: tuple[bool, bool], reference):
    """`first` and what follows it; None while code is being compiled."""
    if not after:
        return Linear(first, reference)
    size = columns // 2 if after == "gate" else columns
    code = gates.loops(like, size)
    if code is None:
        return None
    then = gates.Gated(code, size) if after == "gate" else gates.Activated(code, size, *beside)
    return Layer(first, then, many, reference)


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

    rule = _with(products.Dense(*code, biased), after, len(weight), x, 2 + biased, beside, reference)
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
    rule = _with(first, after, len(weight), x, 4, (False, False), reference)
    return NotImplemented if rule is None else apply(rule, x, weight, bias, nodes)[0]
