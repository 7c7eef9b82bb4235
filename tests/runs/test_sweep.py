"""A sweep: every cell once, settings chosen at equal budgets on validation data, gone on with after anything."""

import contextlib
import csv
import json
import os
import signal
import sys
import time
import types

import numpy as np
import pytest
import yaml

import atomlab
from atomlab import cli
from atomlab.architectures import create
from atomlab.errors import AtomLabError, InputError
from atomlab.runs import Run, execute, list_runs, parse, pool, prepare
from atomlab.runs.cells import FOLDER, finished, work
from atomlab.runs.recipes import sweep as recipe
from training import toy

SMALL = {"channels": 4, "l_edges": 1, "correlation": 1, "cutoff": 3.5, "radial_hidden": [8], "readout_hidden": 4}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    atomlab.save(create("mace", elements=["Si"], seed=1, **SMALL), folder / "base.safetensors")
    atomlab.read(toy.frames(n=20)).write(folder / "si.extxyz")
    return {"model": str(folder / "base.safetensors"), "data": str(folder / "si.extxyz")}


BASE = {
    "sizes": [2, 4], "seeds": [0, 1], "valid": 4, "test": 5, "device": "cpu",
    "settings": {"epochs": 1, "batch_structures": 2}, "strategies": {"naive": {}, "scratch": {}},
}  # fmt: skip


@pytest.fixture
def here(monkeypatch):
    """Cells are carried out in this process, one after the other; which ones is recorded."""
    done: list[str] = []

    def serial(paths, cluster, workers, retries, check):
        for path in [p for p in paths if not finished(p)]:
            check()
            done.append(path.name)
            with contextlib.suppress(AtomLabError):  # the run says so itself
                work(path)
            yield path

    monkeypatch.setattr(recipe, "carried_out", serial)
    return done


def swept(files, **changes) -> Run:
    run = Run(prepare("sweep", {**BASE, **files, **changes}))
    execute(run.directory)
    return run


def rows(run: Run) -> list[dict]:
    return json.loads((run.directory / "table.json").read_text())["rows"]


