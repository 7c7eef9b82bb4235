"""A data set: structures with labels that cannot get lost or be changed from outside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from ase import Atoms

from ..errors import InputError
from .entry import Entry
from .formats import write_extxyz
from .labels import LABELS
from .split import Split, parts
from .summary import columns, summary

__all__ = ["Dataset"]


class Dataset:
    """Structures with `REF_*` labels. `atomlab.read` makes one from files or from ase.Atoms of any origin.

    `len(dataset)`; iterating and indexing give *copies* (ase.Atoms): changing one changes nothing here. A slice, a
    list of indices or a mask gives a Dataset that shares the structures and what was computed of them.
    """

    def __init__(
        self,
        frames: Iterable[Atoms | Entry],
        name: str = "structures",
        path: str | os.PathLike | None = None,
        reading: Sequence[str] = (),
    ):
        self.entries: list[Entry] = [f if isinstance(f, Entry) else _entry(f) for f in frames]
        self.name, self.path, self.reading = name, None if path is None else Path(path), list(reading)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Atoms]:
        return (entry.copy() for entry in self.entries)

    @overload
    def __getitem__(self, index: int) -> Atoms: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> Dataset: ...

    def __getitem__(self, index):
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"There is no frame {index}: '{self.name}' has {len(self)}, counted from 0.")
            return self.entries[index].copy()
        if isinstance(index, slice):
            return self._with(self.entries[index])
        chosen = np.asarray(index)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise InputError("A mask has one value for each structure", got=chosen.shape, allowed=[(len(self),)])
            chosen = np.flatnonzero(chosen)
        return self._with([self.entries[int(k)] for k in chosen])

    def __add__(self, other: Dataset) -> Dataset:
        return Dataset(
            [*self.entries, *other.entries], f"{self.name} + {other.name}", None, [*self.reading, *other.reading]
        )

    def __repr__(self) -> str:
        from ase.data import chemical_symbols

        elements = " ".join(chemical_symbols[z] for z in self.elements)
        return (
            f"Dataset '{self.name}': {len(self)} structures of {elements}, labels: {', '.join(self.labels) or 'none'}"
        )

    def _with(self, entries: list[Entry]) -> Dataset:
        return Dataset(entries, self.name, self.path, self.reading)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur, sorted."""
        return tuple(sorted({int(z) for entry in self.entries for z in np.unique(entry.atoms.numbers)}))

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of energy, forces, stress that at least one structure has."""
        return tuple(name for name in LABELS if any(entry.label(name) is not None for entry in self.entries))

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each structure (S,)."""
        return np.array([len(entry.atoms) for entry in self.entries], dtype=np.int64)

    @property
    def energies(self) -> np.ndarray:
        """Total energies (S,) in eV, NaN where missing."""
        found = (entry.label("energy") for entry in self.entries)
        return np.array([np.nan if e is None else e for e in found], dtype=np.float64)

    def info(self, key: str) -> list[Any]:
        """The value of `info[key]` of each structure, None where missing."""
        return [entry.atoms.info.get(key) for entry in self.entries]

    def composition_matrix(self) -> np.ndarray:
        """Number of atoms of each element of `elements` in each structure (S, Z)."""
        elements = np.array(self.elements)
        return np.array([(entry.atoms.numbers[:, None] == elements).sum(0) for entry in self.entries])

    def hash(self) -> str:
        """SHA-256 over the content (structures, labels, in this order): the same on any machine."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(bytes.fromhex(entry.content_hash))
        return digest.hexdigest()

    def duplicates(self) -> list[list[int]]:
        """Groups of indices of structures that are the same to 1e-6 Å, whatever their labels."""
        groups: dict[str, list[int]] = {}
        for k, entry in enumerate(self.entries):
            groups.setdefault(entry.structure_hash, []).append(k)
        return [group for group in groups.values() if len(group) > 1]

    def split(
        self,
        valid: float | int = 0.1,
        test: float | int = 0.0,
        by: str = "random",
        seed: int = 0,
        train: float | int | None = None,
        group_key: str | None = None,
        stratify: str | None = None,
    ) -> Split:
        """Divide into train, valid and test; the same seed gives the same parts on any machine.

        Parameters
        ----------
        valid, test, train: a fraction (0 to 1, a float) or a number of structures (an int). train=None is all that is
        left.
        by: what stays together. "random": single structures (equal ones stay together); "group": frames of one source,
            by the first of `group`, `material_id`, ... in `info`, or by `group_key`; "composition"; "config_type" or
            any other key of `info`; "given": what `info["split"]` or `info["tag"]` says (valid is taken from train
            where none is given).
        stratify: a key of `info`: divide each of its values in the same proportion.

        Returns Split(train, valid, test), with `.reasons` in sentences. Warns where a structure is in two of them.
        """
        return parts(
            self, valid=valid, test=test, by=by, seed=seed, train=train, group_key=group_key, stratify=stratify
        )

    def summary(self, nearest: bool = True) -> dict[str, Any]:
        """Counts, elements, sizes, config types, labels, ranges, extreme forces, nearest distances, histograms as
        arrays."""
        return summary(self, nearest)

    def columns(self, nearest: bool = True) -> dict[str, np.ndarray]:
        """One array for each column of a table of structures."""
        return columns(self, nearest)

    def write(self, path: str | os.PathLike) -> Path:
        """Write as extended XYZ with `REF_*` labels (gzipped if the name ends in .gz), atomically and without loss."""
        if not str(path).removesuffix(".gz").endswith((".extxyz", ".xyz")):
            raise InputError(
                "A data set is written as extended XYZ", got=Path(path).name, allowed=".extxyz or .extxyz.gz"
            )
        return write_extxyz(path, (entry.atoms for entry in self.entries))


def _entry(atoms: Atoms) -> Entry:
    if atoms.calc is not None:
        raise InputError(
            "A structure has a calculator, whose results would be lost",
            mend="Use atomlab.read([...]), which moves them to REF_energy, REF_forces and REF_stress",
        )
    entry = Entry(atoms)
    return Entry(entry.copy())
