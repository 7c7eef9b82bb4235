"""Potentials whose energy and forces come from another program: no parameters, no autograd inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import AtomLabError
from .graph import Graph
from .potential import Outputs, Potential, Terms

__all__ = ["External"]


class External(Potential):
    """Base of potentials that another program evaluates. A subclass writes `evaluate_one`.

    Its energy can be differentiated once (forces and strain); a second derivative is refused in words, since autograd
    would silently give 0 for it.
    """

    def evaluate_one(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (n, 3) eV/Å and virial (3, 3) = -dE/dstrain in eV of one structure."""
        raise TypeError(f"{type(self).__name__} must say how it is evaluated: write `evaluate_one`")

    def analytic(self, graph: Graph, want: Sequence[str]) -> Outputs:
        """Energy, forces and virial as the other program gives them."""
        energy, forces, virial = self._all(graph)
        return Outputs(energy, forces=forces, virial=virial)

    def forward(self, graph: Graph) -> Terms:
        """Energy with one derivative."""
        return Terms(_Once.apply(graph.positions, graph.cell, self, graph))

    def _all(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        found = []
        batch = graph.batch.cpu().numpy()
        arrays = [t.detach().cpu().numpy() for t in (graph.numbers, graph.positions, graph.cell, graph.pbc)]
        numbers, positions, cell, pbc = arrays
        for s in range(graph.size):
            atoms = batch == s
            found.append(
                self.evaluate_one(numbers[atoms], positions[atoms].astype(float), cell[s].astype(float), pbc[s])
            )
        like: dict[str, Any] = {"dtype": graph.positions.dtype, "device": graph.positions.device}
        return (
            torch.tensor([f[0] for f in found], dtype=torch.float64, device=graph.positions.device),
            torch.tensor(np.concatenate([f[1] for f in found]), **like),
            torch.tensor(np.stack([f[2] for f in found]), **like),
        )


class _Once(torch.autograd.Function):
    """The energy with its first derivative in positions and cell."""

    @staticmethod
    def forward(ctx, positions, cell, potential, graph):
        energy, forces, virial = potential._all(graph.moved(positions, cell))
        ctx.save_for_backward(positions, cell, forces, virial)
        ctx.batch = graph.batch
        return energy

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():
            raise AtomLabError(
                "This potential is evaluated by another program, whose second derivatives autograd cannot see "
                "(they would silently be 0). Use differences of forces for a Hessian."
            )
        positions, cell, forces, virial = ctx.saved_tensors
        # dE/dcell at fixed fractional shifts: what remains of the virial after the atoms' own share
        share = torch.zeros_like(virial).index_add(0, ctx.batch, positions[:, :, None] * forces[:, None, :])
        rest = -(virial - share)
        d_cell = torch.linalg.pinv(cell.transpose(1, 2)) @ rest
        scale = grad.to(forces.dtype)
        return -forces * scale[ctx.batch][:, None], d_cell * scale[:, None, None], None, None
