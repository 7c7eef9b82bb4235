"""One structure of a data set with what was computed about it once. Slices and splits share entries."""

from __future__ import annotations

import copy
import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from ase.formula import Formula

from ..fields import reference_key
from .distances import nearest_pair
from .labels import LABELS

__all__ = ["Entry"]


class Entry:
    """`atoms` is never handed out: `copy()` is."""

    def __init__(self, atoms: Atoms):
        self.atoms = atoms
        self.graphs: dict[Any, Any] = {}  # the loader's: one graph for each `needs`

    def copy(self) -> Atoms:
        """A structure of the user's own, labels included."""
        atoms = self.atoms.copy()
        atoms.info = {
            k: v if isinstance(v, str | int | float) else copy.deepcopy(v) for k, v in self.atoms.info.items()
        }
        return atoms

    def label(self, name: str) -> Any:
        """Energy (float), forces (n, 3) or stress (6,); None where missing."""
        key = reference_key(name)
        return self.atoms.arrays.get(key) if name == "forces" else self.atoms.info.get(key)

    @cached_property
    def structure_hash(self) -> str:
        """SHA-256 of elements, positions (to 1e-6 Å), cell and periodicity: the same for the same structure
        anywhere."""
        return self._digest(6).hexdigest()

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of structure and labels, to the last bit."""
        digest = self._digest(None)
        for name in LABELS:
            value = self.label(name)
            if value is not None:
                digest.update(name.encode())
                digest.update(_bytes(value, None))
        return digest.hexdigest()

    def _digest(self, decimals: int | None) -> hashlib._Hash:
        digest = hashlib.sha256(self.atoms.numbers.astype("<i8").tobytes())
        digest.update(_bytes(self.atoms.positions, decimals))
        digest.update(_bytes(self.atoms.cell.array, decimals))
        digest.update(bytes(bool(p) for p in self.atoms.pbc))
        return digest

    @cached_property
    def formula(self) -> str:
        """Formula in Hill order: Ge64."""
        return self.atoms.get_chemical_formula()

    @cached_property
    def composition(self) -> str:
        """Formula of the smallest unit, so that a cell and its supercell have the same: TiO2."""
        reduced, _ = Formula(self.formula).reduce()
        return reduced.format("hill")

    @cached_property
    def nearest(self) -> tuple[float, int, int]:
        """(distance in Å, atom, atom) of the closest pair, periodic images included; infinite where no two are within
        12 Å."""
        return nearest_pair(self.atoms)

    @cached_property
    def largest_force(self) -> tuple[float, int]:
        """(|F| in eV/Å, atom) of the largest force; NaN without forces."""
        forces = self.label("forces")
        if forces is None:
            return float("nan"), 0
        size = np.linalg.norm(forces, axis=1)
        return float(size.max()), int(size.argmax())


def _bytes(value: Any, decimals: int | None) -> bytes:
    array = np.asarray(value, dtype="<f8")
    if decimals is not None:
        array = np.round(array, decimals)
    return (array + 0.0).tobytes()  # + 0.0: -0 and 0 are the same number
