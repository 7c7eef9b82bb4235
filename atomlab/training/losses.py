"""Losses: mean square, Huber, and MACE's conditional Huber, on the energy per atom, the forces and the stress.

A label that is missing (NaN) takes no part: each mean runs over the labels that are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError
from ..graph import Graph
from ..potential import Outputs, volumes

if TYPE_CHECKING:
    from ..predict import Predictions

__all__ = ["Loss", "Residuals", "by_head", "of_predictions", "residuals"]

KINDS = ("mse", "huber", "conditional_huber")
# Voigt xx yy zz yz xz xy: the last three stand twice in the 3x3 tensor
_TWICE = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0)
# norm of the reference force in eV/Å up to which the factor of delta holds (MACE-MP-0, supplement C2)
_LIMITS = (100.0, 200.0, 300.0)
_FACTORS = (1.0, 0.7, 0.4, 0.1)


@dataclass
class Residuals:
    """Prediction less label, where there is a label.

    energy (s,) eV/atom, float64; forces (a, 3) eV/Å with the labels' norms `force_norms` (a,); stress (t, 6) eV/Å^3.
    Of a batch also the head of each structure (S,), and of each row of energy, forces and stress.
    """

    energy: Tensor
    forces: Tensor
    force_norms: Tensor
    stress: Tensor
    heads: Tensor | None = None
    row_heads: tuple[Tensor, Tensor, Tensor] | None = None

    def of(self, head: int) -> Residuals:
        """Those of one head's structures alone."""
        if self.heads is None or self.row_heads is None:
            return self
        energy, forces, stress = (rows == head for rows in self.row_heads)
        return Residuals(self.energy[energy], self.forces[forces], self.force_norms[forces], self.stress[stress])


@dataclass(frozen=True)
class Loss:
    """A weighted sum of mean penalties. `delta` is the Huber losses' limit, in each label's own unit; `deltas`: those
    of single labels, by name."""

    kind: str = "mse"
    energy: float = 1.0
    forces: float = 10.0
    stress: float = 0.0
    delta: float = 0.01
    deltas: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError("There is no such loss", got=self.kind, allowed=KINDS)

    @property
    def want(self) -> tuple[str, ...]:
        """What must be computed for it."""
        return ("energy",) + ("forces",) * (self.forces > 0) + ("virial",) * (self.stress > 0)

    def __call__(self, r: Residuals) -> Tensor | None:
        """The loss (a scalar, float64), or None where no weighted label is there."""
        terms = [
            weight * value.to(torch.float64)
            for weight, value in zip((self.energy, self.forces, self.stress), self.parts(r))
            if weight > 0 and value is not None
        ]
        return torch.stack(terms).sum() if terms else None

    def parts(self, r: Residuals) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Mean penalties of energy, forces and stress before their weights; None where there is no label.

        The stress mean runs over the nine components of the tensor, as in MACE.
        """
        energy = self._penalty(r.energy, self._limit("energy")).mean() if len(r.energy) else None
        forces = self._penalty(r.forces, self._of_forces(r.force_norms)).mean() if len(r.forces) else None
        twice = r.stress.new_tensor(_TWICE)
        stress = (self._penalty(r.stress, self._limit("stress")) * twice).sum(1).mean() / 9.0 if len(r.stress) else None
        return energy, forces, stress

    def _limit(self, label: str) -> float:
        return self.deltas.get(label, self.delta)

    def _of_forces(self, norms: Tensor) -> Tensor | float:
        if self.kind != "conditional_huber":
            return self._limit("forces")
        step = torch.bucketize(norms, norms.new_tensor(_LIMITS), right=True)
        return self._limit("forces") * norms.new_tensor(_FACTORS)[step][:, None]

    def _penalty(self, x: Tensor, limit: Tensor | float) -> Tensor:
        if self.kind == "mse":
            return x * x
        size = x.abs()
        return torch.where(size < limit, 0.5 * x * x, limit * (size - 0.5 * limit))


def by_head(loss: Loss, weights: Mapping[int, float], r: Residuals) -> Tensor | None:
    """Σ_h w_h (s_h / s) loss(structures of head h), with s_h of the batch's s structures.

    Each head has means of its own, and over an epoch each structure counts once, times its head's weight.
    """
    if r.heads is None:
        return loss(r)
    terms = []
    for head, weight in weights.items():
        value = loss(r.of(head)) if weight > 0 else None
        if value is not None:
            terms.append(weight * (r.heads == head).to(torch.float64).mean() * value)
    return torch.stack(terms).sum() if terms else None


def residuals(out: Outputs, graph: Graph) -> Residuals:
    """Residuals of a batch.

    The energies are float64 with E0 added last: their difference is that of E - Σ E0 to the last bit that counts.
    """
    n = graph.counts
    empty = graph.positions.new_zeros(0)
    reference = graph.labels.get("energy")
    energy = empty.to(torch.float64)
    energy_head = forces_head = stress_head = graph.head[:0]
    if reference is not None:
        has = ~torch.isnan(reference)
        energy, energy_head = (out.energy[has] - reference[has]) / n[has], graph.head[has]
    forces, norms = empty.reshape(0, 3), empty
    if out.forces is not None and "forces" in graph.labels:
        label = graph.labels["forces"]
        has = ~torch.isnan(label).any(1)
        label = label[has].to(out.forces.dtype)
        forces, norms = out.forces[has] - label, label.norm(dim=1)
        forces_head = graph.head[graph.batch[has]]
    stress = empty.reshape(0, 6)
    if out.virial is not None and "stress" in graph.labels:
        stress, stress_head = _stress(out.virial, graph)
    return Residuals(energy, forces, norms, stress, graph.head, (energy_head, forces_head, stress_head))


def _stress(virial: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
    # from the virial and only where there is a volume: a NaN in a masked row would still poison its gradient
    volume, label = volumes(graph), graph.labels["stress"]
    has = ~torch.isnan(label).any(1) & ~torch.isnan(volume)
    tensor = -virial[has] / volume[has].to(virial.dtype)[:, None, None]
    voigt = torch.stack([tensor[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], dim=1)
    return voigt - label[has].to(virial.dtype), graph.head[has]


def of_predictions(found: Predictions) -> Residuals:
    """Residuals of a whole data set: validation has the same loss as training."""
    n = torch.tensor([len(z) for z in found.numbers], dtype=torch.float64)
    energy = torch.from_numpy(found.energy - found.labels["energy"]) / n
    forces = torch.zeros(0, 3, dtype=torch.float64)
    norms = torch.zeros(0, dtype=torch.float64)
    if found.forces is not None:
        label = torch.cat([torch.from_numpy(f) for f in found.labels["forces"]])
        has = ~torch.isnan(label).any(1)
        forces = (torch.cat([torch.from_numpy(f) for f in found.forces]) - label)[has]
        norms = label[has].norm(dim=1)
    stress = torch.zeros(0, 6, dtype=torch.float64)
    if found.stress is not None:
        label = torch.from_numpy(found.labels["stress"])
        value = torch.from_numpy(found.stress)
        has = ~torch.isnan(label).any(1) & ~torch.isnan(value).all(1)
        stress = (value - label)[has]
    return Residuals(energy[~torch.isnan(torch.from_numpy(found.labels["energy"]))], forces, norms, stress)
