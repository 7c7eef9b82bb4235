"""The data that come with the package: what the cards say is so, and the labels are the teacher's."""

import json

import numpy as np
import pytest
import torch

import atomlab
from atomlab.build import build
from atomlab.data import embedded_names, findings
from atomlab.potential import outputs
from atomlab.runs.recipes.generate import GenerateSettings, generate, main

SMALL = {"cells": 1, "lowest": 600, "highest": 3000, "step": 2400, "frames": 2, "melt_time": 0.01, "settle_time": 0.03,
         "equilibrate_time": 0.02, "spacing": 20, "seed": 3}  # fmt: skip


def card_of(name):
    return json.loads(embedded_names()[name].with_name(f"{name}.json").read_text())


@pytest.mark.parametrize("name, element, count", [("sw-si", 14, 306), ("sw-ge", 32, 272)])
def test_the_card_describes_the_file(name, element, count):
    dataset, card = atomlab.read(name), card_of(name)
    assert len(dataset) == count == card["structures"] and dataset.elements == (element,) and dataset.name == name
    assert dataset.hash() == card["content_sha256"] and set(dataset.sizes) == {64}
    assert dataset.labels == ("energy", "forces", "stress") == tuple(card["labels"])
    settings = GenerateSettings(**card["settings"])
    assert settings.temperatures == sorted(set(dataset.info("temperature"))) and settings.seed == card["seed"]
    assert {f"{t:g}K" for t in settings.temperatures} == set(dataset.info("config_type"))
    assert len(set(dataset.info("group"))) == len(settings.temperatures) == 34
    assert embedded_names()[name].stat().st_size < 3e6


@pytest.mark.parametrize("name", ["sw-si", "sw-ge"])
def test_the_labels_are_the_teacher_s(name):
    teacher = atomlab.create(card_of(name)["teacher"]["architecture"], **card_of(name)["teacher"]["config"])
    for atoms in atomlab.read(name)[::40]:
        out = outputs(teacher, build(atoms, teacher.needs), ("energy", "forces", "stress"))
        assert out.energy.item() == pytest.approx(atoms.info["REF_energy"], abs=2e-8)
        assert np.abs(out.forces.numpy() - atoms.arrays["REF_forces"]).max() < 2e-8
        assert np.abs(out.stress[0].numpy() - atoms.info["REF_stress"]).max() < 2e-10


def test_solid_and_melt_are_both_there_and_differ():
    dataset = atomlab.read("sw-ge")
    energy, start = dataset.columns(nearest=False)["energy"], np.array(dataset.info("start"))
    assert energy[start == "melt"].min() > energy[start == "crystal"].max() and set(start) == {"crystal", "melt"}


def test_the_doctor_has_something_to_show():
    found = findings(atomlab.read("sw-ge"))
    assert [f.code for f in found] == ["close-pairs"]
    assert found[0].frames == (203, 260, 257, 221) and "2.00 Å in frame 203" in found[0].text
    assert min(atomlab.read("sw-ge")[list(found[0].frames)].info("temperature")) > 2500


def test_groups_split_by_temperature():
    split = atomlab.read("sw-ge").split(by="group", valid=0.2, seed=1)
    assert len(split.valid) == 56 and not set(split.train.info("temperature")) & set(split.valid.info("temperature"))


def test_generating_is_repeatable_and_labelled():
    events = []
    frames = generate(GenerateSettings(element="Si", **SMALL), lambda kind, **values: events.append((kind, values)))
    assert [a.info["config_type"] for a in frames] == ["600K", "600K", "3000K", "3000K"]
    assert [a.info["start"] for a in frames] == ["crystal"] * 2 + ["melt"] * 2
    assert [a.info["time"] for a in frames] == [0.02, 0.04] * 2
    assert [e[1]["done"] for e in events] == [2, 4] and events[-1][0] == "progress" and events[-1][1]["left_s"] == 0
    again = generate(GenerateSettings(element="Si", **{**SMALL, "lowest": 3000}), lambda kind, **values: None)
    # a temperature has its own random stream: it does not depend on the others
    assert np.array_equal(again[1].positions, frames[3].positions)
    other = generate(
        GenerateSettings(element="Si", **{**SMALL, "lowest": 3000, "seed": 4}), lambda kind, **values: None
    )
    assert not np.allclose(other[1].positions, frames[3].positions)
    near = generate(
        GenerateSettings(element="Si", **{**SMALL, "lowest": 600, "highest": 601, "step": 1}), lambda *a, **k: 0
    )
    assert np.abs(near[0].positions - near[2].positions).max() > 0.02  # nor do neighbours move in step
    teacher = atomlab.create("stillinger-weber")
    out = outputs(teacher, build(frames[2], teacher.needs))
    assert out.energy.item() == pytest.approx(frames[2].info["REF_energy"], abs=1e-7)
    assert torch.allclose(out.forces, torch.tensor(frames[2].arrays["REF_forces"]), atol=1e-7)


def test_generating_can_be_stopped():
    class Stop(Exception):
        pass

    calls = []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise Stop

    with pytest.raises(Stop):
        generate(GenerateSettings(**SMALL), lambda kind, **values: None, check)


def test_the_command_that_the_card_names(tmp_path, capsys):
    path = tmp_path / "my-ge.extxyz.gz"
    options = [text for key, value in SMALL.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    main([*options, "--path", str(path)])
    dataset, card = atomlab.read(path), json.loads((tmp_path / "my-ge.json").read_text())
    assert (
        len(dataset) == 4
        and card["content_sha256"] == dataset.hash()
        and "4 of 4 structures" in capsys.readouterr().out
    )
    shown = card["command"].split("generate ")[1].split()
    second = tmp_path / "again.extxyz.gz"
    main([*shown[:-1], str(second)])
    assert second.read_bytes() == path.read_bytes()


def test_settings_are_checked():
    for wrong in ({"element": "C"}, {"frames": 0}, {"timestep": 50}, {"lowest": -1}, {"typo": 1}):
        with pytest.raises(ValueError):
            GenerateSettings(**wrong)
    for field in GenerateSettings.model_fields.values():
        assert field.description and "unit" in field.json_schema_extra
