"""Measured sentences about a model on a structure at hand: does its energy depend on the size, does it jump?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from ase import Atoms

from ..build import build
from ..neighbours import pairs
from ..potential import Potential

__all__ = ["cutoff_jump", "cutoff_remark", "size_effect", "size_remark"]

LARGEST = 256  # atoms: larger structures are not evaluated for a remark
TRIED = 4  # distances that are scaled to the cutoff


def _energies(potential: Potential, structures: list[Atoms]) -> np.ndarray:
    graph = build(structures, potential.needs).to(potential.device, potential.dtype)
    with torch.no_grad():
        return potential.energy(graph).cpu().numpy()


def size_effect(potential: Potential, atoms: Atoms) -> float:
    """Energy per atom (eV) of the structure twice over, minus that of the structure; 0 for an extensive model.

    Twice over is the supercell along the first periodic direction; without one, two copies beyond each other's reach.
    """
    if atoms.pbc.any():
        repeats = [1, 1, 1]
        repeats[int(np.flatnonzero(atoms.pbc)[0])] = 2
        double = atoms.repeat(repeats)
    else:
        copy = atoms.copy()
        copy.positions[:, 0] += np.ptp(atoms.positions[:, 0]) + 4.0 * potential.cutoff
        double = atoms + copy
    one, two = _energies(potential, [atoms, double])
    return float(two / len(double) - one / len(atoms))


def cutoff_jump(potential: Potential, atoms: Atoms, cutoff: float, reach: float = 1.25) -> float | None:
    """Largest jump of the energy per atom (eV) where the structure, scaled as a whole, brings bonds to the cutoff (Å).

    Energy just outside minus energy just inside, tried for the distances nearest to the cutoff; None if there is no
    distance between cutoff / reach and cutoff * reach.
    """
    found = pairs(atoms.positions, np.asarray(atoms.cell.array), np.asarray(atoms.pbc), cutoff * reach)
    lengths = np.unique(np.linalg.norm(found.d, axis=1).round(4))
    lengths = lengths[lengths > cutoff / reach]
    if not len(lengths):
        return None
    sides = []
    for length in lengths[np.argsort(np.abs(np.log(lengths / cutoff)))[:TRIED]]:
        # the shell is known to 1e-4 Å: step over all of it
        for change in (-1e-4, 1e-4):
            scaled, factor = atoms.copy(), (cutoff + change) / length
            scaled.positions *= factor
            scaled.cell = atoms.cell.array * factor
            sides.append(scaled)
    energies = _energies(potential, sides)
    jumps = (energies[1::2] - energies[0::2]) / len(atoms)
    return float(jumps[np.argmax(np.abs(jumps))])


def size_remark(potential: Potential, atoms: Atoms) -> tuple[str, str]:
    """The size effect of this structure in words, with its notice code."""
    name = potential.card.name
    text = f"The energy of '{name}' is no sum over atoms: it does not grow in proportion to the size of the structure."
    if 2 * len(atoms) <= LARGEST:
        effect = 1000 * size_effect(potential, atoms)
        text += f" This structure twice over has an energy per atom that differs by {effect:+.1f} meV."
    return f"size-{name}", f"{text} Compare only energies of structures with the same number of atoms."


def cutoff_remark(potential: Potential, atoms: Atoms, cutoffs: Mapping[str, float]) -> tuple[str, str]:
    """The jumps at the cutoffs (what crosses it -> Å) in words, with their notice code."""
    name = potential.card.name
    where = " or ".join(f"{what} crosses {cutoff:g} Å" for what, cutoff in cutoffs.items())
    text = f"The energy of '{name}' jumps where {where}."
    if len(atoms) <= LARGEST:
        jumps = [(cutoff, cutoff_jump(potential, atoms, cutoff)) for cutoff in cutoffs.values()]
        seen = [f"{1000 * jump:+.1f} meV/atom at {cutoff:g} Å" for cutoff, jump in jumps if jump is not None]
        if seen:
            text += f" This structure, scaled until that happens, jumps by up to {' and '.join(seen)}."
    return f"jump-{name}", f"{text} Long dynamics and curves of energy over volume feel this."
