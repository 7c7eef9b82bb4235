"""Building a store: structure by structure, in transactions, so that it may be interrupted at any moment.

What is built is called `NAME.lmdb.part` until it is whole. The same call again goes on after the last transaction if
the sources are the same, and begins anew (with a notice) if they are not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, notice
from .dataset import Dataset
from .entry import Entry
from .formats import stream_file
from .labels import LABELS, Convention
from .reading import check_frame, found, name_of, read, remarks
from .record import pack
from .rows import COLUMNS, equal_rows, row_of
from .store import FORMAT, PART, SUFFIX, TABLES, VERSION, Store, key_of, read_store
from .survey import Survey

__all__ = ["convert", "write_store"]

CHUNK = 1000  # structures in one transaction
_FIRST_SIZE = 1 << 26  # bytes of address space to begin with; doubled when it is full

Progress = Callable[[int], None]  # called with the number of structures that are safely in


def convert(
    sources: Sequence[str | os.PathLike],
    target: str | os.PathLike,
    keys: Mapping[str, str | None] | None = None,
    units: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Read files one structure at a time and write them as one store (.lmdb), or as extended XYZ.

    keys, units: as in `atomlab.read`. progress: called now and then with the number of structures that are in.

    For a store each file is read twice: what its keys mean is decided after all of its frames were seen. Memory holds a
    thousand structures at most (but the whole of a file that is not extended XYZ, .db, .traj or .lmdb).
    """
    if not str(target).endswith(SUFFIX):
        dataset = read([os.fspath(source) for source in sources], keys, units)
        dataset.write(target)
        if progress:
            progress(len(dataset))
        return dataset
    convention = Convention(dict(keys or {}), dict(units or {}))
    paths = [found(Path(source).expanduser()) for source in sources]
    if not paths:
        raise InputError("A store needs at least one source")
    if any(path.resolve() == Path(target).resolve() for path in paths):
        raise InputError("A store cannot be built from itself", got=target)
    marks = [[str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns] for p in paths]
    origin = {"files": marks, "keys": convention.keys, "units": convention.units}
    name = " + ".join(name_of(path) for path in paths)
    said: list[str] = []

    def frames() -> Iterator[Entry]:
        for path in paths:
            told: list[str] = []
            yield from _entries(path, convention, told)
            said.extend(text if len(paths) == 1 else f"{name_of(path)}: {text}" for text in told)

    return _build(Path(target), frames(), origin, name, said, progress)


def write_store(dataset: Dataset, target: str | os.PathLike, progress: Progress | None = None) -> Path:
    """Write a data set as a store."""
    said = list(dataset.reading)
    path = Path(target)
    _build(path, iter(dataset.entries), {"content": dataset.hash()}, dataset.name, said, progress)
    return path


def _entries(path: Path, convention: Convention, told: list[str]) -> Iterator[Entry]:
    """The frames of a file with canonical labels."""
    if path.name.endswith(SUFFIX):
        if convention.keys or convention.units:
            raise InputError("A store has canonical labels already: keys and units can't be given", got=path.name)
        source = read_store(path)
        told += source.reading
        yield from source.entries
        return
    survey = Survey()
    for atoms in stream_file(path, []):
        survey.see(atoms)
    decided = survey.decide(convention, path.name)
    for k, atoms in enumerate(stream_file(path, told)):
        decided.convert(atoms, k)
        check_frame(atoms, f"{path.name}, frame {k}")
        atoms.set_constraint()
        yield Entry(atoms)
    told += decided.sentences()


def _build(
    target: Path, entries: Iterator[Entry], origin: dict[str, Any], name: str, said: list[str],
    progress: Progress | None,
) -> Dataset:  # fmt: skip
    if target.suffix != SUFFIX:
        raise InputError("The name of a store ends in .lmdb", got=target.name)
    part = _Part(target, json.loads(json.dumps(origin)))
    try:
        skipped = sum(1 for _ in islice(entries, part.frames))
        if skipped < part.frames:
            raise InputError("The source has become shorter", got=f"{skipped} structures", allowed=part.frames)
        while chunk := list(islice(entries, CHUNK)):
            part.add(chunk)
            if progress:
                progress(part.frames)
        part.finish(name, said)
    finally:
        part.close()
    os.replace(part.path, target)
    Path(f"{part.path}-lock").unlink(missing_ok=True)
    Store.at(target)  # reads its table: what was built can be opened
    return read_store(target)


