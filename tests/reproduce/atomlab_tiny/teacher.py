"""The teacher: CHGNet 0.3.0 as its authors packaged it, with ZBL added below 0.8 of the summed covalent radii.

Runs in the parity environment (.venv-parity), where the package `chgnet` is; the rest of AtomLab never imports it.

    .venv-parity/bin/python tests/reproduce/atomlab_tiny/teacher.py DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import structures
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from chgnet.model import CHGNet
from pymatgen.io.ase import AseAtomsAdaptor

import atomlab
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


def volumes(teacher: Teacher, known: Mapping[str, float]) -> dict[str, float]:
    """By 'prototype-formula': the lattice constant of lowest energy, by `structures.touching`; but for those known."""
    found = dict(known)
    for formula, prototype in structures.crystals():
        if f"{prototype}-{formula}" in known:
            continue
        frames = [structure(structures.guess(formula, prototype, s), _no_file) for s in structures.SCALES]
        energies = teacher.energies(frames)
        best = int(np.clip(np.argmin(energies), 1, len(frames) - 2))
        lowest = np.polynomial.Polynomial.fit(structures.SCALES[best - 1 : best + 2], energies[best - 1 : best + 2], 2)
        at = lowest.deriv().roots()
        low, high = structures.SCALES[best - 1], structures.SCALES[best + 1]
        scale = float(at[0]) if len(at) and low <= at[0] <= high else structures.SCALES[int(np.argmin(energies))]
        found[f"{prototype}-{formula}"] = round(scale, 4)
    return found


def labelled(
    teacher: Teacher, everything: Sequence[structures.Item], energies: dict[str, float], there: Mapping[str, Atoms]
) -> Iterator[Atoms]:
    """Those of the structures that the teacher can tell something about. there: by text, those labelled before."""
    waiting, began, done = [], time.monotonic(), 0
    left = {"too dense": 0, "without neighbours": 0, "forces": 0, "energy": 0}
    for k, item in enumerate(everything):
        atoms = item.build()
        if item.text in there and _same(atoms, before := there[item.text]):
            yield _taken(atoms, before)
        elif item.too_dense:
            left["too dense"] += 1
        elif item.kind == "atom":
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
                f"{k + 1} of {len(everything)}, {done} labelled, {time.monotonic() - began:.0f} s; left out: {left}",
                flush=True,
            )


def _same(atoms: Atoms, before: Atoms) -> bool:
    return (
        np.array_equal(atoms.numbers, before.numbers)
        and np.allclose(atoms.positions, before.positions, rtol=0, atol=2e-6)
        and np.allclose(atoms.cell.array, before.cell.array, rtol=0, atol=2e-6)
    )


def _taken(atoms: Atoms, before: Atoms) -> Atoms:
    """`atoms` with the labels that it got before."""
    for name in ("energy", "stress"):
        if reference_key(name) in before.info:
            atoms.info[reference_key(name)] = before.info[reference_key(name)]
    atoms.arrays[reference_key("forces")] = before.arrays[reference_key("forces")]
    return atoms


def _refused(atoms: Atoms, energies: dict[str, float]) -> str:
    energy = atoms.info[reference_key("energy")] - sum(energies[s] for s in atoms.symbols)
    if not np.isfinite(energy) or energy / len(atoms) > HIGHEST_ENERGY:
        return "energy"
    return "forces" if np.linalg.norm(atoms.arrays[reference_key("forces")], axis=1).max() > HIGHEST_FORCE else ""


def _no_file(path: str) -> list[Atoms]:
    raise FileNotFoundError(path)


def main() -> None:
    """What prototypes.json beside this file lacks, and DIRECTORY/labelled-K.extxyz.gz."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2: each half of the structures, in two processes")
    parser.add_argument("--prototypes", type=Path, default=HERE / "prototypes.json")
    parser.add_argument("--labelled", type=Path, nargs="*", default=[], help="files whose labels are taken over")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    part, parts = map(int, chosen.part.split("/"))
    path = chosen.directory / f"labelled-{part}.extxyz.gz"
    if path.exists():
        print(f"{path} is there already")
        return
    teacher = Teacher()
    known = _prototypes(teacher, chosen.prototypes)
    there = {a.info["made_by"]: a for a in (atomlab.read(chosen.labelled) if chosen.labelled else ())}
    wanted = list(structures.items(known["scales"]))[part::parts]
    frames = list(labelled(teacher, wanted, known["e0"], there))
    print(Dataset(frames, "tiny").write(path), len(frames))


def _prototypes(teacher: Teacher, path: Path) -> dict:
    """E0 and lattice constants as the file has them; what it lacks is asked of the teacher and written."""
    known = json.loads(path.read_text()) if path.exists() else {}
    told = {
        "teacher": "CHGNet 0.3.0",
        "e0": known.get("e0") or {e: round(teacher.isolated(e), 6) for e in structures.ELEMENTS},
        "composition_model": known.get("composition_model")
        or {e: round(teacher.composition(e), 6) for e in structures.ELEMENTS},
        "scales": volumes(teacher, known.get("scales", {})),
    }
    if told != known:
        path.write_text(json.dumps(told, indent=0) + "\n")
    return told


if __name__ == "__main__":
    main()
