"""The radial network by hand: matrix products by torch, one pass over the activations, activations kept."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.perceptron import radial_network as reference
from ..reference.perceptron import scales
from .arrays import flat, real
from .compiled import library, template
from .exponential import STAMP
from .matrices import inner_product, outer_product, turned
from .simd import width
from .threads import over_rows


@functools.cache
def _loops(dtype: str, wide: int) -> str:
    return template("perceptron", REAL=dtype, WIDTH=wide, STAMP=STAMP)


def loops(numbers: int, dtype: str) -> ModuleType | None:
    """The compiled loops for that many numbers; None while there are none."""
    wide = width(numbers, dtype)
    return library(f"perceptron_{dtype}_{wide}", _loops(dtype, wide))


class Perceptron(Rule):
    """x: the input and the weights. What one derivative needs of the one before is kept as long as the graph is."""

    def __init__(self, code: ModuleType, wide: int, activation: float, weights: Sequence[Tensor]):
        self.code, self.wide, self.activation = code, wide, activation
        self.scales = scales(weights, activation)
        self.weights = [w.detach() * scale for w, scale in zip(weights, self.scales)]
        self.inner: list[Tensor] = []  # a_1, a_2, ...: what is activated
        self.outer: list[Tensor] = []  # h_0 = x, h_1 = s(a_1), ...: what is multiplied
        self.back: tuple | None = None  # the g of the last `backward`, and what came of it

    def forward(self, x):
        h, last = x[0], len(self.weights) - 1
        self.inner, self.outer = [], [h]
        for n, weight in enumerate(self.weights):
            a = inner_product(h, weight)
            if n < last:
                h = torch.empty_like(a)
                self._pass(self.code.activate, a, h)
                self.inner.append(a)
                self.outer.append(h)
        return (a,)

    def backward(self, g, x, wanted):
        steps, _ = self._steps(g[0])
        each = zip(self.outer, steps, self.scales, wanted[1:])
        out = [outer_product(h, ga).mul_(scale) if want else None for h, ga, scale, want in each]
        return (inner_product(steps[0], self.turned[0]) if wanted[0] else None, *out)

    @functools.cached_property
    def turned(self) -> list[Tensor]:
        return [turned(weight) for weight in self.weights]

    def _steps(self, g: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The gradients with respect to each layer's product (the last one's is g) and to what was activated."""
        if self.back is None or self.back[0].data_ptr() != g.data_ptr() or self.back[0].shape != g.shape:
            products, activated = [g], []
            for n in range(len(self.weights) - 1, 0, -1):
                gh = inner_product(products[0], self.turned[n])
                ga = torch.empty_like(gh)
                self._pass(self.code.slope, self.inner[n - 1], gh, ga)
                products.insert(0, ga)
                activated.insert(0, gh)
            self.back = (g, (products, activated))
        return self.back[1]

    def double(self, v, g, x, wanted):
        steps, activated = self._steps(g[0])
        v_weights = [None if w is None else w * scale for w, scale in zip(v[1:], self.scales)]
        directions, bends = self._along(v[0], v_weights, g[0])
        vga, out = None, []
        for n in range(len(self.weights) - 1, -1, -1):
            dw = None if directions[n] is None else outer_product(directions[n], steps[n])
            dw = dw if vga is None else outer_product(self.outer[n], vga, dw)
            out.insert(0, None if dw is None else dw.mul_(self.scales[n]))
            vgh = None if vga is None else inner_product(vga, self.turned[n])
            if v_weights[n] is not None:
                vgh = inner_product(steps[n], turned(v_weights[n]), vgh)
            if n == 0:
                break
            vgh = torch.zeros_like(activated[n - 1]) if vgh is None else vgh
            self._pass(self.code.back, *bends[n - 1], activated[n - 1], vgh)
            vga = vgh
        return (directions[-1],), (vgh, *out)

    def _along(self, v, v_weights, like) -> tuple[list[Tensor | None], list[tuple[Tensor, Tensor]]]:
        """How the input of each layer, and at last the result, change; s' and the change of s' of what is activated."""
        directions, bends = [v], []
        for n, weight in enumerate(self.weights):
            va = None if directions[n] is None else inner_product(directions[n], weight)
            if v_weights[n] is not None:
                va = inner_product(self.outer[n], v_weights[n], va)
            va = like.new_zeros(len(like), weight.shape[1]) if va is None else va
            if n < len(self.weights) - 1:
                first, bend = torch.empty_like(va), torch.empty_like(va)
                self._pass(self.code.along, self.inner[n], va, first, bend)
                bends.append((first, bend))
            directions.append(va)
        return directions, bends

    def _pass(self, function, *arrays: Tensor) -> None:
        numbers = arrays[0].numel()
        over_rows(function, numbers // self.wide, *map(flat, arrays), work=4 * numbers)

    def reference(self, *x):
        return (reference.__wrapped__(x[0], x[1:], self.activation),)


@implements("numba", "radial_network")
def radial_network(x: Tensor, weights: Sequence[Tensor], activation: float) -> Tensor:
    dtype = real(x)
    if dtype is None or x.numel() == 0 or not all(weight.numel() for weight in weights):
        return NotImplemented
    wide = width(math.gcd(*(len(x) * weight.shape[1] for weight in weights[:-1])), dtype)
    code = loops(wide, dtype)
    return NotImplemented if code is None else apply(Perceptron(code, wide, activation, weights), x, *weights)[0]
