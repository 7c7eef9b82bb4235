"""Every format that can be read gives back the numbers that were written."""

import gzip

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

import atomlab
from atomlab.data.formats import write_extxyz
from atomlab.data.formats.extxyz import read_extxyz
from atomlab.errors import InputError
from data.conftest import write_mlearn, write_outcar, write_vasprun


def check_same(dataset, frames, tolerance=1e-12, stress=1e-12):
    assert len(dataset) == len(frames)
    for ours, theirs in zip(dataset, frames):
        assert ours.get_chemical_symbols() == theirs.get_chemical_symbols()
        assert np.abs(ours.positions - theirs.positions).max() < max(tolerance, 1e-7)
        assert np.abs(ours.cell.array - theirs.cell.array).max() < max(tolerance, 1e-7)
        assert ours.info["REF_energy"] == pytest.approx(theirs.info["REF_energy"], abs=tolerance)
        assert np.abs(ours.arrays["REF_forces"] - theirs.arrays["REF_forces"]).max() < tolerance
        assert np.abs(ours.info["REF_stress"] - theirs.info["REF_stress"]).max() < stress
        assert ours.calc is None


def test_extended_xyz_gives_the_same_bits_back(tmp_path, silicon):
    silicon[0].info.update(
        text="a b", number_like="1200", truth_like="T", odd='a "quoted" \\ text', lines="two\nlines", empty="",
        table=[[1, 2], [3, 4]], flag=True, count=3, nothing=None,
    )  # fmt: skip
    silicon[0].arrays.update(tags=np.arange(8), chosen=np.arange(8) > 3, names=np.array(list("abcdefgh")))
    for name in ("a.extxyz", "a.extxyz.gz"):
        path = write_extxyz(tmp_path / name, silicon)
        dataset = atomlab.read(path)
        for ours, theirs in zip(dataset, silicon):
            assert np.array_equal(ours.positions, theirs.positions) and np.array_equal(ours.cell, theirs.cell)
            assert np.array_equal(ours.arrays["REF_forces"], theirs.arrays["REF_forces"])
            assert ours.info["REF_energy"] == theirs.info["REF_energy"]
            assert np.array_equal(ours.info["REF_stress"], theirs.info["REF_stress"])
        kept = {k: v for k, v in silicon[0].info.items() if not k.startswith("REF")}
        assert {k: dataset[0].info[k] for k in kept} == kept
        for name_of_array in ("tags", "chosen", "names"):
            assert np.array_equal(dataset[0].arrays[name_of_array], silicon[0].arrays[name_of_array])
        assert dataset.name == "a"
    # the same content makes the same file (no name, no time in the gzip header), and no temporary file stays
    packed = write_extxyz(tmp_path / "b.extxyz.gz", silicon).read_bytes()
    assert packed == (tmp_path / "a.extxyz.gz").read_bytes() and packed[4:8] == bytes(4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.extxyz", "a.extxyz.gz", "b.extxyz.gz"]


def test_what_we_write_ase_reads(tmp_path, silicon):
    path = atomlab.read(silicon).write(tmp_path / "a.extxyz")
    check_same(atomlab.read(path), ase.io.read(path, ":"))


def test_a_failed_write_leaves_the_old_file(tmp_path, silicon):
    path = tmp_path / "a.extxyz"
    path.write_text("old")
    silicon[3].info["bad"] = object()
    with pytest.raises(InputError, match="info"):
        write_extxyz(path, silicon)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_file_that_ase_wrote(tmp_path, silicon):
    """ASE writes labels of a calculator as plain `energy`, `forces`, `stress` and loses them from info on reading."""
    for atoms in silicon:
        atoms.calc = SinglePointCalculator(
            atoms, energy=atoms.info.pop("REF_energy"), forces=atoms.arrays.pop("REF_forces"),
            stress=atoms.info.pop("REF_stress"),
        )  # fmt: skip
    ase.io.write(tmp_path / "a.extxyz", silicon)
    dataset = atomlab.read(tmp_path / "a.extxyz")
    for ours, theirs in zip(dataset, silicon):
        assert ours.info["REF_energy"] == pytest.approx(theirs.get_potential_energy())
        assert np.abs(ours.arrays["REF_forces"] - theirs.get_forces()).max() < 1e-7
        assert np.abs(ours.info["REF_stress"] - theirs.get_stress()).max() < 1e-12
        assert "energy" not in ours.info and "forces" not in ours.arrays
    assert any("'stress', taken as eV/Å^3" in text for text in dataset.reading)


@pytest.mark.parametrize("name", ["a.traj", "a.db", "a.json"])
def test_ase_s_own_files(tmp_path, name):
    frames = []
    for k in range(3):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.05, seed=k)
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    path = tmp_path / name
    if name.endswith("traj"):
        ase.io.write(path, frames)
    else:
        with ase.db.connect(path) as db:
            for k, atoms in enumerate(frames):
                db.write(atoms, config_type=f"c{k}", data={"extra": [1, 2]})
    dataset = atomlab.read(path)
    for ours, theirs in zip(dataset, frames):
        assert ours.info["REF_energy"] == pytest.approx(theirs.get_potential_energy(), abs=1e-12)
        assert np.abs(ours.arrays["REF_forces"] - theirs.get_forces()).max() < 1e-12
        assert np.abs(ours.info["REF_stress"] - theirs.get_stress()).max() < 1e-12
    if not name.endswith("traj"):
        assert dataset.info("config_type") == ["c0", "c1", "c2"]


