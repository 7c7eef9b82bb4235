"""`Run`: a handle on a run directory, from any process. It reads files; only `result().potential` imports torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import AtomLabError, InputError
from .control import Lock, request, withdraw
from .directory import SPEC, create, derive_state, enqueue, is_run, read_spec, runs_in, workspace
from .events import EventLog, Tail, last_event
from .spec import INPUTS, Spec, as_command, as_python, parse

__all__ = ["Result", "Run", "attach", "list_runs"]

ENDED = ("done", "stopped", "failed", "lost")
_LOOK = 0.05  # seconds between two looks while waiting


@dataclass
class Result:
    """What a run has made: numbers, a sentence, files; of a training the model, of an MD its frames."""

    directory: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    @cached_property
    def potential(self) -> Any:
        """The best model of a training, on the CPU or GPU that `auto` chooses."""
        path = self.directory / "best.safetensors"
        if not path.exists():
            raise InputError("This run has no model", got=self.directory.name, mend="Only trainings make one")
        from .. import checkpoint

        return checkpoint.load(str(path))

    @cached_property
    def frames(self) -> Any:
        """The frames of an MD: a reader that gives ase.Atoms with energy and forces."""
        path = self.directory / "trajectory.traj"
        if not path.exists():
            raise InputError("This run has no trajectory", got=self.directory.name)
        from ase.io.trajectory import TrajectoryReader

        return TrajectoryReader(str(path))

    def arrays(self, name: str) -> dict[str, Any]:
        """The arrays of `map` (map.npz) or `parity` (parity.npz)."""
        path = self.directory / f"{name}.npz"
        if not path.exists():
            raise InputError(f"This run has no {path.name}", got=self.directory.name)
        import numpy as np

        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}


class Run:
    """A run directory, whoever started it."""

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory).absolute()
        if not is_run(self.directory):
            raise InputError(
                "There is no run here", got=directory, mend="`atomlab list` shows the runs of the workspace"
            )
        self._tail = Tail(self.directory)
        self._events: list[dict[str, Any]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.directory == self.directory

    def __hash__(self) -> int:
        return hash(self.directory)

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.directory.name

    @property
    def state(self) -> str:
        """queued, running, paused, done, stopped, failed or lost."""
        return derive_state(self.directory)

    @property
    def reason(self) -> str:
        """Why it is in this state, in words."""
        if self.state == "lost":
            return "its process is gone; it can be resumed from its last saved state"
        return self.last_word().get("reason", "waits for a worker")

    def last_word(self) -> dict[str, Any]:
        """The newest event that names a state; empty before the run began."""
        return last_event(self.directory, "state") or {}

    @cached_property
    def spec(self) -> Spec:
        """What the run was asked to do."""
        return parse(read_spec(self.directory))

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """All events whose number `seq` is larger than `since`, oldest first."""
        self._events += self._tail.read()
        return self._events[bisect_right(self._events, since, key=lambda event: event["seq"]) :]

    def follow(self, since: int = 0, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Events as they come, until the run ends."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            ended = self.state in ENDED
            for event in self.events(since):
                since = event["seq"]
                yield event
            if ended or (until is not None and time.monotonic() > until):
                return
            time.sleep(_LOOK)

    def wait(self, timeout: float | None = None) -> Run:
        """Until the run has ended or `timeout` seconds are over; look at `state` afterwards."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.state not in ENDED:
            if until is not None and time.monotonic() > until:
                break
            self._check_start()
            time.sleep(_LOOK)
        return self

    def _check_start(self) -> None:
        """A process that died before it could begin leaves the run waiting for ever."""
        if self._process is None or self._process.poll() is None or self.state != "queued":
            return
        log = self.directory / "log.txt"
        words = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
        raise AtomLabError(
            f"The process of {self.name} ended before the run began. {' '.join(words)} (all of it: {log})"
        )

    def stop(self) -> None:
        """Ask it to stop at its next step; what was made is kept. A waiting run is taken from the queue."""
        if self.state in ("done", "stopped", "failed"):
            return
        request(self.directory, "stop")
        if self.state != "queued":
            return
        lock = Lock(self.directory / "lock", patience=0)
        if lock.acquire():
            try:
                withdraw(self.directory, "queued", "stop")
                log = EventLog(self.directory)
                log.write("state", {"state": "stopped", "reason": "taken from the queue", "by": "user"}, sync=True)
                log.close()
            finally:
                lock.release()

    def pause(self) -> None:
        """Ask it to wait at its next step."""
        request(self.directory, "pause")

    def resume(self, wait: bool = False) -> Run:
        """Go on: at once after a pause, else from the last saved state (in its own process, or here with `wait`)."""
        state = self.state
        withdraw(self.directory, "pause")
        if state == "done":
            raise InputError("This run is done", got=self.name, mend="fork() runs it again with other settings")
        if state in ("running", "paused"):
            return self
        withdraw(self.directory, "stop")
        if not wait and self._into_queue():
            return self
        return self.start(wait)

    def _into_queue(self) -> bool:
        """Where the workspace has a worker, that one goes on with it: two processes may be too much for the machine."""
        from .worker import ensure_worker, worker_state

        folder = self.directory.parent
        if worker_state(folder) == "none":
            return False
        enqueue(self.directory)
        ensure_worker(folder)
        return True

    def start(self, wait: bool = False, file: Any = None) -> Run:
        """Execute it: here with a progress bar, or in a process of its own that outlives this one."""
        if wait:
            from .execute import execute
            from .progress import Bar

            with Bar(file) as bar:
                execute(self.directory, bar)
        else:
            # so that it is not taken for what it was before; without a ticket, so that no other worker takes it
            request(self.directory, "queued", "own process")
            command = [sys.executable, "-m", "atomlab.runs.worker", "--run", str(self.directory)]
            self._process = detached(command, self.directory / "log.txt")
        return self

    def fork(self, wait: bool = False, directory: str | os.PathLike[str] | None = None, **changes: Any) -> Run:
        """The same run with other settings, in a directory of its own, from the beginning."""
        from .api import launch

        return launch(lambda: self.prepare_fork(directory, **changes), wait)

    def prepare_fork(self, directory: str | os.PathLike[str] | None = None, **changes: Any) -> Path:
        """The directory of a fork, not started yet."""
        from .inputs import keep, referred

        kind = type(self.spec)
        values, objects = referred(kind, {**self.spec.model_dump(mode="json"), **changes})
        spec = parse(values)
        path = create(spec.model_dump(mode="json"), spec.label(), directory, self.directory.parent)
        if (self.directory / INPUTS).is_dir():
            shutil.copytree(self.directory / INPUTS, path / INPUTS)
        keep(path, objects)
        return path

    def result(self) -> Result:
        """What came out. Of a stopped run, what it had made until then."""
        path = self.directory / "result.json"
        state = self.state
        if not path.exists():
            if state == "stopped" and (self.directory / "best.safetensors").exists():
                return Result(self.directory, text=self.reason)
            raise AtomLabError(f"{self.name} has no result: it is {state}. {self.reason[:1].upper()}{self.reason[1:]}.")
        data = json.loads(path.read_text(encoding="utf-8"))
        return Result(self.directory, data["metrics"], data["text"])

    def as_command(self) -> str:
        """The shortest command line that repeats this run."""
        return as_command(self.spec, self.directory)

    def as_python(self) -> str:
        """The shortest Python that repeats this run."""
        return as_python(self.spec, self.directory)

    def summary(self) -> dict[str, Any]:
        """One row of a list of runs: name, kind, state, reason, started (unix s), progress (0 to 1 or None), text."""
        progress = last_event(self.directory, "progress")
        share = progress["done"] / progress["total"] if progress and progress.get("total") else None
        result = last_event(self.directory, "result")
        return {
            "name": self.name,
            "kind": read_spec(self.directory).get("kind"),
            "state": self.state,
            "reason": self.reason,
            "started": (self.directory / SPEC).stat().st_mtime,
            "progress": share,
            "left_s": (progress or {}).get("left_s"),
            "text": (result or progress or {}).get("text", ""),
        }


def detached(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one and its terminal; its output goes to `log`."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    options: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        options = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, **options)


def attach(directory: str | os.PathLike[str]) -> Run:
    """A handle on a run, by its directory or by its name in the workspace."""
    path = Path(directory)
    if not is_run(path) and is_run(workspace() / path):
        path = workspace() / path
    if not is_run(path):
        from ..errors import nearest

        names = [run.name for run in runs_in(workspace())]
        mend = nearest(path.name, names) or f"The workspace {workspace()} holds {len(names)} runs: atomlab list"
        raise InputError("There is no such run", got=directory, mend=mend)
    return Run(path)


def list_runs(folder: str | os.PathLike[str] | None = None) -> list[Run]:
    """All runs of a workspace, oldest first."""
    return [Run(path) for path in runs_in(workspace(folder))]
