"""The structures that atomlab-tiny learns from: built as told, the same each time, and parted so that errors mean
something."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from atomlab.analysis.health.structures import nearest_distance
from atomlab.data import Dataset

HERE = Path(__file__).resolve().parents[1] / "reproduce" / "atomlab_tiny"
FEW = ("H", "C", "Na", "Si", "Cl")


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("atomlab_tiny_structures", HERE / "structures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    yield spec.loader.exec_module(module) or module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def items(recipe):
    """All structures of five elements: of all 18 there are too many for a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "ELEMENTS", FEW)
        patch.setattr(recipe, "PEROVSKITES", (("Na",), ("Si",), ("Cl",)))
        patch.setattr(recipe, "COVALENT", ("H", "C", "Si", "Cl"))
        for name in ("HEAPS", "COVALENT_HEAPS", "ALLOYS"):
            patch.setattr(recipe, name, 60)
        yield list(recipe.items(dict.fromkeys((f"{p}-{f}" for f, p in recipe.crystals()), 1.0)))


def test_kinds_and_elements(recipe, items) -> None:
    known = json.loads((HERE / "prototypes.json").read_text())
    assert len(known["e0"]) >= 12 and {f"{p}-{f}" for f, p in recipe.crystals()} <= set(known["scales"])
    assert len({item.text for item in items}) == len(items)
    kinds = Counter(item.kind for item in items)
    assert set(kinds) == {
        "atom", "dimer", "molecule", "slab", "random", "cluster", "strained", "compressed", "expanded", "rattled",
        "vacancy", "squeezed", "swapped", "alloy",
    }  # fmt: skip
    assert kinds["atom"] == len(FEW)
    pairs = {item.text.split(",")[0] for item in items if item.kind == "dimer"}
    assert len(pairs) == len(FEW) * (len(FEW) + 1) // 2


def test_structures_are_what_their_text_says(recipe, items) -> None:
    some = items[::29]
    for item in some:
        atoms, again = item.build(), item.build()
        np.testing.assert_array_equal(atoms.positions, again.positions)
        assert set(atoms.symbols) <= set(FEW) and atoms.info["group"] == item.group
        assert atoms.pbc.all() == (item.kind not in ("atom", "dimer", "molecule", "swapped", "slab", "cluster"))
    strained = next(item for item in items if item.kind == "strained" and item.family == "fcc").build()
    assert len(strained) == 1
    vacancy = next(item for item in items if item.kind == "vacancy" and item.family == "fcc").build()
    assert len(vacancy) == 7


def test_own_kinds_are_what_their_text_says(recipe) -> None:
    def built(text: str):
        return recipe.Item(text, "kind", "family", "group").build()

    swapped = built("swapped CH4 C:Si H:Cl 1.0000 0.000 5")
    assert swapped.get_chemical_formula() == "Cl4Si"
    bonds = swapped.get_all_distances()[0, 1:] / nearest_distance(14, 17)
    np.testing.assert_allclose(bonds, 1.087 / nearest_distance(6, 1), rtol=0.01)  # CH4's bond by its touching distance
    alloy = built("alloy fcc Cu Ni Mo 1.0000 0.000 7")
    assert len(alloy) == 4 and set(alloy.symbols) == {"Cu", "Ni", "Mo"} and alloy.pbc.all()
    d = alloy.get_all_distances(mic=True)
    mean = sum(nearest_distance(z, z) for z in alloy.numbers) / 4
    assert d[d > 0.1].min() == pytest.approx(mean, rel=0.12)  # strained by up to 5 % in each component


def test_molecules_of_one_formula_stay_together(items) -> None:
    """A swapped molecule that is another one of the set is in its group."""
    molecules = {item.group for item in items if item.kind == "molecule"}
    assert molecules & {item.group for item in items if item.kind == "swapped"}


def test_a_scale_of_one_lets_pairs_touch(recipe) -> None:
    atoms = recipe.structure(recipe.guess("NaCl", "rocksalt", 1.0, ",size=2x2x2"), None)
    d = atoms.get_all_distances(mic=True)
    assert d[d > 0].min() == pytest.approx(nearest_distance(11, 17), abs=1e-3)


def test_a_crystal_is_in_one_part_only(items) -> None:
    frames = [item.build() for item in items if item.family == "rocksalt" and "Si" in item.group]
    parts = Dataset(frames, "tiny").split(by="group", stratify="family", valid=0.1, test=0.2)
    groups = [set(part.info("group")) for part in parts]
    assert all(groups) and not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
