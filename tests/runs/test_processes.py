"""Several processes train what one trains: the same curve, one writer; one that dies is named, and nothing is lost."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import atomlab
from atomlab.errors import AtomLabError, InputError
from atomlab.runs import Run, attach, execute, prepare, processes
from atomlab.training import losses
from atomlab.training.distributed import _interleaved, order_of, share_of
from training import toy

SMALL = {"channels": 4, "l_edges": 1, "correlation": 1, "cutoff": 3.5, "radial_hidden": [8], "readout_hidden": 4}
SETTINGS = {
    "model": "mace", "config": SMALL, "epochs": 4, "train": 10, "valid": 7, "batch_structures": 3, "dtype": "float64",
    "device": "cpu", "stress_weight": 2.0, "loss": "conditional_huber",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """Frames of two sizes with all labels but where one is missing: some batches have shares without any."""
    frames = [f.repeat((1, 1, 1 + k % 2)) if k % 3 == 0 else f for k, f in enumerate(toy.frames(n=18, stress=True))]
    for k, atoms in enumerate(frames):
        if k % 3 == 0:  # repeated: forces go along, the others are extensive or intensive
            atoms.info["REF_energy"] *= 1 + k % 2
        if k % 4 == 1:
            del atoms.arrays["REF_forces"]
        if k % 5 == 2:
            del atoms.info["REF_energy"]
        if k % 2:
            del atoms.info["REF_stress"]
    path = tmp_path_factory.mktemp("data") / "si.extxyz"
    atomlab.read(frames).write(path)
    return str(path)


def trained(data: str, **changes) -> Run:
    path = prepare("train", {**SETTINGS, "data": data, **changes})
    execute(path)
    return Run(path)


def curve(run: Run) -> dict:
    """Every number of the curves by where it was found; what was done twice counts once, and must be the same."""
    keys = ("loss", "energy_rmse", "forces_rmse", "stress_rmse")
    found = [e for e in run.events() if e["kind"] == "metric"]
    return {(e["arm"], e["split"], e["step"], key): e[key] for e in found for key in keys if key in e}


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATOMLAB_WORKSPACE", str(tmp_path_factory.mktemp("alone")))
        return curve(trained(data))


@pytest.fixture
def others(monkeypatch) -> list:
    """The processes that runs start."""
    started, original = [], processes.detached

    def known(command, log):
        started.append(original(command, log))
        return started[-1]

    monkeypatch.setattr(processes, "detached", known)
    return started


def test_the_same_curve_as_one_process(data, alone, others) -> None:
    run = trained(data, processes=2)
    two = curve(run)
    assert two.keys() == alone.keys() and len(two) > 60
    wrong = {key: (two[key], alone[key]) for key in two if abs(two[key] - alone[key]) > 1e-11 * abs(alone[key])}
    assert not wrong
    log = (run.directory / "log-process-1.txt").read_text()
    told = log.splitlines()[:2] if "a run waits for them" in log else []  # it may have been the one that compiled
    assert [p.poll() for p in others] == [0] and log.splitlines() == told, log  # it left by itself
    assert [e["seq"] for e in run.events()] == list(range(1, len(run.events()) + 1))
    assert run.state == "done"
    assert run.result().potential is not None


def test_one_that_is_killed_is_named_and_the_run_goes_on(data, alone, others, monkeypatch) -> None:
    monkeypatch.setattr("atomlab.runs.recipes.arms._SAVE_EVERY", 0.0)
    path = prepare("train", {**SETTINGS, "data": data, "processes": 2})

    def kill(event) -> None:
        if event["kind"] == "metric" and event["split"] == "train" and event["step"] == 6:
            others[0].kill()

    with pytest.raises(AtomLabError, match=r"Process 2 of this training has ended \(status -9\).*atomlab resume"):
        execute(path, kill)
    run = Run(path)
    assert run.state == "failed" and "Process 2" in run.reason
    execute(path)
    assert run.state == "done" and any("goes on from epoch 1" in str(e.get("reason")) for e in run.events())
    two = curve(run)
    assert two.keys() == alone.keys()
    assert all(two[key] == pytest.approx(alone[key], rel=1e-11) for key in two)


def test_a_stop_leaves_no_process_behind(data, others) -> None:
    path = prepare("train", {**SETTINGS, "data": data, "processes": 2})
    run = Run(path)

    def stop(event) -> None:
        if event["kind"] == "metric" and event["step"] == 5:
            run.stop()

    execute(path, stop)
    assert run.state == "stopped" and [p.poll() for p in others] == [0]
    assert (run.directory / "best.safetensors").exists()


def test_when_the_first_process_is_killed_the_others_end(data) -> None:
    path = prepare("train", {**SETTINGS, "data": data, "processes": 2})
    code = (
        "import os, signal, sys\nfrom atomlab.runs import execute, processes\n"
        "original = processes.detached\n"
        "def known(*a):\n    p = original(*a)\n    print(p.pid, flush=True)\n    return p\n"
        "processes.detached = known\n"
        "execute(sys.argv[1], lambda e: e['kind'] == 'metric' and os.kill(os.getpid(), signal.SIGKILL))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid, until = int(done.stdout.split()[0]), time.monotonic() + 60
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _lives(pid)
    assert attach(path).state == "lost"


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.exists():
        pytest.skip("no /proc here")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"  # a zombie waits for whoever adopted it
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_cannot_be_shared_is_refused(data, others) -> None:
    with pytest.raises(InputError, match="more processes than structures in a batch. Got: 4 processes, up to 3"):
        trained(data, processes=4)
    with pytest.raises(InputError, match=r"GPU of its own. Got: 2 processes, device cuda:0"):
        trained(data, processes=2, device="cuda:0")
    assert not others


@pytest.mark.parametrize("kind", losses.KINDS)
def test_gradients_of_the_shares_add_up(kind) -> None:
    """Several heads, labels that are missing, shares of unlike sizes; no processes needed for this."""
    frames = toy.frames(n=5, stress=True)
    for k in (1, 3):
        del frames[k].arrays["REF_forces"]
    del frames[4].info["REF_energy"]
    potential = toy.toy(heads=("a", "b"))
    plan = atomlab.training.prepare("naive", {"stress_weight": 1.0, "epochs": 1}, potential, atomlab.read(frames))
    mix = type("Mix", (), {"heads": [0, 1, 1, 0, 1], "weights": {0: 1.0, 1: 0.3}})()
    plan = replace(plan, mix=mix)
    stage = replace(plan.stage(0), loss=replace(plan.stage(0).loss, kind=kind))
    weights = list(plan.potential.parameters())

    def parts(chosen):
        graph = share_of(plan, chosen, cache=False)
        return losses.residuals(
            atomlab.potential.outputs(plan.potential, graph, stage.loss.want, create_graph=True), graph
        )

    def gradient(r):
        found = torch.autograd.grad(plan.loss(stage, r), weights, allow_unused=True)
        return torch.cat([torch.zeros_like(w).ravel() if g is None else g.ravel() for w, g in zip(weights, found)])

    whole = gradient(parts([0, 1, 2, 3, 4]))
    total = torch.zeros_like(whole)
    for own, other in (([0, 2, 4], [1, 3]), ([1, 3], [0, 2, 4])):
        a, b = parts(own), parts(other)
        rows = [
            torch.cat([getattr(a, n), getattr(b, n).detach()]) for n in ("energy", "forces", "force_norms", "stress")
        ]
        heads = tuple(torch.cat([x, y]) for x, y in zip(a.row_heads, b.row_heads))
        total = total + gradient(losses.Residuals(*rows, torch.cat([a.heads, b.heads]), heads))
    assert torch.allclose(total, whole, rtol=1e-12, atol=1e-12 * float(whole.abs().max())) and whole.abs().max() > 0


def test_shares_of_an_evaluation_come_back_in_order() -> None:
    data, potential = atomlab.read(toy.frames(n=5, stress=True)), toy.toy()
    whole = atomlab.evaluate(potential, data)
    parts = [atomlab.evaluate(potential, data[np.arange(5)[k::3]]) for k in range(3)]
    found = _interleaved(parts, 5)
    assert np.array_equal(found.energy, whole.energy) and np.array_equal(found.stress, whole.stress)
    for a, b in ((found.forces, whole.forces), (found.labels["forces"], whole.labels["forces"])):
        assert all(np.array_equal(x, y) for x, y in zip(a, b))
    assert found.errors() == whole.errors() and found.config_types == whole.config_types
    assert len(_interleaved([*parts[:0], atomlab.evaluate(potential, data[:1]), None], 1)) == 1


def test_the_order_of_a_training_is_the_plans_alone() -> None:
    plan = atomlab.training.prepare("naive", {"epochs": 1}, toy.toy(), atomlab.read(toy.frames(n=3)))
    assert order_of(plan, 2) == {**plan.batch, "shuffle": True, "seed": 0, "epoch": 2, "cache": True}
    assert os.environ.get("GLOO_SOCKET_IFNAME") is None  # nothing of the team is left in this process
