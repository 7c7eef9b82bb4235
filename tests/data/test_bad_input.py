"""What cannot be used is refused in a sentence that says where it is and what to do."""

import gzip

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import atomlab
from atomlab.data.formats import write_extxyz
from atomlab.errors import InputError

GOOD = (
    '2\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.0\n'
    "Si 0 0 0 0 0 1\nSi 2 2 2 0 0 -1\n"
)


def refused(path, *words, **options):
    with pytest.raises(InputError) as caught:
        atomlab.read(path, **options)
    text = str(caught.value)
    assert all(word in text for word in words), text
    return text


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ["empty file"]),
        ("\n\n", ["empty", "no structure"]),
        (GOOD + "2\n", ["frame 1, line 6", "comment line", "truncated"]),
        (GOOD + GOOD[: GOOD.rindex("Si")], ["frame 1, line 7", "1 of 2 atoms", "truncated"]),
        (GOOD[:-6], ["frame 0, line 4", "atom 1 has", "7 were due"]),
        (GOOD.replace("Si 0 0 0 0 0 1", "Si 0 0 x 0 0 1"), ["line 3", "'pos'", "number", "'x'"]),
        (GOOD.replace("Si 0 0 0 0 0 1", "Xx 0 0 0 0 0 1"), ["no such elements", "Xx"]),
        (GOOD.replace("forces:R:3", "forces:R:2"), ["line 3", "7 columns, 6 were due"]),
        (GOOD.replace(":R:3:forces", ":Q:3:forces"), ["Properties cannot be understood"]),
        ("hello\n" + GOOD, ["line 1", "number of atoms was due", "hello"]),
        (GOOD + "hello\n", ["frame 1, line 5", "number of atoms was due"]),
        (GOOD.replace('energy=-1.0', 'name="open'), ["comment line", "quote"]),
        (GOOD.replace("5 0 0 0 5 0 0 0 5", "5 0 0 0 5 0 0 0"), ["Lattice", "nine numbers"]),
        (GOOD.replace("5 0 0 0 5 0 0 0 5", "0 0 0 0 0 0 0 0 0"), ["periodic", "no volume"]),
        (GOOD.replace("5 0 0 0 5 0 0 0 5", "5 0 0 5 0 0 0 0 5"), ["frame 0", "no volume"]),
        (GOOD.replace("energy=-1.0", "energy=nan"), ["frame 0", "energy", "finite"]),
        (GOOD.replace("0 0 1\n", "0 nan 1\n"), ["frame 0", "forces", "atom 0", "finite"]),
        (GOOD.replace("Si 2 2 2", "Si 2 inf 2"), ["frame 0", "position 1", "finite"]),
        (GOOD.replace("energy=-1.0", 'energy="1 2"'), ["energy", "wrong shape"]),
        (GOOD.replace("energy=-1.0", "energy=low"), ["energy", "numbers", "low"]),
        ("0\n\n", ["at least one atom"]),
    ],
)  # fmt: skip
def test_extended_xyz_that_is_damaged(tmp_path, text, words):
    path = tmp_path / "a.extxyz"
    path.write_text(text)
    refused(path, "a.extxyz", *words)


def test_partly_periodic_without_its_cell_vector(tmp_path):
    path = tmp_path / "a.extxyz"
    path.write_text(GOOD.replace('0 0 0 5"', '0 0 0 0" pbc="T T T"'))
    refused(path, "no volume")
    path.write_text(GOOD.replace('0 5 0 0 0 5"', '0 0 0 0 0 5" pbc="T T F"'))
    refused(path, "missing or not independent")
    path.write_text(GOOD.replace('0 0 0 5"', '0 0 0 0" pbc="T T F"'))
    assert atomlab.read(path)[0].pbc.tolist() == [True, True, False]


def test_a_gzip_file_that_breaks_off(tmp_path):
    path = tmp_path / "a.extxyz.gz"
    path.write_bytes(gzip.compress((GOOD * 50).encode())[:-40])
    refused(path, "not a whole gzip file", "again")
    path.write_bytes(b"no gzip at all")
    refused(path, "gzip")


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_bytes(b"\xff\xfe\x00\x01" * 10)
    refused(path, "text file")


def test_forces_of_the_wrong_shape():
    atoms = bulk("Si")
    atoms.arrays["forces"] = np.zeros((2, 2))
    refused(atoms, "frame 0", "forces", "wrong shape", "(2, 3)")


def test_unknown_extension_missing_file_folder(tmp_path):
    (tmp_path / "data.abc").write_text(GOOD)
    refused(tmp_path / "data.abc", "data.abc", ".extxyz", "OUTCAR")
    (tmp_path / "silicon.extxyz").write_text(GOOD)
    refused(tmp_path / "silicom.extxyz", "silicom", "Did you mean 'silicon.extxyz'")
    refused("sw_ge", "sw-ge", "Did you mean")
    refused(tmp_path / "nowhere" / "a.xyz", "no folder")
    refused(tmp_path, "folder", "data.abc")


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.json", "[]", ["empty list"]),
        ("a.json", '[{"structure": ', ["not whole JSON", "truncated"]),
        ("a.json", '[{"outputs": {}}]', ["entry 0", "not an mlearn structure", "structure"]),
        ("a.traj", "nothing", ["cannot be read", "traj"]),
        ("vasprun.xml", "<modeling><", ["cannot be read", "vasp-xml"]),
        ("OUTCAR", "nothing", ["cannot be read", "vasp-out"]),
    ],
)
def test_other_files_that_are_damaged(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    refused(path, name, *words)


def test_mlearn_entries_that_contradict_themselves(tmp_path):
    site = '{"species": [{"element": "Si", "occu": 1}], "xyz": [0, 0, 0]}'
    lattice = '"lattice": {"matrix": [[3, 0, 0], [0, 3, 0], [0, 0, 3]]}'
    path = tmp_path / "a.json"
    path.write_text(f'[{{"structure": {{{lattice}, "sites": [{site}]}}, "num_atoms": 2, "outputs": {{}}}}]')
    refused(path, "entry 0", "2 atoms", "lists 1")
    path.write_text(f'[{{"structure": {{{lattice}, "sites": [{site}]}}, "outputs": {{"forces": [[0, 0], [0, 0]]}}}}]')
    refused(path, "entry 0", "forces", "shape")
    half = site.replace('"occu": 1', '"occu": 0.5')
    path.write_text(f'[{{"structure": {{{lattice}, "sites": [{half}]}}, "outputs": {{}}}}]')
    refused(path, "entry 0", "partial occupation")


def test_what_is_no_structure():
    refused([], "at least one")
    refused([1, 2], "ase.Atoms", "int")
    refused(Atoms(), "without atoms")
    refused(Atoms("X", positions=[[0, 0, 0]]), "atomic number")


def test_duplicates_are_told(silicon, tmp_path):
    with pytest.warns(UserWarning, match=r"2 structures occur more than once.*\[0, 6\]"):
        dataset = atomlab.read(write_extxyz(tmp_path / "twice.extxyz", [*silicon, silicon[0], silicon[1]]))
    assert dataset.duplicates() == [[0, 6], [1, 7]] and any("more than once" in text for text in dataset.reading)


def test_a_single_atom_is_a_structure(tmp_path):
    path = tmp_path / "atom.xyz"
    path.write_text("1\nenergy=-0.5 Properties=species:S:1:pos:R:3\nGe 0 0 0\n")
    dataset = atomlab.read(path)
    assert dataset[0].info["REF_energy"] == -0.5 and dataset.columns()["nearest"].tolist() == [np.inf]
    assert dataset.summary()["nearest"] is None
