"""The JSON files of mlearn (Zuo et al., J. Phys. Chem. A 124 (2020) 731): a list of structures as pymatgen writes them.

{structure: {lattice: {matrix}, sites: [{species: [{element, occu}], abc, xyz, label}]}, group, element, num_atoms, tag,
outputs: {energy (eV), forces (eV/Å), virial_stress (kBar, order xx yy zz xy yz zx, compression positive)}}.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from ... import units as U
from ...errors import InputError

__all__ = ["is_mlearn", "read_mlearn"]

_ORDER = (0, 1, 2, 4, 5, 3)  # where xx yy zz yz xz xy stand in xx yy zz xy yz zx


def _text(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
        return file.read()


def is_mlearn(path: Path) -> bool:
    """A list: ASE's own JSON database is a dictionary."""
    return _text(path).lstrip()[:1] == "["


def read_mlearn(path: Path) -> tuple[list[Atoms], list[str]]:
    """Frames with energy, forces and stress (eV/Å^3, tension positive); `config_type` is the file's `group`."""
    try:
        entries = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name} is not whole JSON (line {error.lineno}: {error.msg})",
            mend="It may be truncated: copy it again",
        ) from None
    if not entries:
        raise InputError(f"{path.name} is an empty list: it holds no structure")
    frames = [_frame(entry, f"{path.name}, entry {k}") for k, entry in enumerate(entries)]
    said = [
        "mlearn: 'virial_stress' was read as kBar in the order xx yy zz xy yz zx, positive under compression, and "
        "converted "
        "to a stress in eV/Å^3, positive under tension; 'group' became config_type."
    ]
    return frames, said


def _frame(entry: Any, where: str) -> Atoms:
    try:
        structure = entry["structure"]
        sites = structure["sites"]
        symbols = [_symbol(site) for site in sites]
        matrix = structure.get("lattice", {}).get("matrix")
        atoms = Atoms([atomic_numbers[s] for s in symbols], _positions(sites, matrix))
        if matrix is not None:
            atoms.set_cell(np.array(matrix, dtype=float))
            atoms.pbc = structure["lattice"].get("pbc", True)
        outputs = entry.get("outputs", {})
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise InputError(
            f"{where} is not an mlearn structure ({type(error).__name__}: {error})",
            allowed="a list of {structure, group, tag, outputs: {energy, forces, virial_stress}}",
        ) from None
    _count(entry, atoms, where)
    for name, key in (("group", "config_type"), ("tag", "tag"), ("description", "description")):
        if entry.get(name) is not None:
            atoms.info[key] = entry[name]
    if outputs.get("energy") is not None:
        atoms.info["energy"] = outputs["energy"]
    if outputs.get("forces") is not None:
        forces = np.array(outputs["forces"], dtype=float)
        if forces.shape != (len(atoms), 3):
            raise InputError(f"{where}: the forces have the wrong shape", got=forces.shape, allowed=[(len(atoms), 3)])
        atoms.arrays["forces"] = forces
    if outputs.get("virial_stress") is not None:
        pressure = np.array(outputs["virial_stress"], dtype=float)
        if pressure.shape != (6,):
            raise InputError(f"{where}: virial_stress has six numbers", got=pressure.shape)
        atoms.info["stress"] = -pressure[list(_ORDER)] * U.EV_A3_PER_KBAR
    return atoms


def _symbol(site: dict[str, Any]) -> str:
    species = site["species"]
    if len(species) != 1 or species[0].get("occu", 1) != 1:
        raise ValueError(f"a site with partial occupation: {species}")
    return str(species[0]["element"]).rstrip("+-0123456789")


def _positions(sites: list[dict[str, Any]], matrix: Any) -> np.ndarray:
    if all("xyz" in site for site in sites):
        return np.array([site["xyz"] for site in sites], dtype=float)
    return np.array([site["abc"] for site in sites], dtype=float) @ np.array(matrix, dtype=float)


def _count(entry: dict[str, Any], atoms: Atoms, where: str) -> None:
    said = entry.get("num_atoms")
    if said is not None and int(said) != len(atoms):
        raise InputError(f"{where} says that it has {said} atoms, but lists {len(atoms)}")
