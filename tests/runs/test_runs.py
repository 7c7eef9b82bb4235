"""Runs: the state is derived, requests are met, nothing is lost when a process is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

import atomlab.runs as runs
from atomlab.errors import AtomLabError, InputError
from atomlab.runs import Run, api, events, execute
from atomlab.runs.control import Lock, locked
from runs.toy import until


def made(**values) -> Run:
    return Run(api.prepare("count", values))


def totals(run: Run) -> list[float]:
    return [e["loss"] for e in run.events() if e["kind"] == "metric"]


def test_a_run_from_spec_to_result(workspace) -> None:
    run = made(n=4)
    assert run.directory == workspace / "count-0001-nothing"
    assert run.state == "queued"
    seen = []
    execute(run.directory, seen.append)
    assert run.state == "done"
    assert seen == run.events()
    assert [e["seq"] for e in seen] == list(range(1, len(seen) + 1))
    assert run.result().metrics["total"] == totals(run)[-1]
    assert run.result().text == "counted to 4"
    assert run.events(since=seen[-2]["seq"]) == seen[-1:]
    assert made().directory.name == "count-0002-nothing"
    assert not (run.directory / "reserve").exists()


def test_a_done_run_is_not_run_again() -> None:
    run = made(n=1)
    execute(run.directory)
    with pytest.raises(InputError, match="done"):
        execute(run.directory)
    with pytest.raises(InputError, match="fork"):
        run.resume()


def test_an_existing_directory_is_refused_in_words(tmp_path) -> None:
    first = Run(api.prepare("count", {}, tmp_path / "mine"))
    with pytest.raises(InputError, match=r"run in this directory already.*queued.*atomlab resume"):
        api.prepare("count", {}, first.directory)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="not empty"):
        api.prepare("count", {}, tmp_path / "full")
    with pytest.raises(InputError, match="this is a file"):
        api.prepare("count", {}, tmp_path / "full" / "thesis.tex")


def test_failures_are_sentences_with_the_traceback_in_the_log() -> None:
    run = made(trouble="input")
    with pytest.raises(InputError, match="counter"):
        execute(run.directory)
    assert (run.state, run.reason) == ("failed", "The counter is broken. Mend it.")
    run = made(trouble="crash")
    with pytest.raises(ZeroDivisionError):
        execute(run.directory)
    assert (run.state, run.reason) == ("failed", "ZeroDivisionError: three")
    assert "Traceback" in (run.directory / "log.txt").read_text()
    with pytest.raises(AtomLabError, match="no result: it is failed"):
        run.result()


def test_a_task_may_say_that_it_makes_no_sense_to_go_on() -> None:
    run = made(trouble="halt")
    execute(run.directory)
    last = run.events()[-1]
    assert (run.state, run.reason) == ("stopped", "Three is too many")
    assert last["atoms"] == [3]
    assert last["by"] == "guard"


def test_notices_stand_in_the_events() -> None:
    run = made(trouble="say")
    with pytest.warns(UserWarning, match="three"):
        execute(run.directory)
    assert [(e["code"], e["text"]) for e in run.events() if e["kind"] == "notice"] == [
        ("toy-three", "This is the number three.")
    ]


def test_in_another_process_stop_pause_and_resume(tmp_path) -> None:
    gate = tmp_path / "gate"
    run = made(gate=str(gate), n=6).start()
    until(lambda: any(e["kind"] == "gate" for e in run.events()))
    assert run.state == "running"
    assert locked(run.directory / "lock")
    with pytest.raises(InputError, match="Another process"):
        execute(run.directory)
    run.pause()
    until(lambda: run.state == "paused")
    run.resume()
    until(lambda: run.state == "running")
    run.stop()
    assert run.wait(30).state == "stopped"
    assert run.result().text == "stopped at 2"
    gate.touch()
    assert run.resume().wait(30).state == "done"
    assert not locked(run.directory / "lock")
    whole = made(n=6)
    execute(whole.directory)
    assert totals(run) == totals(whole)


def test_a_killed_worker_leaves_a_lost_run_that_can_be_resumed(tmp_path) -> None:
    run = made(gate=str(tmp_path / "gate"), gate_at=3, n=6).start()
    until(lambda: any(e["kind"] == "gate" for e in run.events()))
    pid = next(e["pid"] for e in run.events() if e["kind"] == "state")
    os.kill(pid, signal.SIGKILL)
    until(lambda: run.state == "lost")
    assert "resumed" in run.reason
    assert run.wait(5).state == "lost"  # nobody waits for a dead run
    (tmp_path / "gate").touch()
    assert run.resume().wait(30).state == "done"
    whole = made(n=6)
    execute(whole.directory)
    assert totals(run) == totals(whole)
    assert [e["seq"] for e in run.events()] == list(range(1, len(run.events()) + 1))


def test_a_process_that_dies_before_it_begins_is_not_waited_for(monkeypatch) -> None:
    run = made()
    run._process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(AtomLabError, match="ended before the run began"):
        run.wait(30)


def test_sigterm_stops_and_keeps(tmp_path) -> None:
    run = made(gate=str(tmp_path / "gate")).start()
    until(lambda: any(e["kind"] == "gate" for e in run.events()))
    os.kill(next(e["pid"] for e in run.events() if e["kind"] == "state"), signal.SIGTERM)
    assert run.wait(30).state == "stopped"
    assert "SIGTERM" in run.reason
    assert run.result().text == "stopped at 2"


def test_ctrl_c_here_stops_and_keeps(tmp_path, capsys) -> None:
    run = made(gate=str(tmp_path / "gate"))
    before = signal.getsignal(signal.SIGINT)

    def at_the_gate(event) -> None:
        if event["kind"] == "gate":
            os.kill(os.getpid(), signal.SIGINT)

    execute(run.directory, at_the_gate)
    assert (run.state, run.reason) == ("stopped", "stopped by Ctrl-C")
    assert run.result().text == "stopped at 2"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_breaks_off(tmp_path) -> None:
    run = made(gate=str(tmp_path / "gate"))

    def twice(event) -> None:
        if event["kind"] == "gate":
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        execute(run.directory, twice)
    assert (run.state, run.reason) == ("stopped", "interrupted")


def test_stop_of_a_run_that_has_not_begun() -> None:
    run = made()
    run.stop()
    assert (run.state, run.reason) == ("stopped", "taken from the queue")
    assert run.resume(wait=True).state == "done"


def test_full_disk_in_the_task() -> None:
    run = made(trouble="full")
    execute(run.directory)
    assert run.state == "stopped"
    assert "no space left" in run.reason
    assert run.events()[-1]["by"] == "disk"
    assert (run.directory / "state.json").exists()  # what was saved is whole


def test_full_disk_while_writing_events(monkeypatch) -> None:
    """The log cannot grow any more until the reserve is given back; then the last event must fit."""
    run = made(n=6)
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if b'"seq"' in data and len(run.events()) > 6 and (run.directory / "reserve").exists():
            write(fd, data[:10])  # half a line got through
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data)

    monkeypatch.setattr(events.os, "write", full)
    execute(run.directory)
    monkeypatch.undo()
    assert run.state == "stopped"
    assert "no space left" in run.reason
    assert run.resume(wait=True).state == "done"
    whole = made(n=6)
    execute(whole.directory)
    assert totals(run)[-1] == totals(whole)[-1]


def test_full_disk_at_the_start(monkeypatch) -> None:
    run = made()

    def full(path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys.modules["atomlab.runs.execute"], "_keep_reserve", full)
    with pytest.raises(AtomLabError, match="no space left"):
        execute(run.directory)


def test_save_is_whole_or_not_at_all(tmp_path) -> None:
    run = made()
    io = runs.RunIO(run.directory)
    io.save("a.txt", lambda path: path.write_text("old"))

    def breaks(path) -> None:
        path.write_text("half of the n")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        io.save("a.txt", breaks)
    io.close()
    assert (run.directory / "a.txt").read_text() == "old"
    before = (run.directory / "a.txt").open()  # who reads the old one meanwhile reads all of it
    io = runs.RunIO(run.directory)
    io.save("a.txt", lambda path: path.write_text("new and longer"))
    io.close()
    assert before.read() == "old"
    before.close()
    assert (run.directory / "a.txt").read_text() == "new and longer"
    assert not list(run.directory.glob(".new-*"))


def test_fork_changes_settings_and_nothing_else(tmp_path) -> None:
    run = made(n=3, seed=5)
    execute(run.directory)
    fork = run.fork(wait=True, n=4)
    assert fork.directory != run.directory
    assert fork.spec.model_dump(exclude={"n"}) == run.spec.model_dump(exclude={"n"})
    assert totals(fork)[:3] == totals(run)
    assert len(totals(fork)) == 4
    with pytest.raises(InputError, match="no setting 'm'"):
        run.fork(wait=True, m=4)


def test_lock(tmp_path) -> None:
    path = tmp_path / "lock"
    assert not locked(path)
    with Lock(path) as held:
        assert held
        assert locked(path)
        assert not Lock(path, patience=0).acquire()
    assert not locked(path)
    with Lock(path) as held:
        assert held


def test_attach_by_directory_and_name(workspace) -> None:
    run = made(name="my silicon")
    assert run.name == "count-0001-my-silicon"
    assert runs.attach(run.directory) == run
    assert runs.attach(run.name) == run
    with pytest.raises(InputError, match="Did you mean 'count-0001-my-silicon'"):
        runs.attach("count-0001-my-silicone")
    assert runs.list_runs() == [run]
    assert run.summary()["state"] == "queued"


def test_light_import() -> None:
    """The Lab's kernel starts, follows and lists runs; torch, umap and ASE's heavy parts stay out of it."""
    code = (
        "import sys\n"
        "from atomlab.runs import Run, attach, list_runs, start, schema, parse, as_command, keep_warm, TASKS\n"
        "from atomlab.runs import api, control, directory, events, execute, handle, inputs, spec, tasks, worker\n"
        "[schema(kind) for kind in TASKS]\n"
        "print([n for n in ('torch', 'ase', 'ase.io', 'umap', 'numba', 'sklearn') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
