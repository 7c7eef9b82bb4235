"""The ASE calculator of any potential, with a skin list inside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.calculator import PropertyNotImplementedError, all_changes

from .build import build, check_elements
from .errors import notice
from .kernels import interactive, radial_tables, repeated, steady
from .neighbours import SkinList
from .potential import Potential, outputs, volumes

__all__ = ["Calculator"]


class Calculator(AseCalculator):
    """Energy, free_energy and forces of one structure, stress (Voigt, eV/Å^3, tension positive) where the cell has
    three independent vectors, energies where the model's energy is a sum over atoms.

    Parameters
    ----------
    potential: any Potential. head: name of the head, `potential.default_head` if none is given. skin: Å beyond the
    cutoff that the neighbour list keeps, 0 for a new search at each step. wait: for kernels that must be compiled first
    (once on a machine, seconds); otherwise the first answers come at once from the torch reference, which differs from
    the kernels' in the last digits of its precision. tables: "always" or "never" read radial functions from tables
    (forces within 1e-6 eV/Å of the network's); by default those of models in float32 do.
    """

    def __init__(
        self,
        potential: Potential,
        head: str | int | None = None,
        skin: float = 0.5,
        wait: bool = False,
        tables: str | None = None,
        **kw: Any,
    ):
        super().__init__(**kw)
        self._patience = steady if wait else interactive
        self._tables = partial(radial_tables, tables) if tables else nullcontext
        with self._tables():  # refuses a word that it does not know
            pass
        self.potential = potential
        self.head = potential.head_index(head)
        self._list = SkinList(potential.cutoff, skin)
        self._told = False

    @property
    def implemented_properties(self) -> list[str]:  # type: ignore[override]
        """What can be asked for."""
        return ["energy", "free_energy", "forces", "stress", "energies"]

    @property
    def neighbour_searches(self) -> int:
        """How often the neighbour list was searched anew since this calculator was made."""
        return self._list.searches

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill `self.results`. Called by ASE."""
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        check_elements(atoms.numbers, self.potential.card.elements, f"'{self.potential.card.name}'")
        if not self._told:
            self._told = True
            with self._patience():
                remarks = self.potential.remarks(atoms)
            for code, text in remarks:
                notice(code, text)
        graph = build(atoms, self.potential.needs, self.head, self._list if self.potential.needs.cutoffs else None)
        graph = graph.to(self.potential.device, self.potential.dtype)
        want = ["energy", "forces"] + ["stress"] * ("stress" in properties)
        if "stress" in properties:
            self._check_volume(atoms, graph)
        with self._patience(), repeated(), self._tables():
            out = outputs(self.potential, graph, want)
        energy = float(out.energy[0])
        self.results = {"energy": energy, "free_energy": energy, "forces": _array(out.forces)}
        if out.atoms is not None:
            self.results["energies"] = _array(out.atoms)
        elif "energies" in properties:
            raise PropertyNotImplementedError(
                f"The energy of '{self.potential.card.name}' is not a sum over atoms, so it has no per-atom energies."
            )
        if "stress" in properties:
            self.results["stress"] = _array(out.stress[0])

    def _check_volume(self, atoms: Atoms, graph: Any) -> None:
        if torch.isnan(volumes(graph)).any():
            raise PropertyNotImplementedError(
                "Stress needs a cell with three independent vectors. "
                f"Got the cell {np.round(atoms.cell.array, 4).tolist()}. "
                "Give the structure a cell, or ask for energy and forces only."
            )
        if not atoms.pbc.all():
            notice(
                "stress-partly-periodic",
                f"The structure is periodic along {atoms.pbc.tolist()}: its stress is divided by the volume of the "
                "whole cell, vacuum included.",
            )


def _array(value: torch.Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().astype(np.float64)
