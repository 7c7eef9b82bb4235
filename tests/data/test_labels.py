"""Keys, units, signs and shapes: each convention gives the same REF_* numbers, and the reading says which was used."""

import numpy as np
import pytest
from ase.build import bulk

import atomlab
from atomlab.data.labels import Convention
from atomlab.errors import InputError

HARTREE, BOHR, GPA = 27.211386245988, 0.529177210903, 160.21766208
STRESS = np.array([0.01, 0.02, 0.03, 0.001, 0.002, 0.003])  # xx yy zz yz xz xy
FULL = np.array([[0.01, 0.003, 0.002], [0.003, 0.02, 0.001], [0.002, 0.001, 0.03]])


def labelled(info=None, arrays=None, cell=True):
    atoms = bulk("Si", cubic=True) if cell else bulk("Si", cubic=True)[:3]
    if not cell:
        atoms.cell, atoms.pbc = None, False
    atoms.info.update(info or {})
    atoms.arrays.update(arrays or {})
    return atoms


def test_usual_names_are_found_and_the_first_wins():
    dataset = atomlab.read(labelled({"dft_energy": -2.0, "E": -3.0}, {"force": np.ones((8, 3))}))
    assert dataset[0].info["REF_energy"] == -2.0 and np.all(dataset[0].arrays["REF_forces"] == 1)
    assert dataset[0].info["E"] == -3.0 and "force" not in dataset[0].arrays
    assert any("'dft_energy'" in t and "not used: 'E'" in t and "eV (the default)" in t for t in dataset.reading)


def test_labels_under_unusual_names():
    atoms = labelled({"my_e": -2.0}, {"my_f": np.ones((8, 3))})
    dataset = atomlab.read(atoms, keys={"energy": "my_e", "forces": "my_f"})
    assert dataset[0].info["REF_energy"] == -2.0 and dataset.labels == ("energy", "forces")
    with pytest.raises(InputError, match="my_e.*my_f.*keys="):
        atomlab.read(atoms)
    with pytest.raises(InputError, match="Did you mean 'my_e'"):
        atomlab.read(atoms, keys={"energy": "my_en"})
    with pytest.raises(InputError, match="Did you mean 'energy'"):
        atomlab.read(atoms, keys={"energie": "my_e"})
    assert atoms.info["my_e"] == -2.0  # the user's structure is as it was


def test_a_label_can_be_left_unread():
    atoms = labelled({"REF_energy": -2.0, "energy": -3.0}, {"REF_forces": np.ones((8, 3))})
    dataset = atomlab.read(atoms, keys={"energy": None})
    assert dataset.labels == ("forces",) and any("energy: not read" in t for t in dataset.reading)


@pytest.mark.parametrize(
    "units, factor",
    [({}, 1.0), ({"energy": "Ha"}, HARTREE), ({"energy": "meV"}, 1e-3), ({"energy": "eV/atom"}, 8.0),
     ({"energy": "kcal/mol"}, 0.0433641153087705), ({"energy": "Ha/atom"}, 8 * HARTREE)],
)  # fmt: skip
def test_units_of_energies(units, factor):
    dataset = atomlab.read(labelled({"energy": -2.0}), units=units)
    assert dataset[0].info["REF_energy"] == pytest.approx(-2.0 * factor, rel=1e-12)
    assert units.get("energy", "eV") in dataset.reading[0]


def test_units_of_forces_and_positions():
    atoms = labelled({}, {"forces": np.ones((8, 3))})
    dataset = atomlab.read(atoms, units={"forces": "Ha/bohr", "positions": "bohr"})
    assert dataset[0].arrays["REF_forces"][0, 0] == pytest.approx(HARTREE / BOHR)
    assert dataset[0].cell[0, 0] == pytest.approx(atoms.cell[0, 0] * BOHR)
    assert np.allclose(dataset[0].positions, atoms.positions * BOHR)
    assert atomlab.read(atoms, units={"forces": "kcal/mol/Å"})[0].arrays["REF_forces"][0, 0] == pytest.approx(
        0.0433641153
    )


