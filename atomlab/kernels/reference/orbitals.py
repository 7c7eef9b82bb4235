"""Gaussian-type orbitals of neighbours and their squared sums: the embedded atom density of REANN.

Components are the different monomials x^p y^q z^s with p + q + s = l, for l = 0..L, highest power of x first:
1; x, y, z; xx, xy, xz, yy, yz, zz; ... The 3^l products of the formula are these with their multiplicity.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from ..dispatch import op
from .segments import gather

__all__ = [
    "carried_orbitals",
    "cosine_envelope",
    "embedded_orbitals",
    "gaussian_waves",
    "monomials",
    "orbital_density",
    "orbital_message",
    "orbital_sum",
    "orbital_waves",
    "powers",
    "steps",
]


@cache
def powers(degree: int) -> tuple[tuple[tuple[int, int, int], int], ...]:
    """((p, q, s), multiplicity) of every monomial of that degree, in the order of this module."""
    found = []
    for p in range(degree, -1, -1):
        for q in range(degree - p, -1, -1):
            s = degree - p - q
            found.append(
                ((p, q, s), math.factorial(degree) // (math.factorial(p) * math.factorial(q) * math.factorial(s)))
            )
    return tuple(found)


@cache
def steps(degree: int) -> tuple[tuple[int, int], ...]:
    """How each monomial of a degree comes from one of the degree below: (its index there, axis)."""
    below = {power: k for k, (power, _) in enumerate(powers(degree - 1))}
    steps = []
    for power, _ in powers(degree):
        axis = next(k for k in range(3) if power[k])
        p, q, s = (n - (k == axis) for k, n in enumerate(power))
        steps.append((below[p, q, s], axis))
    return tuple(steps)


@op
def cosine_envelope(lengths: Tensor, cutoff: float) -> Tensor:
    """(0.5 + 0.5 cos(π r / cutoff))^2 for lengths (E,) in Å below the cutoff: (E,)."""
    return (0.5 + 0.5 * torch.cos(lengths * (math.pi / cutoff))) ** 2


@op
def gaussian_waves(lengths: Tensor, width: Tensor, centre: Tensor, species: Tensor) -> Tensor:
    """exp(width[s] (r - centre[s])^2), (E, M).

    lengths (E,) in Å; width (K, M) in Å^-2; centre (K, M) in Å; species (E,): row of both.
    """
    return torch.exp(width.index_select(0, species) * (lengths[:, None] - centre.index_select(0, species)) ** 2)


@op
def orbital_waves(lengths: Tensor, envelope: Tensor, width: Tensor, centre: Tensor, species: Tensor) -> Tensor:
    """`gaussian_waves` times the envelope (E,): (E, M)."""
    return gaussian_waves(lengths, width, centre, species) * envelope[:, None]


@op
def monomials(vectors: Tensor, degree: int) -> Tensor:
    """All different monomials of degrees 0..degree of vectors (E, 3): (E, C), C = 1, 4, 10, 20 for degree 0..3."""
    # plain columns: their derivatives are products, where indexing would scatter
    axes = vectors.unbind(1)
    last = [torch.ones_like(axes[0])]
    columns = list(last)
    for l in range(1, degree + 1):
        last = [last[k] * axes[axis] for k, axis in steps(l)]
        columns += last
    return torch.stack(columns, dim=1)


@op
def orbital_sum(angular: Tensor, radial: Tensor, index: Tensor, size: int) -> Tensor:
    """Σ over the edges of each atom of angular (E, C) times radial (E, M): (size, C, M); `index` (E,) is the atom."""
    return radial.new_zeros(size, angular.shape[1], radial.shape[1]).index_add(
        0, index, angular[:, :, None] * radial[:, None, :]
    )


@op
def embedded_orbitals(angular: Tensor, radial: Tensor, coefficient: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """`orbital_sum` at the atoms i (E,) of angular (E, C) and radial (E, M) times the neighbour's coefficient (A, M).

    Returns (A, C, M).
    """
    return orbital_sum(angular, radial * gather(coefficient, j), i, len(coefficient))


@op
def orbital_message(orbitals: Tensor, weight: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Σ_j weight_ij orbitals_j: neighbours' orbitals (A, C, M), weights (E,), i and j (E,). Returns (A, C, M)."""
    flat = orbitals.flatten(1)
    sent = flat.index_select(0, j) * weight[:, None]
    return flat.new_zeros(flat.shape).index_add(0, i, sent).view(orbitals.shape)


@op
def carried_orbitals(
    angular: Tensor, radial: Tensor, coefficient: Tensor, carried: Tensor, weight: Tensor, i: Tensor, j: Tensor
) -> Tensor:
    """`embedded_orbitals` and the message of orbitals (A, C, M) that neighbours carry, times their coefficients.

    weight (E,); returns (A, C, M).
    """
    message = orbital_message(carried * coefficient[:, None], weight, i, j)
    return embedded_orbitals(angular, radial, coefficient, i, j) + message


@op
def orbital_density(orbitals: Tensor, contraction: Tensor) -> Tensor:
    """ρ[k] = Σ_l Σ_components (Σ_m contraction[l, m, k] orbitals[l, component, m])^2.

    orbitals (A, C, M) in this module's order; contraction (L+1, M, K). Returns (A, K).
    """
    density, first = None, 0
    for l in range(contraction.shape[0]):
        weights = [count for _, count in powers(l)]
        part = orbitals[:, first : first + len(weights)] @ contraction[l]
        first += len(weights)
        term = torch.einsum("ack,c->ak", part * part, part.new_tensor(weights))
        density = term if density is None else density + term
    return density
