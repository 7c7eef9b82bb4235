"""GPTFF in one pass without autograd: the same numbers as with it, for every form, structure and thread count."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import atomlab
import fused_checks as check
from architecture_checks import set_random
from atomlab import kernels
from atomlab.architectures.gptff import READOUTS
from atomlab.build import build
from atomlab.potential import outputs
from fused_checks import ALL, analytic, assert_close, by_autograd

SIZES = {"nodes": 16, "edges": 32, "radial": 16, "layers": 2, "feedforward": 24}
ODD = {"nodes": 6, "edges": 5, "radial": 3, "layers": 1, "feedforward": 7}
FORMS = {
    f"{'v2' if attention else 'v1'}, {readout}": {"attention": attention, "readout": readout}
    for attention in (False, True)
    for readout in READOUTS
}


def model_of(dtype=torch.float64, **options):
    """A model of four elements and two heads with weights, scales and energies of its own."""
    torch.manual_seed(0)
    config = {**SIZES, "attention": True, **options}
    model = set_random(atomlab.create("gptff", elements=[1, 6, 14, 8], heads=["a", "b"], **config), spread=0.1)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for values in (model.scale, model.shift, model.atomic_energies):
            values.copy_(0.5 + torch.rand(values.shape, generator=generator, dtype=torch.float64))
    return model.to(dtype).eval()


def frames():
    """Crystal, slab, wire, molecule, an atom alone, a bond without triplets, a cell of an atom that meets itself."""
    crystal = bulk("SiC", "zincblende", a=4.36, cubic=True)
    crystal.rattle(0.1, seed=2)
    slab = crystal.copy()
    slab.pbc = True, True, False
    wire = Atoms("SiO", positions=[[0, 0, 0], [0.3, 1.7, 0]], cell=[3.1, 0, 0], pbc=(True, False, False))
    molecule = Atoms("HCSi", positions=[[0, 0, 0], [1.1, 0, 0.2], [0, 2.0, 0.3]])
    pair = Atoms("SiO", positions=[[0, 0, 0], [0, 0, 4.1]])
    return [crystal, slab, wire, molecule, Atoms("Si", positions=[[0, 0, 0]]), pair, bulk("C", "fcc", a=2.6)]


def graph_of(model, atoms=None):
    atoms = frames() if atoms is None else atoms
    graph = build(atoms, model.needs).to(dtype=model.dtype)
    return replace(graph, head=torch.arange(graph.size) % 2)


@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_it_equals_autograd_for_a_batch_and_its_members(options):
    check.batch_and_members(analytic, model_of(**options), graph_of, frames(), 1e-12)


def test_single_precision_and_energies_alone():
    model = model_of(torch.float32)
    graph = graph_of(model)
    found = analytic(model, graph)
    assert_close(found, by_autograd(model, graph), 2e-5)
    alone = analytic(model, graph, ("energy",))
    assert torch.equal(alone.energy, found.energy) and alone.forces is None and alone.features is None


def test_a_look_in_inference_mode_spoils_nothing():
    check.inference_mode(analytic, model_of(), graph_of)


def test_no_weight_is_older_than_the_model():
    """Train one step, write to a weight, replace a parameter: the next answer is of the new weights."""
    model = model_of()
    graph = graph_of(model)

    def check():
        assert_close(analytic(model, graph), by_autograd(model, graph), 1e-12)

    check()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    outputs(model, graph, ("energy", "forces"), create_graph=True).forces.square().sum().backward()
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    optimiser.step()
    check()
    for p, before in zip(model.parameters(), gradients):
        assert (p.grad is None) if before is None else torch.equal(p.grad, before)
    with torch.no_grad():
        model.layers[1].three.angle.bias.mul_(1.3)
    check()
    model.embedding = torch.nn.Parameter(2.0 * model.embedding.detach())
    check()


def test_another_structure_with_the_same_tensors_is_not_taken_for_the_one_before():
    """Moved atoms keep their lists; lists that are written to are read again."""
    model = model_of()
    graph = graph_of(model, frames()[0])
    analytic(model, graph)
    moved = graph.moved(graph.positions + 0.05 * torch.randn(graph.positions.shape, dtype=torch.float64))
    assert_close(analytic(model, moved), by_autograd(model, moved), 1e-12)
    sides = graph.triplets[model.needs.triplets[0]]
    sides.b.copy_(sides.b[torch.searchsorted(sides.a, sides.a)])
    changed = by_autograd(model, graph)
    assert not torch.equal(changed.forces, by_autograd(model, graph_of(model, frames()[0])).forces)
    assert_close(analytic(model, graph), changed, 1e-12)


def test_threads_change_nothing(monkeypatch):
    model = model_of()
    members = [graph_of(model, atoms) for atoms in frames()] * 3
    check.same_with_threads(partial(analytic, model), graph_of(model), members, monkeypatch, tolerance=1e-12)


def test_autograd_serves_where_the_pass_cannot():
    model = model_of()
    graph = graph_of(model, frames()[0])
    with kernels.use("reference"):
        assert model.analytic(graph, ALL) is None
    with kernels.use("numba"), kernels.steady():
        assert model.analytic(graph.to(dtype=torch.float32), ALL) is None
        assert model.train().analytic(graph, ALL) is None  # dropout is drawn anew for each call
        assert model_of(attention=False).train().analytic(graph, ALL) is not None
        assert model_of(**ODD).analytic(graph, ALL) is None


def test_what_is_no_number_stays_none():
    model = model_of()
    check.no_number_stays_none(partial(analytic, model), graph_of(model, frames()[0]))


def test_forces_and_stress_are_derivatives_of_its_own_energy():
    model, atoms, h = model_of(readout="network_then_sum"), frames()[0], 1e-5
    with kernels.use("numba"):
        atoms.calc = model.calculator(wait=True, head="a")
        forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
        energies = []
        for sign in (1, -1):
            moved, strained = atoms.copy(), atoms.copy()
            moved.positions[3, 1] += sign * h
            strain = np.eye(3)
            strain[[0, 1], [1, 0]] = sign * h / 2
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            for other in (moved, strained):
                other.calc = atoms.calc
            energies.append([moved.get_potential_energy(), strained.get_potential_energy()])
    by_force, by_stress = (np.subtract(*energies) / (2 * h)).tolist()
    assert forces[3, 1] == pytest.approx(-by_force, abs=1e-6)
    assert stress[0, 1] == pytest.approx(by_stress / atoms.get_volume(), abs=1e-7)
