"""Energies of the classical potentials, per edge and per triplet. Parameters come in as tensors or numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["lennard_jones", "morse", "stillinger_weber_three", "stillinger_weber_two"]


def _to_cutoff(x: Tensor, a: Tensor | float) -> Tensor:
    # Beyond the cutoff the exponent is so negative that value and derivatives are exactly 0, without 1/0 at the cutoff.
    return torch.clamp(x - a, max=-1e-3)


@op
def stillinger_weber_two(
    r: Tensor, epsilon: Tensor, sigma: Tensor, A: float, B: float, p: float, q: float, a: float
) -> Tensor:
    """Two-body energy of a bond in eV: epsilon A (B x^-p - x^-q) exp(1 / (x - a)), x = r / sigma, 0 from x = a on.

    r, epsilon, sigma (E,) in Å, eV, Å; returns (E,). Stillinger and Weber, PRB 31 (1985) 5262, eqs. 2.1 and 2.3.
    """
    x = r / sigma
    return epsilon * A * (B * x.pow(-p) - x.pow(-q)) * torch.exp(1.0 / _to_cutoff(x, a))


@op
def stillinger_weber_three(
    ra: Tensor,
    rb: Tensor,
    cosine: Tensor,
    strength: Tensor,
    sigma_a: Tensor,
    sigma_b: Tensor,
    gamma: float,
    a: float,
    cos0: float,
) -> Tensor:
    """Three-body energy of two bonds at one centre in eV:
    strength (cosine - cos0)^2 exp(gamma / (xa - a) + gamma / (xb - a)), x = r / sigma.

    ra, rb, sigma_a, sigma_b (T,) in Å; strength = lambda epsilon (T,) in eV; returns (T,). Ibid., eqs. 2.4 and 2.5.
    """
    decay = gamma / _to_cutoff(ra / sigma_a, a) + gamma / _to_cutoff(rb / sigma_b, a)
    return strength * (cosine - cos0).square() * torch.exp(decay)


@op
def lennard_jones(r: Tensor, epsilon: Tensor, sigma: Tensor, cutoff: float) -> Tensor:
    """4 epsilon ((sigma/r)^12 - (sigma/r)^6) in eV, minus its value and slope at the cutoff: the force ends there
    without a jump (force-shifted). r, epsilon, sigma (E,) in Å, eV, Å; returns (E,)."""
    s6, end = (sigma / r).pow(6), (sigma / cutoff).pow(6)
    value, slope = end * end - end, -(12.0 * end * end - 6.0 * end) / cutoff
    return 4.0 * epsilon * (s6 * s6 - s6 - value - slope * (r - cutoff))


@op
def morse(r: Tensor, depth: Tensor, alpha: Tensor, r0: Tensor, cutoff: float) -> Tensor:
    """depth ((1 - exp(-alpha (r - r0)))^2 - 1) in eV, force-shifted to the cutoff as `lennard_jones`.

    r, depth, alpha, r0 (E,) in Å, eV, 1/Å, Å; returns (E,). Morse, Phys. Rev. 34 (1929) 57.
    """
    y, end = torch.exp(-alpha * (r - r0)), torch.exp(-alpha * (cutoff - r0))
    value, slope = end * end - 2.0 * end, -2.0 * alpha * (end * end - end)
    return depth * (y * y - 2.0 * y - value - slope * (r - cutoff))
