"""Monomials of edge vectors."""

from __future__ import annotations

import functools
import math
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.orbitals import monomials as reference
from ..reference.orbitals import powers, steps
from .arrays import flat, real
from .compiled import library, template
from .threads import over_rows


@functools.cache
def _text(dtype: str) -> str:
    return template("monomials", REAL=dtype)


@functools.cache
def _tables(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Of which monomial each is a multiple, and by which coordinate; the first, 1, of none."""
    below, axis, first = [0], [0], 0
    for l in range(1, degree + 1):
        below += [first + k for k, _ in steps(l)]
        axis += [k for _, k in steps(l)]
        first += len(powers(l - 1))
    return np.array(below), np.array(axis)


class Monomials(Rule):
    """x: vectors (E, 3)."""

    def __init__(self, code: ModuleType, degree: int):
        self.code, self.degree = code, degree

    def forward(self, x):
        out = x[0].new_empty((len(x[0]), math.comb(self.degree + 3, 3)))
        self._run(self.code.monomials, x, out)
        return (out,)

    def backward(self, g, x, wanted):
        dx = torch.zeros_like(x[0])
        self._run(self.code.monomials_backward, x, g[0], dx)
        return (dx,)

    def double(self, v, g, x, wanted):
        dg, dx = torch.empty_like(g[0]), torch.zeros_like(x[0])
        self._run(self.code.monomials_double, x, v[0], g[0], dg, dx)
        return (dg,), (dx,)

    def _run(self, function, x, *tensors):
        arrays = (*_tables(self.degree), flat(x[0]), *map(flat, tensors))
        over_rows(function, len(x[0]), *arrays, work=20 * len(x[0]) * len(arrays[0]))

    def reference(self, *x):
        return (reference.__wrapped__(*x, self.degree),)


@implements("numba", "monomials")
def monomials(vectors: Tensor, degree: int) -> Tensor:
    dtype = real(vectors)
    if dtype is None or len(vectors) == 0 or degree == 0:  # of degree 0 there is only 1
        return NotImplemented
    code = library(f"monomials_{dtype}", _text(dtype))
    return NotImplemented if code is None else apply(Monomials(code, degree), vectors)[0]
