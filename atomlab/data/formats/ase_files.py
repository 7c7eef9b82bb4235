"""What ASE reads for us: its db and traj, VASP's vasprun.xml and OUTCAR, and structures without labels."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from ...errors import InputError, notice

__all__ = ["lift_results", "read_ase", "row_frames", "stale_sentence"]

_SAID = {
    "vasp-xml": "VASP: ASE gives stresses as eV/Å^3, tension positive; 'energy' is extrapolated to sigma -> 0, "
    "'free_energy' is the one that the forces derive from (choose it with keys={'energy': 'free_energy'}).",
}
_SAID["vasp-out"] = _SAID["vasp-xml"]
_END = {"vasp-xml": b"</modeling>", "vasp-out": b"General timing and accounting"}
_INFO = ("energy", "free_energy", "stress")
_ARRAYS = ("forces",)


def read_ase(path: Path, ase_format: str) -> tuple[list[Atoms], list[str]]:
    """Frames of a file through ASE, with the calculator's results moved into `info` and `arrays`."""
    from ase.io import read

    try:
        frames = (
            list(row_frames(path, ase_format)) if ase_format in ("db", "json") else read(path, ":", format=ase_format)
        )
    # ASE's readers fail in their own many ways on a damaged file (IndexError, KeyError, ParseError, StopIteration, ...)
    except Exception as error:
        raise InputError(
            f"{path.name} cannot be read as a file of kind '{ase_format}': {type(error).__name__}: {error}",
            mend="It may be empty, truncated, or of another kind than its name says",
        ) from error
    if isinstance(frames, Atoms):
        frames = [frames]
    if not frames:
        raise InputError(f"{path.name} holds no structure", mend="Choose another file")
    stale = sum(lift_results(atoms) for atoms in frames)
    said = [_SAID[ase_format]] if ase_format in _SAID else []
    return list(frames), said + _cut_short(path, ase_format, len(frames)) + stale_sentence(stale)


def _cut_short(path: Path, ase_format: str, n: int) -> list[str]:
    """ASE reads what is complete of a VASP file that was cut short, and says nothing."""
    if ase_format not in _END:
        return []
    with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
        # in a plain file the end is enough; a gzipped one has to be read through
        if path.suffix != ".gz":
            file.seek(max(0, path.stat().st_size - 100_000))
        if _END[ase_format] in file.read():
            return []
    text = (
        f"{path.name} is cut short (VASP was stopped, or the copy is not whole): the {n} complete structures were read."
    )
    notice(f"cut-short-{path}", text)
    return [text]


def row_frames(path: Path, ase_format: str) -> Iterator[Atoms]:
    """The rows of an ASE database one at a time: key-value pairs and data go into `info`."""
    from ase.db import connect

    with connect(path, type=ase_format) as db:
        for row in db.select():
            atoms = row.toatoms()
            atoms.info.update(row.key_value_pairs)
            atoms.info.update({k: v for k, v in row.data.items() if k not in atoms.info})
            yield atoms


def lift_results(atoms: Atoms) -> bool:
    """Move energy, forces and stress from the calculator into `info` and `arrays`, where no copy loses them.

    True if there were results that belong to other positions than the atoms now have: those are left out.
    """
    calc, atoms.calc = atoms.calc, None
    results = getattr(calc, "results", None)
    if not results:
        return False
    before = getattr(calc, "atoms", None)
    if before is not None and not _same(before, atoms):
        return True
    for name in _INFO:
        if results.get(name) is not None:
            atoms.info.setdefault(name, results[name])
    for name in _ARRAYS:
        if results.get(name) is not None:
            atoms.arrays.setdefault(name, np.array(results[name], dtype=float))
    return False


def _same(a: Atoms, b: Atoms) -> bool:
    return (
        len(a) == len(b)
        and np.array_equal(a.numbers, b.numbers)
        and np.allclose(a.positions, b.positions, rtol=0, atol=1e-10)
        and np.allclose(a.cell.array, b.cell.array, rtol=0, atol=1e-10)
    )


def stale_sentence(n: int) -> list[str]:
    """What to say of results that belong to other positions."""
    if not n:
        return []
    return [f"The calculator's results of {n} structures belong to other positions, and were left out."]