def test_mlearn_s_json_made_from_mlearn_s_numbers(tmp_path, shared):
    reference = atomlab.read(shared / "data" / "mlearn" / "Ge_train.extxyz")[::20]
    path = write_mlearn(tmp_path / "training.json", reference)
    dataset = atomlab.read(path)
    check_same(dataset, list(reference))
    assert dataset.info("config_type") == reference.info("config_type")
    assert len(dataset.split(by="given").train) > 0
    assert any("kBar" in text and "compression" in text for text in dataset.reading)
    zipped = tmp_path / "training.json.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    check_same(atomlab.read(zipped), list(reference))


@pytest.mark.parametrize("name, writer", [("vasprun.xml", write_vasprun), ("OUTCAR", write_outcar)])
def test_vasp_s_files_made_from_mlearn_s_numbers(tmp_path, shared, name, writer):
    reference = [a for a in atomlab.read(shared / "data" / "mlearn" / "Si_train.extxyz") if len(a) == 64][:3]
    path = writer(tmp_path / name, reference)
    dataset = atomlab.read(path)
    check_same(dataset, reference, tolerance=1e-7, stress=1e-7)
    free = atomlab.read(path, keys={"energy": "free_energy"})
    assert free[0].info["REF_energy"] == pytest.approx(reference[0].info["REF_energy"] - 0.01, abs=1e-7)
    assert any("free_energy" in text for text in dataset.reading)
    text = path.read_text()
    half = tmp_path / ("cut_" + name)
    half.write_text(text[: int(len(text) * 0.72)])
    with pytest.warns(UserWarning, match="cut short"):
        cut = atomlab.read(half)
    check_same(cut, reference[: len(cut)], tolerance=1e-7, stress=1e-7)
    assert 1 <= len(cut) < 3


def test_structures_without_labels_are_read_with_a_notice(tmp_path):
    ase.io.write(tmp_path / "POSCAR", bulk("Si"), format="vasp")
    with pytest.warns(UserWarning, match="no energies"):
        dataset = atomlab.read(tmp_path / "POSCAR")
    assert dataset.labels == () and len(dataset[0]) == 2
    (tmp_path / "plain.xyz").write_text("2\nhydrogen\nH 0 0 0\nH 0 0 0.74\n")
    assert not atomlab.read(tmp_path / "plain.xyz")[0].pbc.any()


