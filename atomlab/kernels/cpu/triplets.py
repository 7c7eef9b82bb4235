"""Messages of triplets: the network runs on blocks of them that stay in the cache."""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.angular import triplet_messages as reference
from .arrays import flat, real
from .compiled import library
from .exponential import STAMP
from .products import LEAST, behind, panel
from .products import text as products_text
from .simd import width
from .threads import over_rows, shares

WORK = 50  # of a number of a triplet's message


@functools.cache
def _text(dtype: str, size: int) -> str:
    return behind(products_text(dtype, size), "triplets", WIDTH=width(size, dtype), STAMP=STAMP)


_groups: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


class Groups:
    """Triplets (a, b), a sorted, in groups of edges that no triplet leaves: what one thread can do alone."""

    def __init__(self, a: Tensor, b: Tensor, edges: int):
        self.a, self.b = a.numpy(), b.numpy()
        first = np.searchsorted(self.a, np.arange(edges + 1))  # of the triplets of each edge
        highest, lowest = np.full(edges + 1, -1), np.full(edges + 1, edges)
        highest[1:] = np.maximum.accumulate(_reduced(np.maximum, self.b, first, -1))
        lowest[:-1] = np.minimum.accumulate(_reduced(np.minimum, self.b, first, edges)[::-1])[::-1]
        edge = np.arange(edges + 1)
        self.begin = first[(highest < edge) & (lowest >= edge)].astype(np.int64)

    def __len__(self) -> int:
        return len(self.begin) - 1

    @classmethod
    def of(cls, a: Tensor, b: Tensor, edges: int) -> Groups:
        """Kept as long as `a` is, since layers and derivatives ask again; what is kept holds the memory of `b`."""
        if a.is_inference():
            return cls(a, b, edges)
        kept, key = _groups.get(a), (b.data_ptr(), edges, a._version, b._version)
        if kept is None or kept[0] != key:
            kept = _groups[a] = (key, cls(a, b, edges))
        return kept[1]


def _reduced(function: np.ufunc, values: np.ndarray, first: np.ndarray, nothing: int) -> np.ndarray:
    """function over values[first[k]:first[k + 1]] for each k, `nothing` where there are none."""
    there = first[1:] > first[:-1]
    out = np.full(len(there), nothing)
    out[there] = function.reduceat(values, first[:-1][there])
    return out


class TripletMessages(Rule):
    """x: pairs, sides, cosines, weight, bias, angle."""

    def __init__(self, code: ModuleType, groups: Groups, a: Tensor, b: Tensor):
        self.code, self.groups, self.a, self.b = code, groups, a, b

    def forward(self, x):
        out = torch.zeros_like(x[1])
        self._run(self.code.messages, x, flat(out))
        return (out,)

    def backward(self, g, x, wanted):
        parameters = self._copies(x) if any(wanted[3:]) else [x[0].new_empty(0)] * 3
        inputs = [torch.zeros_like(t) for t in x[:3]]
        self._run(self.code.messages_backward, x, self._cuts(x), *map(flat, (g[0], x[3], *inputs, *parameters)))
        if not any(wanted[3:]):
            return (*inputs, None, None, None)
        return (*inputs, *(t.sum(0) for t in parameters))

    def double(self, v, g, x, wanted):
        if any(part is not None for part in v[3:]):
            return super().double(v, g, x, wanted)
        along = [torch.zeros_like(t) if part is None else part for part, t in zip(v, x[:3])]
        dg, inputs, parameters = torch.zeros_like(g[0]), [torch.zeros_like(t) for t in x[:3]], self._copies(x)
        arrays = map(flat, (*along, g[0], x[3], dg, *inputs, *parameters))
        self._run(self.code.messages_double, x, self._cuts(x), *arrays)
        return (dg,), (*inputs, *(t.sum(0) for t in parameters))

    def _work(self, x) -> int:
        return WORK * len(self.a) * x[1].shape[1]

    def _cuts(self, x) -> np.ndarray:
        return np.array(shares(len(self.groups), self._work(x), self.groups.begin))

    def _copies(self, x) -> list[Tensor]:
        """Gradients of weight, bias and angle, one for each thread."""
        many = len(self._cuts(x)) - 1
        return [t.new_zeros((many, *t.shape)) for t in x[3:]]

    def _run(self, function, x, *arrays):
        pairs, sides, cosines, weight, bias, angle = x
        groups, turned = self.groups, weight.t().contiguous()
        own = (groups.begin, groups.a, groups.b, *map(flat, (pairs, sides, cosines, turned, bias, angle)))
        over_rows(
            function, len(groups), *own, sides.shape[1], *arrays, work=self._work(x), ends=groups.begin
        )  # fmt: skip

    def reference(self, *x):
        return (reference.__wrapped__(*x, self.a, self.b),)


@implements("numba", "triplet_messages")
def triplet_messages(
    pairs: Tensor, sides: Tensor, cosines: Tensor, weight: Tensor, bias: Tensor, angle: Tensor, a: Tensor, b: Tensor
) -> Tensor:
    x, dtype = (pairs, sides, cosines, weight, bias, angle), real(pairs)
    if dtype is None or any(real(t) != dtype for t in x) or cosines.numel() == 0:
        return NotImplemented
    size = sides.shape[1]
    if panel(size, dtype)[0] < LEAST:
        return NotImplemented
    code = library(f"triplets_{dtype}_{panel(size, dtype)[0]}", _text(dtype, size))
    if code is None:
        return NotImplemented
    return apply(TripletMessages(code, Groups.of(a, b, len(sides)), a, b), *x)[0]
