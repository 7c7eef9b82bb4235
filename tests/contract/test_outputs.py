"""Forces, virial and stress that `outputs` derives, on a potential small enough to know by heart."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from atomlab.build import build
from atomlab.errors import InputError
from atomlab.graph import Needs, collate
from atomlab.kernels import segment_sum
from atomlab.potential import Card, Potential, Sum, Terms, outputs


class Spring(Potential):
    """A pair energy (1 - r/rc)^2 for r < rc: half of it at each end."""

    needs = Needs(cutoffs=(4.0,))

    def __init__(self, contains=None):
        super().__init__({}, Card(name="spring", elements=(1, 6, 8, 14), contains=contains or {}))

    def forward(self, graph):
        r = graph.vectors(4.0).norm(dim=1)
        e = graph.edges[4.0]
        atoms = segment_sum(0.5 * (1 - r / 4.0) ** 2, e.i, len(graph.numbers)).double()
        return Terms(segment_sum(atoms, graph.batch, graph.size), atoms)


def rattled():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=3)
    return atoms


def test_forces_and_stress_are_derivatives_of_the_energy():
    atoms, h = rattled(), 1e-5
    atoms.calc = Spring().calculator()
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    for a, x in ((0, 0), (5, 2)):
        atoms.positions[a, x] += h
        up = atoms.get_potential_energy()
        atoms.positions[a, x] -= 2 * h
        down = atoms.get_potential_energy()
        atoms.positions[a, x] += h
        assert forces[a, x] == pytest.approx(-(up - down) / (2 * h), abs=1e-7)
    for a, b in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * h / 2
            strain[b, a] += sign * h / 2
            other = atoms.copy()
            other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            other.calc = Spring().calculator()
            energies.append(other.get_potential_energy())
        assert stress[a, b] == pytest.approx((energies[0] - energies[1]) / (2 * h) / atoms.get_volume(), abs=1e-7)


def test_a_batch_equals_its_members():
    frames = [rattled(), molecule("CO2"), molecule("O")]
    spring = Spring()
    want = ("energy", "forces", "stress")
    whole = outputs(spring, build(frames, spring.needs), want)
    for k, frame in enumerate(frames):
        one = outputs(spring, build(frame, spring.needs), want)
        assert torch.allclose(whole.energy[k], one.energy[0])
        assert torch.allclose(whole.virial[k], one.virial[0])
    assert torch.isnan(whole.stress[1]).all() and not torch.isnan(whole.stress[0]).any()
    assert len(whole.forces) == sum(map(len, frames))


def test_graphs_of_different_needs_are_not_batched():
    with pytest.raises(InputError, match="same needs"):
        collate([build(molecule("O"), Needs((3.0,))), build(molecule("O"), Needs((4.0,)))])


def test_a_sum_adds_energies_and_refuses_a_second_zbl():
    graph = build(rattled(), Spring.needs)
    two = outputs(Sum(Spring(), Spring()), graph)
    one = outputs(Spring(), graph)
    assert torch.allclose(two.energy, 2 * one.energy) and torch.allclose(two.forces, 2 * one.forces)
    with pytest.raises(InputError, match="twice"):
        Sum(Spring({"zbl": "model"}), Spring({"zbl": "model"}))
    Sum(Spring({"zbl": "model"}), Spring({"zbl": "model"}), force=True)


def test_the_calculator_says_what_it_cannot_give():
    atoms = molecule("CO2")
    atoms.calc = Spring().calculator()
    atoms.get_forces()
    with pytest.raises(NotImplementedError, match="three independent"):
        atoms.get_stress()
    gold = bulk("Au")
    gold.calc = Spring().calculator()
    with pytest.raises(InputError, match="Au"):
        gold.get_potential_energy()
