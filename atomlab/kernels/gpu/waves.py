"""Spherical Bessel functions and zonal harmonics."""

from __future__ import annotations

import math

from torch import Tensor

from ..dispatch import implements
from .device import kept, specified
from .formula import constant, spherical_j
from .pointwise import Input, call


def _bessel(x, degree, top):
    return [spherical_j(x[0], degree[0], 0, top)]


@implements("triton", "spherical_bessel")
def spherical_bessel(x: Tensor, degrees: Tensor) -> Tensor:
    top = kept(degrees, "top", _top)
    if top > 8:  # the series is exact to there
        return NotImplemented

    def plain(x, degree):
        return specified("spherical_bessel")(x.view(-1, len(degrees)), degrees)

    rows = degrees.expand(x.shape).reshape(-1)
    found = call(_bessel, plain, x.numel(), (x, Input(1)), (rows, Input(1, whole=True)), constants=(top,))
    return found if found is NotImplemented else found.view(x.shape)


def _top(degrees: Tensor) -> int:
    return int(degrees.max()) if len(degrees) else 0


def _zonal(cosine, l_max):
    legendre = [constant(1.0), cosine[0]]
    for l in range(1, l_max):
        legendre.append(((2 * l + 1.0) * cosine[0] * legendre[l] - float(l) * legendre[l - 1]) / (l + 1.0))
    return [math.sqrt((2 * l + 1) / (4 * math.pi)) * legendre[l] for l in range(l_max + 1)]


@implements("triton", "zonal_harmonics")
def zonal_harmonics(cosine: Tensor, l_max: int) -> Tensor:
    def plain(cosine):
        return specified("zonal_harmonics")(cosine, l_max)

    found = call(_zonal, plain, cosine.numel(), (cosine, Input(1)), constants=(l_max,))
    return found if found is NotImplemented else found.view(*cosine.shape, l_max + 1)
