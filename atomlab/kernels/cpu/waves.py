"""Spherical waves, and sums over the pairs of a centre's edges by way of harmonics."""

from __future__ import annotations

import functools
import math
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.waves import TERMS, zonal_norms
from ..reference.waves import spherical_waves as waves_reference
from ..reference.waves import zonal_messages as zonal_reference
from ..reference.waves import zonal_parts as parts_reference
from .arrays import flat, real, sorted_rows
from .compiled import library, template
from .simd import WIDEST
from .threads import over_rows, shares
from .trigonometric import STAMP


@functools.cache
def _text(name: str, dtype: str, wide: int) -> str:
    if name == "zonal":
        return template(name, REAL=dtype, WIDTH=wide)
    if name == "waves":
        return template(name, REAL=dtype, LANES=wide, TERMS=TERMS, STAMP=STAMP)
    return template(name, REAL=dtype, LANES=wide)


def loops(name: str, dtype: str) -> ModuleType | None:
    """The compiled loops of the template "waves" or "harmonics_zonal"; None while there are none."""
    return library(f"{name}_{dtype}", _text(name, dtype, WIDEST[dtype]))


def zonal_loops(dtype: str, channels: int) -> ModuleType | None:
    """The compiled sums over a centre's edges for that many channels; None while there are none."""
    wide = math.gcd(channels, 16)
    return library(f"zonal_{dtype}_{wide}", _text("zonal", dtype, wide))


@functools.cache
def _norms(l_max: int, dtype: torch.dtype) -> np.ndarray:
    """(l_max + 1, l_max + 1), 0 where m > l."""
    rows = [[*zonal_norms(l), *(0.0 for _ in range(l_max - l))] for l in range(l_max + 1)]
    return torch.tensor(rows, dtype=torch.float64).to(dtype).flatten().numpy()


@functools.cache
def _series(degrees: int, dtype: torch.dtype) -> np.ndarray:
    """1 / (2l+1)!! and 1 / (k (2l + 2k + 1)), k = 1..TERMS, for each degree l."""
    rows = [
        [1 / math.prod(range(1, 2 * l + 2, 2)), *(1 / (k * (2 * l + 2 * k + 1)) for k in range(1, TERMS + 1))]
        for l in range(degrees)
    ]
    return torch.tensor(rows, dtype=torch.float64).to(dtype).flatten().numpy()


class SphericalWaves(Rule):
    """x: distances and envelope."""

    def __init__(self, code: ModuleType, zeros: Tensor, factors: Tensor):
        self.code, self.zeros, self.factors = code, zeros.detach(), factors.detach()

    def forward(self, x):
        out = x[0].new_empty((len(x[0]), *self.zeros.shape))
        self.run(self.code.waves, x, out)
        return (out,)

    def backward(self, g, x, wanted):
        out = [torch.empty_like(t) for t in x]
        self.run(self.code.waves_backward, x, g[0], *out)
        return tuple(out)

    def double(self, v, g, x, wanted):
        along = [torch.zeros_like(t) if part is None else part for part, t in zip(v, x)]
        dg, out = torch.empty_like(g[0]), [torch.empty_like(t) for t in x]
        self.run(self.code.waves_double, x, *along, g[0], dg, *out)
        return (dg,), tuple(out)

    def run(self, function, x, *tensors):
        tables = [flat(t.contiguous()) for t in (self.zeros, self.factors)]
        series = _series(len(self.zeros), x[0].dtype)
        arrays = (*map(flat, x), *tables, series, *self.zeros.shape, *map(flat, tensors))
        over_rows(function, len(x[0]), *arrays, work=10 * len(x[0]) * self.zeros.numel())

    def reference(self, *x):
        return (waves_reference.__wrapped__(*x, self.zeros, self.factors),)


def waves_slopes(
    code: ModuleType, x: Tensor, envelope: Tensor, rise: Tensor, zeros: Tensor, factors: Tensor
) -> tuple[Tensor, Tensor]:
    """`spherical_waves` and their derivatives in x, (E, L, N) each; rise (E,) is the envelope's derivative."""
    rule = SphericalWaves(code, zeros, factors)
    out, slopes = (x.new_empty((len(x), *zeros.shape)) for _ in range(2))
    rule.run(code.waves_slopes, (x, envelope, rise), out, slopes)
    return out, slopes