def test_several_files_are_one_data_set(tmp_path, silicon):
    paths = [write_extxyz(tmp_path / f"{k}.extxyz", silicon[k : k + 2]) for k in (0, 2)]
    dataset = atomlab.read(paths)
    assert len(dataset) == 4 and dataset.name == "0 + 2" and any(text.startswith("2: ") for text in dataset.reading)


def test_the_data_sets_of_others(shared):
    """Counts, keys and a number of each from the files themselves."""
    silicon = atomlab.read(shared / "data" / "mlearn" / "Si_train.extxyz")
    assert len(silicon) == 214 and sum(t != "Surface" for t in silicon.info("config_type")) == 202
    first = silicon[0]
    assert first.info["REF_energy"] == -295.49753016
    assert first.info["REF_stress"] == pytest.approx(
        [0.004107503988364278, 0.0060128544849129785, 0.001722015272337695, 0.0010025043176563123, 0.003382576471059688,
         -0.005671550665533217], abs=1e-15,
    )  # fmt: skip
    cumulene = atomlab.read(shared / "data" / "cumulene" / "c5h4_random_rib3lyp_631g.extxyz")
    assert len(cumulene) == 858 and cumulene.labels == ("energy", "forces") and not cumulene[0].pbc.any()
    broad = atomlab.read(shared / "data" / "mptrj" / "mptrj-random-1k.xyz")
    assert len(broad) == 1000 and len(broad.elements) == 85 and broad.sizes.max() == 192
    assert any("eV/A^3" in text and "default" not in text for text in broad.reading)  # the file names its units itself


def test_our_reader_and_ase_s_agree(shared):
    path = shared / "data" / "mptrj" / "mptrj-random-1k.xyz"
    ours, theirs = read_extxyz(path), ase.io.read(path, ":")
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a.positions, b.positions) and np.array_equal(a.cell.array, b.cell.array)
        assert np.array_equal(a.numbers, b.numbers) and np.array_equal(a.pbc, b.pbc)
        assert np.array_equal(a.arrays["forces"], b.get_forces()) and a.info["energy"] == b.get_potential_energy()


def test_values_in_the_comment_line(tmp_path):
    (tmp_path / "a.xyz").write_text(
        '1\nProperties=Z:I:1:pos:R:3:flag:L:1 Lattice="4 0 0 0 5 0 0 0 6" pbc="T F T" energy=-1.5e0 name=\'it is\' '
        "list={1 2 3} new=[0.5, 1] nested=[[1, 2], [3, 4]] alone a=1_2 formula=T5 time=3ps\n14 0 0 0 T\n"
    )
    atoms = atomlab.read(tmp_path / "a.xyz")[0]
    assert atoms.numbers.tolist() == [14] and atoms.pbc.tolist() == [True, False, True]
    assert atoms.cell.lengths().tolist() == [4, 5, 6] and atoms.info["REF_energy"] == -1.5
    assert atoms.info["name"] == "it is" and atoms.info["list"].tolist() == [1, 2, 3]
    assert atoms.info["new"].tolist() == [0.5, 1.0] and atoms.info["alone"] is True
    assert atoms.info["a"] == "1_2" and atoms.info["formula"] == "T5" and atoms.info["time"] == "3ps"
    assert atoms.info["nested"].tolist() == [[1, 2], [3, 4]]


def test_results_of_a_live_calculator_are_kept_and_stale_ones_are_not():
    atoms = bulk("Cu")
    atoms.calc = EMT()
    atoms.get_forces()
    moved = atoms.copy()
    moved.calc = atoms.calc
    moved.positions += 0.5 * molecule("H2").positions[:1]
    moved.rattle(0.1)
    dataset = atomlab.read([atoms, moved])
    assert dataset[0].info["REF_energy"] == atoms.get_potential_energy()
    assert "REF_energy" not in dataset[1].info and any("other positions" in text for text in dataset.reading)
    assert atoms.calc is not None  # the user's own structure is left alone
