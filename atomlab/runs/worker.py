"""The workspace's worker: one process that has imported what runs need and executes queued runs one after another.

    python -m atomlab.runs.worker WORKSPACE      serve the queue
    python -m atomlab.runs.worker --run RUN      execute one run and end

The Lab starts it, so that pressing a button does not wait for imports. It outlives the Lab's kernel, and ends when it
was idle for a while and no Lab is open. A lock per place in the workspace makes sure that there are never more workers
than the machine bears.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import AtomLabError, InputError
from .control import Lock, locked
from .directory import queue, workspace
from .execute import execute
from .handle import detached
from .machine import cores, memory

__all__ = ["ensure_worker", "keep_warm", "places", "serve", "worker_state"]

IDLE = 600.0  # seconds without work after which a worker ends
LAB = 90.0  # a Lab that has not been seen for so long is closed
_LOOK = 0.1
_SECOND = 4 * 2**30  # bytes of memory from which a second worker is allowed


def places() -> int:
    """How many workers this machine bears: 1 on up to 2 cores or below 4 GB, else 2."""
    return 2 if cores() > 2 and memory() >= _SECOND else 1


def _lock(folder: Path, place: int) -> Path:
    return folder / f".worker-{place}.lock"


def ensure_worker(folder: Path) -> None:
    """Start a worker if none is there, and a second one if runs wait behind a busy one and the machine bears it."""
    folder.mkdir(parents=True, exist_ok=True)
    running = [locked(_lock(folder, place)) for place in range(places())]
    free = sum(there and _state(folder, place) in ("starting", "ready") for place, there in enumerate(running))
    if running[0] and (all(running) or len(queue(folder)) <= free):
        return
    place = running.index(False)
    detached([sys.executable, "-m", "atomlab.runs.worker", str(folder)], folder / f".worker-{place}.log")


def keep_warm(folder: str | os.PathLike[str] | None = None) -> None:
    """What an open Lab calls now and then: says that it is there, and that a worker should be."""
    path = workspace(folder)
    path.mkdir(parents=True, exist_ok=True)
    (path / ".lab").touch()
    ensure_worker(path)


def worker_state(folder: str | os.PathLike[str] | None = None) -> str:
    """none, starting (it imports), ready, or the name of the run that it executes."""
    path = workspace(folder)
    return _state(path, 0) if locked(_lock(path, 0)) else "none"


def _state(folder: Path, place: int) -> str:
    with contextlib.suppress(OSError):
        return (folder / f".worker-{place}.state").read_text().strip() or "starting"
    return "starting"


def serve(folder: Path, idle: float = IDLE, warm: Callable[[], None] | None = None) -> None:
    """Execute queued runs until there has been nothing to do for `idle` seconds and no Lab is open."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(places()):
        lock = Lock(_lock(folder, place))
        while lock.acquire():
            try:
                _serve(folder, folder / f".worker-{place}.state", idle, warm or _warm)
            finally:
                (folder / f".worker-{place}.state").unlink(missing_ok=True)
                lock.release()
            # a run may have been queued by someone who still saw this lock held
            if not queue(folder):
                return


def _serve(folder: Path, state: Path, idle: float, warm: Callable[[], None]) -> None:
    state.write_text("starting")
    warm()
    state.write_text("ready")
    last = time.monotonic()
    while True:
        waiting = queue(folder)
        if waiting:
            state.write_text(waiting[0].name)
            one(waiting[0], from_queue=True)
            state.write_text("ready")
            last = time.monotonic()
        elif not folder.is_dir() or (time.monotonic() - last > idle and not _lab_is_open(folder)):
            return  # nobody needs it, or the workspace was deleted
        else:
            time.sleep(_LOOK)


def _lab_is_open(folder: Path) -> bool:
    try:
        return time.time() - (folder / ".lab").stat().st_mtime < LAB
    except FileNotFoundError:
        return False


def _warm() -> None:
    """Let everything happen that happens once in a process, before anyone waits for it."""
    import torch

    from .machine import threads
    from .recipes.warm import warm

    torch.set_num_threads(threads())
    warm()


def one(directory: Path, from_queue: bool = False) -> bool:
    """Execute one run with its output in its own log.txt; whether it went without a failure."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((directory / "log.txt").open("a", encoding="utf-8", buffering=1))
        stack.enter_context(contextlib.redirect_stdout(log))
        stack.enter_context(contextlib.redirect_stderr(log))
        try:
            execute(directory, from_queue=from_queue)
        except (Exception, KeyboardInterrupt) as error:
            # The run says so itself. The worker lives on for the next one.
            log.write(f"{type(error).__name__}: {error}\n")
            return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m atomlab.runs.worker", description=__doc__)
    parser.add_argument("folder", type=Path, help="the workspace, or the run with --run")
    parser.add_argument("--run", action="store_true", help="execute this one run and end")
    parser.add_argument("--idle", type=float, default=IDLE, help="seconds without work after which it ends")
    chosen = parser.parse_args(arguments)
    if chosen.run:
        return 0 if one(chosen.folder) else 1
    try:
        serve(chosen.folder.absolute(), chosen.idle)
    except (AtomLabError, InputError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
