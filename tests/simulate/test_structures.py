"""Starting structures by one line of text."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from atomlab.errors import InputError
from atomlab.simulate.structures import repeated, structure

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
