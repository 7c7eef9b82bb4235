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
        self.inner: list[Tensor] = []  # a_1, a_2, ...: what is activated
        self.outer: list[Tensor] = []  # h_0 = x, h_1 = s(a_1), ...: what is multiplied
        self.back: tuple | None = None  # the g of the last `backward`, and what came of it

    def forward(self, x):
        h, *weights = x
        self.inner, self.outer = [], [h]
        for n, (weight, scale) in enumerate(zip(weights, self.scales)):
            a = _product(h, weight, scale)
            if n < len(weights) - 1:
                h = torch.empty_like(a)
                self._pass(self.code.activate, a, h)
                self.inner.append(a)
                self.outer.append(h)
        return (a,)

    def backward(self, g, x, wanted):
        weights, (steps, _) = x[1:], self._steps(g[0], x[1:])
        each = zip(self.outer, steps, self.scales, wanted[1:])
        out = [_product(h.t(), ga, scale) if want else None for h, ga, scale, want in each]
        return (_product(steps[0], weights[0].t(), self.scales[0]) if wanted[0] else None, *out)

    def _steps(self, g: Tensor, weights: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The gradients with respect to each layer's product (the last one's is g) and to what was activated."""
        if self.back is None or self.back[0].data_ptr() != g.data_ptr() or self.back[0].shape != g.shape:
            products, activated = [g], []
            for n in range(len(weights) - 1, 0, -1):
                gh = _product(products[0], weights[n].t(), self.scales[n])
                ga = torch.empty_like(gh)
                self._pass(self.code.slope, self.inner[n - 1], gh, ga)
                products.insert(0, ga)
                activated.insert(0, gh)
            self.back = (g, (products, activated))
        return self.back[1]

    def double(self, v, g, x, wanted):
        weights, v_weights, scales = x[1:], v[1:], self.scales
        (steps, activated), vh, bends, hs = self._steps(g[0], weights), v[0], [], []
        for n, (weight, scale) in enumerate(zip(weights, scales)):
            hs.append(vh)
            va = None if vh is None else _product(vh, weight, scale)
            if v_weights[n] is not None:
                va = _product(self.outer[n], v_weights[n], scale, va)
            va = g[0].new_zeros(len(g[0]), weight.shape[1]) if va is None else va
            if n < len(weights) - 1:
                first, bend = torch.empty_like(va), torch.empty_like(va)
                self._pass(self.code.along, self.inner[n], va, first, bend)
                bends.append((first, bend))
            vh = va
        vga, out = None, []
        for n in range(len(weights) - 1, -1, -1):
            dw = None if hs[n] is None else _product(hs[n].t(), steps[n], scales[n])
            out.insert(0, dw if vga is None else _product(self.outer[n].t(), vga, scales[n], dw))
            if n == 0:
                break
            gh = activated[n - 1]
            vgh = torch.zeros_like(gh) if vga is None else _product(vga, weights[n].t(), scales[n])
            if v_weights[n] is not None:
                vgh = _product(steps[n], v_weights[n].t(), scales[n], vgh)
            self._pass(self.code.back, *bends[n - 1], gh, vgh)
            vga = vgh
        dx = None if vga is None else _product(vga, weights[0].t(), scales[0])
        if v_weights[0] is not None:
            dx = _product(steps[0], v_weights[0].t(), scales[0], dx)
        return (vh,), (dx, *out)

    def _pass(self, function, *arrays: Tensor) -> None:
        numbers = arrays[0].numel()
        over_rows(function, numbers // self.wide, *map(flat, arrays), work=4 * numbers)

    def reference(self, *x):
        return (reference.__wrapped__(x[0], x[1:], self.activation),)


def _product(a: Tensor, b: Tensor, scale: float, plus: Tensor | None = None) -> Tensor:
    """scale a b, added to `plus`."""
    if plus is not None:
        return plus.addmm_(a, b, alpha=scale)
    out = a.new_empty(a.shape[0], b.shape[1])
    return torch.addmm(out, a, b, beta=0, alpha=scale, out=out)


@implements("numba", "radial_network")
def radial_network(x: Tensor, weights: Sequence[Tensor], activation: float) -> Tensor:
    dtype = real(x)
    if dtype is None or x.numel() == 0 or not all(weight.numel() for weight in weights):
        return NotImplemented
    wide = width(math.gcd(*(len(x) * weight.shape[1] for weight in weights[:-1])), dtype)
    code = loops(wide, dtype)
    return NotImplemented if code is None else apply(Perceptron(code, wide, activation, weights), x, *weights)[0]
