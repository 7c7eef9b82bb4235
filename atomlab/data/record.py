"""One structure as bytes: a header of plain JSON, then its arrays. Reading runs no code of the file."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import InputError

__all__ = ["pack", "unpack"]

_LENGTH = struct.Struct("<I")  # bytes of the header
_KINDS = "fiubU"  # numbers, truth values, text


def pack(atoms: Atoms) -> bytes:
    """Elements, positions, cell, periodicity, `info` and `arrays` of a structure, to the last bit."""
    fixed = {"numbers": atoms.numbers.astype("u1"), "positions": atoms.positions, "cell": atoms.cell.array}
    arrays = [("", name, values) for name, values in fixed.items()]
    arrays += [("atom", name, v) for name, v in atoms.arrays.items() if name not in fixed]
    plain: dict[str, Any] = {}
    for key, value in atoms.info.items():
        if isinstance(value, np.ndarray) and value.ndim:
            arrays.append(("info", key, value))
        else:
            plain[str(key)] = value.item() if isinstance(value, np.ndarray | np.generic) else value
    ready = [(scope, name, _checked(name, values)) for scope, name, values in arrays]
    header = {
        "pbc": atoms.pbc.tolist(),
        "info": plain,
        "arrays": [[scope, name, v.dtype.str, v.shape] for scope, name, v in ready],
    }
    try:
        text = json.dumps(header, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(
            "A value in atoms.info cannot be stored", got=str(error),
            mend="Replace it by a number, a string, a list or a dictionary",
        ) from None  # fmt: skip
    return b"".join([_LENGTH.pack(len(text)), text, *(v.tobytes() for _, _, v in ready)])


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in _KINDS:
        raise InputError(
            f"The array '{name}' cannot be stored", got=f"values of type {values.dtype}",
            mend="Take it out, or give it a plain type",
        )  # fmt: skip
    values = np.ascontiguousarray(values)
    return values.astype(values.dtype.newbyteorder("<")) if values.dtype.byteorder == ">" else values


def unpack(data: bytes | memoryview) -> Atoms:
    """The structure of a record; its arrays are its own."""
    (length,) = _LENGTH.unpack_from(data)
    at = _LENGTH.size + length
    header = json.loads(bytes(data[_LENGTH.size : at]))
    found: dict[tuple[str, str], np.ndarray] = {}
    for scope, name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        count = int(np.prod(shape))
        found[scope, name] = np.frombuffer(data, dtype, count, at).reshape(shape).copy()
        at += count * dtype.itemsize
    atoms = Atoms(
        numbers=found.pop(("", "numbers")).astype(int),
        positions=found.pop(("", "positions")),
        cell=found.pop(("", "cell")),
        pbc=header["pbc"],
    )
    atoms.info = header["info"]
    for (scope, name), values in found.items():
        (atoms.arrays if scope == "atom" else atoms.info)[name] = values
    return atoms
