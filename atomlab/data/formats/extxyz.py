"""Reading extended XYZ: every key and column as it stands in the file, and the line where something is wrong.

ASE's own reader moves `energy`, `forces`, `stress` into a calculator, from which a copy loses them, makes stresses
symmetric without a word, refuses six numbers for a stress, and does not say where a file is damaged. This one takes a
little less time (60 MB: 2 s of CPU for cells of 64 atoms, 7 s for small molecules; `tests/benchmarks/bench_read.py`).
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ...errors import InputError

__all__ = ["iterate_extxyz", "parse_value", "read_extxyz"]

_PAIR = re.compile(
    r"""\s*(?P<key>"(?:[^"\\]|\\.)*"|[^\s="]+)
        (?:\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^}]*\}|\[[^\]]*(?:\][\s,]*\[[^\]]*)*\]+|[^\s"][^\s]*))?""",
    re.VERBOSE,
)
_TRUE, _FALSE = ("T", "True", "true", "TRUE"), ("F", "False", "false", "FALSE")
_DEFAULT = "species:S:1:pos:R:3"
_NAMES = {"pos": "positions", "positions": "positions", "species": "symbols", "Z": "numbers", "numbers": "numbers"}
_TYPES = {"R": float, "I": int, "L": bool, "S": str}


@dataclass(frozen=True)
class _Column:
    name: str
    kind: str
    width: int


class _Frame:
    """Where we are in the file, for messages."""

    def __init__(self, path: Path):
        self.path, self.index, self.line = path, 0, 0

    def refuse(self, what: str, line: int | None = None, **kw: Any) -> NoReturn:
        where = f"frame {self.index}, line {self.line if line is None else line}"
        raise InputError(f"{self.path.name}, {where}: {what}", **kw)


def read_extxyz(path: Path) -> list[Atoms]:
    """All frames of a (gzipped) XYZ or extended XYZ file, with `info` and `arrays` as in the file and no calculator."""
    return list(iterate_extxyz(path))


def iterate_extxyz(path: Path) -> Iterator[Atoms]:
    """The frames of `read_extxyz`, one at a time."""
    opener = gzip.open if path.suffix == ".gz" else open
    at = _Frame(path)
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            yield from _frames(file, at)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path.name} is not a whole gzip file: it breaks off after {at.index} frames ({error})",
            mend="Copy or download it again",
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not a text file in UTF-8 ({error.reason} after {at.index} frames)") from None
    if not at.index:
        raise InputError(f"{path.name} is empty: it holds no structure", mend="Choose another file")


def _frames(file: IO[str], at: _Frame) -> Iterator[Atoms]:
    layouts: dict[str, list[_Column]] = {}
    for first in file:
        at.line += 1
        if not first.strip():
            continue
        n = _count(first, at)
        comment = next(file, None)
        at.line += 1
        if comment is None:
            at.refuse("the file ends where a comment line was due", mend="The file is truncated: copy it again")
        rows = list(islice(file, n))
        atoms = _atoms(n, comment.rstrip("\r\n"), rows, layouts, at)
        at.line += n
        at.index += 1
        yield atoms


def _count(line: str, at: _Frame) -> int:
    try:
        n = int(line)
    except ValueError:
        at.refuse("a number of atoms was due", got=repr(line.strip()[:60]), mend=_misplaced(at))
    if n < 1:
        at.refuse("a structure needs at least one atom", got=n)
    return n


def _misplaced(at: _Frame) -> str:
    if at.index == 0:
        return "Extended XYZ begins with the number of atoms, alone on its line"
    return "The frame before it may say too few atoms, or the file is damaged there"


def _atoms(n: int, comment: str, rows: list[str], layouts: dict[str, list[_Column]], at: _Frame) -> Atoms:
    info = _parsed_comment(comment, at)
    spec = info.pop("Properties", info.pop("properties", _DEFAULT))
    if spec not in layouts:
        layouts[spec] = _columns(str(spec), at)
    arrays = _arrays(n, rows, layouts[spec], at)
    cell = info.pop("Lattice", info.pop("lattice", None))
    periodic = info.pop("pbc", None)
    numbers = arrays.pop("numbers", None)
    symbols = arrays.pop("symbols", None)
    if numbers is None:
        numbers = _numbers(symbols, at)
    if "positions" not in arrays:
        at.refuse("there are no positions", got=f"Properties={spec}", allowed="a column pos:R:3")
    atoms = Atoms(numbers, arrays.pop("positions"))
    if cell is not None:
        atoms.set_cell(_cell(cell, at))
    atoms.pbc = _periodic(periodic, cell is not None, at)
    for name, values in arrays.items():
        atoms.arrays[name] = values
    atoms.info = info
    return atoms


def _arrays(n: int, rows: list[str], columns: list[_Column], at: _Frame) -> dict[str, np.ndarray]:
    width = sum(c.width for c in columns)
    tokens = "".join(rows).split()
    if len(rows) < n or len(tokens) != n * width:
        _refuse_rows(n, rows, width, columns, at)
    arrays, start = {}, 0
    for c in columns:
        try:
            parts = [_column(tokens[k::width], c.kind) for k in range(start, start + c.width)]
        except ValueError:
            _refuse_token(rows, c, start, at)
        arrays[_NAMES.get(c.name, c.name)] = parts[0] if c.width == 1 else np.stack(parts, axis=1)
        start += c.width
    return arrays


