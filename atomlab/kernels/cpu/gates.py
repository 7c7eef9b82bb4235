"""SiLU and gates, with the factor and the term that stand beside them."""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.dense import activated as activated_reference
from ..reference.dense import gated as gated_reference
from .arrays import flat, real
from .compiled import library, template
from .exponential import STAMP
from .simd import width
from .threads import over_rows


@functools.cache
def text(dtype: str, wide: int) -> str:
    """Source of the loops on vectors of that width."""
    return template("gates", REAL=dtype, WIDTH=wide, STAMP=STAMP)


def loops(x: Tensor, size: int) -> ModuleType | None:
    """The compiled loops for rows of `size` numbers of the type of x; None while there are none."""
    dtype = real(x)
    wide = width(size, dtype)
    return library(f"gates_{dtype}_{wide}", text(dtype, wide))


class Activated(Rule):
    """plus + times s(z); x is z, then what there is of times and plus."""

    def __init__(self, code: ModuleType, size: int, times: bool, plus: bool):
        self.code, self.size, self.times, self.plus = code, size, times, plus

    def _named(self, tensors):
        """z, times and plus of a list that holds what there is of them."""
        return tensors[0], *self.beside(tensors[1:])

    def beside(self, tensors):
        """times and plus of what there is of them."""
        return tensors[0] if self.times else None, tensors[-1] if self.plus else None

    def forward(self, x):
        z, times, plus = self._named(x)
        out = z.new_empty(z.shape)
        self._run(self.code.silu, z, z, times, plus, out)
        return (out,)

    def backward(self, g, x, wanted):
        z, times, _ = self._named(x)
        dz = z.new_empty(z.shape)
        dtimes = z.new_empty(z.shape) if self.times and wanted[1] else None
        self._run(self.code.silu_backward, z, g[0], z, times, dz, dtimes)
        return self._listed(dz, dtimes, g[0])

    def double(self, v, g, x, wanted):
        z, times, _ = self._named(x)
        vz, vtimes, vplus = self._named(v)
        dg, dz = z.new_empty(z.shape), z.new_empty(z.shape)
        dtimes = z.new_empty(z.shape) if self.times else None
        self._run(self.code.silu_double, z, vz, vtimes, vplus, g[0], z, times, dg, dz, dtimes)
        return (dg,), self._listed(dz, dtimes, None)

    def _listed(self, z, times, plus):
        return (z, *((times,) if self.times else ()), *((plus,) if self.plus else ()))

    def _run(self, function, z, *tensors):
        over_rows(function, len(z), self.size, *arrays(z, tensors), work=4 * z.numel())

    def reference(self, *x):
        return (activated_reference.__wrapped__(*self._named(x)),)


class Gated(Rule):
    """times s(z[:, :C]) σ(z[:, C:]); x is z, then times where there is one."""

    def __init__(self, code: ModuleType, size: int):
        self.code, self.size = code, size

    def forward(self, x):
        z = x[0]
        out = z.new_empty((len(z), self.size))
        self._run(self.code.gate, z, z, _second(x), out)
        return (out,)

    def backward(self, g, x, wanted):
        z, dz, dtimes = x[0], x[0].new_empty(x[0].shape), None
        if len(x) > 1 and wanted[1]:
            dtimes = z.new_empty((len(z), self.size))
        self._run(self.code.gate_backward, z, g[0], z, _second(x), dz, dtimes)
        return (dz, dtimes)[: len(x)]

    def double(self, v, g, x, wanted):
        z, dg, dz = x[0], g[0].new_empty(g[0].shape), x[0].new_empty(x[0].shape)
        dtimes = g[0].new_empty(g[0].shape) if len(x) > 1 else None
        self._run(self.code.gate_double, z, v[0], _second(v), g[0], z, _second(x), dg, dz, dtimes)
        return (dg,), (dz, dtimes)[: len(x)]

    def _run(self, function, z, *tensors):
        over_rows(function, len(z), self.size, *arrays(z, tensors), work=4 * z.numel())

    def reference(self, *x):
        return (gated_reference.__wrapped__(*x),)


def _second(x):
    return x[1] if len(x) > 1 else None


_nothing = {torch.float32: np.zeros(0, np.float32), torch.float64: np.zeros(0, np.float64)}


def arrays(like: Tensor, tensors) -> list[np.ndarray]:
    """The tensors as arrays, one of length 0 for a tensor that is not there."""
    return [_nothing[like.dtype] if t is None else flat(t) for t in tensors]


def _same(z: Tensor, *others: Tensor | None) -> bool:
    """Whether all are matrices of one type that the loops take."""
    there = [z, *(t for t in others if t is not None)]
    return z.numel() > 0 and all(real(t) is not None and t.dtype == z.dtype and t.dim() == 2 for t in there)


@implements("numba", "activated")
def activated(z: Tensor, times: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    there = [t for t in (times, plus) if t is not None]
    if not _same(z, times, plus) or any(t.shape != z.shape for t in there):
        return NotImplemented
    code = loops(z, z.shape[1])
    if code is None:
        return NotImplemented
    return apply(Activated(code, z.shape[1], times is not None, plus is not None), z, *there)[0]


@implements("numba", "gated")
def gated(z: Tensor, times: Tensor | None = None) -> Tensor:
    if not _same(z, times) or z.shape[1] % 2 or (times is not None and 2 * times.shape[1] != z.shape[1]):
        return NotImplemented
    size = z.shape[1] // 2
    code = loops(z, size)
    return NotImplemented if code is None else apply(Gated(code, size), z, *(() if times is None else (times,)))[0]
