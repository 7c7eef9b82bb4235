"""What every trainable architecture must stand, whatever its formulas; called by the tests of each."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from atomlab.build import build
from atomlab.graph import collate
from atomlab.potential import outputs

WANT = ("energy", "forces", "virial", "stress", "features")


def awkward(symbols=("Si", "Ge")):
    """Structures that models trip over: one atom per cell, no neighbour, no triplet, partly periodic."""
    a, b = symbols
    crystal = bulk(a, "diamond", a=5.43, cubic=True)
    crystal.rattle(0.15, seed=1)
    crystal.symbols[2] = b
    return {
        "rattled crystal": crystal,
        "one atom per cell": Atoms(a, cell=[2.9, 3.1, 3.3], pbc=True),
        "one atom alone": Atoms(b),
        "one atom in a box": Atoms(b, cell=[15, 15, 15], pbc=True),
        "dimer, no triplet": Atoms([a, b], [[0, 0, 0], [2.3, 0.2, 0.1]]),
        "chain": Atoms([a, b], [[0, 0, 0], [1.4, 0.1, 0]], cell=[2.8, 0, 0], pbc=[True, False, False]),
        "slab": Atoms(
            [a, b, a], [[0, 0, 0], [1.6, 1.5, 1.9], [0.2, 0.1, 3.8]], cell=[3.1, 3.2, 12], pbc=[True, True, False]
        ),
        "two fragments": Atoms([a, b, a, b], [[0, 0, 0], [2.3, 0, 0], [40, 0, 0], [40, 2.2, 0.3]]),
    }


def set_random(potential, seed=0, spread=0.3):
    """Random numbers in every trainable parameter, so that nothing hides behind a start at 0; the model in float64."""
    generator = torch.Generator().manual_seed(seed)
    potential = potential.double().eval()
    with torch.no_grad():
        for p in potential.parameters():
            p.add_(spread * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        potential.atomic_energies.copy_(torch.randn(potential.atomic_energies.shape, generator=generator).double() * 5)
    return potential


def check_batch_equals_members(potential, structures):
    """A batch gives what its members give, and everything is finite."""
    graphs = [build(atoms, potential.needs) for atoms in structures.values()]
    whole = outputs(potential, collate(graphs), WANT)
    assert torch.isfinite(whole.energy).all() and torch.isfinite(whole.forces).all()
    first = 0
    for k, (name, graph) in enumerate(zip(structures, graphs)):
        one = outputs(potential, graph, WANT)
        last = first + len(graph.numbers)
        assert torch.allclose(whole.energy[k], one.energy[0], rtol=1e-10), name
        assert torch.allclose(whole.forces[first:last], one.forces, rtol=1e-8, atol=1e-9), name
        assert torch.allclose(whole.virial[k], one.virial[0], rtol=1e-8, atol=1e-8), name
        assert torch.allclose(whole.features[first:last], one.features, rtol=1e-8, atol=1e-9), name
        first = last
    return whole


def check_derivatives(potential, atoms, h=1e-4, rtol=1e-8):
    """Forces and stress are the differences of the energy (fourth order in the step)."""
    out = outputs(potential, build(atoms, potential.needs), WANT)
    rng = np.random.default_rng(0)
    cell = atoms.cell.array

    def slope(change):
        energies = []
        for step in (-2 * h, -h, h, 2 * h):
            positions, vectors = change(step)
            moved = Atoms(atoms.numbers, positions, cell=vectors, pbc=atoms.pbc)
            energies.append(float(potential(build(moved, potential.needs)).energy.detach()))
        return np.dot([1, -8, 8, -1], energies) / (12 * h)

    direction = rng.standard_normal((len(atoms), 3))
    expected = -float((out.forces.numpy() * direction).sum())
    found = slope(lambda step: (atoms.positions + step * direction, cell))
    assert abs(found - expected) <= rtol * max(1.0, np.abs(out.forces.numpy()).sum()), (found, expected)
    strain = rng.standard_normal((3, 3))
    strain = strain + strain.T
    expected = -float((out.virial[0].numpy() * strain).sum())
    found = slope(lambda step: (atoms.positions @ (np.eye(3) + step * strain), cell @ (np.eye(3) + step * strain)))
    assert abs(found - expected) <= rtol * max(1.0, np.abs(out.virial.numpy()).sum()), (found, expected)
    voigt = -out.virial[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / atoms.get_volume()
    assert np.allclose(out.stress[0].numpy(), voigt, rtol=1e-12)


def check_second_derivatives(potential, atoms):
    """Energies and features have a second derivative, equal to differences: training on forces needs it."""
    graph = build(atoms, potential.needs)

    def both(positions):
        terms = potential(graph.moved(positions))
        mixed = torch.cos(torch.arange(terms.features.numel(), dtype=torch.float64)).view_as(terms.features)
        return torch.stack([terms.energy.sum(), (terms.features * mixed).sum()])

    positions = graph.positions.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(both, (positions,))
    assert torch.autograd.gradgradcheck(both, (positions,))


def check_training_reaches_all(potential, structures):
    """A loss on energies and forces gives every trainable parameter a gradient; the groups hold each of them once."""
    potential.zero_grad()
    graph = build(list(structures), potential.needs)
    out = outputs(potential, graph, ("energy", "forces"), create_graph=True)
    (out.energy.square().sum() + out.forces.square().sum()).backward()
    trainable = {name: p for name, p in potential.named_parameters() if p.requires_grad}
    without = [name for name, p in trainable.items() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without
    grouped = [p for group in potential.parameter_groups().values() for p in group]
    assert sorted(map(id, grouped)) == sorted(map(id, trainable.values()))


def check_rebuilds(potential, structures):
    """`type(self)(**config)` from JSON, with the state dict, is the same model; E0 stay float64 in a float32 model."""
    graph = build(list(structures), potential.needs)
    potential.shift.fill_(1.0 / 3.0)
    again = type(potential)(**json.loads(json.dumps(potential.config))).double().eval()
    again.load_state_dict(potential.state_dict())
    assert torch.equal(again(graph).energy, potential(graph).energy)
    assert again.card == potential.card
    single = again.float()
    for name in ("atomic_energies", "scale", "shift"):
        assert getattr(single, name).dtype == torch.float64
        assert torch.equal(getattr(single, name), getattr(potential, name))
    energy = single(graph.to(dtype=torch.float32)).energy
    assert energy.dtype == torch.float64
    assert torch.allclose(energy, potential(graph).energy, rtol=1e-4, atol=1e-3)


def check_extended(potential, new, parent):
    """A new element that took its parent's rows has its parent's energy, E0 aside; old elements are as they were."""
    wider = potential.extended([new], {new: parent})
    assert wider.elements == (*potential.elements, new)
    atoms = bulk("Si", "diamond", a=5.43, cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.numbers[:] = parent
    before = potential(build(atoms, potential.needs))
    assert torch.allclose(wider(build(atoms, wider.needs)).energy, before.energy, rtol=1e-12)
    atoms.numbers[:] = new
    after = wider(build(atoms, wider.needs))
    e0 = potential.atomic_energies[0, potential.elements.index(parent)] * len(atoms)
    assert torch.allclose(after.energy, before.energy - e0, rtol=1e-10)


class ArchitectureTests:
    """The list that an architecture's own tests inherit; they give the fixture `model`."""

    def test_batch_equals_members_in_awkward_structures(self, model):
        check_batch_equals_members(model, awkward())

    @pytest.mark.parametrize("name", ["rattled crystal", "slab"])
    def test_forces_and_stress_are_derivatives(self, model, name):
        check_derivatives(model, awkward()[name])

    def test_second_derivatives(self, model):
        check_second_derivatives(model, Atoms("Si2Ge", [[0, 0, 0], [2.3, 0.1, 0], [0.5, 2.2, 0.3]]))

    def test_training_reaches_every_parameter(self, model):
        check_training_reaches_all(model, list(awkward().values())[:3])

    def test_saved_and_made_again(self, model):
        check_rebuilds(model, awkward().values())

    def test_more_elements(self, model):
        check_extended(model, 6, 14)
