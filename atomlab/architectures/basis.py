"""Radial functions of MACE with their constants as buffers, named as in published files."""

from __future__ import annotations

import math

import torch
from ase.data import covalent_radii
from torch import Tensor, nn

from ..kernels import agnesi_transform, bessel, polynomial_envelope, soft_transform, zbl

__all__ = ["RadialEmbedding", "Repulsion"]


class _Table(nn.Module):
    """Named constants; `trained` ones are parameters, the others buffers."""

    def __init__(self, trained: bool = False, **values: Tensor):
        super().__init__()
        for name, value in values.items():
            if trained and value.ndim:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)


def _radii() -> Tensor:
    return torch.tensor(covalent_radii, dtype=torch.get_default_dtype())


def _constant(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.get_default_dtype())


class RadialEmbedding(nn.Module):
    """Bessel functions of the (transformed) distance times the envelope of the true one: (H,) -> (H, N).

    `transform` none, agnesi or soft; `envelope_on` basis: the envelope multiplies the functions; weights: the caller
    multiplies what is made of them.
    """

    def __init__(self, cutoff: float, size: int, p: int, transform: str, envelope_on: str, trained: bool):
        super().__init__()
        self.cutoff, self.p, self.transform, self.on_basis = cutoff, p, transform, envelope_on == "basis"
        frequencies = torch.arange(1, size + 1, dtype=torch.float64) * (math.pi / cutoff)
        self.bessel_fn = _Table(
            trained,
            bessel_weights=frequencies.to(torch.get_default_dtype()),
            prefactor=_constant(math.sqrt(2.0 / cutoff)),
        )
        if transform == "agnesi":
            self.distance_transform = _Table(
                q=_constant(0.9183), p=_constant(4.5791), a=_constant(1.0805), covalent_radii=_radii()
            )
        elif transform == "soft":
            self.distance_transform = _Table(alpha=_constant(4.0), covalent_radii=_radii())

    def forward(self, lengths: Tensor, zi: Tensor, zj: Tensor) -> tuple[Tensor, Tensor]:
        """Functions (H, N) and envelope (H,) of bonds: lengths (H,) in Å, atomic numbers zi and zj (H,)."""
        envelope = polynomial_envelope(lengths / self.cutoff, self.p)
        functions = bessel(self._seen(lengths, zi, zj), self.bessel_fn.bessel_weights, self.bessel_fn.prefactor)
        return functions * envelope[:, None] if self.on_basis else functions, envelope

    def _seen(self, lengths: Tensor, zi: Tensor, zj: Tensor) -> Tensor:
        if self.transform == "none":
            return lengths
        t = self.distance_transform
        r0 = t.covalent_radii.index_select(0, zi) + t.covalent_radii.index_select(0, zj)
        if self.transform == "soft":
            return soft_transform(lengths, r0, t.alpha)
        return agnesi_transform(lengths, 0.5 * r0, t.a, t.p, t.q)


class Repulsion(_Table):
    """ZBL between all pairs closer than the sum of their covalent radii."""

    def __init__(self, p: int):
        super().__init__(
            c=torch.tensor([0.1818, 0.5099, 0.2802, 0.02817], dtype=torch.get_default_dtype()),
            a_exp=_constant(0.300),
            a_prefactor=_constant(0.4543),
            covalent_radii=_radii(),
        )
        self.p = p

    def forward(self, lengths: Tensor, zi: Tensor, zj: Tensor) -> Tensor:
        """Energy of each bond in eV, (H,)."""
        reach = self.covalent_radii.index_select(0, zi) + self.covalent_radii.index_select(0, zj)
        return zbl(lengths, zi, zj, reach, self.c, self.a_exp, self.a_prefactor, self.p)
