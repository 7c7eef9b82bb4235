"""Spherical waves, DimeNet's basis: Bessel functions of the distance and zonal harmonics of the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["spherical_bessel", "zonal_harmonics"]

TERMS = 16  # of the power series: relative error below 1e-16 for x < l <= 8


@op
def spherical_bessel(x: Tensor, degrees: Tensor) -> Tensor:
    """j_l(x) for x (E, N) > 0 with the degree l of each column, degrees (N,) int64: (E, N).

    Upward recurrence where it is stable (x >= l), power series below: right at every distance, in float32 too.
    """
    top = int(degrees.max())
    inverse = 1.0 / x
    orders = [torch.sin(x) * inverse]
    if top > 0:
        orders.append((orders[0] - torch.cos(x)) * inverse)
    for l in range(1, top):
        orders.append((2 * l + 1) * inverse * orders[l] - orders[l - 1])
    found = torch.zeros_like(x)
    for l, values in enumerate(orders):
        found = torch.where(degrees == l, values, found)
    return torch.where(x < degrees, _series(x, degrees, top), found)


def _series(x: Tensor, degrees: Tensor, top: int) -> Tensor:
    """x^l / (2l+1)!! Σ_k (-x²/2)^k / (k! (2l+3)(2l+5)...(2l+2k+1))."""
    # far above its range the series would overflow, and 0 * inf is not a number
    x = torch.minimum(x, degrees.to(x.dtype).clamp(min=1.0))
    half, two_l = -0.5 * x * x, 2 * degrees
    total = torch.ones_like(x)
    for k in range(TERMS, 0, -1):
        total = 1.0 + half / (k * (two_l + 2 * k + 1)) * total
    power, lead = torch.ones_like(x), torch.ones_like(x)
    for l in range(1, top + 1):
        power = power * x / (2 * l + 1)
        lead = torch.where(degrees == l, power, lead)
    return lead * total


@op
def zonal_harmonics(cosine: Tensor, l_max: int) -> Tensor:
    """Y_l0 = sqrt((2l+1)/4π) P_l(cos θ) for l = 0..l_max of cosines (T,): (T, l_max + 1).

    Polynomials of the cosine: no angle is formed, so nothing is singular at 0 and 180 degrees.
    """
    legendre = [torch.ones_like(cosine), cosine]
    for l in range(1, l_max):
        legendre.append(((2 * l + 1) * cosine * legendre[l] - l * legendre[l - 1]) / (l + 1))
    return torch.stack([math.sqrt((2 * l + 1) / (4 * math.pi)) * legendre[l] for l in range(l_max + 1)], dim=1)