def test_every_cell_once_with_a_table_and_a_figure(files, here) -> None:
    choose = {"learning_rate": [0.01, 0.001]}
    own = {"strategies": {"naive": {}, "scratch": {"choose": {"learning_rate": [0.05, 0.02]}}}, "choose": choose}
    run = swept(files, **own)
    assert run.state == "done" and len(here) == len(set(here)) == 4 + 8 - 2  # a trial that is a cell is not repeated
    table = rows(run)
    assert [(r["arm"], r["size"], r["seed"]) for r in table] == [
        (arm, size, seed) for arm in ("naive", "scratch") for size in (2, 4) for seed in (0, 1)
    ]
    chosen = json.loads((run.directory / "choices.json").read_text())
    assert chosen["budget"] == {"trials": 2, "effort": None, "epochs": 1, "time_limit": None}
    assert (chosen["size"], chosen["seed"], chosen["score"]) == (4, 0, "validation forces_rmse")
    for arm, found in chosen["arms"].items():
        best = min(found["trials"], key=lambda trial: trial["score"])
        assert found["chosen"] == best["values"] and len({t["score"] for t in found["trials"]}) == 2
        assert all(r["chosen"] == best["values"] for r in table if r["arm"] == arm)
        # the score is the validation's, which is not what the table measures
        mine = next(r for r in table if r["run"] == best["run"])
        assert mine["valid_forces_rmse"] == best["score"] != mine["forces_rmse"]
    with (run.directory / "table.csv").open() as file:
        assert [float(r["forces_mae"]) for r in csv.DictReader(file)] == [r["forces_mae"] for r in table]
    assert (run.directory / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    curve = run.result().metrics["scratch"]["4"]["forces_mae"]
    both = [r["forces_mae"] for r in table if (r["arm"], r["size"]) == ("scratch", 4)]
    assert curve == {"mean": np.mean(both), "least": min(both), "most": max(both), "seeds": 2}


def test_the_test_set_is_seen_by_no_training_and_measured_by_the_best_weights(files, here) -> None:
    run = swept(files, sizes=[3], seeds=[0, 7])
    test = set(json.loads((run.directory / "test.json").read_text())["frames"])
    whole = atomlab.read(files["data"])
    assert len(test) == 5
    for row in rows(run):
        split = json.loads((run.directory / FOLDER / row["run"] / "split.json").read_text())
        parts = [set(split["train"]), set(split["valid"]), test]
        assert [len(p) for p in parts] == [3, 4, 5] and sum(map(len, parts)) == len(set.union(*parts))
        best = atomlab.load(str(run.directory / FOLDER / row["run"] / "best.safetensors"), device="cpu")
        again = atomlab.evaluate(best, whole[sorted(test)]).errors()
        assert row["forces_mae"] == pytest.approx(again["forces"]["mae"], rel=1e-6)
        assert row["energy_mae"] == pytest.approx(again["energy"]["mae"], rel=1e-6)
    draws = {tuple(json.loads((p / "split.json").read_text())["train"]) for p in (run.directory / FOLDER).iterdir()}
    assert len(draws) == 2  # each seed its own structures, the same for both arms


def test_stopped_in_its_midst_it_goes_on(files, here, monkeypatch) -> None:
    run = Run(prepare("sweep", {**BASE, **files, "sizes": [2], "strategies": ["naive"], "seeds": [0, 1, 2]}))
    execute(run.directory, lambda e: run.stop() if e["kind"] == "cell" and e["seed"] == 0 else None)
    assert run.state == "stopped" and len(here) == 1
    execute(run.directory)
    assert run.state == "done" and len(here) == 3 == len(set(here))
    with pytest.raises(InputError, match="done"):
        execute(run.directory)


def test_what_is_lost_is_named_and_gone_on_with(files, here, monkeypatch) -> None:
    broken = [True]
    original = work

    def dies(path):
        if broken[0] and "naive-n4-s1" in str(path):
            raise AtomLabError("its worker died")
        original(path)

    monkeypatch.setattr(sys.modules[__name__], "work", dies)
    run = swept(files)
    assert run.state == "stopped" and "Lost: naive-n4-s1" in run.reason and "atomlab resume" in run.reason
    assert sum(r["state"] == "done" for r in rows(run)) == 7  # the table holds what there is
    broken[0] = False
    execute(run.directory)
    assert run.state == "done" and here.count("naive-n4-s1") == 2 and len(here) == 9


def test_the_same_spec_again_goes_on_or_is_done(files, here, tmp_path, capsys) -> None:
    spec = tmp_path / "curve.yaml"
    spec.write_text(yaml.safe_dump({"kind": "sweep", **BASE, **files, "sizes": [2], "seeds": [0]}))
    run = Run(prepare("sweep", {**BASE, **files, "sizes": [2], "seeds": [0]}))
    execute(run.directory, lambda e: run.stop() if e["kind"] == "cell" else None)
    assert run.state == "stopped"
    assert cli.main(["sweep", str(spec)]) == 0 and "Going on with" in capsys.readouterr().err
    assert [r.name for r in list_runs()] == [run.name] and run.state == "done" and len(here) == 2
    assert cli.main(["sweep", str(spec)]) == 0 and "--again repeats it" in capsys.readouterr().err
    assert cli.main(["sweep", str(spec), "--again", "--directory", str(tmp_path / "other")]) == 0 and len(here) == 4
    spec.write_text(spec.read_text().replace("test: 5", "test: 6"))
    assert cli.main(["sweep", str(spec), "--directory", str(tmp_path / "other")]) == 2
    assert "a run in this directory already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": []}, "'sizes' is empty"),
        ({"sizes": [4, 4]}, "different numbers from 1 on"),
        ({"strategies": {"naive": {"epochs": 9}, "scratch": {}}}, "'epochs' is set for 'naive' alone.*same budget"),
        (
            {"choose": {"learning_rate": [0.1, 0.01]}, "strategies": {"naive": {"choose": {}}, "scratch": {}}},
            "same number of trials, got naive 1, scratch 2",
        ),
        ({"sizes": [40]}, "not so many structures.*up to 11"),
        ({"strategies": {"mine": {}}}, "'mine' names no strategy"),
        ({"strategies": {"naive": {"freez": ["x"]}}}, "Arm 'naive'.*no setting 'freez'"),
        ({"settings": {"train": 3}}, "'train' belongs to the whole sweep"),
        ({"cluster": {"pbs": {}}}, "no such cluster"),
    ],
)
def test_mistakes_are_found_before_anything_runs(files, changes, words) -> None:
    run = Run(prepare("sweep", {**BASE, **files})) if "cluster" not in changes and not _parses(changes) else None
    with pytest.raises(InputError, match=words):
        swept(files, **changes)
    assert run is None or not (run.directory / FOLDER).exists()


