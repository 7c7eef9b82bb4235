"""The tasks themselves, small: MD and trainings as runs, killed and gone on with, repeated from their own text."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io.trajectory import Trajectory

import atomlab
from atomlab import cli
from atomlab.architectures import create
from atomlab.errors import InputError
from atomlab.runs import Run, api, list_runs
from atomlab.runs.recipes import md as md_recipe

SMALL = {"channels": 4, "l_edges": 1, "correlation": 1, "cutoff": 3.5, "radial_hidden": [8], "readout_hidden": 4}
SHORT = {"epochs": 6, "train": 6, "valid": 4, "batch_structures": 2}

# Executes a run and kills its own process, without a word, when an event of some kind comes for the n-th time.
KILLER = """
import os, signal, sys
from atomlab.runs import execute
from atomlab.runs.recipes import arms, md
path, kind, count, every = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
md._STATE_EVERY = arms._SAVE_EVERY = every
seen = 0
def listen(event):
    global seen
    seen += event["kind"] == kind
    if seen == count:
        os.kill(os.getpid(), signal.SIGKILL)
execute(path, listen)
"""


def killed(run: Run, kind: str, count: int, every: float = 0.0) -> Run:
    """Execute a run in another process that is killed in its midst."""
    command = [sys.executable, "-c", KILLER, str(run.directory), kind, str(count), str(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run.state == "lost"
    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """A small untrained MACE for Si, Stillinger-Weber for Ge, and data of both elements with labels."""
    folder = tmp_path_factory.mktemp("files")
    atomlab.save(create("mace", elements=["Si"], seed=1, **SMALL), folder / "si.safetensors")
    atomlab.save(create("stillinger-weber", elements=["Ge"]), folder / "sw.safetensors")
    rng = np.random.default_rng(0)
    for element in ("Si", "Ge"):
        teacher, frames = create("stillinger-weber", elements=[element]), []
        for _ in range(14):
            atoms = bulk(element, cubic=True)
            atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
            atoms.calc = teacher.calculator()
            atoms.get_stress()
            atoms.get_forces()
            frames.append(atoms)
        atomlab.read(frames).write(folder / f"{element}.extxyz")
    return {p.stem: str(p) for p in folder.iterdir()}


def metrics(run: Run) -> dict:
    """Losses by where in the run they were found; what was done twice counts once."""
    found = [e for e in run.events() if e["kind"] == "metric"]
    return {(e["arm"], e["split"], e["step"]): e["loss"] for e in found}


def test_a_finetune_with_its_twin(files, capfd) -> None:
    run = atomlab.finetune(files["si"], files["Ge"], "transfer", scratch_twin=True, **SHORT)
    assert run.state == "done"
    first = next(e for e in run.events() if e["kind"] == "metric" and e["arm"] == "finetune")
    assert next(e["seq"] for e in run.events() if e["kind"] == "base") < first["seq"]
    result = run.result()
    assert result.potential.card.elements == (14, 32)
    assert result.metrics["base"]["forces_rmse"] > 0
    assert re.match(r"done: force RMSE \d\.\d+ -> \d\.\d+ eV/Å, energy .* \(scratch force RMSE", result.text)
    parity = result.arrays("parity")
    n = len(parity["forces_true"])
    assert n == 4 * 8
    for name in ("forces_predicted", "forces_scratch"):
        assert parity[name].shape == (n, 3)
    wrong = np.sqrt(np.mean((parity["forces_predicted"] - parity["forces_true"]) ** 2))
    assert wrong == pytest.approx(result.metrics["forces_rmse"], rel=1e-5)
    data = atomlab.read(files["Ge"])
    row = 11
    np.testing.assert_allclose(
        data[int(parity["frame"][row])].arrays["REF_forces"][parity["atom"][row]], parity["forces_true"][row]
    )
    split = json.loads((run.directory / "split.json").read_text())
    assert len(split["train"]) == 6
    assert not set(split["train"]) & set(split["valid"])
    assert {e["arm"] for e in run.events() if e["kind"] == "metric"} == {"finetune", "scratch"}
    assert atomlab.load(str(run.directory)).card.elements == (14, 32)
    told = capfd.readouterr().err
    assert "The base model on the validation set" in told


def test_both_curves_grow_side_by_side(files) -> None:
    run = atomlab.finetune(files["si"], files["Si"], scratch_twin=True, **SHORT)
    progress = {"finetune": 0.0, "scratch": 0.0}
    for e in run.events():
        if e["kind"] == "metric":
            progress[e["arm"]] = e["epoch"]
            assert abs(progress["finetune"] - progress["scratch"]) <= 1 / 3 + 1e-9


def test_a_killed_training_is_gone_on_with_to_the_same_losses(files) -> None:
    settings = {"model": files["si"], "data": files["Si"], "scratch_twin": True, **SHORT}
    run = killed(Run(api.prepare("finetune", settings)), "metric", 25)
    assert (run.directory / "state.pt").exists()
    run.resume(wait=True)
    assert run.state == "done"
    whole = Run(api.prepare("finetune", settings)).start(wait=True)
    got, expected = metrics(run), metrics(whole)
    assert set(got) == set(expected)
    for place, loss in expected.items():
        assert got[place] == pytest.approx(loss, rel=1e-6), place
    assert len([e for e in run.events() if e["kind"] == "base"]) == 1
    assert run.result().metrics["forces_rmse"] == pytest.approx(whole.result().metrics["forces_rmse"], rel=1e-6)


def test_a_stopped_training_keeps_the_best_and_can_be_gone_on_with(files) -> None:
    run = Run(api.prepare("finetune", {"model": files["si"], "data": files["Si"], **SHORT}))

    def stop(event) -> None:
        if event["kind"] == "metric" and event["step"] >= 7:
            run.stop()

    atomlab.runs.execute(run.directory, stop)
    assert run.state == "stopped"
    assert np.isfinite(run.result().potential.calculator().get_potential_energy(bulk("Si")))
    assert run.resume(wait=True).state == "done"
    whole = atomlab.finetune(files["si"], files["Si"], **SHORT)
    assert metrics(run) == pytest.approx(metrics(whole), rel=1e-6)


def test_train_from_a_configuration_and_evaluate(files, capfd) -> None:
    run = atomlab.train({"architecture": "mace", **SMALL}, files["Si"], **SHORT)
    assert run.spec.config == SMALL
    assert run.result().potential.config["channels"] == 4
    assert run.result().metrics["forces_rmse"] > 0
    assert cli.main(["evaluate", str(run.directory), f"{run.name}#valid"]) == 0
    told = capfd.readouterr().err
    assert "meV/Å" in told
    found = list_runs()[-1].result()
    assert found.metrics["forces"]["rmse"] == pytest.approx(run.result().metrics["forces_rmse"], rel=1e-5)
    assert found.metrics["forces"]["count"] == 4 * 8


def test_settings_of_other_strategies_are_refused_in_words(files) -> None:
    with pytest.raises(InputError, match="'naive' has no setting 'parents'"):
        atomlab.finetune(files["si"], files["Si"], parents={"Ge": "Si"}, **SHORT)
    with pytest.raises(InputError, match="does not know the element.*Ge"):
        atomlab.finetune(files["si"], files["Ge"], **SHORT)
    with pytest.raises(InputError, match="no option 'chanels'.*Did you mean 'channels'"):
        atomlab.train({"architecture": "mace", "chanels": 3}, files["Si"])
    assert list_runs() == []


def frames(run: Run) -> dict[int, dict]:
    names = ("step", "potential_energy", "kinetic_energy", "conserved", "pressure")
    return {e["index"]: {k: e[k] for k in names} for e in run.events() if e["kind"] == "frame"}


DYNAMICS = {"structure": "bulk:Ge", "temperature": 700, "steps": 60, "frame_every": 5}


def test_an_md_can_be_read_while_it_is_written(files) -> None:
    run = Run(api.prepare("md", {"model": files["sw"], **DYNAMICS}))
    lengths = []

    def look(event) -> None:
        if event["kind"] == "frame":
            with Trajectory(str(run.directory / "trajectory.traj")) as file:
                lengths.append(len(file))
                assert file[-1].get_potential_energy() == pytest.approx(event["potential_energy"])
                assert file[-1].get_forces().shape == (8, 3)

    atomlab.runs.execute(run.directory, look)
    assert lengths == list(range(1, 14))
    result = run.result()
    assert result.metrics["steps"] == 60
    assert result.metrics["frames"] == len(result.frames) == 13
    assert result.frames[3].get_momenta().any()
    rdf = [e for e in run.events() if e["kind"] == "rdf"][-1]
    near = np.array(rdf["g"]) * (np.array(rdf["r"]) < 3.2)
    assert rdf["r"][int(np.argmax(near))] == pytest.approx(2.45, abs=0.1)


@pytest.mark.parametrize("every", [0.0, 1e9])
def test_a_killed_md_is_gone_on_with(files, every: float) -> None:
    settings = {"model": files["sw"], **DYNAMICS}
    run = killed(Run(api.prepare("md", settings)), "frame", 8, every)
    with Trajectory(str(run.directory / "trajectory.traj")) as file:
        assert len(file) == 8  # readable after the kill
    assert run.resume(wait=True).state == "done"
    whole = Run(api.prepare("md", settings)).start(wait=True)
    got, expected = frames(run), frames(whole)
    assert list(got) == list(expected) == list(range(13))
    for index, values in expected.items():
        assert got[index] == pytest.approx(values, abs=1e-9), index
    assert len(run.result().frames) == 13
    np.testing.assert_allclose(run.result().frames[-1].positions, whole.result().frames[-1].positions, atol=1e-9)
    again = [e["frames"] for e in run.events() if e["kind"] == "state" and "frames" in e]
    assert again == ([7] if every == 0.0 else [])


def test_an_md_that_breaks_down_says_which_atoms(files) -> None:
    run = atomlab.md(files["sw"], "bulk:Ge", temperature=300, max_temperature=310, steps=200)
    assert run.state == "stopped"
    assert "temperature reached" in run.reason
    assert run.result().metrics["frames"] == len(run.result().frames)
    atoms = bulk("Ge", cubic=True)
    atoms.positions[3] = atoms.positions[4] + [0.5, 0.2, 0]
    run = atomlab.md(files["sw"], atoms)
    assert run.last_word()["atoms"] == [3, 4]
    assert "Atoms 3 (Ge) and 4 (Ge)" in run.reason[9:].capitalize() or "atoms 3 (Ge) and 4 (Ge)" in run.reason


def test_objects_in_memory_are_written_into_the_run_first(files) -> None:
    atoms = bulk("Ge", cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.set_velocities(np.full((8, 3), 1e-3))
    model = create("stillinger-weber", elements=["Ge"])
    run = atomlab.md(model, atoms, velocities="keep", ensemble="nve", steps=2, frame_every=1)
    assert run.spec.model == "inputs/model.safetensors"
    np.testing.assert_array_equal(run.result().frames[0].positions, atoms.positions)
    fork = run.fork(wait=True, steps=3)
    assert len(fork.result().frames) == 4
    data = atomlab.read(files["Si"])[2:12]
    tuned = atomlab.finetune(atomlab.load(files["si"]), data, epochs=1, valid=2)
    assert tuned.spec.data == "inputs/data.extxyz"
    assert len(json.loads((tuned.directory / "split.json").read_text())["train"]) == 8


@pytest.mark.parametrize("kind", ["md", "finetune"])
def test_copied_text_gives_the_same_numbers(files, kind: str) -> None:
    """`as_command` in a shell and `as_python` in an interpreter."""
    if kind == "md":
        run = atomlab.md(files["sw"], **{**DYNAMICS, "steps": 20, "seed": 4})
    else:
        run = atomlab.finetune(files["si"], files["Ge"], "transfer", parents={"Ge": "Si"}, **{**SHORT, "epochs": 2})
    assert cli.main(shlex.split(run.as_command())[1:]) == 0
    exec(run.as_python(), {})
    first, command, python = list_runs()
    for other in (command, python):
        assert other.spec == first.spec
        if kind == "md":
            assert frames(other) == frames(first)
        else:
            assert metrics(other) == metrics(first)


def test_full_disk_while_an_md_runs(files, monkeypatch) -> None:
    write = md_recipe.TrajectoryWriter.write

    def full(self, atoms) -> None:
        if len(self.backend) >= 5:
            raise OSError(28, "No space left on device")
        write(self, atoms)

    monkeypatch.setattr(md_recipe.TrajectoryWriter, "write", full)
    run = atomlab.md(files["sw"], **DYNAMICS)
    assert run.state == "stopped"
    assert "no space left" in run.reason
    monkeypatch.undo()
    assert run.resume(wait=True).state == "done"
    assert len(run.result().frames) == 13


def test_bad_input_of_md_is_said_and_leaves_nothing(files) -> None:
    for arguments, words in (
        ((files["si"], "bulk:Ge"), "does not know the element"),
        ((files["sw"], "bulk:Gee"), "cannot be built"),
        (("no-such-model", "bulk:Ge"), "no model of this name"),
        ((files["sw"], Atoms("Ge2", [[0, 0, 0], [2.4, 0, 0]], pbc=True)), "periodic"),
    ):
        with pytest.raises(InputError, match=words):
            atomlab.md(*arguments)
    if not __import__("torch").cuda.is_available():
        with pytest.raises(InputError, match="CUDA device was asked for"):
            atomlab.md(files["si"], "bulk:Si", device="cuda")
    assert list_runs() == []


@pytest.mark.parametrize(("text", "count"), [("#0:5", 5), ("#1,3", 2), ("#-1", 1), ("#2:", 12), ("", 14), ("#::2", 7)])
def test_parts_of_data_sets_by_number(files, text: str, count: int) -> None:
    from atomlab.runs.recipes.loading import load_data

    class NoRun:
        def path(self, name: str) -> Path:
            raise AssertionError

    assert len(load_data(files["Ge"] + text, NoRun())) == count
    with pytest.raises(InputError, match="no such frames"):
        load_data(files["Ge"] + "#20", NoRun())
    with pytest.raises(InputError, match="numbers of frames"):
        load_data(files["Ge"] + "#last", NoRun())


def test_generate_can_be_stopped_and_gone_on_with() -> None:
    settings = {"element": "Si", "cells": 1, "lowest": 600, "highest": 800, "step": 100, "settle_time": 0.02,
                "equilibrate_time": 0.01, "spacing": 10, "frames": 2}  # fmt: skip
    run = Run(api.prepare("generate", settings))

    def stop(event) -> None:
        if event["kind"] == "progress" and event["done"] == 4:
            run.stop()

    atomlab.runs.execute(run.directory, stop)
    assert run.state == "stopped"
    assert len(atomlab.read(run.directory / "sw-si.extxyz.gz")) == 4
    assert run.resume(wait=True).state == "done"
    whole = Run(api.prepare("generate", settings)).start(wait=True)
    hashes = [atomlab.read(r.directory / "sw-si.extxyz.gz").hash() for r in (run, whole)]
    assert hashes[0] == hashes[1]
    assert run.result().metrics["structures"] == 6
