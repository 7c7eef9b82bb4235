"""The workspace's worker: runs one after another, one worker at a time, and ends when nobody needs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

import pytest

from atomlab.runs import Run, keep_warm, list_runs, machine, prepare, start, worker, worker_state
from atomlab.runs.control import locked
from atomlab.runs.directory import enqueue, queue
from runs.toy import until


@pytest.fixture(autouse=True)
def one_place(monkeypatch) -> None:
    monkeypatch.setattr(worker, "places", lambda: 1)


def test_queued_runs_are_executed_in_order(workspace, tmp_path) -> None:
    gate = tmp_path / "gate"
    first = start({"kind": "count", "gate": str(gate)})
    second = start({"kind": "count", "trouble": "crash"})
    third = start({"kind": "count", "trouble": "print"})
    until(lambda: any(e["kind"] == "gate" for e in first.events()))
    assert [r.state for r in (first, second, third)] == ["running", "queued", "queued"]
    assert worker_state() == first.name
    gate.touch()
    assert [r.wait(60).state for r in (first, second, third)] == ["done", "failed", "done"]
    begun = [r.events()[0]["time"] for r in (first, second, third)]
    assert begun == sorted(begun)
    pids = {r.events()[0]["pid"] for r in (first, second, third)}
    assert len(pids) == 1  # one warm process, which outlived the crash of a run
    assert "printed at three" in (third.directory / "log.txt").read_text()
    assert list_runs() == [first, second, third]


def test_a_second_worker_where_the_machine_bears_it(workspace, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(worker, "places", lambda: 2)
    monkeypatch.setenv("TOY_PLACES", "2")
    gate = tmp_path / "gate"
    runs = [start({"kind": "count", "gate": str(gate)})]
    until(lambda: runs[0].state == "running")
    runs += [start({"kind": "count", "gate": str(gate)}) for _ in range(2)]
    until(lambda: runs[1].state == "running")
    assert runs[2].state == "queued"
    assert runs[0].state == "running"
    gate.touch()
    assert [r.wait(60).state for r in runs] == ["done"] * 3
    assert len({r.events()[0]["pid"] for r in runs}) == 2


def test_never_two_workers(workspace) -> None:
    keep_warm()
    until(lambda: worker_state() == "ready")
    worker.serve(workspace, idle=0)  # returns at once: the place is taken
    assert worker_state() == "ready"


def test_a_worker_ends_when_idle_and_no_lab_is_open(workspace) -> None:
    (workspace / ".lab").touch()
    ended = threading.Event()

    def serve() -> None:
        worker.serve(workspace, idle=0, warm=lambda: None)
        ended.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    until(lambda: worker_state() == "ready")
    assert not ended.wait(0.3)  # a Lab is open
    (workspace / ".lab").unlink()
    assert ended.wait(10)
    assert not locked(workspace / ".worker-0.lock")
    assert worker_state() == "none"


def test_a_run_taken_from_the_queue_is_not_executed(workspace, tmp_path) -> None:
    gate = tmp_path / "gate"
    first = start({"kind": "count", "gate": str(gate)})
    second = start({"kind": "count"})
    until(lambda: any(e["kind"] == "gate" for e in first.events()))
    second.stop()
    assert second.state == "stopped"
    assert queue(workspace) == []
    gate.touch()
    third = start({"kind": "count"})
    assert third.wait(60).state == "done"
    assert second.state == "stopped"
    assert len(second.events()) == 1


def test_a_worker_ends_with_its_workspace(workspace) -> None:
    ended = threading.Event()
    serve = threading.Thread(target=lambda: (worker.serve(workspace, warm=lambda: None), ended.set()), daemon=True)
    serve.start()
    until(lambda: worker_state() == "ready")
    shutil.rmtree(workspace)
    assert ended.wait(10)


def test_a_run_queued_while_a_worker_ends_is_not_forgotten(workspace, monkeypatch) -> None:
    """It was put there by someone who saw the lock still held, and so started no other worker."""
    runs, serve = [], worker._serve

    def ending(folder, *rest) -> None:
        serve(folder, *rest)
        if not runs:
            runs.append(Run(prepare("count", {})))
            enqueue(runs[0].directory)

    monkeypatch.setattr(worker, "_serve", ending)
    worker.serve(workspace, idle=0, warm=lambda: None)
    assert runs[0].state == "done"


def test_a_run_that_is_not_queued_any_more_is_left_alone() -> None:
    run = Run(prepare("count", {}))
    assert worker.one(run.directory, from_queue=True)
    assert run.events() == []


@pytest.mark.parametrize(("cores", "memory", "places"), [(2, 16, 1), (8, 3, 1), (8, 16, 2), (1, 1, 1)])
def test_places(monkeypatch, cores: int, memory: int, places: int) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(worker, "cores", lambda: cores)
    monkeypatch.setattr(worker, "memory", lambda: memory * 2**30)
    assert worker.places() == places


def test_threads_leave_a_core(monkeypatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert machine.threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine.threads() == 3
    monkeypatch.setattr(machine, "cores", lambda: 1)
    assert machine.threads() == 1
    assert machine.memory() > 2**28


def test_a_worker_warms_up() -> None:
    """In another process, so that the tests' own is not changed."""
    code = (
        "import sys; from atomlab.runs import worker; worker._warm(); "
        "print('torch._dynamo' in sys.modules, 'atomlab.runs.recipes.md' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["True", "True"]
