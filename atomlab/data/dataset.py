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
from .rows import Lazy, Memory, Rows, equal_rows, joined
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
        self.entries: Rows = (
            frames if isinstance(frames, Lazy) else Memory(f if isinstance(f, Entry) else _entry(f) for f in frames)
        )
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
            return self._with(self.entries.take(range(len(self))[index]))
        chosen = np.asarray(index)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise InputError("A mask has one value for each structure", got=chosen.shape, allowed=[(len(self),)])
            chosen = np.flatnonzero(chosen)
        return self._with(self.entries.take(chosen))

    def __add__(self, other: Dataset) -> Dataset:
        return Dataset(
            joined([self.entries, other.entries]), f"{self.name} + {other.name}", None, [*self.reading, *other.reading]
        )

    def __repr__(self) -> str:
        from ase.data import chemical_symbols

        elements = " ".join(chemical_symbols[z] for z in self.elements)
        return (
            f"Dataset '{self.name}': {len(self)} structures of {elements}, labels: {', '.join(self.labels) or 'none'}"
        )

    def _with(self, entries: Rows) -> Dataset:
        return Dataset(entries, self.name, self.path, self.reading)

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur, sorted."""
        return tuple(np.unique(self.entries.composition()[1]).tolist())

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of energy, forces, stress that at least one structure has."""
        there = self.entries.column("labels").any(axis=0) if len(self) else [False] * len(LABELS)
        return tuple(name for name, has in zip(LABELS, there) if has)

    @property
    def sizes(self) -> np.ndarray:
        """Number of atoms of each structure (S,)."""
        return self.entries.column("size").astype(np.int64)

    @property
    def energies(self) -> np.ndarray:
        """Total energies (S,) in eV, NaN where missing."""
        return self.entries.column("energy")

    def has(self, label: str) -> np.ndarray:
        """Which structures have the label (S,)."""
        return self.entries.column("labels")[:, LABELS.index(label)]

    def info(self, key: str) -> list[Any]:
        """The value of `info[key]` of each structure, None where missing."""
        return self.entries.info(key)

    def composition_matrix(self, rows: slice = slice(None)) -> np.ndarray:
        """Number of atoms of each element of `elements` in each structure (S, Z), or in some `rows` of them."""
        index, elements = np.arange(len(self))[rows], np.array(self.elements, dtype=np.int64)
        which, z, n = self.entries.composition(index)
        out = np.zeros((len(index), len(elements)), dtype=np.int64)
        out[which, np.searchsorted(elements, z)] = n
        return out

    def hash(self) -> str:
        """SHA-256 over the content (structures, labels, in this order): the same on any machine."""
        return hashlib.sha256(self.entries.column("content").tobytes()).hexdigest()

    def structure_hashes(self) -> list[str]:
        """SHA-256 of each structure without its labels, to 1e-6 Å."""
        return [row.tobytes().hex() for row in self.entries.column("structure")]

    def duplicates(self) -> list[list[int]]:
        """Groups of indices of structures that are the same to 1e-6 Å, whatever their labels."""
        return equal_rows(self.entries.column("structure"))

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
        """Write without loss and atomically: extended XYZ with `REF_*` labels (gzipped if the name ends in .gz), or a
        store (.lmdb), which is read structure by structure when it is used."""
        if str(path).endswith(".lmdb"):
            from .build_store import write_store

            return write_store(self, path)
        if not str(path).removesuffix(".gz").endswith((".extxyz", ".xyz")):
            raise InputError(
                "A data set is written as extended XYZ or as a store", got=Path(path).name,
                allowed=".extxyz, .extxyz.gz or .lmdb",
            )  # fmt: skip
        return write_extxyz(path, (entry.atoms for entry in self.entries))


def _entry(atoms: Atoms) -> Entry:
    if atoms.calc is not None:
        raise InputError(
            "A structure has a calculator, whose results would be lost",
            mend="Use atomlab.read([...]), which moves them to REF_energy, REF_forces and REF_stress",
        )
    entry = Entry(atoms)
    return Entry(entry.copy())
