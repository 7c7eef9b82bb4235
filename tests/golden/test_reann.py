"""REANN and EquiREANN against their packages: energies, forces, virials, every round's densities and coefficients."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read as read_frames

from atomlab.architectures.element_networks import ByElement
from atomlab.architectures.published.reann import from_upstream, read, upstream_state
from atomlab.build import build
from atomlab.potential import outputs

CASES = ["t0_l2", "t1_l2", "t2_l2", "t2_l3"]
SCANS = ["scan_t0_l2_rc3", "scan_t1_l2_rc3", "scan_t2_l2_rc3"]
FILES = {"reann": "reann_mp_golden", "equireann": "equireann_golden"}
STRUCTURES = ["c5h4", "ch3oh", "water8"]
RTOL = 1e-10
pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(scope="module")
def golden(shared):
    found = {}
    for kind, name in FILES.items():
        arrays = np.load(shared / f"golden/{name}.npz")
        found[kind] = json.loads((shared / f"golden/{name}.json").read_text()), arrays
    return found


def model_of(golden, kind, case, **options):
    texts, arrays = golden[kind]
    config = texts["cases"][case]["config"]
    start = f"{case}/state/"
    state = {key.removeprefix(start): arrays[key] for key in arrays.files if key.startswith(start)}
    model = from_upstream(state, config["activate"].lower(), config["oc_activate"].lower(), case, **options)
    return model, config, state


def atoms_of(structure, positions=None):
    positions = structure["positions"] if positions is None else positions
    return Atoms(structure["symbols"], positions, cell=structure.get("cell"), pbc=structure.get("pbc"))


def close(value, reference):
    reference = np.asarray(reference)
    return np.abs(np.asarray(value) - reference).max() <= RTOL * np.abs(reference).max() + 1e-10


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", list(FILES))
def test_same_as_the_package(golden, kind, case):
    model, config, _ = model_of(golden, kind, case)
    texts, arrays = golden[kind]
    assert model.kind == kind and model.dtype == torch.float64
    assert model.config["rounds"] == config["oc_loop"] and model.config["degree"] == config["nipsin"]
    assert sum(p.numel() for p in model.parameters()) == texts["cases"][case]["n_params"]
    for name in STRUCTURES:
        reference = texts["cases"][case]["outputs"][name]
        graph = build(atoms_of(texts["structures"][name]), model.needs)
        assert len(graph.edges[config["cutoff"]].i) == reference["n_edges"]
        out = outputs(model, graph, ("energy", "forces", "virial"))
        assert close(out.energy, [reference["energy"]]) and close(out.forces, reference["forces"])
        assert close(out.atoms, reference["node_energies"])
        if "dE_dstrain" in reference:
            assert close(-out.virial[0], reference["dE_dstrain"])
        species = model.species(graph)
        rounds = model.passed(graph, species, ByElement.of(species, len(model.elements)))
        assert len(rounds) == config["oc_loop"] + 1
        for t, (density, coefficient, _) in enumerate(rounds):
            assert close(density.detach(), arrays[f"{case}/{name}/rho_{t}"])
            assert close(coefficient.detach(), arrays[f"{case}/{name}/c_{t}"])
        assert torch.equal(out.features, rounds[-1][0].detach())


@pytest.mark.parametrize("case", CASES)
def test_orbitals_of_every_round(golden, case):
    """All 3^l components of the package are ours with their multiplicity; its vectors point the other way."""
    model, config, _ = model_of(golden, "equireann", case)
    texts, arrays = golden["equireann"]
    graph = build(atoms_of(texts["structures"]["c5h4"]), model.needs)
    species = model.species(graph)
    for t, (_, _, orbitals) in enumerate(model.passed(graph, species, ByElement.of(species, len(model.elements)))):
        whole = []
        names = ["".join(sorted(n)) for l in range(config["nipsin"] + 1) for n in _products(l)]
        ours = list(dict.fromkeys(names))
        for name in names:
            whole.append((-1) ** len(name) * orbitals[:, ours.index(name)])
        assert close(torch.stack(whole, 1).detach(), arrays[f"{case}/c5h4/psi_{t}"])


def _products(degree):
    return [""] if degree == 0 else [a + b for a in "xyz" for b in _products(degree - 1)]


@pytest.mark.parametrize("case", CASES[1:])
@pytest.mark.parametrize("options", ["paper/per_round", "paper/shared", "released/shared"])
def test_other_forms_of_equireann(golden, case, options):
    message, contraction = options.split("/")
    model, _, _ = model_of(golden, "equireann", case, message=message, contraction=contraction)
    texts, _ = golden["equireann"]
    for name in STRUCTURES:
        reference = texts["cases"][case]["outputs"][name]["own_formula"][options]
        reference = reference["energy"] if isinstance(reference, dict) else reference
        energy = model(build(atoms_of(texts["structures"][name]), model.needs)).energy.detach()
        assert close(energy, [reference]), name


@pytest.mark.parametrize("case", SCANS)
@pytest.mark.parametrize("kind", list(FILES))
def test_dihedral_scan(golden, kind, case):
    model, config, _ = model_of(golden, kind, case)
    texts, _ = golden[kind]
    structure = texts["structures"]["ideal_c5h4"]
    frames = [atoms_of(structure, positions) for positions in structure["positions"]]
    energies = model(build(frames, model.needs)).energy.detach().numpy()
    reference = texts["cases"][case]["outputs"]["ideal_c5h4"]["energy"]
    assert close(energies, reference)
    sees = kind == "equireann" and config["oc_loop"] > 0
    assert np.ptp(energies) > 1e-6 if sees else np.ptp(energies) < 1e-12


@pytest.mark.parametrize("kind", list(FILES))
@pytest.mark.parametrize("case", CASES)
def test_weights_go_back_under_the_packages_names(golden, kind, case):
    model, _, state = model_of(golden, kind, case)
    back = upstream_state(model)
    theirs = {key: value for key, value in state.items() if ".initpot" not in key or key.startswith("nnmod")}
    assert set(back) == set(theirs)
    for key, value in theirs.items():
        assert np.array_equal(back[key].numpy(), value), key


def test_released_water_model(shared):
    """A model that the package's authors released, and its force error over frames of its data."""
    texts = json.loads((shared / "golden/reann_h2o_golden.json").read_text())
    model = read(shared / "golden/reann_h2o_weights.npz", activation="relu_like")
    assert list(model.elements) == [8, 1] and model.config["hidden"] == [32, 32] and model.config["rounds"] == 0
    frames, squares = read_frames(shared / "golden/reann_h2o_frames.extxyz", ":"), []
    for atoms, reference in zip(frames, texts["outputs"], strict=True):
        out = outputs(model, build(atoms, model.needs), ("energy", "forces", "virial"))
        assert abs(float(out.energy[0]) / reference["energy"] - 1) < 1e-12
        assert close(out.forces, reference["forces"])
        assert close(-out.virial[0], reference["virial_dE_dstrain"])
        squares.append(((out.forces.numpy() - atoms.get_forces()) ** 2).mean())
    assert np.sqrt(np.mean(squares)) == pytest.approx(texts["mean_force_rmse_100frames"], rel=0.05)
