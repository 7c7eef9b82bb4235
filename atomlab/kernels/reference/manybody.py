"""Terms of power-type descriptors and of many-body functions (MBNN): cutoff, powers, sums over neighbours."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dispatch import op
from .segments import segment_sum

__all__ = [
    "many_body_spherical",
    "many_body_three",
    "many_body_two",
    "pair_inputs",
    "safe_norm",
    "tanh_powers",
    "torsion_cosines",
    "triplet_powers",
]


@op
def tanh_powers(lengths: Tensor, rows: tuple[tuple[float, float], ...]) -> Tensor:
    """r^n tanh^3(1 - r / r_c) below r_c, else 0, for each of the V rows (n, r_c): (E, V).

    Lengths (E,) and cutoffs in Å. Two derivatives are continuous at the cutoff.
    """
    ends = {cutoff: _end(lengths, cutoff) for _, cutoff in rows}
    columns = [ends[cutoff] * lengths.pow(n) for n, cutoff in rows]
    return torch.stack(columns, dim=1) if rows else lengths.new_zeros(len(lengths), 0)


@op
def triplet_powers(first: Tensor, second: Tensor, rows: tuple[tuple, ...]) -> Tensor:
    """(a^n b^m + b^n a^m) f(a) f(b) c^p f(c) (s + t cosine)^ζ of triangles, for each of V rows: (T, V).

    first, second (T, 3): the vectors from one atom to its neighbours in Å, of lengths a and b, with the cosine of the
    angle between them; c = |first - second|. rows: (n, m, p, s, t, ζ, r_c), all factors of c left out where p is None;
    f(r) = tanh^3(1 - r / r_c) below r_c, else 0.
    """
    opposite = second - first
    a, b = first.square().sum(1).sqrt(), second.square().sum(1).sqrt()
    c = torch.sqrt(opposite.square().sum(1) + 1e-12)  # two neighbours at one place have a gradient, too
    cosine = (first * second).sum(1) / (a * b)
    ends = {cutoff: [_end(r, cutoff) for r in (a, b, c)] for cutoff in {row[-1] for row in rows}}
    columns = []
    for n, m, p, shift, scale, zeta, cutoff in rows:
        end_a, end_b, end_c = ends[cutoff]
        sides = end_a * end_b * (a.pow(n) * b.pow(m) + b.pow(n) * a.pow(m))
        whole = sides if p is None else sides * (end_c * c.pow(p))
        columns.append(whole * (shift + scale * cosine).pow(zeta))
    return torch.stack(columns, dim=1) if rows else first.new_zeros(len(first), 0)


@op
def pair_inputs(lengths: Tensor, centres: tuple[float, ...], width: float) -> Tensor:
    """What a network of pairs sees of a bond: 1/r, 1/r^2, 1/r^3 and exp(-(r - c)^2 / width) for each centre c.

    lengths (E,) and centres in Å, width in Å^2; (E, 3 + number of centres).
    """
    r = lengths[:, None]
    gaussians = torch.exp(-(r - r.new_tensor(centres)).square() / width)
    return torch.cat([1 / r, 1 / r.square(), 1 / r.pow(3), gaussians], dim=1)


def _end(lengths: Tensor, cutoff: float) -> Tensor:
    return torch.tanh((1.0 - lengths / cutoff).clamp(min=0.0)).pow(3)


@op
def safe_norm(x: Tensor, tiny: float = 1e-6) -> Tensor:
    """Norm over the last axis with a finite derivative at 0: sqrt(|x|^2 + tiny^2) - tiny."""
    # the reference's on a CPU: five operations of torch on few rows, which a kernel of one's own does not beat
    return torch.sqrt((x * x).sum(-1) + tiny * tiny) - tiny


@op
def torsion_cosines(first: Tensor, second: Tensor, third: Tensor, tiny: float = 1e-6) -> Tensor:
    """Cosine (Q,) of the dihedral angle of the chain i-j-k-l, from the vectors (Q, 3) i->j, i->k and i->l.

    Where three atoms lie in line the plane is undefined; the cosine goes to 0 there, smoothly.
    """
    a = torch.linalg.cross(first, second - first)
    b = torch.linalg.cross(second - first, third - second)
    return (a * b).sum(1) / torch.sqrt((a * a).sum(1) * (b * b).sum(1) + tiny)


@op
def many_body_two(coefficients: Tensor, radial: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """e_i Σ_j e_j R_ij for each of V functions: coefficients (A, V), radial (E, V), result (A, V)."""
    neighbours = coefficients.index_select(0, j) * radial
    return coefficients * segment_sum(neighbours, i, coefficients.shape[0])


@op
def many_body_spherical(coefficients: Tensor, radial: Tensor, angular: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """1/2 Σ_m |Σ_j e_i e_j R_ij Y_m|^2: coefficients (A, V), radial (E, V), angular (E, M, V), zero-padded in M."""
    moments = segment_sum((coefficients.index_select(0, j) * radial)[:, None] * angular, i, coefficients.shape[0])
    return 0.5 * coefficients.square() * moments.square().sum(1)


@op
def many_body_three(coefficients: Tensor, weight: Tensor, i: Tensor, j: Tensor, k: Tensor) -> Tensor:
    """e_i Σ_{jk} (e_j + e_k) w_ijk: coefficients (A, V), weight (T, V), atoms i, j, k (T,) of the triplets."""
    pair = coefficients.index_select(0, j) + coefficients.index_select(0, k)
    return coefficients * segment_sum(pair * weight, i, coefficients.shape[0])
