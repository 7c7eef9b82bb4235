"""Silicon in many forms, pairs of defects in silicon, and their dynamics, all labelled by Stillinger and Weber.

The broad set has no diamond with a defect in it; everything random comes from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.optimize import FIRE

import atomlab
from atomlab.analysis.health.structures import cluster, random_cell
from atomlab.architectures.classical import StillingerWeber
from atomlab.calculator import Calculator
from atomlab.data import Dataset
from atomlab.simulate import MDSettings, simulate

LATTICE = 5.431  # Å, where this potential's diamond has no stress
# lattice constant by nearest distance; cells of 8 atoms; range of the nearest distance in Å
CRYSTALS = {
    "diamond": (4 / np.sqrt(3), (1, 1, 1), (2.15, 2.7)),
    "fcc": (np.sqrt(2), (2, 1, 1), (2.6, 3.2)),
    "bcc": (2 / np.sqrt(3), (2, 2, 1), (2.45, 3.0)),
    "sc": (1.0, (2, 2, 2), (2.4, 3.0)),
}
STRONGEST = 15.0  # eV/Å: a structure with a larger force is left out
TETRAHEDRAL = np.array([0.5, 0.5, 0.5])  # the widest interstitial site, in units of the cubic cell


def teacher() -> StillingerWeber:
    """What labels everything here."""
    return StillingerWeber(["Si"])


def labelled(frames: list[Atoms], name: str) -> Dataset:
    """The structures with the teacher's energies and forces."""
    found = atomlab.evaluate(teacher(), frames, want=("energy", "forces"))
    for atoms, energy, forces in zip(frames, found.energy, found.forces):
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = float(energy), forces
    return Dataset(frames, name=name)


def broad(count: int, seed: int) -> Dataset:
    """Crystals at many volumes, strained and rattled up to 0.2 Å; random cells; heaps; diamond's slabs."""
    rng, frames = np.random.default_rng(seed), []
    kinds = [*CRYSTALS, "random", "heap", "slab"]
    for k in range(count):
        kind = kinds[k % len(kinds)]
        if kind == "random":
            atoms = random_cell([14], 8, int(rng.integers(1 << 30)))
            atoms.set_cell(atoms.cell * rng.uniform(0.95, 1.15), scale_atoms=True)
        elif kind == "heap":
            atoms = cluster([14], 8, int(rng.integers(1 << 30)))
            atoms.positions *= rng.uniform(0.95, 1.15)
        else:
            atoms = _disturbed("diamond" if kind == "slab" else kind, rng)
        if kind == "slab":
            atoms = atoms * (1, 1, 2)
            atoms.center(vacuum=4.0, axis=2)
        atoms.info["config_type"] = kind
        frames.append(atoms)
    whole = labelled(frames, f"broad {seed}")
    return Dataset([a for a in whole if np.abs(a.arrays["REF_forces"]).max() < STRONGEST], name=whole.name)


def _disturbed(kind: str, rng: np.random.Generator) -> Atoms:
    factor, repeat, near = CRYSTALS[kind]
    atoms = bulk("Si", kind, a=rng.uniform(*near) * factor, cubic=True) * repeat
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.uniform(-0.04, 0.04, (3, 3))), scale_atoms=True)
    atoms.rattle(rng.uniform(0.0, 0.2), rng=rng)
    return atoms


def diamond() -> Atoms:
    """64 atoms of the perfect crystal."""
    return bulk("Si", "diamond", a=LATTICE, cubic=True) * 2


def narrow(each: int, seed: int) -> Dataset:
    """Dynamics at 600 K of the perfect crystal and of the pairs of defects: a frame every 20 fs after 100 fs."""
    frames = []
    for atoms in (diamond(), *pairs()):
        settings = MDSettings(temperature=600.0, timestep=2.0, steps=50 + 10 * each, frame_every=10, seed=seed)
        run = [frame.atoms.copy() for frame in simulate(teacher(), atoms, settings)]
        kind = atoms.info.get("config_type", "perfect")
        for frame in run[-each:]:
            frames.append(Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=True, info={"config_type": kind}))
    return labelled(frames, f"defects at 600 K, {seed}")


@cache
def pairs() -> tuple[Atoms, ...]:
    """The ten pairs, relaxed."""
    return tuple(_pairs())


def _pairs() -> Iterator[Atoms]:
    """Ten pairs of defects, rattled and relaxed by the teacher: two vacancies near and far, a vacancy and an
    interstitial at four distances, two interstitials at four."""
    for step in ([0.25, 0.25, 0.25], [1.0, 0.5, 0.5]):
        atoms = diamond()
        del atoms[[0, int(np.argmin(_apart(atoms, np.array(step))))]]
        yield _relaxed(atoms, "two vacancies")
    for rank in (30, 40, 50, 60):
        atoms = diamond()
        del atoms[int(np.argsort(_apart(atoms, TETRAHEDRAL), kind="stable")[rank])]
        yield _relaxed(_with(atoms, TETRAHEDRAL), "vacancy and interstitial")
    for step in ([0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1.0, 0.5, 0.5], [1.0, 1.0, 0.0]):
        atoms = _with(_with(diamond(), TETRAHEDRAL), TETRAHEDRAL + step)
        yield _relaxed(atoms, "two interstitials")


def _with(atoms: Atoms, place: np.ndarray) -> Atoms:
    """One more atom, at a place in units of the cubic cell."""
    atoms.append("Si")
    atoms.positions[-1] = place * LATTICE
    return atoms


def _relaxed(atoms: Atoms, kind: str) -> Atoms:
    atoms.rattle(0.05, seed=len(atoms))
    atoms.calc = Calculator(teacher())
    FIRE(atoms, logfile=None).run(fmax=0.05, steps=300)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, info={"config_type": kind})


def _apart(atoms: Atoms, place: np.ndarray) -> np.ndarray:
    """Distance of every atom from a place, images included, in units of the cubic cell."""
    d = atoms.positions / LATTICE - place
    return np.linalg.norm(d - 2 * np.round(d / 2), axis=1)
