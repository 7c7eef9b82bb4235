"""Writing extended XYZ so that reading it gives the same numbers to the last bit."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...container import atomic
from ...errors import InputError
from .extxyz import parse_value

__all__ = ["write_extxyz"]

_BARE = re.compile(r"^[A-Za-z0-9_.:/+\-]+$")
_NOT_WRITTEN = ("numbers", "positions")
_KIND = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S"}


def write_extxyz(path: str | os.PathLike, frames: Iterable[Atoms]) -> Path:
    """Write frames as extended XYZ (gzip if the name ends in .gz), atomically, replacing what was there.

    All of `info` and `arrays` is written, floating point numbers with as many digits as it takes to read the same bits.
    A calculator's results are not: labels stand in `REF_*`.
    """
    path = Path(path)

    def write(target: Path) -> None:
        with target.open("wb") as raw:
            # no name and no time in the gzip header: the same frames give the same file
            out = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if path.suffix == ".gz" else raw
            with io.TextIOWrapper(out, encoding="utf-8", newline="\n") as text:
                text.writelines(_frame(frame) for frame in frames)

    atomic(path, write)
    return path


def _frame(atoms: Atoms) -> str:
    columns, names = [atoms.get_chemical_symbols()], ["species:S:1"]
    for name, values in [("pos", atoms.positions), *_extra(atoms)]:
        wide = values.reshape(len(atoms), -1)
        names.append(f"{name}:{_KIND[wide.dtype.kind]}:{wide.shape[1]}")
        columns.extend(_texts(wide[:, k]) for k in range(wide.shape[1]))
    rows = "\n".join(map(" ".join, zip(*columns)))
    return f"{len(atoms)}\n{_comment(atoms, ':'.join(names))}\n{rows}\n"


def _extra(atoms: Atoms) -> list[tuple[str, np.ndarray]]:
    found = []
    for name, values in atoms.arrays.items():
        if name in _NOT_WRITTEN:
            continue
        if values.dtype.kind not in _KIND or re.search(r"[\s:]", name):
            raise InputError(
                f"The per-atom array '{name}' cannot be written as extended XYZ", got=f"numbers of type {values.dtype}",
                mend="Take it out of atoms.arrays, or give it a plain type and a name without spaces",
            )  # fmt: skip
        found.append((name, values))
    return found


def _texts(column: np.ndarray) -> list[str]:
    if column.dtype.kind == "b":
        return ["T" if v else "F" for v in column.tolist()]
    return (
        list(map(repr, column.astype(float).tolist())) if column.dtype.kind == "f" else list(map(str, column.tolist()))
    )


def _comment(atoms: Atoms, properties: str) -> str:
    parts = []
    if atoms.cell.array.any():
        parts.append('Lattice="' + " ".join(map(repr, atoms.cell.array.ravel().tolist())) + '"')
    parts.append(f"Properties={properties}")
    parts += [f"{_quoted(str(key))}={_value(value)}" for key, value in atoms.info.items()]
    parts.append('pbc="' + " ".join("T" if p else "F" for p in atoms.pbc) + '"')
    return " ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "fi" and len(value) > 1:
        return '"' + " ".join(map(repr, value.tolist())) + '"'
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str) and _survives(value):
        return _quoted(value)
    try:
        return _quoted("_JSON " + json.dumps(value))
    except TypeError:
        raise InputError(
            "A value in atoms.info cannot be written as extended XYZ", got=f"{type(value).__name__}: {value!r}"[:200],
            mend="Replace it by a number, a string, a list or a dictionary",
        ) from None  # fmt: skip


def _survives(text: str) -> bool:
    """Whether a reader takes this text for itself, not for a number, a truth value or several of them."""
    return bool(text.strip()) and "\n" not in text and "\r" not in text and parse_value(_quoted(text)) == text


def _quoted(text: str) -> str:
    return text if _BARE.match(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
