"""The teacher: CHGNet 0.3.0 as its authors packaged it, with ZBL added below 0.8 of the summed covalent radii.

Runs in the parity environment (.venv-parity), where the package `chgnet` is; the rest of AtomLab never imports it.

    .venv-parity/bin/python tests/reproduce/atomlab_tiny/teacher.py DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import structures
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from chgnet.model import CHGNet
from pymatgen.io.ase import AseAtomsAdaptor

from atomlab.build import build
from atomlab.corrections.zbl import ZBL
from atomlab.data import Dataset
from atomlab.fields import reference_key
from atomlab.potential import outputs
from atomlab.simulate.structures import structure
from atomlab.units import EV_A3_PER_GPA

HERE = Path(__file__).resolve().parent
REACH = 6.0  # Å: CHGNet's cutoff
ZBL_SCALE = 0.8
HIGHEST_FORCE, HIGHEST_ENERGY = 60.0, 30.0  # eV/Å, eV/atom above E0: beyond, a structure is left out
CHUNK = 256


class Teacher:
    """CHGNet + ZBL, in eV, eV/Å and eV/Å^3 (tension positive)."""

    def __init__(self) -> None:
        self.model = CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False)
        self.zbl = ZBL([structures.atomic_numbers[e] for e in structures.ELEMENTS], scale=ZBL_SCALE)

    def energies(self, frames: Sequence[Atoms]) -> np.ndarray:
        """CHGNet's energies (S,) in eV."""
        return np.array([float(p["e"]) * len(a) for p, a in zip(self._predicted(frames, "e"), frames)])

    def label(self, frames: Sequence[Atoms]) -> None:
        """Energy, forces and, where there is a volume, stress into `frames`."""
        for atoms, found in zip(frames, self._predicted(frames, "efs")):
            added = outputs(self.zbl, build(atoms, self.zbl.needs), ("energy", "forces", "virial"))
            atoms.info[reference_key("energy")] = round(float(found["e"]) * len(atoms) + float(added.energy[0]), 6)
            atoms.arrays[reference_key("forces")] = np.round(found["f"] + added.forces.numpy(), 6).astype(float)
            if atoms.pbc.all():
                full = found["s"] * EV_A3_PER_GPA - added.virial[0].numpy() / atoms.get_volume()
                atoms.info[reference_key("stress")] = np.round(full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], 8)

    def isolated(self, element: str) -> float:
        """What CHGNet gives an atom whose neighbours are out of reach: half of a pair just inside its cutoff."""
        return float(self.energies([structure(f"dimer:{element}2,distance={REACH - 0.01}", _no_file)])[0]) / 2

    def composition(self, element: str) -> float:
        """CHGNet's composition model of one element, fitted to its crystals: eV/atom."""
        return float(self.model.composition_model.fc.weight[0, structures.atomic_numbers[element] - 1])

    def _predicted(self, frames: Sequence[Atoms], task: str) -> list[dict]:
        given = [AseAtomsAdaptor.get_structure(_boxed(atoms)) for atoms in frames]
        found = self.model.predict_structure(given, task=task, batch_size=16)
        return [found] if isinstance(found, dict) else found


def _boxed(atoms: Atoms) -> Atoms:
    """What is not periodic gets a box in which it does not see itself."""
    if atoms.pbc.all():
        return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    boxed = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    boxed.center(vacuum=REACH, axis=[k for k in range(3) if not atoms.pbc[k]])
    boxed.pbc = True
    return boxed


def volumes(teacher: Teacher) -> dict[str, float]:
    """By 'prototype-formula': the lattice constant of lowest energy, by `structures.touching`."""
    found = {}
    for formula, prototype in structures.crystals():
        frames = [structure(structures.guess(formula, prototype, s), _no_file) for s in structures.SCALES]
        energies = teacher.energies(frames)
        best = int(np.clip(np.argmin(energies), 1, len(frames) - 2))
        lowest = np.polynomial.Polynomial.fit(structures.SCALES[best - 1 : best + 2], energies[best - 1 : best + 2], 2)
        at = lowest.deriv().roots()
        low, high = structures.SCALES[best - 1], structures.SCALES[best + 1]
        scale = float(at[0]) if len(at) and low <= at[0] <= high else structures.SCALES[int(np.argmin(energies))]
        found[f"{prototype}-{formula}"] = round(scale, 4)
    return found


def labelled(teacher: Teacher, everything: Sequence[structures.Item], energies: dict[str, float]) -> Iterator[Atoms]:
    """Those of the structures that the teacher can tell something about."""
    waiting, left, began, done = [], {"without neighbours": 0, "forces": 0, "energy": 0}, time.monotonic(), 0
    for k, item in enumerate(everything):
        atoms = item.build()
        if item.kind == "atom":
            atoms.info[reference_key("energy")] = energies[str(atoms.symbols)]
            atoms.arrays[reference_key("forces")] = np.zeros((1, 3))
            yield atoms
        elif len(np.unique(neighbor_list("i", _boxed(atoms), REACH - 0.05))) < len(atoms):
            left["without neighbours"] += 1
        else:
            waiting.append(atoms)
        if len(waiting) == CHUNK or (waiting and k == len(everything) - 1):
            teacher.label(waiting)
            done += len(waiting)
            for labelled in waiting:
                reason = _refused(labelled, energies)
                if reason:
                    left[reason] += 1
                else:
                    yield labelled
            waiting = []
            print(
                f"{done} of {len(everything)} labelled, {time.monotonic() - began:.0f} s; left out: {left}", flush=True
            )


def _refused(atoms: Atoms, energies: dict[str, float]) -> str:
    energy = atoms.info[reference_key("energy")] - sum(energies[s] for s in atoms.symbols)
    if not np.isfinite(energy) or energy / len(atoms) > HIGHEST_ENERGY:
        return "energy"
    return "forces" if np.linalg.norm(atoms.arrays[reference_key("forces")], axis=1).max() > HIGHEST_FORCE else ""


def _no_file(path: str) -> list[Atoms]:
    raise FileNotFoundError(path)


def main() -> None:
    """prototypes.json beside this file (made if it is missing), and DIRECTORY/labelled-K.extxyz.gz."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2: each half of the structures, in two processes")
    parser.add_argument("--prototypes", type=Path, default=HERE / "prototypes.json")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    teacher = Teacher()
    if not chosen.prototypes.exists():
        told = {
            "teacher": "CHGNet 0.3.0",
            "e0": {element: round(teacher.isolated(element), 6) for element in structures.ELEMENTS},
            "composition_model": {element: round(teacher.composition(element), 6) for element in structures.ELEMENTS},
            "scales": volumes(teacher),
        }
        chosen.prototypes.write_text(json.dumps(told, indent=0) + "\n")
    known = json.loads(chosen.prototypes.read_text())
    part, parts = map(int, chosen.part.split("/"))
    sets = {f"labelled-{part}": list(structures.items(known["scales"]))[part::parts]}
    if part == 0:
        sets["squeezed"] = list(structures.squeezed(known["scales"]))
    for name, wanted in sets.items():
        path = chosen.directory / f"{name}.extxyz.gz"
        if path.exists():
            print(f"{path} is there already")
            continue
        frames = list(labelled(teacher, wanted, known["e0"]))
        print(Dataset(frames, "tiny").write(path), len(frames))


if __name__ == "__main__":
    main()
