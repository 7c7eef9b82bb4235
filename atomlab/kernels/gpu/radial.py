"""Functions of the distance."""

from __future__ import annotations

from torch import Tensor

from ...units import COULOMB
from ..dispatch import implements
from ..formula import exp, less, log, power, tanh, total, where
from ..formula import sin as sine
from .device import specified
from .pointwise import Input, call

ROW, SHARED, WHOLE = Input(1), Input(1, shared=True), Input(1, whole=True)


def _bessel(r, frequencies, prefactor):
    (r,), (prefactor,) = r, prefactor
    scale = prefactor / r
    return [sine(r * f) * scale for f in frequencies]


@implements("triton", "bessel")
def bessel(lengths: Tensor, frequencies: Tensor, prefactor: Tensor) -> Tensor:
    given = ((lengths, ROW), (frequencies, Input(len(frequencies), shared=True)), (prefactor, SHARED))
    return call(_bessel, specified("bessel"), len(lengths), *given)


def envelope(x, p):
    """The polynomial envelope of a node."""
    inside = 1.0 + power(x, p) * (x * (p * (p + 2.0) - (0.5 * p * (p + 1)) * x) - 0.5 * (p + 1) * (p + 2))
    return where(less(x, 1.0), inside, 0.0)


def _envelope(x, p):
    return [envelope(x[0], p)]


@implements("triton", "polynomial_envelope")
def polynomial_envelope(x: Tensor, p: int) -> Tensor:
    found = call(_envelope, lambda x: specified("polynomial_envelope")(x, p), x.numel(), (x, ROW), constants=(p,))
    return found if found is NotImplemented else found.view(x.shape)


def _agnesi(r, r0, a, p, q):
    s = log(r[0] / r0[0])
    return [1.0 / (1.0 + a[0] * exp(q[0] * s) / (1.0 + exp((q[0] - p[0]) * s)))]


@implements("triton", "agnesi_transform")
def agnesi_transform(lengths: Tensor, r0: Tensor, a: Tensor, p: Tensor, q: Tensor) -> Tensor:
    given = ((lengths, ROW), (r0, ROW), (a, SHARED), (p, SHARED), (q, SHARED))
    return _one(call(_agnesi, specified("agnesi_transform"), len(lengths), *given))


def _soft(r, r0, alpha):
    (r,), (r0,) = r, r0
    p0, p1 = 0.75 * r0, (4.0 / 3.0) * r0
    return [p0 + 0.5 * (r - p0) * (1.0 + tanh(alpha[0] * (r - 0.5 * (p0 + p1)) / (p1 - p0)))]


@implements("triton", "soft_transform")
def soft_transform(lengths: Tensor, r0: Tensor, alpha: Tensor) -> Tensor:
    given = ((lengths, ROW), (r0, ROW), (alpha, SHARED))
    return _one(call(_soft, specified("soft_transform"), len(lengths), *given))


def _zbl(r, zi, zj, reach, c, a_exp, a_prefactor, p):
    (r,), (zi,), (zj,) = r, zi, zj
    x = r * (exp(a_exp[0] * log(zi)) + exp(a_exp[0] * log(zj))) / (a_prefactor[0] * 0.529)
    phi = total(share * exp(-rate * x) for share, rate in zip(c, (3.2, 0.9423, 0.4028, 0.2016)))
    return [COULOMB * zi * zj / r * phi * envelope(r / reach[0], p)]


@implements("triton", "zbl")
def zbl(
    lengths: Tensor, zi: Tensor, zj: Tensor, reach: Tensor, c: Tensor, a_exp: Tensor, a_prefactor: Tensor, p: int
) -> Tensor:
    if zi.is_floating_point() or zj.is_floating_point():
        return NotImplemented

    def plain(*x):
        return specified("zbl")(*x, p)

    edges = ((lengths, ROW), (zi, WHOLE), (zj, WHOLE), (reach, ROW))
    constants = ((c, Input(4, shared=True)), (a_exp, SHARED), (a_prefactor, SHARED))
    return _one(call(_zbl, plain, len(lengths), *edges, *constants, constants=(p,)))


def _one(found: Tensor) -> Tensor:
    """The only column."""
    return found if found is NotImplemented else found.squeeze(1)
