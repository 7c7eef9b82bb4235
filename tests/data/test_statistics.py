"""Reference energies from isolated atoms, tables, least squares and residuals; what the compositions cannot tell."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

import atomlab
from atomlab.data.statistics import atomic_energies, force_scale, rank_check
from atomlab.errors import InputError

TRUE = {1: -13.6, 6: -1030.0, 8: -2040.0}


def molecules(names=("H2O", "CO2", "CH4", "H2", "CO"), noise=0.0, isolated=False):
    frames = [molecule(name) for name in names] + [Atoms([z]) for z in (1, 6, 8) if isolated]
    rng = np.random.default_rng(0)
    for atoms in frames:
        extra = 0.0 if len(atoms) == 1 else noise * rng.normal() * len(atoms)
        atoms.info["energy"] = sum(TRUE[z] for z in atoms.numbers) + extra
    return atomlab.read(frames)


def test_least_squares_bring_exact_energies_back():
    found, reasons = atomic_energies(molecules())
    assert found == pytest.approx(TRUE, abs=1e-8) and "least squares" in reasons[0] and "0.0 meV/atom" in reasons[-1]


def test_isolated_atoms_go_first_and_need_all_elements():
    found, reasons = atomic_energies(molecules(noise=1.0, isolated=True))
    assert found == pytest.approx(TRUE, abs=1e-12) and "isolated" in reasons[0]
    with pytest.raises(InputError, match="H, C, O"):
        atomic_energies(molecules(), "isolated")
    # one atom in a small periodic cell is a crystal, not an isolated atom
    crystal = bulk("Cu")
    crystal.info["energy"] = -3.5
    assert "least squares" in atomic_energies(atomlab.read(crystal))[1][0]
    crystal.info["config_type"] = "IsolatedAtom"
    assert "isolated" in atomic_energies(atomlab.read(crystal))[1][0]


def test_a_given_table():
    dataset = molecules()
    assert atomic_energies(dataset, {"H": -1, 6: -2, "O": -3.0})[0] == {1: -1.0, 6: -2.0, 8: -3.0}
    with pytest.raises(InputError, match="none for O"):
        atomic_energies(dataset, {"H": -1, "C": -2})
    with pytest.raises(InputError, match="finite"):
        atomic_energies(dataset, {"H": -1, "C": -2, "O": float("nan")})
    with pytest.raises(InputError, match="least-squares"):
        atomic_energies(dataset, "magic")


def test_residuals_of_a_base_model():
    dataset = molecules()
    base = dataset.energies + dataset.composition_matrix() @ np.array([0.5, -1.0, 2.0])
    found, reasons = atomic_energies(dataset, "residuals", base)
    assert found == pytest.approx({1: -0.5, 6: 1.0, 8: -2.0}, abs=1e-8) and "base" in reasons[0]
    with pytest.raises(InputError, match="base_energies"):
        atomic_energies(dataset, "residuals")
    with pytest.raises(InputError, match="each structure"):
        atomic_energies(dataset, "residuals", base[:2])


def test_compositions_that_cannot_tell_elements_apart():
    assert rank_check(molecules()) == []
    water = molecules(("H2O", "H2O"))
    with pytest.warns(UserWarning, match="H, O"):
        found, reasons = atomic_energies(water)
    # both elements have the mean energy per atom: the smallest deviation that fits
    assert found[1] == pytest.approx(found[8]) and 2 * found[1] + found[8] == pytest.approx(water.energies[0])
    assert any("cannot tell apart H, O" in r and "1 independent" in r for r in reasons)
    # C is fixed by the data though H and O are not
    told = rank_check(molecules(("H2O", "C2H4", "CO2"))[:1] + molecules(("CH4",))[:0] + carbon())
    assert len(told) == 1 and "H, O" in told[0] and "C" not in told[0].split(":")[0].split("apart")[1]


def carbon():
    atoms = bulk("C")
    atoms.info["energy"] = -18.0
    return atomlab.read(atoms)


def test_structures_without_energy_do_not_count():
    frames = [*molecules(), molecule("CH3OH")]
    assert atomic_energies(atomlab.read(frames))[0] == pytest.approx(TRUE, abs=1e-8)
    with pytest.raises(InputError, match="No structure has an energy"):
        atomic_energies(atomlab.read(frames[-1:]), "least-squares")


def test_force_scale(silicon):
    forces = np.concatenate([a.arrays["REF_forces"].ravel() for a in silicon])
    assert force_scale(atomlab.read([*silicon, molecule("H2")])) == pytest.approx(np.sqrt((forces**2).mean()))
    with pytest.raises(InputError, match="forces"):
        force_scale(atomlab.read(molecule("H2")))
