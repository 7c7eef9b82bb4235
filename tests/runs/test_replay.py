"""Replay as a run: from the command line, its selection kept, its choices saved, gone on with, never naive."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk

import atomlab
from atomlab import checkpoint, cli
from atomlab.architectures import create
from atomlab.errors import InputError
from atomlab.runs import Run, api, list_runs
from runs.test_tasks import killed

SMALL = {"channels": 4, "l_edges": 1, "correlation": 1, "cutoff": 3.5, "radial_hidden": [8], "readout_hidden": 4}
SHORT = {"epochs": 2, "train": 4, "valid": 2, "batch_structures": 2, "replay_count": 6, "replay_valid": 0.34}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    """An untrained base for Si, its own data, and another level of theory."""
    folder = tmp_path_factory.mktemp("files")
    atomlab.save(create("mace", elements=["Si"], seed=1, **SMALL), folder / "base.safetensors")
    rng = np.random.default_rng(0)
    for name, shift in (("own", 0.0), ("new", -3.0)):
        teacher, frames = create("stillinger-weber", elements=["Si"]), []
        for _ in range(12):
            atoms = bulk("Si", cubic=True)
            atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
            atoms.calc = teacher.calculator()
            atoms.info["REF_energy"], atoms.arrays["REF_forces"] = (
                atoms.get_potential_energy() + shift,
                atoms.get_forces(),
            )
            atoms.calc = None
            frames.append(atoms)
        atomlab.read(frames).write(folder / f"{name}.extxyz")
    return {path.stem: str(path) for path in folder.iterdir()}


def test_replay_from_the_command_line(files, capfd) -> None:
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SHORT.items()]
    assert (
        cli.main(["finetune", files["base"], files["new"], "--strategy", "replay", "--replay", files["own"], *words])
        == 0
    )
    run = list_runs()[0]
    told = capfd.readouterr().err
    assert "replay_count: 6, as set." in told and "Structures that contain Si" in told and "keep_by: " in told
    assert "errors on the base's own held-out data: energy ×" in told
    result = run.result()
    base, after = result.metrics["base"], result.metrics
    kept = result.metrics["foundation_ratio"]
    assert kept["forces"] == pytest.approx(after["replay_forces_rmse"] / base["replay_forces_rmse"])
    saved = checkpoint.header(run.directory)["metadata"]
    assert saved["strategy"] == "replay" and saved["choices"]["replay_count"] == "6, as set."
    assert result.potential.card.heads == ("default", "new")
    assert len(atomlab.read(run.directory / "replay.extxyz")) == 6
    valid = [e for e in run.events() if e["kind"] == "metric" and e["split"] == "valid"]
    assert all("replay_forces_rmse" in e for e in valid)


def test_a_killed_one_goes_on_with_the_same_structures(files) -> None:
    values = {"model": files["base"], "data": files["new"], "strategy": "replay", "replay": files["own"], **SHORT}
    run = killed(Run(api.prepare("finetune", values)), "metric", 2)
    chosen = (run.directory / "replay.extxyz").stat().st_mtime_ns
    told = json.loads((run.directory / "replay.json").read_text())
    (run.directory / "replay.json").write_text(json.dumps(told | {"replay_rule": ["kept", "As before"]}))
    run.resume(wait=True)
    assert run.state == "done" and (run.directory / "replay.extxyz").stat().st_mtime_ns == chosen
    plans = [e for e in run.events() if e["kind"] == "plan"]
    assert len(plans) == 2 and plans[-1]["reasons"]["replay_rule"] == "As before."


def test_without_replay_data_nothing_is_trained(files) -> None:
    with pytest.raises(InputError, match="does not go on without"):
        atomlab.finetune(files["base"], files["new"], "replay", **SHORT)
    with pytest.raises(InputError, match="for the strategy 'replay'"):
        atomlab.finetune(files["base"], files["new"], "naive", replay=files["own"], epochs=1)
    with pytest.raises(InputError, match="'naive' has no setting 'replay_count'"):
        atomlab.finetune(files["base"], files["new"], "naive", replay_count=5, epochs=1)
    assert list_runs() == []


def test_lora_as_a_run_leaves_an_ordinary_model(files) -> None:
    run = atomlab.finetune(files["base"], files["new"], "lora", lora_rank=1, epochs=2, train=4, valid=2)
    base = checkpoint.load(files["base"])
    for name in ("best.safetensors", "last.safetensors"):
        tuned = checkpoint.load(run.directory / name)
        assert set(tuned.state_dict()) == set(base.state_dict())
    assert run.result().potential.kind == "mace"
