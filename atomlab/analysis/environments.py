"""Atomic environments in bulk: one row of numbers per atom, in chunks in memory or in files mapped from disk."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..errors import InputError

__all__ = ["Environments", "Writer", "filled", "scratch_folder", "stored"]

CHUNK_BYTES = 64 * 2**20
_INDEX = "index.json"


@dataclass(frozen=True)
class Environments:
    """Descriptors of all atoms of a set of structures.

    chunks: arrays (n, F), each holding whole structures, in the order of the set; number, frame, atom (A,): atomic
    number, index of the structure, index of the atom in it; errors (A,) eV/Å: |F - F_ref| where it was asked for.
    """

    chunks: list[np.ndarray]
    number: np.ndarray
    frame: np.ndarray
    atom: np.ndarray
    errors: np.ndarray | None = None
    starts: np.ndarray = field(init=False)

    def __post_init__(self):
        starts = np.concatenate([[0], np.cumsum([len(c) for c in self.chunks])]).astype(np.int64)
        object.__setattr__(self, "starts", starts)

    @classmethod
    def of(cls, values: Iterable[np.ndarray], numbers: Iterable[np.ndarray]) -> Environments:
        """From descriptors (n, F) and atomic numbers (n,) of each structure."""
        values, numbers = [np.asarray(v) for v in values], [np.asarray(z) for z in numbers]
        for k, (v, z) in enumerate(zip(values, numbers, strict=True)):
            if v.ndim != 2 or len(v) != len(z):
                raise InputError(
                    f"The descriptors of structure {k} must be one row per atom", got=v.shape, allowed=f"({len(z)}, F)"
                )
        whole = np.concatenate(values) if values else np.zeros((0, 0))
        return cls([whole], *_columns(numbers))

    def __len__(self) -> int:
        return len(self.number)

    @property
    def width(self) -> int:
        """F: numbers per atom."""
        return self.chunks[0].shape[1] if self.chunks else 0

    @property
    def structures(self) -> int:
        """Number of structures."""
        return int(self.frame[-1]) + 1 if len(self.frame) else 0

    @property
    def first(self) -> np.ndarray:
        """Row of each structure's first atom, and the number of rows at the end: (structures + 1,)."""
        return np.searchsorted(self.frame, np.arange(self.structures + 1))

    def frames(self) -> list[np.ndarray]:
        """The descriptors (n, F) of each structure: views, nothing is copied."""
        first = self.first
        return [self._view(a, b) for a, b in pairwise(first)]

    def _view(self, start: int, stop: int) -> np.ndarray:
        # a structure never straddles two chunks
        c = int(np.searchsorted(self.starts, start, side="right")) - 1
        return self.chunks[c][start - self.starts[c] : stop - self.starts[c]]

    def read(self, start: int, stop: int) -> np.ndarray:
        """The rows start ... stop - 1, as an array in memory."""
        return self.take(np.arange(start, stop))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The rows with these indices (m,), as an array (m, F) in memory."""
        rows = np.asarray(rows, dtype=np.int64)
        out = np.empty((len(rows), self.width), dtype=self.chunks[0].dtype if self.chunks else np.float64)
        where = np.searchsorted(self.starts, rows, side="right") - 1
        for c in np.unique(where):
            mine = where == c
            out[mine] = self.chunks[c][rows[mine] - self.starts[c]]
        return out

    def blocks(self, limit: int) -> Iterator[tuple[int, int]]:
        """Row ranges (start, stop) of whole structures, at most `limit` rows each unless one structure is larger."""
        first, start = self.first, 0
        for a, b in pairwise(first):
            if b - start > limit and a > start:
                yield start, int(a)
                start = int(a)
        if start < len(self):
            yield start, len(self)

    def subset(self, rows: np.ndarray) -> Environments:
        """Some rows, copied; `frame` and `atom` still name the places in the whole set."""
        errors = None if self.errors is None else self.errors[rows]
        return Environments([self.take(rows)], self.number[rows], self.frame[rows], self.atom[rows], errors)


def _columns(numbers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = [len(z) for z in numbers]
    number = np.concatenate(numbers).astype(np.int64) if numbers else np.zeros(0, np.int64)
    frame = np.repeat(np.arange(len(numbers)), lengths)
    atom = np.concatenate([np.arange(n) for n in lengths]) if numbers else np.zeros(0, np.int64)
    return number, frame, atom.astype(np.int64)


class Writer:
    """Collects the descriptors of one structure after another, in memory (`folder=None`) or as chunks in a folder.

    The folder appears under its own name only when it is complete: it is filled beside it and then renamed.
    """

    def __init__(self, folder: Path | None = None, chunk_bytes: int = CHUNK_BYTES):
        self.folder, self.limit = folder, chunk_bytes
        self.done: list[np.ndarray] = []
        self.open: list[np.ndarray] = []
        self.size = 0
        self.numbers: list[np.ndarray] = []
        self.errors: list[np.ndarray] = []
        self.files = 0
        if folder is not None:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))

    def add(self, values: np.ndarray, numbers: np.ndarray, errors: np.ndarray | None = None) -> None:
        """One structure's descriptors (n, F), atomic numbers (n,) and, where asked for, force errors (n,)."""
        self.open.append(values)
        self.numbers.append(numbers)
        if errors is not None:
            self.errors.append(errors)
        self.size += values.nbytes
        if self.size >= self.limit:
            self._close_chunk()

    def _close_chunk(self) -> None:
        if not self.open:
            return
        chunk = np.concatenate(self.open)
        if self.folder is None:
            self.done.append(chunk)
        else:
            np.save(self.part / f"chunk-{self.files:05d}.npy", chunk)
        self.files += 1
        self.open, self.size = [], 0

    def finish(self, key: str = "") -> Environments:
        """All that was added. A folder is renamed to its own name, and mapped."""
        self._close_chunk()
        columns = _columns(self.numbers)
        errors = np.concatenate(self.errors) if self.errors else None
        if self.folder is None:
            return Environments(self.done, *columns, errors)
        arrays = dict(zip(("number", "frame", "atom"), columns))
        np.savez(self.part / "columns.npz", **arrays, **({} if errors is None else {"errors": errors}))
        (self.part / _INDEX).write_text(json.dumps({"key": key, "chunks": self.files, "atoms": len(columns[0])}))
        _put(self.part, self.folder)
        return _mapped(self.folder)

    def discard(self) -> None:
        """Throw away what was written so far (an error, a stop)."""
        if self.folder is not None:
            shutil.rmtree(self.part, ignore_errors=True)