class _Part:
    """A store that is being built."""

    def __init__(self, target: Path, origin: dict[str, Any]):
        import lmdb

        self.path, self.origin, self._lmdb = target.with_name(target.name + PART), origin, lmdb
        if not target.parent.is_dir():
            raise InputError("There is no such folder", got=target.parent)
        self._open()
        about = self._about()
        if about and (about.get("origin") != origin or about.get("version") != VERSION):
            notice(
                f"store-anew-{self.path}",
                f"{self.path.name} was begun from other sources ({about.get('frames', 0)} structures): it is built "
                "anew.",
            )
            self.close()
            self.path.unlink()
            self._open()
            about = None
        self.frames: int = about["frames"] if about else 0
        self.keys: dict[str, int] = about["keys"] if about else {}

    def _open(self) -> None:
        size = max(_FIRST_SIZE, 2 * (self.path.stat().st_size if self.path.exists() else 0))
        try:
            self._env = self._lmdb.open(str(self.path), subdir=False, map_size=size, max_dbs=len(TABLES))
        except self._lmdb.Error as error:
            raise InputError(
                f"{self.path.name} cannot be gone on with: {error}", mend="Remove it, then build anew"
            ) from None
        self._frames, self._columns, self._abouts = (self._env.open_db(name) for name in TABLES)

    def _about(self) -> dict[str, Any] | None:
        with self._env.begin() as view:
            found = view.get(b"about", db=self._abouts)
        return json.loads(found) if found else None

    def close(self) -> None:
        """Close the file."""
        self._env.close()

    def add(self, chunk: Sequence[Entry]) -> None:
        """Put structures in, all of them or none."""
        records = [pack(entry.atoms) for entry in chunk]
        rows = np.array([row_of(entry) for entry in chunk], dtype=COLUMNS)
        kinds = [np.unique(entry.atoms.numbers, return_counts=True) for entry in chunk]
        columns = {
            b"rows": rows.tobytes(),
            b"kinds": np.array([len(z) for z, _ in kinds], dtype="<i8").tobytes(),
            b"numbers": np.concatenate([z for z, _ in kinds]).astype("u1").tobytes(),
            b"counts": np.concatenate([n for _, n in kinds]).astype("<i4").tobytes(),
        }
        for entry in chunk:
            for key in entry.atoms.info:
                if not key.startswith("REF_"):
                    self.keys[key] = self.keys.get(key, 0) + 1
        self._write(lambda change: self._put(change, records, columns))
        self.frames += len(chunk)

    def _put(self, change: Any, records: Sequence[bytes], columns: Mapping[bytes, bytes]) -> None:
        about = {"format": FORMAT, "version": VERSION, "whole": False, "origin": self.origin, "keys": self.keys}
        for k, record in enumerate(records, self.frames):
            if not change.put(key_of(k), record, db=self._frames, append=True, overwrite=False):
                raise InputError("Another process is building this store", got=self.path)
        for column, data in columns.items():
            change.put(b"%s-%s" % (column, key_of(self.frames)), data, db=self._columns)
        change.put(b"about", json.dumps({**about, "frames": self.frames + len(records)}).encode(), db=self._abouts)

    def _write(self, work: Callable[[Any], None]) -> None:
        """One transaction; where the address space is full, a larger one and again."""
        while True:
            try:
                with self._env.begin(write=True) as change:
                    work(change)
                return
            except self._lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except self._lmdb.DiskError as error:
                raise OSError(28, f"No space left for {self.path.name}: {error}") from error

    def finish(self, name: str, said: Sequence[str]) -> None:
        """Join the columns, say what the store holds, and that it is whole."""
        if not self.frames:
            raise InputError("A store needs at least one structure", got="none in the sources")
        rows = np.frombuffer(self._joined(b"rows"), dtype=COLUMNS)
        columns = {
            b"rows": rows.tobytes(),
            b"ends": np.cumsum(np.frombuffer(self._joined(b"kinds"), dtype="<i8")).tobytes(),
            b"numbers": self._joined(b"numbers"),
            b"counts": self._joined(b"counts"),
        }
        labels = [label for k, label in enumerate(LABELS) if rows["labels"][:, k].any()]
        told = remarks(labels, equal_rows(rows["structure"]))
        about = {
            "format": FORMAT, "version": VERSION, "whole": True, "frames": self.frames, "name": name,
            "keys": sorted(self.keys), "labels": labels, "units": {"energy": "eV", "length": "Å", "stress": "eV/Å^3"},
            "reading": [*said, *(text for code, text in told if code != "no-labels")], "notices": told,
        }  # fmt: skip

        def work(change: Any) -> None:
            change.drop(self._columns, delete=False)
            for column, data in columns.items():
                change.put(column, data, db=self._columns)
            change.put(b"about", json.dumps(about, ensure_ascii=False).encode(), db=self._abouts)

        self._write(work)
        self._env.sync(True)

    def _joined(self, column: bytes) -> bytes:
        """The pieces of a column, in the order of their first structure."""
        start, pieces = column + b"-", []
        with self._env.begin() as view, view.cursor(db=self._columns) as cursor:
            if cursor.set_range(start):
                pieces = [bytes(v) for _, v in _while(cursor.iternext(), start)]
        return b"".join(pieces)


def _while(items: Iterable[tuple[bytes, bytes]], start: bytes) -> Iterator[tuple[bytes, bytes]]:
    for key, value in items:
        if not key.startswith(start):
            return
        yield key, value
