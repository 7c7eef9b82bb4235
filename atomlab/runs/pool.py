"""Trainings of a sweep side by side: processes of this machine, or workers of a cluster through dask.

Both give back each training when nothing more will happen to it; whether it is finished stands in its directory.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import AtomLabError, InputError
from .cells import finished, work
from .control import request, withdraw
from .directory import derive_state
from .events import last_event
from .machine import cores

__all__ = ["carried_out"]

_LOOK = 0.1
_PATIENCE = 60.0  # seconds that a training gets to stop

Check = Callable[[], None]  # raises when the sweep is asked to stop


def carried_out(
    paths: Iterable[Path], cluster: str | dict[str, Any], workers: int, retries: int, check: Check
) -> Iterator[Path]:
    """Carry trainings out, several at a time; each is given back when it is over, whether it is finished or not."""
    waiting = [path for path in paths if not finished(path)]
    for path in waiting:
        withdraw(path, "stop", "pause", "queued")
    if not waiting:
        return
    try:
        if cluster:
            yield from _by_dask(waiting, cluster, workers, retries, check)
        else:
            yield from _by_processes(waiting, workers or cores(), retries, check)
    except BaseException:
        _stop(waiting)
        raise


def _stop(paths: Iterable[Path]) -> None:
    """Ask those that run to stop and to keep what they have; wait until they did."""
    there = [path for path in paths if derive_state(path) in ("running", "paused")]
    for path in there:
        request(path, "stop")
    until = time.monotonic() + _PATIENCE
    while any(derive_state(path) in ("running", "paused") for path in there) and time.monotonic() < until:
        time.sleep(_LOOK)


def _hopeless(path: Path) -> bool:
    """Whether trying again would end the same: a mistake in its input, or it was asked to stop."""
    last = last_event(path, "state") or {}
    return bool(last.get("input")) or last.get("by") == "user"


# --- this machine -----------------------------------------------------------------------------------------------------


def _by_processes(paths: list[Path], workers: int, retries: int, check: Check) -> Iterator[Path]:
    waiting, left = deque(paths), dict.fromkeys(paths, retries)
    running: dict[Path, subprocess.Popen[bytes]] = {}
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    try:
        while waiting or running:
            check()
            while waiting and len(running) < workers:
                path = waiting.popleft()
                with (path / "log.txt").open("ab") as log:
                    running[path] = subprocess.Popen(
                        [sys.executable, "-m", "atomlab.runs.cells", str(path)], env=environment,
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    )  # fmt: skip
            for path in [path for path, process in running.items() if process.poll() is not None]:
                del running[path]
                if not finished(path) and left[path] and not _hopeless(path):
                    left[path] -= 1
                    waiting.append(path)
                else:
                    yield path
            time.sleep(_LOOK)
    finally:
        if running:
            _stop(running)
        for process in running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            if process.poll() is None:
                process.kill()


# --- a cluster --------------------------------------------------------------------------------------------------------


def _by_dask(
    paths: list[Path], cluster: str | dict[str, Any], workers: int, retries: int, check: Check
) -> Iterator[Path]:
    with _client(cluster, workers) as client:
        # a worker that dies takes nothing along: dask gives its training to another, which goes on from the saved state
        pending = {client.submit(work, str(path), pure=False, retries=retries): path for path in paths}
        try:
            while pending:
                check()
                for future in [f for f in pending if f.done()]:
                    yield pending.pop(future)
                time.sleep(_LOOK)
        finally:
            if pending:
                _stop(pending.values())
                client.cancel(list(pending))


@contextlib.contextmanager
def _client(cluster: str | dict[str, Any], workers: int) -> Iterator[Any]:
    """A client of the cluster that is meant; one that is started here is closed here."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise AtomLabError("A sweep on a cluster needs dask: pip install 'atomlab[cluster]'.") from None
    with contextlib.ExitStack() as stack:
        if isinstance(cluster, dict):
            where = stack.enter_context(_batch_system(cluster, workers))
        elif cluster == "local":
            where = stack.enter_context(
                LocalCluster(n_workers=workers or cores(), threads_per_worker=1, processes=True, dashboard_address=None)
            )
        elif cluster.endswith(".json"):
            yield stack.enter_context(Client(scheduler_file=cluster, timeout=60))
            return
        else:
            where = cluster
        try:
            client = Client(where, timeout=60)
        except (OSError, ValueError) as error:
            raise InputError(
                "There is no dask scheduler", got=f"{cluster}: {error}",
                allowed="local, an address such as tcp://host:8786, a scheduler's file (.json), or {slurm: {...}}",
            ) from error  # fmt: skip
        yield stack.enter_context(client)


def _batch_system(cluster: dict[str, Any], workers: int) -> Any:
    """A cluster of jobs of a batch system."""
    if set(cluster) != {"slurm"} or not isinstance(cluster["slurm"], dict):
        raise InputError("There is no such cluster", got=cluster, allowed="{slurm: {queue: ..., cores: ..., ...}}")
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise AtomLabError("SLURM needs dask-jobqueue: pip install 'atomlab[cluster]'.") from None
    options = dict(cluster["slurm"])
    jobs = options.pop("jobs", workers)
    if not jobs:
        raise InputError("How many jobs may be asked for?", mend="Set slurm: {jobs: 10} or workers")
    try:
        made = SLURMCluster(**options)
    except (TypeError, ValueError) as error:
        raise InputError("SLURM's options are those of dask_jobqueue.SLURMCluster, and jobs", got=error) from error
    made.scale(jobs=jobs)
    return made