def _column(tokens: list[str], kind: str) -> np.ndarray:
    if kind == "R":
        return np.array(list(map(float, tokens)))
    if kind == "I":
        return np.array(list(map(int, tokens)))
    if kind == "L":
        if not set(tokens) <= {*_TRUE, *_FALSE}:
            raise ValueError
        return np.array([t in _TRUE for t in tokens])
    return np.array(tokens)


def _refuse_rows(n: int, rows: list[str], width: int, columns: list[_Column], at: _Frame) -> NoReturn:
    for k, row in enumerate(rows):
        if len(row.split()) != width:
            layout = ", ".join(f"{c.name} ({c.width})" for c in columns)
            last = len(rows) < n and k == len(rows) - 1
            at.refuse(
                f"atom {k} has {len(row.split())} columns, {width} were due ({layout})", at.line + 1 + k,
                got=repr(row.strip()[:80]), mend="The file is truncated: copy it again" if last else "Mend that line",
            )  # fmt: skip
    at.refuse(
        f"the file ends after {len(rows)} of {n} atoms",
        at.line + len(rows),
        mend="The file is truncated: copy it again",
    )


def _refuse_token(rows: list[str], c: _Column, start: int, at: _Frame) -> NoReturn:
    for k, row in enumerate(rows):
        for token in row.split()[start : start + c.width]:
            try:
                _column([token], c.kind)
            except ValueError:
                what = {"R": "a number", "I": "an integer", "L": "T or F"}[c.kind]
                at.refuse(f"the column '{c.name}' of atom {k} must be {what}", at.line + 1 + k, got=repr(token))
    raise AssertionError("a column was refused that can be read token by token")


def _columns(spec: str, at: _Frame) -> list[_Column]:
    parts = spec.split(":")
    try:
        columns = [_Column(parts[k], parts[k + 1], int(parts[k + 2])) for k in range(0, len(parts), 3)]
    except (IndexError, ValueError):
        columns = []
    if not columns or any(c.kind not in _TYPES or c.width < 1 for c in columns):
        at.refuse(
            "the Properties cannot be understood", got=spec, allowed="name:type:width:name:type:width..., types R I L S"
        )
    return columns


def _numbers(symbols: np.ndarray | None, at: _Frame) -> np.ndarray:
    if symbols is None:
        at.refuse("there are no elements", allowed="a column species:S:1 or Z:I:1")
    try:
        # plain XYZ may hold atomic numbers in the first column
        return np.array([atomic_numbers[s] if s in atomic_numbers else int(s) for s in symbols.tolist()])
    except ValueError:
        unknown = sorted({s for s in symbols.tolist() if s not in atomic_numbers and not s.isdigit()})
        at.refuse("there are no such elements", got=", ".join(unknown[:5]))


def _cell(value: Any, at: _Frame) -> np.ndarray:
    cell = np.asarray(value, dtype=object).ravel()
    if len(cell) not in (3, 9) or not all(isinstance(v, int | float) for v in cell.tolist()):
        at.refuse("a Lattice has nine numbers (three vectors, one after the other)", got=value)
    cell = cell.astype(float)
    return np.diag(cell) if len(cell) == 3 else cell.reshape(3, 3)


def _periodic(value: Any, has_cell: bool, at: _Frame) -> np.ndarray:
    if value is None:
        return np.full(3, has_cell)
    flags = np.atleast_1d(np.asarray(value))
    if flags.shape not in ((1,), (3,)) or flags.dtype.kind not in "bi":
        at.refuse("pbc has three of T and F", got=value)
    return np.broadcast_to(flags.astype(bool), 3)


def _parsed_comment(comment: str, at: _Frame) -> dict[str, Any]:
    if "=" not in comment:
        return {"comment": comment.strip()} if comment.strip() else {}
    info: dict[str, Any] = {}
    end = 0
    for match in _PAIR.finditer(comment):
        if match.start() != end:
            at.refuse(
                "the comment line cannot be understood",
                got=repr(comment[end : end + 60]),
                mend="Look for an open quote",
            )
        end = match.end()
        key, value = match["key"], match["value"]
        info[_unquoted(key)] = True if value is None else parse_value(value)
    if comment[end:].strip():
        at.refuse(
            "the comment line cannot be understood", got=repr(comment[end : end + 60]), mend="Look for an open quote"
        )
    return info


def _unquoted(text: str) -> str:
    if text[:1] in "\"'" and len(text) > 1:
        text = text[1:-1]
        return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text
    return text


def parse_value(text: str) -> Any:
    """The value of `key=text`: a number, a bool, a string, an array of numbers or bools, or what follows `_JSON`."""
    if text.startswith("[["):
        try:
            return np.array(json.loads(text))
        except (json.JSONDecodeError, ValueError):
            return text
    if text[0] in "{[":
        return _array(re.sub(r"[\[\]{},]", " ", text), text)
    text = _unquoted(text)
    if text.startswith("_JSON "):
        try:
            return json.loads(text[6:])
        except json.JSONDecodeError:
            return text
    return _array(text, text)


def _array(flat: str, otherwise: str) -> Any:
    parts = flat.replace(",", " ").split()
    for kind in (int, float):
        try:
            values = [kind(p) for p in parts]
        except ValueError:
            continue
        if not values or any("_" in p for p in parts):
            break
        return values[0] if len(values) == 1 else np.array(values)
    if parts and all(p in _TRUE or p in _FALSE for p in parts):
        flags = [p in _TRUE for p in parts]
        return flags[0] if len(flags) == 1 else np.array(flags)
    return otherwise
