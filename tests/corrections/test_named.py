"""Corrections behind a model's name, and sums that survive save, load and copy."""

import copy

import numpy as np
import pytest
from ase.build import bulk

import atomlab
from atomlab.architectures import create
from atomlab.corrections import corrected, correction, split
from atomlab.corrections.zbl import ZBL
from atomlab.errors import InputError, Notice
from atomlab.potential import Card, Sum


def model(**config):
    return create("mace", elements=[14], channels=4, radial_hidden=[8], cutoff=4.0, **config)


def results(potential):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.15, seed=1)
    atoms.set_cell(atoms.cell * 0.8, scale_atoms=True)  # within the reach of ZBL
    atoms.calc = potential.calculator()
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(results(a), results(b)))


@pytest.fixture
def d3():
    pytest.importorskip("dftd3", reason="the extra 'd3' (package dftd3) is not installed")
    return correction("d3")


def test_a_sum_with_zbl_survives(tmp_path):
    main = model()
    whole = Sum(main, ZBL([14], p=5, scale=1.2))
    again = atomlab.load(atomlab.save(whole, tmp_path / "sum.safetensors"), device="cpu")
    assert isinstance(again, Sum) and again.card == whole.card and again.card.contains["zbl"] == "model"
    assert again.members[1].config == whole.members[1].config
    assert same(again, whole) and abs(results(again)[0] - results(main)[0]) > 0.1


def test_a_sum_with_d3_survives(tmp_path, d3):
    main = model()
    whole = Sum(main, d3("b3lyp", "zero"), ZBL([14]))
    again = atomlab.load(atomlab.save(whole, tmp_path / "sum.safetensors"), device="cpu")
    assert [type(part).__name__ for part in again.parts()] == ["MACE", "D3", "ZBL"]
    assert again.members[1].config == whole.members[1].config and again.members[1].config["functional"] == "b3lyp"
    assert same(again, whole)
    without = Sum(main, ZBL([14]))
    assert abs(results(again)[0] - results(without)[0]) > 0.1
    with pytest.raises(InputError, match="already contains D3"):  # the guard remembers
        Sum(again, d3())


def test_a_correction_alone_is_a_model(tmp_path, d3):
    for potential in (d3("pbe"), ZBL([14])):
        again = atomlab.load(atomlab.save(potential, tmp_path / "alone.safetensors"), device="cpu")
        assert again.config == potential.config and same(again, potential)


def test_what_was_forced_stays_forced(tmp_path):
    whole = Sum(Sum(model(), ZBL([14])), ZBL([14]), force=True)
    again = atomlab.load(atomlab.save(whole, tmp_path / "twice.safetensors"), device="cpu")
    assert same(again, whole) and again.config == {"force": True}


def test_sums_can_be_copied(d3):
    whole = Sum(model(), d3("pbe"))
    assert same(copy.deepcopy(whole), whole)


# --- in a name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("si-base", "si-base", ()),
        ("si-base+zbl", "si-base", ("zbl",)),
        ("runs/a.b/best.safetensors+d3:pbe:zero+zbl", "runs/a.b/best.safetensors", ("d3:pbe:zero", "zbl")),
        ("co2+ni100.pt", "co2+ni100.pt", ()),
        ("a+b.model+zbl", "a+b.model", ("zbl",)),
        ("+zbl", "+zbl", ()),
    ],
)
def test_names_are_taken_apart(text, name, words):
    assert split(text) == (name, words)


def test_a_file_of_that_name_is_itself(tmp_path):
    path = tmp_path / "odd+zbl"
    path.touch()
    assert split(path) == (str(path), ())


def test_words_that_are_no_correction():
    with pytest.raises(
        InputError, match=r"no correction 'd4'.*no file 'si-base\+d4:pbe'.*\+d3, \+zbl.*Did you mean 'd3'"
    ):
        atomlab.load("si-base+d4:pbe")
    with pytest.raises(InputError, match="ZBL takes no settings"):
        atomlab.load("si-base+zbl:6")


def test_load_adds_what_the_name_says(tmp_path, d3):
    path = atomlab.save(model(), tmp_path / "m.safetensors")
    bare = atomlab.load(path, device="cpu")
    found = atomlab.load(f"{path}+d3:pbe:zero+zbl", device="cpu")
    assert same(found, Sum(bare, d3("pbe", "zero"), ZBL([14])))
    assert found.members[2].config["elements"] == [14]  # no longer neighbour list than the model needs
    with pytest.raises(InputError, match="functional"):
        atomlab.load(f"{path}+d3:pbe99", device="cpu")
    with pytest.raises(InputError, match="takes a functional and a damping"):
        atomlab.load(f"{path}+d3:pbe:bj:1", device="cpu")


def test_a_functional_that_is_not_named_is_told(tmp_path, d3):
    path = atomlab.save(model(), tmp_path / "unnamed.safetensors")
    with pytest.warns(Notice, match="PBE's damping parameters, since no functional is named"):
        found = atomlab.load(f"{path}+d3", device="cpu")
    assert found.members[1].config["functional"] == "pbe"


def test_what_is_inside_is_not_added_again(tmp_path, d3):
    with pytest.raises(InputError, match=r"already contains ZBL \(in its model\).*twice.*force=True"):
        atomlab.load(f"{atomlab.save(model(zbl=True), tmp_path / 'zbl.safetensors')}+zbl", device="cpu")
    main = model()
    main.card = Card(name="off", elements=(14,), contains={"d3": "labels"})
    with pytest.raises(InputError, match=r"'off' already contains D3 \(in its labels\)"):
        corrected(main, ["d3:pbe"])
    with pytest.raises(InputError, match="already contains ZBL"):
        atomlab.load("si-base+zbl+zbl", device="cpu")


def test_runs_take_such_names(tmp_path):
    run = atomlab.md("si-base+zbl", structure="bulk:Si", steps=2, directory=tmp_path / "md", device="cpu")
    assert run.state == "done" and run.spec.model == "si-base+zbl"
    path = atomlab.save(model(), tmp_path / "m.safetensors")
    run = atomlab.md(f"{path}+zbl", structure="bulk:Si", steps=2, directory=tmp_path / "md2", device="cpu")
    assert run.state == "done" and run.spec.model == f"{path}+zbl"
    with pytest.raises(InputError, match="no such file"):
        atomlab.md(f"{tmp_path}/n.safetensors+zbl", structure="bulk:Si", directory=tmp_path / "md3")
    with pytest.raises(InputError, match="no correction 'zbk'"):
        atomlab.md("si-base+zbk", structure="bulk:Si", directory=tmp_path / "md4")
