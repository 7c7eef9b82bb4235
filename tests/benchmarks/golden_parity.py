"""How far each architecture is from the programs that it reproduces: the largest relative deviation, measured now.

Relative means: largest |difference| over largest |reference|, per quantity and structure; energies without E0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from atomlab.architectures import create
from atomlab.architectures.published import dimenetpp, gptff, reann
from atomlab.build import build
from atomlab.potential import Potential, outputs
from atomlab.units import EV_A3_PER_GPA
from golden.mace_cases import CASES, case_of, structures
from golden.test_reann import CASES as REANN_CASES
from golden.test_reann import FILES, STRUCTURES

__all__ = ["PARITY"]

VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
Parity = Callable[[Path], Iterator[tuple[str, float]]]


def deviation(mine, reference) -> float:
    """max|mine - reference| / max|reference|; 0 where both are 0."""
    mine, reference = np.asarray(mine, dtype=float), np.asarray(reference, dtype=float)
    top = np.abs(reference).max(initial=0.0)
    worst = np.abs(mine - reference).max(initial=0.0)
    return float(worst / top) if top > 1e-9 else float(worst)


def evaluated(model: Potential, atoms: Atoms, head: int = 0):
    """Graph and outputs in the model's type."""
    graph = build(atoms, model.needs, head).to(dtype=model.dtype)
    return graph, outputs(model, graph, ("energy", "forces", "virial", "stress"))


def mace(shared: Path) -> Iterator[tuple[str, float]]:
    """Seven models by mace-torch 0.3.16, float64: energy, forces, virials."""
    folder = shared / "golden/mace"
    for case in CASES:
        model, known = case_of(folder, case)
        for key, reference in known["outputs"].items():
            head, name = key.split("/")
            graph, out = evaluated(model, structures(folder)[name], model.head_index(head))
            e0 = float(model.atomic_energies[graph.head[graph.batch], model.species(graph)].sum())
            yield f"{case} {key} energy", deviation(float(out.energy[0]) - e0, reference["energy"] - e0)
            yield f"{case} {key} forces", deviation(out.forces, reference["forces"])
            yield f"{case} {key} virials", deviation(out.virial[0], reference["virials"])


def gptff_version(version: str) -> Parity:
    """The package's own numbers with its published weights, float64."""

    def parity(shared: Path) -> Iterator[tuple[str, float]]:
        model = gptff.read(shared / f"weights/gptff/gptff_{version}.pth").double()
        golden = json.loads((shared / "golden/gptff_golden.json").read_text())["structures"]
        for name, case in golden.items():
            if "f64" not in case[version]:
                continue
            atoms = Atoms(case["symbols"], case["positions"], cell=case["cell"], pbc=case["pbc"])
            reference, (_, out) = case[version]["f64"], evaluated(model, atoms)
            e0 = sum(gptff.ATOM_ENERGIES[z] for z in atoms.numbers)
            yield f"{name} energy", deviation(float(out.energy[0]) - e0, reference["energy"] - e0)
            yield f"{name} forces", _floored(out.forces, reference["forces"], 1e-3)
            stress = np.array(reference["stress"])[VOIGT] * EV_A3_PER_GPA
            yield f"{name} stress", _floored(out.stress[0], stress, 1e-4)

    return parity


def _floored(mine, reference, floor: float) -> float:
    """Deviation relative to the reference or to `floor`: forces of a perfect crystal are rounding, nothing else."""
    top = max(np.abs(np.asarray(reference)).max(initial=0.0), floor)
    return float(np.abs(np.asarray(mine) - np.asarray(reference)).max(initial=0.0) / top)


