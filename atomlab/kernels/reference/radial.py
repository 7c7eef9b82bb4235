"""Functions of the distance: Bessel basis, polynomial envelope, distance transforms, and the ZBL repulsion."""

from __future__ import annotations

import torch
from torch import Tensor

from ...units import COULOMB
from ..dispatch import op

__all__ = ["agnesi_transform", "bessel", "polynomial_envelope", "soft_transform", "zbl"]


@op
def bessel(lengths: Tensor, frequencies: Tensor, prefactor: Tensor) -> Tensor:
    """prefactor * sin(frequency * r) / r: lengths (E,) in Å, frequencies (N,) in 1/Å, prefactor () in Å^-0.5; (E, N).

    With frequencies n π / cutoff and prefactor sqrt(2 / cutoff): Gasteiger et al., arXiv:2003.03123, eq. 7.
    """
    return torch.sin(lengths[:, None] * frequencies) * (prefactor / lengths)[:, None]


@op
def polynomial_envelope(x: Tensor, p: int) -> Tensor:
    """1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2) for x < 1, else 0; x = r / cutoff, any shape.

    Value, first and second derivative vanish at 1. Ibid., eq. 8.
    """
    power = x
    for bit in bin(p)[3:]:  # square and multiply: pow() of a tensor costs ten times as much
        power = power * power
        power = power * x if bit == "1" else power
    inside = 1.0 + power * (x * (p * (p + 2.0) - (0.5 * p * (p + 1)) * x) - 0.5 * (p + 1) * (p + 2))
    return torch.where(x < 1.0, inside, torch.zeros_like(x))


@op
def agnesi_transform(lengths: Tensor, r0: Tensor, a: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """1 / (1 + a s^q / (1 + s^(q - p))) with s = r / r0; lengths and r0 (E,) in Å; a, p, q () without unit; (E,).

    Witt et al., J. Chem. Phys. 159 (2023) 164101; r0 is the mean of the two covalent radii.
    """
    log = torch.log(lengths / r0)
    return 1.0 / (1.0 + a * torch.exp(q * log) / (1.0 + torch.exp((q - p) * log)))


@op
def soft_transform(lengths: Tensor, r0: Tensor, alpha: Tensor) -> Tensor:
    """Distance (Å) that stops shrinking below 3/4 r0: p0 + (r - p0) (1 + tanh(alpha (r - m) / (p1 - p0))) / 2.

    p0 = 3/4 r0, p1 = 4/3 r0, m their mean; r0 (E,) in Å is the sum of the two covalent radii; alpha (); (E,).
    """
    p0, p1 = 0.75 * r0, (4.0 / 3.0) * r0
    return p0 + 0.5 * (lengths - p0) * (1.0 + torch.tanh(alpha * (lengths - 0.5 * (p0 + p1)) / (p1 - p0)))


@op
def zbl(
    lengths: Tensor, zi: Tensor, zj: Tensor, reach: Tensor, c: Tensor, a_exp: Tensor, a_prefactor: Tensor, p: int
) -> Tensor:
    """Screened nuclear repulsion of a pair in eV, (E,): 14.3996 Zi Zj / r * phi(r / a) * envelope(r / reach, p).

    lengths (E,) in Å; zi, zj (E,) atomic numbers; reach (E,) in Å, where it ends; a = a_prefactor * 0.529 Å /
    (Zi^a_exp + Zj^a_exp); phi = sum of c (4,) times exponentials. Ziegler, Biersack, Littmark (1985).
    """
    zi, zj = zi.to(lengths.dtype), zj.to(lengths.dtype)
    x = lengths * (zi.pow(a_exp) + zj.pow(a_exp)) / (a_prefactor * 0.529)
    rates = lengths.new_tensor([3.2, 0.9423, 0.4028, 0.2016])
    phi = torch.exp(-x[:, None] * rates) @ c
    return COULOMB * zi * zj / lengths * phi * polynomial_envelope(lengths / reach, p)
