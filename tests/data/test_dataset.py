"""A data set keeps its labels, whatever is done to what it hands out; it knows what it holds."""

import copy
import pickle

import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT

import atomlab
from atomlab.data.distances import close_pairs, nearest_pair
from atomlab.errors import InputError
from atomlab.neighbours import pairs


def test_what_is_handed_out_is_a_copy(silicon):
    dataset = atomlab.read(silicon)
    before = dataset.hash()
    frame = dataset[0]
    frame.positions += 1.0
    frame.arrays["REF_forces"][:] = 0.0
    frame.info["REF_stress"][:] = 0.0
    frame.info["REF_energy"] = 0.0
    frame.info["config_type"] = "other"
    for atoms in dataset:
        atoms.numbers[:] = 1
    silicon[0].positions += 1.0
    silicon[0].info["REF_stress"][:] = 0.0
    fresh = atomlab.read(silicon[1:])
    assert dataset.hash() == before and np.any(dataset[0].info["REF_stress"]) and fresh.hash() != before


def test_labels_survive_copies_slices_and_supercells(silicon):
    frame = atomlab.read(silicon)[2]
    for again in (frame.copy(), copy.deepcopy(frame), pickle.loads(pickle.dumps(frame))):
        assert again.info["REF_energy"] == frame.info["REF_energy"]
        assert np.array_equal(again.arrays["REF_forces"], frame.arrays["REF_forces"])
    assert len(frame[:3].arrays["REF_forces"]) == 3


def test_indexing(silicon):
    dataset = atomlab.read(silicon)
    assert len(dataset[1:3]) == 2 and len(dataset[[0, 5, -1]]) == 3 and len(dataset[np.arange(6) > 3]) == 2
    assert dataset[-1].info["REF_energy"] == silicon[-1].info["REF_energy"]
    assert dataset[1:3].entries[0] is dataset.entries[1]  # shared, with what was computed of it
    assert len(dataset[:2] + dataset[3:]) == 5 and "8" not in repr(dataset) and "Si" in repr(dataset)
    with pytest.raises(IndexError, match="no frame 6"):
        dataset[6]
    with pytest.raises(InputError, match="mask"):
        dataset[np.array([True])]
    assert atomlab.read(dataset) is dataset
    with pytest.raises(InputError, match="already read"):
        atomlab.read(dataset, keys={"energy": "x"})


def test_a_structure_with_a_calculator_is_not_taken_silently(silicon):
    silicon[0].calc = EMT()
    with pytest.raises(InputError, match=r"atomlab\.read"):
        atomlab.Dataset(silicon)


def test_the_hash_is_of_the_content(silicon, tmp_path):
    dataset = atomlab.read(silicon)
    assert dataset.hash() == atomlab.read(dataset.write(tmp_path / "a.extxyz.gz")).hash()
    assert dataset.hash() != dataset[::-1].hash() != dataset[1:].hash()
    other = silicon[0].copy()
    other.info["REF_energy"] += 1e-9
    assert atomlab.read([other]).hash() != dataset[:1].hash()
    # the same on any machine: a literal
    atoms = molecule("H2")
    atoms.positions = [[0, 0, 0], [0, 0, 0.75]]
    atoms.info["energy"] = -1.5
    assert atomlab.read(atoms).hash() == "14e5a905b6d23a6eacc418ade33078bce1f81bd5c2eb0006f8a83eef3e647caa"


def test_summary_counts_and_finds_the_extremes(silicon):
    silicon[4].arrays["REF_forces"][5] = [0, 30, 40]
    silicon[0].positions[1] = silicon[0].positions[0] + [0, 0, 1.1]
    dataset = atomlab.read([*silicon, molecule("H2O")])
    s = dataset.summary()
    assert s["structures"] == 7 and s["atoms"] == 51 and s["elements"] == {"H": 2, "O": 1, "Si": 48}
    assert s["config_types"] == {"a": 3, "b": 3} and s["labels"] == {"energy": 6, "forces": 6, "stress": 6}
    assert s["sizes"] == (3.0, 51 / 7, 8.0) and s["compositions"] == {"Si": 6, "H2O": 1} and s["periodic"] == 6
    assert s["extreme_forces"][0] == {"frame": 4, "atom": 5, "force": 50.0}
    assert s["energy"] == pytest.approx((-125 / 24, -40 / 8 - 15 / 6 / 24, -5.0))
    forces = np.concatenate([a.arrays["REF_forces"].ravel() for a in silicon])
    assert s["force_rms"] == pytest.approx(np.sqrt((forces**2).mean()))
    assert s["nearest"][0] == pytest.approx(np.linalg.norm(molecule("H2O").positions[0] - molecule("H2O").positions[1]))
    counts, edges = s["histograms"]["force"]
    assert counts.sum() == 48 and len(edges) == len(counts) + 1 and edges[-1] == 50.0
    table = dataset.columns()
    assert {len(column) for column in table.values()} == {7}
    assert table["nearest"][0] == pytest.approx(1.1) and np.isnan(table["energy"][6]) and table["group"][0] == ""
    assert table["pressure"][0] == pytest.approx(-160.21766208 * silicon[0].info["REF_stress"][:3].mean())


@pytest.mark.parametrize(
    "atoms",
    [bulk("Si"), bulk("Cu"), bulk("Ge", cubic=True).repeat(2), molecule("CH3CH2OH"), fcc111("Cu", (1, 1, 3), vacuum=5)],
    ids=["Si2", "Cu1", "Ge64", "ethanol", "slab"],
)
@pytest.mark.parametrize("cutoff", [2.6, 6.0])
def test_close_pairs_are_those_of_the_neighbour_list(atoms, cutoff):
    atoms.rattle(0.1, seed=2)
    atoms.positions += 7.3  # outside of the cell
    i, j, distance = close_pairs(atoms, cutoff)
    reference = pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    lengths = np.linalg.norm(reference.d, axis=1)
    ours, theirs = np.lexsort((distance, j, i)), np.lexsort((lengths, reference.j, reference.i))
    assert np.array_equal(i[ours], reference.i[theirs]) and np.array_equal(j[ours], reference.j[theirs])
    assert np.allclose(distance[ours], lengths[theirs])
    if len(distance):
        assert nearest_pair(atoms)[0] == pytest.approx(lengths.min())


def test_two_atoms_at_one_place_are_at_distance_0():
    atoms = bulk("Si", cubic=True)
    atoms.positions[3] = atoms.positions[0] + atoms.cell[0]
    distance, a, b = nearest_pair(atoms)
    assert distance < 1e-9 and {a, b} == {0, 3}


def test_only_extended_xyz_is_written(silicon, tmp_path):
    with pytest.raises(InputError, match="extxyz"):
        atomlab.read(silicon).write(tmp_path / "a.json")


def test_reading_data_imports_no_torch():
    import subprocess
    import sys

    code = "import sys, atomlab; atomlab.read; from atomlab.data import findings; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
