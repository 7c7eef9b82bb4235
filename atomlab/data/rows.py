"""The structures of a data set by number: those in memory are kept, those of a store are read when they are asked for.

Both kinds answer the questions that are about all structures at once (sizes, energies, elements, hashes) as columns,
so that a store answers them from its table without reading a structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, overload

import numpy as np

from .entry import Entry
from .labels import LABELS

__all__ = ["COLUMNS", "Lazy", "Memory", "Rows", "Source", "equal_rows", "joined", "row_of"]

# size, total energy in eV (NaN where missing), which of LABELS are there, SHA-256 of the structure and of all of it
COLUMNS = np.dtype(
    [("size", "<i4"), ("energy", "<f8"), ("labels", "?", (len(LABELS),)), ("structure", "V32"), ("content", "V32")]
)


def row_of(entry: Entry) -> tuple[Any, ...]:
    """One row of COLUMNS."""
    energy = entry.label("energy")
    return (
        len(entry.atoms),
        np.nan if energy is None else float(energy),
        [entry.label(name) is not None for name in LABELS],
        bytes.fromhex(entry.structure_hash),
        bytes.fromhex(entry.content_hash),
    )


class Source(Protocol):
    """Where structures come from: those in memory, or a store."""

    def __len__(self) -> int: ...
    def entry(self, k: int) -> Entry:
        """Structure k."""

    def column(self, name: str) -> np.ndarray:
        """One of COLUMNS for all structures (S, ...)."""

    def composition(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row, atomic number, count) of every element in the structures `index`; rows count from 0 in `index`."""

    def info(self, key: str) -> list[Any]:
        """`info[key]` of all structures, None where missing."""

    def keys(self) -> list[str]:
        """Keys of `info` that occur."""

    def identities(self, index: np.ndarray) -> np.ndarray:
        """A number for each structure (int64) that no other one has in this process."""


