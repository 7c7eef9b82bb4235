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
    "safe_norm",
    "tanh_cutoff",
    "torsion_cosines",
]


@op
def tanh_cutoff(lengths: Tensor, cutoff: Tensor | float) -> Tensor:
    """tanh^3(1 - r / r_c) for r < r_c, else 0; two derivatives are continuous. Lengths and cutoffs in Å."""
    return torch.tanh((1.0 - lengths / cutoff).clamp(min=0.0)).pow(3)


@op
def safe_norm(x: Tensor, tiny: float = 1e-6) -> Tensor:
    """Norm over the last axis with a finite derivative at 0: sqrt(|x|^2 + tiny^2) - tiny."""
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
    """1/2 Σ_m |Σ_j e_i e_j R_ij Y_m|^2: coefficients (A, V), radial (E, V), angular (E, V, M), zero-padded in M."""
    moments = segment_sum((coefficients.index_select(0, j) * radial)[:, :, None] * angular, i, coefficients.shape[0])
    return 0.5 * coefficients.square() * moments.square().sum(-1)


@op
def many_body_three(coefficients: Tensor, weight: Tensor, i: Tensor, j: Tensor, k: Tensor) -> Tensor:
    """e_i Σ_{jk} (e_j + e_k) w_ijk: coefficients (A, V), weight (T, V), atoms i, j, k (T,) of the triplets."""
    pair = coefficients.index_select(0, j) + coefficients.index_select(0, k)
    return coefficients * segment_sum(pair * weight, i, coefficients.shape[0])
