"""MACE in one pass without autograd: the same numbers as with it, whatever the configuration, weights and threads."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import fused_checks as check
from atomlab import kernels
from atomlab.architectures import folding, mace_folded, mace_fused, mace_tables
from atomlab.architectures.mace import MACE
from atomlab.build import build
from atomlab.errors import InputError, Notice
from atomlab.kernels import radial_tables
from atomlab.potential import outputs
from fused_checks import ALL, analytic, assert_close, by_autograd
from golden.mace_cases import case_of, close, structures

SMALL = {"channels": 8, "radial_hidden": [8], "l_edges": 2, "l_nodes": 1, "radial_basis": 8, "cutoff": 4.0}
CONFIGURATIONS = {
    "density, agnesi, zbl": {"correlation": 3, "transform": "agnesi", "zbl": True, "heads": ["a", "b"]},
    "residual, soft, weights": {
        "layers": 3, "first_interaction": "residual", "interaction": "residual", "transform": "soft",
        "envelope_on": "weights", "average_neighbours": 7.0,
    },
    "agnostic, no hidden layer": {
        "first_interaction": "agnostic", "interaction": "agnostic", "radial_hidden": [], "correlation": 1,
        "trained_bessel": True,
    },
    "mixed, density by weights": {
        "layers": 3, "first_interaction": "agnostic", "interaction": "density", "envelope_on": "weights",
    },
    "one layer": {"layers": 1, "first_interaction": "density-residual", "heads": ["a", "b", "c"]},
}  # fmt: skip


def model_of(dtype=torch.float64, **options):
    """A model of four elements with weights and energies of its own."""
    model = MACE(elements=[1, 6, 14, 8], seed=3, **{**SMALL, **options}).to(dtype)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for values in (model.scale, model.shift, model.atomic_energies):
            values.copy_(0.5 + torch.rand(values.shape, generator=generator, dtype=torch.float64))
    return model


def frames():
    """Mixed elements out of order, a molecule, an atom alone, and a cell of one atom that is its own neighbour."""
    crystal = bulk("SiC", "zincblende", a=4.36, cubic=True)
    crystal.rattle(0.1, seed=2)
    molecule = Atoms("HCSi", positions=[[0, 0, 0], [1.1, 0, 0.2], [0, 2.0, 0.3]])
    return [crystal, molecule, Atoms("Si", positions=[[0, 0, 0]]), bulk("C", "fcc", a=2.6)]


def graph_of(model, atoms=None):
    graph = build(frames() if atoms is None else atoms, model.needs).to(dtype=model.dtype)
    return replace(graph, head=torch.arange(graph.size) % len(model.card.heads))


def fused(model, graph, want=ALL, when="never"):
    with radial_tables(when):
        return analytic(model, graph, want)


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_it_equals_autograd_for_a_batch_and_its_members(options):
    check.batch_and_members(fused, model_of(**options), graph_of, frames(), 1e-10)


@pytest.mark.parametrize("case", ["m1_density_zbl_agnesi_L1", "m6_two_heads_3layers"])
def test_it_gives_another_programs_numbers(case, shared):
    folder = shared / "golden" / "mace"
    model, known = case_of(folder, case)
    for key, reference in known["outputs"].items():
        head, name = key.split("/")
        graph = build(structures(folder)[name], model.needs, head=model.head_index(head))
        out = fused(model, graph)
        assert close(out.forces, reference["forces"]) and close(out.virial[0], reference["virials"])
        e0 = float(model.atomic_energies[graph.head[graph.batch], model.element_index[graph.numbers]].sum())
        assert close(out.energy[0] - e0, reference["energy"] - e0)


def test_forces_and_stress_are_derivatives_of_its_own_energy():
    model, atoms, h = model_of(**CONFIGURATIONS["density, agnesi, zbl"]), frames()[0], 1e-5
    with kernels.use("numba"):
        atoms.calc = model.calculator(wait=True, tables="always")
        forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
        moved = []
        for sign in (1, -1):
            other = atoms.copy()
            other.positions[3, 1] += sign * h
            other.calc = atoms.calc
            moved.append(other.get_potential_energy())
        strained = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[[0, 1], [1, 0]] = sign * h / 2
            other = atoms.copy()
            other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            other.calc = atoms.calc
            strained.append(other.get_potential_energy())
    assert mace_folded.folded(model, (1, 2)).tables is not None
    assert forces[3, 1] == pytest.approx(-(moved[0] - moved[1]) / (2 * h), abs=1e-6)
    assert stress[0, 1] == pytest.approx((strained[0] - strained[1]) / (2 * h) / atoms.get_volume(), abs=1e-7)


def test_no_weight_is_older_than_the_model():
    """Train one step, load a state, replace a parameter: the next answer is of the new weights."""
    model = model_of(layers=2, correlation=2)
    graph = graph_of(model)

    def check():
        assert_close(fused(model, graph), by_autograd(model, graph), 1e-10)

    check()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    outputs(model, graph, ("energy", "forces"), create_graph=True).forces.square().sum().backward()
    optimiser.step()
    check()
    state = copy.deepcopy(model.state_dict())
    model.load_state_dict(MACE(elements=[1, 6, 14, 8], seed=9, **SMALL).double().state_dict())
    check()
    model.products[0].linear.weight = torch.nn.Parameter(2.0 * model.products[0].linear.weight.detach())
    check()
    model.radial_embedding.bessel_fn.bessel_weights.mul_(1.1)
    check()
    model.load_state_dict(state)
    check()


def test_nothing_of_it_is_kept_with_the_model_or_longer():
    model = model_of()
    fused(model, graph_of(model))
    names = set(model.state_dict())
    twin = copy.deepcopy(model)
    assert twin not in folding._models and names == set(twin.state_dict())
    for element in ("H", "C", "Si", "O"):
        for other in ("H", "C", "Si", "O"):
            fused(model, graph_of(model, Atoms([element, other], positions=[[0, 0, 0], [0, 0, 1.5]])))
    assert len(folding._models[model].made) == folding.KEPT
    gc.collect()  # models of tests before this one
    before = len(folding._models)
    del model
    gc.collect()
    assert len(folding._models) == before - 1


def test_tables_are_as_good_as_they_say_and_end_where_atoms_are_closer():
    model = model_of(**CONFIGURATIONS["density, agnesi, zbl"])
    graph = graph_of(model)
    exact, found = fused(model, graph), fused(model, graph, when="always")
    assert not torch.equal(exact.forces, found.forces)
    assert (exact.forces - found.forces).abs().max() < 1e-6
    assert (exact.energy - found.energy).abs().max() < 1e-7
    close = graph_of(model, Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.9 * mace_tables.LOWEST]]))
    assert torch.equal(fused(model, close).forces, fused(model, close, when="always").forces)


def test_tables_that_are_not_accurate_enough_are_not_used(monkeypatch):
    monkeypatch.setattr(mace_tables, "TOLERANCE", 0.0)
    model = model_of()
    graph = graph_of(model)
    with pytest.warns(Notice, match="not tabulated"):
        found = fused(model, graph, when="always")
    assert torch.equal(found.forces, fused(model, graph).forces)
    with pytest.raises(InputError), radial_tables("sometimes"):
        pass


def test_single_precision_uses_tables_where_a_calculator_asks():
    model = model_of(torch.float32, l_nodes=0, transform="agnesi")
    pair = graph_of(model, Atoms("SiO", positions=[[0, 0, 0], [0, 0.3, 1.5]]))
    known = by_autograd(model.double(), pair.to(dtype=torch.float64))
    model.float()
    once = fused(model, pair, when="auto")
    weights = mace_folded.folded(model, (2, 3))
    assert weights.tables is None
    with kernels.repeated():
        again = fused(model, pair, when="auto")
    assert weights.tables is not None and set(weights.code) == {False, True}
    for out in (once, again):
        assert torch.allclose(out.forces.double(), known.forces, rtol=0, atol=2e-6)
        assert torch.allclose(out.energy, known.energy, rtol=0, atol=2e-6)


def test_threads_change_nothing(monkeypatch):
    model = model_of(correlation=3)
    members = [graph_of(model, atoms) for atoms in frames()] * 5
    check.same_with_threads(partial(fused, model), graph_of(model), members, monkeypatch)


def test_a_look_in_inference_mode_spoils_nothing():
    check.inference_mode(fused, model_of(), graph_of)


@pytest.mark.parametrize("when", ["never", "always"])
def test_what_is_no_number_stays_none(when):
    model = model_of()
    check.no_number_stays_none(partial(fused, model, when=when), graph_of(model, frames()[0]))


def test_autograd_serves_where_it_does_not(monkeypatch):
    model = model_of()
    graph = graph_of(model)
    energy = fused(model, graph, ("energy",))
    assert energy.forces is None and energy.features is None
    with kernels.use("reference"):
        assert model.analytic(graph, ALL) is None
    with kernels.use("numba"):
        assert model.analytic(graph.to(dtype=torch.float32), ALL) is None
        monkeypatch.setattr(mace_fused, "loops", lambda *_: None)  # as while they are being compiled
        assert copy.deepcopy(model).analytic(graph, ALL) is None