class Memory(list[Entry]):
    """Structures in memory: a list of entries."""

    def entry(self, k: int) -> Entry:
        """Structure k."""
        return self[k]

    def take(self, index: Sequence[int] | np.ndarray) -> Memory:
        """The structures `index`, shared."""
        return Memory(self[int(k)] for k in index)

    def column(self, name: str) -> np.ndarray:
        """One of COLUMNS (S, ...). Only what is asked for is computed: hashes take their time."""
        if name == "size":
            return np.array([len(e.atoms) for e in self], dtype=COLUMNS["size"])
        if name == "energy":
            found = (e.label("energy") for e in self)
            return np.array([np.nan if e is None else e for e in found], dtype=np.float64)
        if name == "labels":
            rows = [[e.label(label) is not None for label in LABELS] for e in self]
            return np.array(rows, dtype=bool).reshape(-1, len(LABELS))
        digests = [bytes.fromhex(getattr(e, f"{name}_hash")) for e in self]
        return np.frombuffer(b"".join(digests), dtype=COLUMNS[name])

    def composition(self, index: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row, atomic number, count) of every element in the structures."""
        chosen: Iterable[Entry] = self if index is None else (self[int(k)] for k in index)
        found = [np.unique(e.atoms.numbers, return_counts=True) for e in chosen]
        rows = np.repeat(np.arange(len(found)), [len(z) for z, _ in found])
        z, n = (np.concatenate([f[k] for f in found] or [np.zeros(0)]).astype(np.int64) for k in (0, 1))
        return rows, z, n

    def info(self, key: str) -> list[Any]:
        """`info[key]` of each structure, None where missing."""
        return [e.atoms.info.get(key) for e in self]

    def keys(self) -> list[str]:
        """Keys of `info` that occur, labels left out."""
        return sorted({key for e in self for key in e.atoms.info if not key.startswith("REF_")})

    def identities(self, index: np.ndarray | None = None) -> np.ndarray:
        """A number for each structure that no other one has."""
        chosen: Iterable[Entry] = self if index is None else (self[int(k)] for k in index)
        return np.array([id(e) for e in chosen], dtype=np.int64)


class Lazy(Sequence[Entry]):
    """Structures of one or more sources by number; each is fetched when it is asked for, and not kept here.

    source, number: (S,) which source, and which structure of it.
    """

    def __init__(self, sources: Sequence[Source], source: np.ndarray, number: np.ndarray):
        self.sources = list(sources)
        self.source, self.number = np.asarray(source, dtype=np.int16), np.asarray(number, dtype=np.int64)

    @classmethod
    def whole(cls, source: Source) -> Lazy:
        """All of one source."""
        return cls([source], np.zeros(len(source)), np.arange(len(source)))

    def __len__(self) -> int:
        return len(self.number)

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Lazy: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Lazy(self.sources, self.source[index], self.number[index])
        return self.sources[self.source[index]].entry(int(self.number[index]))

    def __iter__(self) -> Iterator[Entry]:
        return (self[k] for k in range(len(self)))

    def take(self, index: Sequence[int] | np.ndarray) -> Lazy:
        """The structures `index`, not read yet."""
        chosen = np.asarray(index, dtype=np.int64)
        return Lazy(self.sources, self.source[chosen], self.number[chosen])

    def column(self, name: str) -> np.ndarray:
        """One of COLUMNS (S, ...)."""
        out = np.empty(len(self), dtype=COLUMNS[name])
        for mine, source in self._parts():
            out[mine] = source.column(name)[self.number[mine]]
        return out

    def composition(self, index: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row, atomic number, count) of every element in the structures."""
        chosen = self if index is None else self.take(index)
        found = [(mine, source.composition(chosen.number[mine])) for mine, source in chosen._parts()]
        rows = np.concatenate([mine[part[0]] for mine, part in found])
        z, n = (np.concatenate([part[k] for _, part in found]) for k in (1, 2))
        return rows, z, n

    def info(self, key: str) -> list[Any]:
        """`info[key]` of each structure, None where missing."""
        values = [source.info(key) for source in self.sources]
        return [values[s][k] for s, k in zip(self.source.tolist(), self.number.tolist())]

    def keys(self) -> list[str]:
        """Keys of `info` that occur in the sources."""
        return sorted({key for source in self.sources for key in source.keys()})  # noqa: SIM118

    def identities(self, index: np.ndarray | None = None) -> np.ndarray:
        """A number for each structure that no other one has."""
        chosen, out = self if index is None else self.take(index), None
        out = np.empty(len(chosen), dtype=np.int64)
        for mine, source in chosen._parts():
            out[mine] = source.identities(chosen.number[mine])
        return out

    def _parts(self) -> list[tuple[np.ndarray, Source]]:
        """For each source which rows are its own."""
        return [(np.flatnonzero(self.source == k), source) for k, source in enumerate(self.sources)]


Rows: TypeAlias = "Memory | Lazy"


def joined(parts: Sequence[Rows]) -> Rows:
    """All structures of the parts, one part after the other; in memory only what was there before."""
    if all(isinstance(part, Memory) for part in parts):
        return Memory(entry for part in parts for entry in part)
    sources: list[Source] = []
    which, numbers = [], []
    for part in parts:
        lazy = part if isinstance(part, Lazy) else Lazy.whole(part)
        places = [_place(sources, source) for source in lazy.sources]
        which.append(np.array(places, dtype=np.int16)[lazy.source])
        numbers.append(lazy.number)
    return Lazy(sources, np.concatenate(which), np.concatenate(numbers))


def equal_rows(hashes: np.ndarray) -> list[list[int]]:
    """Groups of indices with the same value (S,), in the order of their first members."""
    _, place, count = np.unique(hashes, return_inverse=True, return_counts=True)
    several = np.flatnonzero(count[place] > 1)
    groups: dict[int, list[int]] = {}
    for k, group in zip(several.tolist(), place[several].tolist()):
        groups.setdefault(group, []).append(k)
    return list(groups.values())


def _place(sources: list[Source], source: Source) -> int:
    """Where a source stands in the list, which it joins if it is new."""
    for k, known in enumerate(sources):
        if known is source:
            return k
    sources.append(source)
    return len(sources) - 1
