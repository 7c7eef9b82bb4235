"""The data doctor finds what was broken on purpose, in the right frames, and nothing in a healthy set."""

import numpy as np
import pytest
from ase.build import bulk, molecule

import atomlab
from atomlab.data import findings


@pytest.fixture
def healthy():
    rng = np.random.default_rng(1)
    frames = []
    for k in range(20):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=k)
        forces = rng.normal(size=(8, 3))
        atoms.arrays["REF_forces"] = forces - forces.mean(0)
        atoms.info.update(REF_energy=-40 + 0.1 * rng.normal(), REF_stress=rng.normal(size=6) / 100)
        frames.append(atoms)
    return frames


def diagnose(frames):
    return {f.code: f for f in findings(atomlab.read(frames))}


def test_a_healthy_set(healthy):
    assert diagnose(healthy) == {}


def test_close_pairs(healthy):
    healthy[3].positions[1] = healthy[3].positions[0] + [0, 0, 1.8]  # 0.81 of 2.22 Å
    healthy[7].positions[1] = healthy[7].positions[0] + [0, 0, 1.0]  # 0.45
    found = diagnose(healthy)["close-pairs"]
    assert found.frames == (7, 3) and found.severity == "error"
    assert "1.00 Å in frame 7" in found.text and "Si-Si" in found.text and found.mend


def test_short_bonds_of_light_elements_are_not_close():
    frames = [molecule(name) for name in ("N2", "CO", "C2H2", "HCN", "H2", "O2", "CO2")]
    assert "close-pairs" not in diagnose(frames)
    frames[0].positions *= 0.8
    assert diagnose(frames)["close-pairs"].frames == (0,)


def test_large_forces(healthy):
    healthy[5].arrays["REF_forces"][2] += [80, 0, 0]
    healthy[5].arrays["REF_forces"][3] -= [80, 0, 0]
    found = diagnose(healthy)
    assert list(found) == ["large-forces"] and found["large-forces"].frames == (5,)
    assert "frame 5" in found["large-forces"].text


def test_energy_outliers_are_looked_for_in_each_composition(healthy):
    other = [atoms.copy() for atoms in healthy]
    for atoms in other:
        atoms.numbers[:] = 32
        atoms.info["REF_energy"] -= 400.0
    assert "energy-outliers" not in diagnose([*healthy, *other])
    other[4].info["REF_energy"] += 20.0
    found = diagnose([*healthy, *other])["energy-outliers"]
    assert found.frames == (24,) and "Ge" in found.text


def test_duplicates_and_contradictions(healthy):
    found = diagnose([*healthy, healthy[2].copy()])
    assert found["duplicates"].frames == (20,) and "contradictory-duplicates" not in found
    again = healthy[2].copy()
    again.info["REF_energy"] += 0.1
    found = diagnose([*healthy, again])
    assert found["contradictory-duplicates"].frames == (2, 20)
    assert next(iter(found)) == "contradictory-duplicates"  # the most severe first


def test_missing_labels(healthy):
    del healthy[1].info["REF_stress"], healthy[4].info["REF_stress"]
    found = diagnose(healthy)
    assert found["missing-stress"].frames == (1, 4) and found["missing-stress"].severity == "note"
    assert diagnose([molecule("H2")])["no-labels"].severity == "error"


def test_net_force(healthy):
    healthy[9].arrays["REF_forces"] += 0.1
    assert diagnose(healthy)["net-force"].frames == (9,)
