"""Run directories: where they are, what they are called, and their state, which is derived and never stored."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError
from .control import locked, request, requested
from .events import last_event

__all__ = ["SPEC", "STATES", "create", "derive_state", "heartbeat_age", "is_run", "read_spec", "runs_in", "workspace"]

SPEC = "spec.yaml"
STATES = ("queued", "running", "paused", "done", "stopped", "failed", "lost")
_ENDED = ("done", "stopped", "failed")


def workspace(path: str | os.PathLike[str] | None = None) -> Path:
    """The folder of all runs: the given one, ATOMLAB_WORKSPACE, or ./atomlab-runs."""
    return Path(path or os.environ.get("ATOMLAB_WORKSPACE") or "atomlab-runs").absolute()


def create(
    spec: dict[str, Any], label: str = "", directory: str | os.PathLike[str] | None = None, under: Path | None = None
) -> Path:
    """Make the directory of a new run and write its spec.yaml.

    Without `directory` the name is the next free `KIND-NNNN-LABEL` in the workspace. An existing directory is refused
    unless it is empty.
    """
    if directory is None:
        path = _next_free(under or workspace(), spec["kind"], label)
    else:
        path = Path(directory).absolute()
        _refuse_existing(path)
        path.mkdir(parents=True, exist_ok=True)
    (path / "control").mkdir()
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    new = path / f".{SPEC}.new"
    new.write_text(text, encoding="utf-8")
    os.replace(new, path / SPEC)
    return path


def _refuse_existing(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError("A run needs a directory, and this is a file", got=path, mend="Choose another name")
    if is_run(path):
        raise InputError(
            "There is a run in this directory already, and nothing is overwritten",
            got=f"{path} ({derive_state(path)})",
            mend=f"Choose another directory, or go on with that run: atomlab resume {path}",
        )
    if any(path.iterdir()):
        raise InputError("The directory for the run is not empty", got=path, mend="Choose another one")


def _next_free(folder: Path, kind: str, label: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(rf"{re.escape(kind)}-(\d+)")
    taken = [int(m[1]) for entry in os.scandir(folder) if (m := pattern.match(entry.name))]
    number = max(taken, default=0) + 1
    tail = re.sub(r"[^A-Za-z0-9.+]+", "-", label).strip("-.")[:40]
    while True:
        path = folder / f"{kind}-{number:04d}{'-' * bool(tail)}{tail}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1  # another process was faster
        else:
            return path


def is_run(path: Path) -> bool:
    """Whether this directory holds a run."""
    return (Path(path) / SPEC).is_file()


def read_spec(directory: Path) -> dict[str, Any]:
    """The content of spec.yaml as plain data."""
    path = Path(directory) / SPEC
    if not path.is_file():
        raise InputError("There is no run here", got=directory, mend="`atomlab list` shows the runs of the workspace")
    return read_yaml(path)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that must hold settings."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(data, dict) or "kind" not in data:
        raise InputError("A spec is a YAML file of settings with at least `kind:`", got=path)
    return data


def runs_in(folder: Path) -> Iterator[Path]:
    """All run directories of a workspace, oldest first."""
    try:
        entries = [Path(e.path) for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]
    except FileNotFoundError:
        return
    yield from sorted((p for p in entries if is_run(p)), key=lambda p: ((p / SPEC).stat().st_mtime, p.name))


def derive_state(directory: Path) -> str:
    """queued, running, paused, done, stopped, failed or lost, from the lock and the last event that names a state."""
    directory = Path(directory)
    for _ in range(3):
        # The lock last: who starts a run takes it before withdrawing `queued`, who ends one says so before giving it
        # back.
        queued = requested(directory, "queued")
        last = (last_event(directory, "state") or {}).get("state")
        if locked(directory / "lock"):
            return "paused" if last == "paused" else "running"
        if queued or last is None:
            return "queued"
        if last in _ENDED:
            return last
        # It should be running and nobody holds it: either its process is gone, or it ended just now. So look again.
    return "lost"


def heartbeat_age(directory: Path) -> float | None:
    """Seconds since the run last said that it is getting on; None if it never did."""
    try:
        return time.time() - (Path(directory) / "heartbeat").stat().st_mtime
    except FileNotFoundError:
        return None


def enqueue(directory: Path) -> None:
    """Mark a run for the workspace's worker. The text is the time, so that the queue keeps its order."""
    request(directory, "queued", f"{time.time_ns()}")


def queue(folder: Path) -> list[Path]:
    """The runs that wait for a worker, first come first."""
    waiting = []
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    for entry in entries:
        try:
            ticket = Path(entry.path, "control", "queued").read_text()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if ticket.isdigit():  # else it waits for a process of its own
            waiting.append((int(ticket), Path(entry.path)))
    return [path for _, path in sorted(waiting)]