class ZonalParts(Rule):
    """x: directions."""

    def __init__(self, code: ModuleType, l_max: int):
        self.code, self.l_max = code, l_max

    def forward(self, x):
        out = x[0].new_empty((len(x[0]), (self.l_max + 1) ** 2))
        self._run(self.code.parts, x[0], out)
        return (out,)

    def backward(self, g, x, wanted):
        out = torch.empty_like(x[0])
        self._run(self.code.parts_backward, x[0], g[0], out)
        return (out,)

    def double(self, v, g, x, wanted):
        dg, out = torch.empty_like(g[0]), torch.empty_like(x[0])
        self._run(self.code.parts_double, x[0], v[0], g[0], dg, out)
        return (dg,), (out,)

    def _run(self, function, unit, *tensors):
        arrays = (flat(unit), self.l_max, _norms(self.l_max, unit.dtype), *map(flat, tensors))
        over_rows(function, len(unit), *arrays, work=4 * len(unit) * (self.l_max + 1) ** 2)

    def reference(self, *x):
        return (parts_reference.__wrapped__(*x, self.l_max),)


class ZonalMessages(Rule):
    """x: waves, weight, sent, parts."""

    def __init__(self, code: ModuleType, i: Tensor, size: int):
        self.code, self.i, self.size = code, i, size

    def forward(self, x):
        out = torch.empty_like(x[2])
        self._run(self.code.sums, x, out)
        return (out,)

    def backward(self, g, x, wanted):
        waves, _, sent, parts = x
        out = [torch.zeros_like(waves), self._copies(x) if wanted[1] else waves.new_empty(0)]
        out += [torch.empty_like(sent), torch.zeros_like(parts)]
        self._run(self.code.sums_backward, x, self._cuts(x), g[0], *out)
        return out[0], _inward(out[1]) if wanted[1] else None, out[2], out[3]

    def double(self, v, g, x, wanted):
        waves, _, sent, parts = x
        along = [torch.zeros_like(t) if part is None else part for part, t in zip(v, x)]
        along[1] = _outward(along[1])
        dg = torch.empty_like(g[0])
        out = [torch.zeros_like(waves), self._copies(x), torch.empty_like(sent), torch.zeros_like(parts)]
        self._run(self.code.sums_double, x, self._cuts(x), *along, g[0], dg, *out)
        return (dg,), (out[0], _inward(out[1]), out[2], out[3])

    def _work(self, x) -> int:
        return 4 * x[2].numel() * x[3].shape[1]

    def _cuts(self, x) -> np.ndarray:
        return np.array(shares(self.size, self._work(x), sorted_rows(self.i, self.size)[0]))

    def _copies(self, x) -> Tensor:
        """The weight's gradient (L, N, C), one for each thread."""
        channels, degrees, number = x[1].shape
        return x[1].new_zeros((len(self._cuts(x)) - 1, degrees, number, channels))

    def _run(self, function, x, *rest):
        waves, weight, sent, parts = x
        first, order = sorted_rows(self.i, self.size)
        arrays = (flat(waves), flat(_outward(weight)), flat(sent), flat(parts))
        rest = [t if isinstance(t, np.ndarray) else flat(t) for t in rest]
        sizes = (*waves.shape[1:], sent.shape[1])
        over_rows(function, self.size, first, order, *arrays, *sizes, *rest, work=self._work(x), ends=first)

    def reference(self, *x):
        return (zonal_reference.__wrapped__(*x, self.i, self.size),)


def _outward(weight: Tensor) -> Tensor:
    """(C, L, N) with the channels innermost: (L, N, C)."""
    return weight.permute(1, 2, 0).contiguous()


def _inward(copies: Tensor) -> Tensor:
    """(threads, L, N, C) summed: (C, L, N)."""
    return copies.sum(0).permute(2, 0, 1)


@implements("numba", "spherical_waves")
def spherical_waves(x: Tensor, envelope: Tensor, zeros: Tensor, factors: Tensor) -> Tensor:
    dtype = real(x)
    if dtype is None or any(real(t) != dtype for t in (envelope, zeros, factors)) or len(x) == 0:
        return NotImplemented
    if zeros.requires_grad or factors.requires_grad:
        return NotImplemented
    code = loops("waves", dtype)
    return NotImplemented if code is None else apply(SphericalWaves(code, zeros, factors), x, envelope)[0]


@implements("numba", "zonal_parts")
def zonal_parts(unit: Tensor, l_max: int) -> Tensor:
    dtype = real(unit)
    if dtype is None or len(unit) == 0:
        return NotImplemented
    code = loops("harmonics_zonal", dtype)
    return NotImplemented if code is None else apply(ZonalParts(code, l_max), unit)[0]


@implements("numba", "zonal_messages")
def zonal_messages(waves: Tensor, weight: Tensor, sent: Tensor, parts: Tensor, i: Tensor, size: int) -> Tensor:
    x, dtype = (waves, weight, sent, parts), real(waves)
    if dtype is None or any(real(t) != dtype for t in x) or len(sent) == 0:
        return NotImplemented
    code = zonal_loops(dtype, sent.shape[1])
    return NotImplemented if code is None else apply(ZonalMessages(code, i, size), *x)[0]