@pytest.mark.parametrize(
    "key, value, units",
    [
        ("stress", STRESS, {}),
        ("stress", FULL, {}),
        ("stress", FULL.ravel(), {}),
        ("stress", -STRESS * GPA, {"stress": "GPa", "stress_sign": "compression"}),
        (
            "dft_stress",
            (STRESS * GPA * 10)[[0, 1, 2, 5, 3, 4]],
            {"stress": "kBar", "stress_order": "xx yy zz xy yz zx"},
        ),
        ("virial", -FULL * 160.103007, {}),
        ("virials", -FULL.ravel() * 160.103007, {}),
        ("REF_virials", FULL * 160.103007 / HARTREE, {"virials": "Ha", "virials_sign": "tension"}),
    ],
)
def test_every_way_to_write_a_stress(key, value, units):
    atoms = labelled({key: value})
    assert atoms.get_volume() == pytest.approx(160.103007)
    dataset = atomlab.read(atoms, units=units)
    assert np.allclose(dataset[0].info["REF_stress"], STRESS, atol=1e-12)
    assert "REF_virials" not in dataset[0].info and key not in set(dataset[0].info) - {"REF_stress"}
    said = next(t for t in dataset.reading if t.startswith(("stress", "virials")))
    assert "positive under" in said and f"'{key}'" in said


def test_a_stress_that_is_not_symmetric_is_refused():
    skew = FULL.copy()
    skew[0, 1] += 2e-3 * 0.03
    with pytest.raises(InputError, match="not symmetric"):
        atomlab.read(labelled({"stress": skew}))
    skew = FULL.copy()
    skew[0, 1] += 2e-4 * 0.03
    assert np.allclose(atomlab.read(labelled({"stress": skew}))[0].info["REF_stress"], STRESS, atol=1e-5)
    with pytest.raises(InputError, match="6 numbers, 9 numbers"):
        atomlab.read(labelled({"stress": [1.0, 2.0]}))


def test_virials_without_a_volume_are_left_out_in_words():
    dataset = atomlab.read(labelled({"energy": -1.0, "virial": FULL}, cell=False))
    assert "REF_stress" not in dataset[0].info
    assert any("no volume" in t for t in dataset.reading)


def test_stress_and_virials_that_contradict_each_other_are_told():
    good = labelled({"stress": STRESS, "virials": -FULL * 160.103007})
    bad = labelled({"stress": STRESS, "virials": FULL * 160.103007})
    bad.rattle(0.01)
    assert not any("minus the stress" in t for t in atomlab.read(good).reading)
    assert any("1 structures" in t and "minus the stress" in t for t in atomlab.read([good, bad]).reading)


def test_units_that_the_file_names_are_used_and_the_user_s_go_first():
    atoms = labelled({"energy": -1.0, "energy_unit": "Ha"})
    assert atomlab.read(atoms)[0].info["REF_energy"] == pytest.approx(-HARTREE)
    assert atomlab.read(atoms, units={"energy": "eV"})[0].info["REF_energy"] == -1.0
    other = labelled({"energy": -1.0, "energy_unit": "eV"})
    with pytest.raises(InputError, match="several units"):
        atomlab.read([atoms, other])


def test_missing_labels_are_allowed_for_each_structure():
    frames = [labelled({"energy": -1.0}), labelled({}, {"forces": np.zeros((8, 3))})]
    frames[1].rattle(0.1)
    dataset = atomlab.read(frames)
    assert np.isnan(dataset.energies).tolist() == [False, True] and "REF_forces" not in dataset[0].arrays
    assert any("missing in 1 of 2" in t for t in dataset.reading)


@pytest.mark.parametrize(
    "units, words",
    [({"energy": "eV/Å"}, "unit of 'energy'"), ({"forces": "eV"}, "energy/length"), ({"stress": "bar"}, "GPa"),
     ({"stress_sign": "positive"}, "tension, compression"), ({"stress_order": "xx yy zz xy yz"}, "six components"),
     ({"streß": "GPa"}, "Did you mean 'stress'")],
)  # fmt: skip
def test_units_that_are_not_understood(units, words):
    with pytest.raises(InputError, match=words):
        Convention({}, units)
