"""Energy of a crystal against its volume, at rest."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.eos import EquationOfState

from ..build import build
from ..errors import AtomLabError, InputError
from ..potential import Potential, outputs

__all__ = ["NoMinimum", "State", "equation_of_state"]

STRAINS = (-0.04, -0.025, -0.01, 0.0, 0.01, 0.025, 0.04)


class NoMinimum(AtomLabError):
    """The energy has no minimum near the volumes that were looked at."""


@dataclass(frozen=True)
class State:
    """At the minimum: volume Å^3, energy eV, bulk modulus eV/Å^3, and the factor on the cell's lengths."""

    volume: float
    energy: float
    bulk_modulus: float
    scale: float


def equation_of_state(
    potential: Potential, atoms: Atoms, strains: Sequence[float] = STRAINS, head: str | int | None = None
) -> State:
    """The minimum of a Birch-Murnaghan curve through the energies of the isotropically strained cell.

    Positions scale with the cell and are not relaxed. strains: of the lengths. Raises InputError for a structure that
    is not periodic in all directions, NoMinimum where the energies fall to one side.
    """
    if not atoms.pbc.all():
        raise InputError("A curve of energy against volume needs a periodic structure", got=f"pbc {atoms.pbc.tolist()}")
    cells = []
    for strain in strains:
        cell = atoms.copy()
        cell.set_cell(atoms.cell.array * (1.0 + strain), scale_atoms=True)
        cells.append(cell)
    graph = build(cells, potential.needs, potential.head_index(head)).to(potential.device, potential.dtype)
    energies = outputs(potential, graph, ("energy",)).energy.cpu().numpy()
    volumes = np.array([cell.get_volume() for cell in cells])
    lowest = int(energies.argmin())
    if not np.isfinite(energies).all() or lowest in (0, len(cells) - 1):
        raise NoMinimum(
            f"The energy has no minimum within {100 * min(strains):.0f} to {100 * max(strains):.0f} % of the cell's "
            "lengths."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit's covariance is not used
        volume, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
    return State(float(volume), float(energy), float(modulus), float((volume / atoms.get_volume()) ** (1 / 3)))
