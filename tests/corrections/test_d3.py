"""D3 against simple-dftd3's and torch-dftd's own numbers, finite differences, and the guard against adding it twice."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

pytest.importorskip("dftd3", reason="the extra 'd3' (package dftd3) is not installed")

from atomlab.build import build
from atomlab.corrections.d3 import D3
from atomlab.errors import AtomLabError, InputError
from atomlab.potential import Card, Sum, outputs
from atomlab.units import ANGSTROM_PER_BOHR

STRUCTURES = ["benzene_dimer", "water_dimer", "graphite", "Si8_strained", "NaCl8", "CO_on_Cu111"]
CASES = {
    "sdftd3_bj_default(disp2=60,disp3=40,cn=40 bohr)": {},
    "sdftd3_bj_atm_default": {"three_body": True},
    "sdftd3_bj_cut(95,40,40 bohr)": {"cutoff": 95 * ANGSTROM_PER_BOHR},
    "sdftd3_zero_default": {"damping": "zero"},
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("case", CASES)
def test_golden(shared, name, case):
    golden = json.loads((shared / "golden" / "d3_pbe_golden.json").read_text())["structures"][name]
    atoms = Atoms(golden["symbols"], golden["positions"], cell=golden["cell"], pbc=golden["pbc"])
    atoms.calc = D3(**CASES[case]).calculator()
    want = golden[case]
    assert atoms.get_potential_energy() == pytest.approx(want["energy"], abs=1e-6)
    assert np.abs(atoms.get_forces() - want["forces"]).max() < 1e-6
    if "stress" in want:
        assert np.abs(atoms.get_stress() - want["stress"]).max() < 1e-7


def strained(atoms, a, b, h):
    strain = np.eye(3)
    strain[a, b] += h / 2
    strain[b, a] += h / 2
    other = atoms.copy()
    other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    return other


@pytest.mark.parametrize("through_autograd", [False, True])
def test_forces_and_virial_by_differences(through_autograd):
    atoms = Atoms("Si2", [[0, 0, 0], [1.3, 1.4, 1.3]], cell=[[0, 2.7, 2.8], [2.7, 0, 2.7], [2.7, 2.7, 0]], pbc=True)
    d3, h = D3(), 1e-6  # small: pairs must not cross the real-space cutoff
    graph = build(atoms, d3.needs)
    if through_autograd:
        d3.analytic = lambda graph, want: None
    out = outputs(d3, graph, ("energy", "forces", "virial"))

    def energy(a):
        return float(d3.energy(build(a, d3.needs)))

    for a, b in ((0, 0), (0, 2)):
        slope = (energy(strained(atoms, a, b, h)) - energy(strained(atoms, a, b, -h))) / (2 * h)
        assert float(out.virial[0, a, b]) == pytest.approx(-slope, abs=2e-6)
    up, down = atoms.copy(), atoms.copy()
    up.positions[1, 2] += h
    down.positions[1, 2] -= h
    assert float(out.forces[1, 2]) == pytest.approx(-(energy(up) - energy(down)) / (2 * h), abs=2e-6)


def test_a_second_derivative_is_refused_in_words():
    d3 = D3()
    graph = build(molecule("H2O"), d3.needs)
    positions = graph.positions.clone().requires_grad_(True)
    with pytest.raises(AtomLabError, match="differences of forces"):
        torch.autograd.grad(d3.energy(graph.moved(positions)).sum(), positions, create_graph=True)


def test_dispersion_is_not_added_twice():
    inside = D3()
    inside.card = Card(name="trained with D3", elements=inside.card.elements, contains={"d3": "labels"})
    with pytest.raises(InputError, match="counts it twice"):
        Sum(inside, D3())


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="damping"):
        D3(damping="BJ")
    with pytest.raises(InputError, match="functional"):
        D3(functional="pbe99")
