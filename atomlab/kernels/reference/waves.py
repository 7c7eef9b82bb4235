"""Spherical waves, DimeNet's basis: Bessel functions of the distance and zonal harmonics of the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["spherical_bessel", "zonal_harmonics", "zonal_pairs", "zonal_sum"]

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
    """Y_l0 = sqrt((2l+1)/4π) P_l(cos θ) for l = 0..l_max of cosines of any shape: (..., l_max + 1).

    Polynomials of the cosine: no angle is formed, so nothing is singular at 0 and 180 degrees.
    """
    legendre = [torch.ones_like(cosine), cosine]
    for l in range(1, l_max):
        legendre.append(((2 * l + 1) * cosine * legendre[l] - l * legendre[l - 1]) / (l + 1))
    return torch.stack([math.sqrt((2 * l + 1) / (4 * math.pi)) * legendre[l] for l in range(l_max + 1)], dim=-1)


@op
def zonal_pairs(unit: Tensor, i: Tensor, size: int, l_max: int) -> Tensor:
    """Y_l0 of the angle between every two different edges a, b of one centre: (size, K, K, l_max + 1) for `zonal_sum`.

    unit (E, 3): directions; i (E,): their centres, sorted, below `size`. K is the largest number of edges of a centre;
    0 for a = b and where a centre has fewer. Dense matrices: no list of triplets, and products of matrices to sum them.
    """
    slot, most = _slots(i, size)
    padded = unit.new_zeros(size * most, 3).index_copy(0, slot, unit).view(size, most, 3)
    there = unit.new_zeros(size * most).index_fill(0, slot, 1.0).view(size, most)
    pairs = there[:, :, None] * there[:, None, :] * (1.0 - torch.eye(most, dtype=unit.dtype, device=unit.device))
    return zonal_harmonics(padded @ padded.transpose(1, 2), l_max) * pairs[..., None]


@op
def zonal_sum(zonal: Tensor, filters: Tensor, i: Tensor) -> Tensor:
    """Σ over the other edges b of the centre of edge a, and l, of zonal[a, b, l] filters[b, l]: (E, C).

    zonal (size, K, K, L) of `zonal_pairs`; filters (E, L, C); i (E,): centres, sorted.
    """
    size, most, _, degrees = zonal.shape
    slot, _ = _slots(i, size, most)
    padded = filters.new_zeros(size * most, *filters.shape[1:]).index_copy(0, slot, filters)
    total = zonal.flatten(2) @ padded.view(size, most * degrees, filters.shape[2])
    return total.flatten(0, 1).index_select(0, slot)


def _slots(i: Tensor, size: int, most: int | None = None) -> tuple[Tensor, int]:
    """Row of each edge (E,) in a table of `most` rows per centre, and `most`."""
    counts = torch.bincount(i, minlength=size)
    if most is None:
        most = int(counts.max())
    start = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(i), device=i.device) - start.index_select(0, i)
    return i * most + rank, most