def _parses(changes) -> bool:
    try:
        parse({"kind": "sweep", **BASE, "model": "m", "data": "d", **changes})
    except InputError:
        return False
    return True


def test_arms_of_other_kinds(files, here) -> None:
    arms = {
        "frozen": {"strategy": "naive", "freeze": ["readouts*"]},
        "new": {"kind": "train", "model": "mace", "config": SMALL},
    }
    run = swept(files, strategies=arms, sizes=[2], seeds=[0])
    kinds = {p.name: Run(p).spec.kind for p in (run.directory / FOLDER).iterdir()}
    assert kinds == {"frozen-n2-s0": "finetune", "new-n2-s0": "train"}


# --- workers ----------------------------------------------------------------------------------------------------------


def killer(run: Run, killed: list[str]):
    """When the short training is over, kill the process of the long one."""

    def listen(event) -> None:
        if killed or event["kind"] != "cell":
            return
        path = next(p for p in (run.directory / FOLDER).iterdir() if p.name != event["run"])
        until = time.monotonic() + 100
        while "pid" not in Run(path).last_word() and time.monotonic() < until:
            time.sleep(0.01)
        pid = Run(path).last_word()["pid"]
        assert pid != os.getpid()
        os.kill(pid, signal.SIGKILL)
        killed.append(path.name)

    return listen


@pytest.fixture
def two(monkeypatch, files):
    """A sweep of a short training and one that is long enough to be killed, side by side."""
    original = recipe._Sweep.cell

    def cell(self, arm, size, seed, values):
        found = original(self, arm, size, seed, values)
        found.spec = found.spec.model_copy(update={"epochs": 1 if seed == 0 else 500})
        return found

    monkeypatch.setattr(recipe._Sweep, "cell", cell)
    return {**BASE, **files, "sizes": [4], "seeds": [0, 1], "strategies": ["naive"], "workers": 2}


def check_completed(run: Run, killed: list[str]) -> None:
    assert run.state == "done", run.reason
    assert killed == ["naive-n4-s1"] and [r["state"] for r in rows(run)] == ["done"] * 2
    begun = [e for e in Run(run.directory / FOLDER / killed[0]).events() if e.get("pid")]
    assert len(begun) == 2 and begun[0]["pid"] != begun[1]["pid"]


def test_a_process_that_is_killed_is_gone_on_with(two) -> None:
    run, killed = Run(prepare("sweep", two)), []
    execute(run.directory, killer(run, killed))
    check_completed(run, killed)


def test_without_retries_it_is_named(two) -> None:
    run, killed = Run(prepare("sweep", {**two, "retries": 0})), []
    execute(run.directory, killer(run, killed))
    assert run.state == "stopped" and f"Lost: {killed[0]} (lost: its process died)" in run.reason
    execute(run.directory)
    check_completed(run, killed)


@pytest.mark.timeout(600)  # six processes start one after another on a busy machine
def test_workers_of_a_cluster_one_of_them_killed(two) -> None:
    """dask.distributed with real worker processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        run, killed = Run(prepare("sweep", {**two, "cluster": cluster.scheduler_address})), []
        execute(run.directory, killer(run, killed))
    check_completed(run, killed)


def test_slurm_gets_its_options(monkeypatch) -> None:
    made: list = []

    class Fake:
        def __init__(self, **options):
            made.append(options)

        def scale(self, jobs):
            made.append(jobs)

    monkeypatch.setitem(sys.modules, "dask_jobqueue", types.SimpleNamespace(SLURMCluster=Fake))
    pool._batch_system({"slurm": {"queue": "gpu", "cores": 8, "jobs": 12}}, 0)
    assert made == [{"queue": "gpu", "cores": 8}, 12]
    with pytest.raises(InputError, match="How many jobs"):
        pool._batch_system({"slurm": {"queue": "gpu"}}, 0)
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(AtomLabError, match=r"atomlab\[cluster\]"):
        pool._batch_system({"slurm": {"queue": "gpu"}}, 3)
