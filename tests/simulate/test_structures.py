"""Starting structures by one line of text."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from atomlab.errors import InputError
from atomlab.simulate.structures import disturbed, repeated, structure, touching

FRAMES = {"sw-ge": [bulk("Ge", a=a) for a in (5.5, 5.6, 5.7)]}


def read(name: str):
    return FRAMES[name]


@pytest.mark.parametrize(
    ("text", "formula", "pbc"),
    [
        ("bulk:Ge", "Ge8", True),
        ("bulk:Ge,cubic=false", "Ge2", True),
        ("bulk:Ge,size=2x2x2", "Ge64", True),
        ("bulk:Cu", "Cu4", True),
        ("bulk:Mg", "Mg2", True),
        ("bulk:NaCl,crystal=rocksalt,a=5.64", "Cl4Na4", True),
        ("bulk:Si,a=5.5", "Si8", True),
        ("slab:Si", "Si16", False),
        ("slab:Cu,facet=100,size=1x1x3,vacuum=8", "Cu3", False),
        ("molecule:H2O", "H2O", False),
        ("molecule:H2O,vacuum=5", "H2O", True),
        ("bulk:CaTiO3,crystal=perovskite,a=3.9", "CaO3Ti", True),
        ("bulk:AuCu3,crystal=cu3au,a=3.7,size=1x1x2", "Au2Cu6", True),
        ("bulk:Si,size=2x2x2,vacancies=3,seed=5", "Si61", True),
        ("slab:Mg,crystal=hcp,a=3.2,c=5.2,size=1x1x4,rattle=0.1", "Mg4", False),
        ("dimer:SiO,distance=1.6", "OSi", False),
        ("atom:Si", "Si", False),
        ("sw-ge#1", "Ge2", True),
        ("sw-ge", "Ge2", True),
    ],
)
def test_texts(text: str, formula: str, pbc: bool) -> None:
    atoms = structure(text, read)
    assert atoms.get_chemical_formula() == formula
    assert bool(atoms.pbc.all()) is pbc


def test_frames_and_lattice_constants() -> None:
    assert structure("sw-ge#1", read).cell.volume == pytest.approx(5.6**3 / 4)
    assert structure("sw-ge#-1", read).cell.volume == pytest.approx(structure("sw-ge", read).cell.volume)
    assert structure("bulk:Si,a=5.5", read).cell.lengths() == pytest.approx([5.5] * 3)
    assert structure("sw-ge#0", read) is not FRAMES["sw-ge"][0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bulck:Ge", "Did you mean 'bulk'"),
        ("bulk:Ge,sise=2x2x2", "Did you mean 'size'"),
        ("bulk:Ge,size=2x2", "cannot be read"),
        ("bulk:NaCl", "cannot be built"),
        ("slab:Si,facet=999", "no builder for this surface"),
        ("molecule:H2OO", "not built in"),
        ("bulk:CaTiO3,crystal=perovskite", "needs 5 atoms in its formula, and a"),
        ("bulk:Ge,vacancies=8", "not so many atoms.*0 to 7"),
        ("bulk:Ge,rattle=-1", "rattle >= 0"),
        ("slab:Si,strain=0.1", "knows no such option"),
        ("dimer:Si3", "two atoms"),
        ("dimer:SiO,distance=0", "more than 0"),
        ("atom:Si2", "one element"),
        ("sw-ge#7", "no such frame.*0 to 2"),
        ("sw-ge#x", "number of a frame"),
    ],
)
def test_mistakes_are_sentences(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        structure(text, read)


def test_supercells() -> None:
    atoms = structure("bulk:Ge", read)
    assert len(repeated(atoms, "2x1x3")) == 48
    np.testing.assert_allclose(repeated(atoms, "2x1x3").cell.lengths(), atoms.cell.lengths() * [2, 1, 3])
    with pytest.raises(InputError, match="2x2x1"):
        repeated(atoms, "2x2")
    with pytest.raises(InputError, match="no cell vector a"):
        repeated(structure("molecule:H2O", read), "2x1x1")


def test_disturbances() -> None:
    """Each is as large as it says, comes from its seed alone, and leaves the given structure as it was."""
    crystal = structure("bulk:Si,size=3x3x3", read)
    before = crystal.positions.copy()
    squeezed = disturbed(crystal, scale=0.9)
    np.testing.assert_allclose(squeezed.get_all_distances(mic=True), 0.9 * crystal.get_all_distances(mic=True))
    moved = disturbed(crystal, rattle=0.1, seed=1).positions - crystal.positions
    assert np.std(moved) == pytest.approx(0.1, rel=0.1)
    sheared = disturbed(crystal, strain=0.05, seed=2)
    change = np.linalg.solve(crystal.cell.array, sheared.cell.array) - np.eye(3)
    np.testing.assert_allclose(change, change.T, atol=1e-12)
    assert 0.01 < np.abs(change).max() <= 0.05
    np.testing.assert_allclose(sheared.get_scaled_positions(), crystal.get_scaled_positions(), atol=1e-12)
    text = "bulk:Si,size=3x3x3,scale=1.02,strain=0.03,vacancies=2,rattle=0.05,seed="
    one, same, other = (structure(f"{text}{seed}", read).positions for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_array_equal(crystal.positions, before)


def test_touching() -> None:
    """At this lattice constant the nearest pair has the sum of the covalent radii: 1.11 Å twice for silicon."""
    diamond = structure(f"bulk:Si,a={touching('Si', 'diamond')}", read)
    d = diamond.get_all_distances(mic=True)
    assert d[d > 0].min() == pytest.approx(2.22)
    assert touching("CaTiO3", "perovskite") == pytest.approx(2 * (1.60 + 0.66))  # Ti-O, not Ca-O
