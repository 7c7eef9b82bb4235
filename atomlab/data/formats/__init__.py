"""File formats: each gives ASE frames whose labels still stand under the file's own names."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms

from ...errors import InputError
from .ase_files import lift_results, read_ase
from .extxyz import read_extxyz
from .mlearn import is_mlearn, read_mlearn
from .stream import stream_file
from .write import write_extxyz

__all__ = ["SUFFIXES", "lift_results", "read_file", "stream_file", "write_extxyz"]

SUFFIXES = (
    *(".extxyz", ".xyz", ".lmdb", ".db", ".traj", ".json", ".xml", "OUTCAR"),
    *(".cif", ".vasp", "POSCAR", "CONTCAR", ".pdb"),
)


def read_file(path: Path) -> tuple[list[Atoms], list[str]]:
    """All frames of a file, and sentences about how its format was understood. `.gz` of any text format is
    understood."""
    name = path.name.lower().removesuffix(".gz")
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is an empty file", mend="Choose another file, or copy it again")
    if name.endswith((".extxyz", ".xyz")):
        return read_extxyz(path), []
    if name.endswith(".json"):
        return read_mlearn(path) if is_mlearn(path) else read_ase(path, "json")
    for ending, ase_format in _ASE.items():
        if name.endswith(ending):
            return read_ase(path, ase_format)
    if "outcar" in name:
        return read_ase(path, "vasp-out")
    if name.startswith(("poscar", "contcar")):
        return read_ase(path, "vasp")
    raise InputError(
        f"The kind of file cannot be told from the name {path.name}", allowed=SUFFIXES,
        mend="Rename it, or read it with ase.io.read and give the list of Atoms to atomlab.read",
    )  # fmt: skip


_ASE = {".db": "db", ".traj": "traj", ".xml": "vasp-xml", ".cif": "cif", ".vasp": "vasp", ".pdb": "proteindatabank"}
