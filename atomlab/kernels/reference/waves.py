"""Spherical waves, DimeNet's basis: Bessel functions of the distance and zonal harmonics of the angle.

Sums over all pairs of a centre's edges need no pairs: by the addition theorem a zonal harmonic of the angle between two
edges is a sum of products of harmonics of each.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["spherical_bessel", "spherical_waves", "zonal_harmonics", "zonal_messages", "zonal_parts"]

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
def spherical_waves(x: Tensor, envelope: Tensor, zeros: Tensor, factors: Tensor) -> Tensor:
    """envelope factors j_l(zeros x), (E, L, N): x > 0 and envelope (E,), zeros and factors (L, N) for l = 0..L-1.

    arXiv:2003.03123, eq. 6, the radial part.
    """
    degrees = torch.arange(len(zeros), device=x.device).repeat_interleave(zeros.shape[1])
    waves = spherical_bessel(x[:, None] * zeros.flatten(), degrees) * factors.flatten() * envelope[:, None]
    return waves.unflatten(1, zeros.shape)


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
def zonal_parts(unit: Tensor, l_max: int) -> Tensor:
    """Y (E, (l_max + 1)²) of directions (E, 3) such that Σ_m Y_lm(a) Y_lm(b) is Y_l0 of the angle between a and b.

    Real harmonics in the order l² + (m = 0..l as cosines, then m = 1..l as sines), scaled by ((2l+1) / 4π)^(1/4), as
    polynomials: sqrt((2 - δ_m0) (l-m)! / (l+m)!) d^m P_l / dz^m times Re or Im (x + iy)^m, smooth at the poles.
    """
    x, y, z = (unit[:, k : k + 1] for k in range(3))
    cosines, sines = [torch.ones_like(x)], [torch.zeros_like(x)]
    for _ in range(l_max):
        re, im = cosines[-1], sines[-1]
        cosines.append(re * x - im * y)
        sines.append(re * y + im * x)
    cosine, sine = torch.cat(cosines, dim=1), torch.cat(sines, dim=1)
    before, legendre = cosine.new_zeros(len(unit), 1), torch.ones_like(x)
    parts = [math.sqrt(math.sqrt(1 / (4 * math.pi))) * legendre]
    for l in range(1, l_max + 1):
        # (l - m) d^m P_l = (2l - 1) z d^m P_(l-1) - (l + m - 1) d^m P_(l-2), and d^l P_l = (2l - 1)!!
        rise, fall, norm = _zonal_tables(l, unit.dtype, unit.device)
        last = legendre.new_full((len(unit), 1), math.prod(range(1, 2 * l, 2)))
        padded = torch.cat([before, torch.zeros_like(x)], dim=1)[:, :l]
        before, legendre = legendre, torch.cat([rise * z * legendre - fall * padded, last], dim=1)
        scaled = norm * legendre
        parts += [scaled * cosine[:, : l + 1], scaled[:, 1:] * sine[:, 1 : l + 1]]
    return torch.cat(parts, dim=1)


@cache
def _zonal_tables(l: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients of the recurrence for m = 0..l-1, and norms for m = 0..l."""
    m = range(l)
    rise, fall = [(2 * l - 1) / (l - k) for k in m], [(l + k - 1) / (l - k) for k in m]
    with torch.inference_mode(False):  # they are kept, and may be needed for a derivative later
        return tuple(torch.tensor(row, dtype=torch.float64).to(device, dtype) for row in (rise, fall, zonal_norms(l)))


def zonal_norms(l: int) -> list[float]:
    """((2l+1) / 4π)^(1/4) sqrt((2 - δ_m0) (l-m)! / (l+m)!) for m = 0..l."""
    quarter = ((2 * l + 1) / (4 * math.pi)) ** 0.25
    ratio = [math.factorial(l - k) / math.factorial(l + k) for k in range(l + 1)]
    return [quarter * math.sqrt((2 if k else 1) * r) for k, r in enumerate(ratio)]


@op
def zonal_messages(waves: Tensor, weight: Tensor, sent: Tensor, parts: Tensor, i: Tensor, size: int) -> Tensor:
    """Σ over the other edges b of edge a's centre, and l, of Y_l0(angle ab) F[b, l, c]; (E, C).

    F[b, l, c] = sent[b, c] Σ_n waves[b, l, n] weight[c, l, n]: waves (E, L, N), weight (C, L, N), sent (E, C); parts
    (E, L²) of `zonal_parts`; i (E,): centres, sorted, below `size`. Σ_b runs over all edges once per centre, and what
    is a's own is taken off.
    """
    filters = torch.einsum("eln,cln->elc", waves, weight) * sent[:, None, :]
    slot, most = _slots(i, size)
    padded, y = (
        t.new_zeros(size * most, *t.shape[1:]).index_copy(0, slot, t).unflatten(0, (size, most))
        for t in (filters, parts)
    )
    of_degree = _degrees(waves.shape[1], waves.dtype, waves.device)
    heard = (y.transpose(1, 2) @ padded.flatten(2)).unflatten(2, padded.shape[2:])  # (size, L², L, C)
    total = y @ (heard * of_degree[:, :, None]).sum(2)
    own = ((parts * parts) @ of_degree)[:, :, None] * filters
    return total.flatten(0, 1).index_select(0, slot) - own.sum(1)


@cache
def _degrees(number: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(L², L): 1 where a harmonic is of that degree."""
    with torch.inference_mode(False):
        degree = torch.arange(number**2).sqrt().floor().long()
        return torch.eye(number, dtype=dtype).index_select(0, degree).to(device)


def _slots(i: Tensor, size: int) -> tuple[Tensor, int]:
    """Row of each edge (E,) in a table of `most` rows per centre, and `most`."""
    counts = torch.bincount(i, minlength=size)
    most = int(counts.max())
    start = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(i), device=i.device) - start.index_select(0, i)
    return i * most + rank, most
