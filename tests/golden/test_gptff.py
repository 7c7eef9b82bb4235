"""GPTFF's published weights against its own package: energies, forces and stresses, in float64 and in float32."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms

from atomlab.architectures.published.gptff import ATOM_ENERGIES, read, upstream_state
from atomlab.build import build
from atomlab.potential import outputs
from atomlab.units import EV_A3_PER_GPA

VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])
PARAMETERS = {"v1": 351745, "v2": 502465}
pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden/gptff_golden.json").read_text())["structures"]


def test_atom_energies_are_the_references(shared):
    values = json.loads((shared / "golden/gptff_atom_refs.json").read_text())["values"]
    assert np.allclose(ATOM_ENERGIES, values, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_same_as_the_package(shared, golden, version, dtype):
    model = read(shared / f"weights/gptff/gptff_{version}.pth")
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[version]
    assert model.config["attention"] == (version == "v2") and not model.card.extensive and not model.card.local
    if dtype == "f64":
        model = model.double()
    cases = [case for case in golden.values() if dtype in case[version]]
    frames = [Atoms(c["symbols"], c["positions"], cell=c["cell"], pbc=c["pbc"]) for c in cases]
    graph = build(frames, model.needs).to(dtype=model.dtype)
    out = outputs(model, graph, ("energy", "forces", "stress"))
    assert out.atoms is None and out.energy.dtype == torch.float64
    rtol, atol = (1e-10, 1e-10) if dtype == "f64" else (3e-5, 2e-5)
    first = 0
    for k, (name, case) in enumerate(golden.items()):
        reference, n = case[version][dtype], len(case["symbols"])
        constant = sum(ATOM_ENERGIES[z] for z in frames[k].numbers)
        assert abs(float(out.energy[k]) - reference["energy"]) <= rtol * abs(reference["energy"] - constant) + atol, (
            name
        )
        forces = np.array(reference["forces"])
        assert np.abs(out.forces[first : first + n].numpy() - forces).max() <= rtol * np.abs(forces).max() + atol, name
        stress = np.array(reference["stress"])[VOIGT] * EV_A3_PER_GPA
        assert np.abs(out.stress[k].numpy() - stress).max() <= rtol * np.abs(stress).max() + 0.1 * atol, name
        first += n


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_weights_go_back_under_the_published_names(shared, version):
    path = shared / f"weights/gptff/gptff_{version}.pth"
    theirs = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    back = upstream_state(read(path))
    assert set(back) == set(theirs) and all(torch.equal(back[key], theirs[key]) for key in theirs)


def test_elements_without_training_data_are_not_claimed(shared):
    model = read(shared / "weights/gptff/gptff_v1.pth")
    assert set(range(1, 95)) - set(model.elements) == {84, 85, 86, 87, 88}
    # these rows were never looked up: PyTorch's max_norm would have shortened them
    assert (model.embedding[84:89].norm(dim=1) > 5).all()
    assert (model.embedding[list(model.elements)].norm(dim=1) <= 1.0001).all()
