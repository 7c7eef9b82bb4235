"""Functions of the distance: their values and both derivatives from one pass over the bonds.

Their constants are not trained, except for the Bessel frequencies, whose derivatives are then the reference's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ...units import COULOMB
from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference import radial
from .arrays import flat, real
from .compiled import library, template
from .threads import over_rows


@functools.cache
def _text(dtype: str) -> str:
    return template("radial", REAL=dtype)


def loops(dtype: str) -> ModuleType | None:
    """The compiled functions; None while there are none."""
    return library(f"radial_{dtype}", _text(dtype))


class Function(Rule):
    """y (E,) or (E, N) of x (E,): `fill(out)` writes values, slopes and bends; the last two where they are needed."""

    def __init__(self, fill: Callable, shape: tuple[int, ...], many: bool, needed: bool, reference: Callable):
        self.fill, self.shape, self.many, self.needed, self._reference = fill, shape, many, needed, reference

    def forward(self, x):
        y = x[0].new_empty(self.shape)
        self.slope, self.bend = (x[0].new_empty(self.shape if self.needed else 0) for _ in range(2))
        self.fill(flat(y), flat(self.slope), flat(self.bend))
        return (y,)

    def backward(self, g, x, wanted):
        return (self._summed(g[0] * self.slope),)

    def double(self, v, g, x, wanted):
        dg = self.slope * (v[0][:, None] if self.many else v[0])
        return (dg,), (v[0] * self._summed(g[0] * self.bend),)

    def _summed(self, rows: Tensor) -> Tensor:
        return rows.sum(1) if self.many else rows

    def reference(self, *x):
        return (self._reference(*x),)


def _applied(name: str, x: Tensor, columns: tuple[int, ...], arguments: Callable, reference: Callable, *others: Tensor):
    """NotImplemented where it is not for these loops: another type, nothing to do, or constants that are trained."""
    dtype = real(x)
    if dtype is None or x.numel() == 0 or any(t.requires_grad or t.dtype not in (x.dtype, torch.int64) for t in others):
        return NotImplemented
    code = loops(dtype)
    if code is None:
        return NotImplemented
    x, shape = x.contiguous(), (*x.shape, *columns)

    def fill(*out: np.ndarray) -> None:
        over_rows(getattr(code, name), x.numel(), flat(x), *arguments(), *out, work=50 * x.numel())

    needed = torch.is_grad_enabled() and x.requires_grad
    return apply(Function(fill, shape, bool(columns), needed, reference), x)[0]


@implements("numba", "bessel")
def bessel(lengths: Tensor, frequencies: Tensor, prefactor: Tensor) -> Tensor:
    def arguments():
        angles = lengths.detach()[:, None] * frequencies
        cosines = angles.cos() if lengths.requires_grad else angles
        return flat(frequencies), flat(angles.sin()), flat(cosines), float(prefactor)

    def reference(x):
        return radial.bessel.__wrapped__(x, frequencies, prefactor)

    return _applied("bessel", lengths, frequencies.shape, arguments, reference, frequencies, prefactor)


@implements("numba", "polynomial_envelope")
def polynomial_envelope(x: Tensor, p: int) -> Tensor:
    return _applied("envelope", x, (), lambda: (p,), lambda x: radial.polynomial_envelope.__wrapped__(x, p))


@implements("numba", "agnesi_transform")
def agnesi_transform(lengths: Tensor, r0: Tensor, a: Tensor, p: Tensor, q: Tensor) -> Tensor:
    def arguments():
        return flat(r0.contiguous()), float(a), float(p), float(q)

    def reference(x):
        return radial.agnesi_transform.__wrapped__(x, r0, a, p, q)

    return _applied("agnesi", lengths, (), arguments, reference, r0, a, p, q)


@implements("numba", "soft_transform")
def soft_transform(lengths: Tensor, r0: Tensor, alpha: Tensor) -> Tensor:
    def arguments():
        return flat(r0.contiguous()), float(alpha)

    def reference(x):
        return radial.soft_transform.__wrapped__(x, r0, alpha)

    return _applied("soft", lengths, (), arguments, reference, r0, alpha)


@implements("numba", "zbl")
def zbl(
    lengths: Tensor, zi: Tensor, zj: Tensor, reach: Tensor, c: Tensor, a_exp: Tensor, a_prefactor: Tensor, p: int
) -> Tensor:
    def arguments():
        constants = (flat(c), float(a_exp), float(a_prefactor), p, COULOMB)
        return zi.contiguous().numpy(), zj.contiguous().numpy(), flat(reach.contiguous()), *constants

    def reference(x):
        return radial.zbl.__wrapped__(x, zi, zj, reach, c, a_exp, a_prefactor, p)

    return _applied("zbl", lengths, (), arguments, reference, reach, c, a_exp, a_prefactor)
