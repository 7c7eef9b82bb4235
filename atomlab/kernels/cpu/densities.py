"""The density of an atom: squared sums of its orbitals."""

from __future__ import annotations

import functools
import math
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.orbitals import orbital_density as reference
from ..reference.orbitals import powers
from .arrays import flat, real
from .compiled import library, template
from .simd import WIDEST, width
from .threads import over_rows, shares


@functools.cache
def _text(dtype: str, narrow: int, components: int) -> str:
    constants = {"REAL": dtype, "WIDTH": WIDEST[dtype], "NARROW": narrow, "COMPONENTS": components}
    return template("densities", {"C": components}, **constants)


@functools.cache
def _tables(degree: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Degree of each component, and how many of the 3^l products it stands for."""
    counts = [(l, count) for l in range(degree + 1) for _, count in powers(l)]
    return np.array([l for l, _ in counts]), np.array([count for _, count in counts], dtype)


class Density(Rule):
    """x: orbitals (A, C, M), contraction (L + 1, M, K)."""

    def __init__(self, code: ModuleType, contraction: Tensor):
        self.code, (self.levels, self.inner, self.columns) = code, contraction.shape
        lanes = WIDEST[real(contraction)]
        self.span = -(-self.columns // lanes) * lanes

    def forward(self, x):
        out = x[0].new_empty((len(x[0]), self.span))
        arrays = (self.inner, self.span, *self._tables(x), flat(x[0]), flat(self._filled(x[1])), flat(out))
        over_rows(self.code.densities, len(out), *arrays, work=self._work(x))
        return (out[:, : self.columns].contiguous(),)

    def backward(self, g, x, wanted):
        cuts, dx = self._cuts(x), torch.empty_like(x[0])
        dw = self._copies(x, cuts) if wanted[1] else dx.new_empty(0)
        arrays = (*self._given(x), flat(self._filled(g[0])), flat(dx), wanted[1], flat(dw))
        over_rows(self.code.densities_backward, len(cuts) - 1, cuts, *arrays, work=self._work(x))
        return dx, self._summed(dw) if wanted[1] else None

    def double(self, v, g, x, wanted):
        cuts, dx, bent = self._cuts(x), torch.empty_like(x[0]), v[1] is not None
        along = torch.zeros_like(dx) if v[0] is None else v[0]
        turns = (self._filled(v[1]), _turned(v[1])) if bent else (dx.new_empty(0),) * 2
        dg, dw = x[0].new_empty((len(x[0]), self.span)), self._copies(x, cuts)
        arrays = (*self._given(x), *map(flat, (along, *turns, self._filled(g[0]), dg, dx, dw)), bent)
        over_rows(self.code.densities_double, len(cuts) - 1, cuts, *arrays, work=self._work(x))
        return (2 * dg[:, : self.columns],), (dx, self._summed(dw))

    def _given(self, x) -> tuple:
        orbitals, contraction = x
        tensors = orbitals, self._filled(contraction), _turned(contraction)
        return self.inner, self.columns, self.span, *self._tables(x), *map(flat, tensors)

    def _tables(self, x) -> tuple[np.ndarray, np.ndarray]:
        return _tables(self.levels - 1, real(x[0]))

    def _filled(self, t: Tensor) -> Tensor:
        """Its columns filled up with zeros."""
        return t if self.span == self.columns else torch.nn.functional.pad(t, (0, self.span - self.columns))

    def _copies(self, x, cuts) -> Tensor:
        return x[1].new_zeros((len(cuts) - 1, self.levels, self.inner, self.span))

    def _summed(self, dw) -> Tensor:
        return dw.sum(0)[..., : self.columns]

    def _cuts(self, x) -> np.ndarray:
        return np.array(shares(len(x[0]), self._work(x)))

    def _work(self, x) -> int:
        return 4 * x[0].numel() * x[1].shape[2]

    def reference(self, *x):
        return (reference.__wrapped__(*x),)


def _turned(w: Tensor) -> Tensor:
    return w.transpose(1, 2).contiguous()


@implements("numba", "orbital_density")
def orbital_density(orbitals: Tensor, contraction: Tensor) -> Tensor:
    dtype, (levels, inner, _) = real(orbitals), contraction.shape
    if dtype is None or real(contraction) != dtype or orbitals.numel() == 0 or contraction.numel() == 0:
        return NotImplemented
    if orbitals.shape[1] != math.comb(levels + 2, 3) or levels > 4:
        return NotImplemented
    narrow = width(inner, dtype)
    code = library(f"densities_{dtype}_{narrow}_{levels}", _text(dtype, narrow, orbitals.shape[1]))
    return NotImplemented if code is None else apply(Density(code, contraction), orbitals, contraction)[0]
