"""A data set larger than memory: one file, memory-mapped, built once, read by number.

The file is an LMDB with three tables: `frames` (number -> one record with canonical labels in eV, eV/Å, eV/Å^3),
`columns` (what is asked of all structures at once: sizes, energies, labels, hashes, compositions) and `about` (format,
version, whether it is whole, what was read as what). A store that is not whole has another name (`.part`) and says so
inside as well: it is never read as whole. A whole one never changes.
"""

from __future__ import annotations

import itertools
import json
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, notice
from .dataset import Dataset
from .entry import Entry
from .record import unpack
from .rows import COLUMNS, Lazy

__all__ = ["FORMAT", "PART", "SUFFIX", "TABLES", "VERSION", "Store", "key_of", "read_store"]

FORMAT, VERSION = "atomlab-store", 1
SUFFIX, PART = ".lmdb", ".part"
TABLES = (b"frames", b"columns", b"about")
# Structures of stores with at most so many atoms are kept once they are read, with their graphs: they fit anywhere.
KEPT_ATOMS = 200_000
_serial = itertools.count(1)
_open: weakref.WeakValueDictionary[tuple[int, ...], Store] = weakref.WeakValueDictionary()
_opening = threading.Lock()


def key_of(k: int) -> bytes:
    """The key of structure k in `frames`: in the order of the numbers."""
    return k.to_bytes(8, "big")


def read_store(path: Path) -> Dataset:
    """The data set in a store, none of it read yet."""
    store = Store.at(path)
    about = store.about
    for code, text in about["notices"]:
        notice(f"{code}-{about['name']}-{len(store)}", f"'{about['name']}': {text}")
    return Dataset(Lazy.whole(store), name=about["name"], path=path, reading=about["reading"])


class Store:
    """A whole store, open for reading. `Store.at(path)` opens each file once in a process."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._env = _opened(self.path)
        tables = [self._env.open_db(name, create=False) for name in TABLES]
        self._frames, columns, about = tables
        # a view that lasts as long as the store: its columns are used where they lie in the file
        self._view = self._env.begin(buffers=True)
        self.about: dict[str, Any] = json.loads(bytes(self._view.get(b"about", db=about)))
        _check(self.about, self.path)
        self._rows = np.frombuffer(self._view.get(b"rows", db=columns), dtype=COLUMNS)
        self._ends = np.frombuffer(self._view.get(b"ends", db=columns), dtype="<i8")
        self._z = np.frombuffer(self._view.get(b"numbers", db=columns), dtype="u1")
        self._n = np.frombuffer(self._view.get(b"counts", db=columns), dtype="<i4")
        self._serial = next(_serial)
        self._infos: dict[str, list[Any]] = {}
        self._kept: dict[int, Entry] | None = {} if self._rows["size"].sum(dtype=np.int64) <= KEPT_ATOMS else None

    @classmethod
    def at(cls, path: Path) -> Store:
        """The store in a file. LMDB wants a file to be opened only once in a process."""
        with _opening:
            stat = Path(path).stat()
            key = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
            found = _open.get(key)
            if found is None:
                found = _open[key] = cls(Path(path))
            return found

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self):
        return Store.at, (self.path,)

    def entry(self, k: int) -> Entry:
        """Structure k, read from the file; a small store keeps it."""
        found = self._kept.get(k) if self._kept is not None else None
        if found is None:
            with self._env.begin(buffers=True) as view:
                found = Entry(unpack(view.get(key_of(k), db=self._frames)))
            if self._kept is not None:
                self._kept[k] = found
        return found

    def column(self, name: str) -> np.ndarray:
        """One of COLUMNS for all structures, where it lies in the file."""
        return self._rows[name]

    def composition(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(row, atomic number, count) of every element in the structures `index`."""
        ends = self._ends[index]
        starts = np.where(index > 0, self._ends[index - 1], 0)
        kinds = ends - starts
        rows = np.repeat(np.arange(len(index)), kinds)
        # a run of places from each start on
        places = np.arange(kinds.sum()) + np.repeat(starts - np.concatenate([[0], np.cumsum(kinds)[:-1]]), kinds)
        return rows, self._z[places].astype(np.int64), self._n[places].astype(np.int64)

    def info(self, key: str) -> list[Any]:
        """`info[key]` of all structures: read once, then kept with each value once."""
        if key not in self.about["keys"] and not key.startswith("REF_"):
            return [None] * len(self)
        if key not in self._infos:
            seen: dict[Any, Any] = {}
            values = (self.entry(k).atoms.info.get(key) for k in range(len(self)))
            # equal keys of other types (1, True, 1.0) stay apart
            self._infos[key] = [
                seen.setdefault((type(v), v), v) if isinstance(v, str | int | float) else v for v in values
            ]
        return self._infos[key]

    def keys(self) -> list[str]:
        """Keys of `info` that occur, labels left out."""
        return list(self.about["keys"])

    def identities(self, index: np.ndarray) -> np.ndarray:
        """Negative, so that they never meet those of structures in memory."""
        return -((self._serial << 40) + np.asarray(index, dtype=np.int64) + 1)


def _opened(path: Path) -> Any:
    import lmdb

    if path.name.endswith(PART):
        raise InputError(
            "This store is not finished, so it cannot be read", got=path.name,
            mend=f"Give the same `atomlab convert ... {path.name.removesuffix(PART)}` again: it goes on where it ended",
        )  # fmt: skip
    try:
        # lock=False: a whole store never changes, and it may lie where one cannot write
        env = lmdb.open(
            str(path), subdir=False, readonly=True, lock=False, max_dbs=len(TABLES), readahead=False, create=False
        )
    except lmdb.Error as error:
        raise InputError(
            f"{path.name} cannot be read as a store: {error}", mend="Build it again: atomlab convert"
        ) from None
    about = env.info()
    needed = (about["last_pgno"] + 1) * env.stat()["psize"]
    if path.stat().st_size < needed:  # touching what is not there would end the process (SIGBUS)
        env.close()
        raise InputError(
            f"{path.name} is cut short", got=f"{path.stat().st_size} bytes", allowed=f"{needed} bytes or more",
            mend="Copy it again, or build it again: atomlab convert",
        )  # fmt: skip
    try:
        for name in TABLES:
            env.open_db(name, create=False)
    except lmdb.Error:
        env.close()
        raise InputError(
            f"{path.name} is an LMDB, but no store of AtomLab",
            mend="Read it with the program that wrote it, and give the list of ase.Atoms to atomlab.read",
        ) from None
    return env


def _check(about: dict[str, Any], path: Path) -> None:
    if about.get("format") != FORMAT:
        raise InputError(f"{path.name} is no store of AtomLab", got=about.get("format"), allowed=FORMAT)
    if about["version"] > VERSION:
        raise InputError(
            f"{path.name} was written by a newer version of AtomLab",
            got=f"store version {about['version']}", allowed=f"up to {VERSION}", mend="Upgrade AtomLab",
        )  # fmt: skip
    if not about.get("whole"):
        raise InputError(
            f"{path.name} is a store that was never finished", got=f"{about['frames']} structures so far",
            mend="Build it again: atomlab convert",
        )  # fmt: skip