def _put(part: Path, folder: Path) -> None:
    """Rename `part` to `folder`; an older store of that name is moved aside first, and then removed."""
    old = None
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent))
        os.replace(folder, old / folder.name)
    os.replace(part, folder)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _mapped(folder: Path) -> Environments:
    count = json.loads((folder / _INDEX).read_text())["chunks"]
    chunks = [np.load(folder / f"chunk-{k:05d}.npy", mmap_mode="r") for k in range(count)]
    with np.load(folder / "columns.npz") as columns:
        errors = columns.get("errors")
        return Environments(chunks, columns["number"], columns["frame"], columns["atom"], errors)


def stored(folder: Path, key: str, make: Callable[[Writer], None]) -> Environments:
    """The store in `folder` if it was made for `key`; else it is made anew, with `make(writer)`."""
    if folder.exists():
        index = folder / _INDEX
        if not index.is_file():
            raise InputError(
                "The folder for descriptors exists and holds something else",
                got=folder,
                mend="Name a folder that does not exist, or one that AtomLab made for descriptors",
            )
        if json.loads(index.read_text())["key"] == key:
            return _mapped(folder)
    return filled(Writer(folder), key, make)


def filled(writer: Writer, key: str, make: Callable[[Writer], None]) -> Environments:
    """Run `make(writer)` and finish; whatever goes wrong, no half-made folder is left."""
    try:
        make(writer)
        return writer.finish(key)
    finally:
        writer.discard()


def scratch_folder() -> Path:
    """A folder for descriptors that is removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="atomlab-descriptors-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "store"