def reann_kind(kind: str) -> Parity:
    """The packages' own numbers for random weights, float64, T = 0 to 2, L = 2 and 3."""

    def parity(shared: Path) -> Iterator[tuple[str, float]]:
        texts = json.loads((shared / f"golden/{FILES[kind]}.json").read_text())
        arrays = np.load(shared / f"golden/{FILES[kind]}.npz")
        for case in REANN_CASES:
            config, start = texts["cases"][case]["config"], f"{case}/state/"
            state = {key.removeprefix(start): arrays[key] for key in arrays.files if key.startswith(start)}
            model = reann.from_upstream(state, config["activate"].lower(), config["oc_activate"].lower(), case)
            for name in STRUCTURES:
                known, reference = texts["structures"][name], texts["cases"][case]["outputs"][name]
                atoms = Atoms(known["symbols"], known["positions"], cell=known.get("cell"), pbc=known.get("pbc"))
                _, out = evaluated(model, atoms)
                yield f"{case} {name} energy", deviation(out.energy, [reference["energy"]])
                yield f"{case} {name} forces", deviation(out.forces, reference["forces"])
                if "dE_dstrain" in reference:
                    yield f"{case} {name} virial", deviation(-out.virial[0], reference["dE_dstrain"])
        if kind == "reann":
            yield from _water(shared)

    return parity


def _water(shared: Path) -> Iterator[tuple[str, float]]:
    from ase.io import read

    texts = json.loads((shared / "golden/reann_h2o_golden.json").read_text())
    model = reann.read(shared / "golden/reann_h2o_weights.npz", activation="relu_like")
    for k, (atoms, reference) in enumerate(zip(read(shared / "golden/reann_h2o_frames.extxyz", ":"), texts["outputs"])):
        _, out = evaluated(model, atoms)
        yield f"released water model, frame {k} energy", deviation(out.energy, [reference["energy"]])
        yield f"released water model, frame {k} forces", deviation(out.forces, reference["forces"])


def dimenet_common(shared: Path) -> Iterator[tuple[str, float]]:
    """torch_geometric's network, which rounds its Bessel zeros to float32 in float64 too."""
    text = json.loads((shared / "golden/dimenetpp_quarter.json").read_text())
    arrays = np.load(shared / "golden/dimenetpp_quarter.npz")
    state = {key: arrays[key] for key in arrays.files if not key.startswith("__dbg__")}
    config = text["config"]
    model = dimenetpp.from_upstream(state, cutoff=config["cutoff"], envelope=config["envelope_exponent"] + 1)
    for name, reference in text["outputs"].items():
        _, out = evaluated(model, Atoms(reference["symbols"], reference["positions"]))
        yield f"{name} energy", deviation(out.energy, [reference["energy"]])
        yield f"{name} forces", deviation(out.forces, reference["forces"])


def dimenet_paper(shared: Path) -> Iterator[tuple[str, float]]:
    """chemtrain's network, float64."""
    text = json.loads((shared / "golden/dimenetpp_chemtrain.json").read_text())
    arrays = np.load(shared / "golden/dimenetpp_chemtrain.npz")
    config = text["cases"]["quarter"]["config"]
    state = {key: arrays[key] for key in arrays.files if "/params/" in key}
    model = dimenetpp.from_upstream(
        state, config["species"], cutoff=10 * config["r_cutoff"], length_unit="nm", envelope=config["envelope_p"]
    ).double()
    for name, known in text["structures"].items():
        reference = text["cases"]["quarter"]["outputs"].get(name)
        if reference is None:
            continue
        cell = known["cell_angstrom"]
        atoms = Atoms(known["symbols"], known["positions_angstrom"], cell=cell, pbc=known["pbc"])
        _, out = evaluated(model, atoms)
        yield f"{name} energy", deviation(out.energy, [reference["energy"]])
        yield f"{name} forces", deviation(10 * out.forces, reference["forces"])  # theirs are per nm


def emt(shared: Path) -> Iterator[tuple[str, float]]:
    """ASE's own calculator."""
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.rattle(0.1, seed=1)
    reference = atoms.copy()
    reference.calc = EMT()
    _, out = evaluated(create("emt"), atoms)
    yield "rattled copper energy", deviation(out.energy, [reference.get_potential_energy()])
    yield "rattled copper forces", deviation(out.forces, reference.get_forces())
    yield "rattled copper stress", deviation(out.stress[0], reference.get_stress())


PARITY: dict[str, Parity] = {
    "mace": mace,
    "gptff-v1": gptff_version("v1"),
    "gptff-v2": gptff_version("v2"),
    "reann": reann_kind("reann"),
    "equireann": reann_kind("equireann"),
    "dimenetpp-common": dimenet_common,
    "dimenetpp-paper": dimenet_paper,
    "emt": emt,
}
