"""Several processes for one training: the run's own process starts the others and leads them.

The others prepare the same plans from the run's spec, then compute their share of every batch (`training.distributed`).
They write nothing into the run but their log. One that dies ends the run in words; resuming it starts all anew.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AtomLabError, InputError
from .directory import read_spec
from .handle import detached
from .inputs import prepare_torch
from .spec import parse

__all__ = ["Prepared", "Quiet", "led", "placed"]

PATIENCE = 60.0  # seconds that a process gets to end by itself, also on a busy machine


@dataclass
class Prepared:
    """What a training is made of, the same in every process: the data's parts, a plan for each arm, the base."""

    parts: Any
    plans: dict[str, Any]
    base: Any


class Quiet:
    """What the other processes see of the run: its files, and nothing to write to."""

    resumed = False

    def __init__(self, directory: Path):
        self.directory = Path(directory)

    def path(self, name: str) -> Path:
        """RUN/name."""
        return self.directory / name

    def emit(self, kind: str, **values: Any) -> None:
        """Told by the first process."""

    def check(self) -> None:
        """Asked by the first process."""

    def save(self, name: str, write: Callable[[Path], Any]) -> Path:
        """Written by the first process."""
        return self.path(name)


def placed(spec: Any, rank: int = 0) -> Any:
    """The spec with the device of one of its processes: each has a GPU of its own, or all are on the CPU."""
    if spec.processes == 1 or spec.device == "cpu":
        return spec
    import torch

    count = torch.cuda.device_count()
    if spec.device == "auto" and not count:
        return spec
    if ":" in spec.device or count < spec.processes:
        raise InputError(
            "Each process of a training needs a GPU of its own",
            got=f"{spec.processes} processes, device {spec.device}, {count} GPUs here",
            mend="Take as many processes as GPUs with --device cuda, or --device cpu",
        )  # fmt: skip
    return spec.model_copy(update={"device": f"cuda:{rank}"})


@contextlib.contextmanager
def led(spec: Any, directory: Path, arms: Sequence[Any]) -> Iterator[None]:
    """Within the `with` block the arms (with `plan` and `state`) are trained by all processes of the spec."""
    if spec.processes == 1:
        yield
        return
    import torch.distributed as dist

    from ..training.distributed import PATIENCE as FOR_EVER
    from ..training.distributed import Lost, Team, check_processes

    plans = [arm.plan for arm in arms]
    for plan in plans:
        check_processes(plan, spec.processes)
    if not dist.is_available() or dist.is_initialized():
        why = "this torch was built without it" if not dist.is_available() else "this process is part of one already"
        raise InputError("Several processes need a process group of torch's own", got=why, mend="Set processes to 1")
    store = dist.TCPStore("127.0.0.1", 0, spec.processes, is_master=True, wait_for_workers=False, timeout=FOR_EVER)
    others = [_start(directory, rank, spec.processes, store.port) for rank in range(1, spec.processes)]
    clean = False
    try:
        with _local():
            _meet(others, directory, lambda: dist.init_process_group(
                "gloo", store=store, rank=0, world_size=spec.processes, timeout=FOR_EVER
            ))  # fmt: skip
        team = Team(0, spec.processes, plans)
        for arm in arms:
            arm.state.team = team
        try:
            yield
        except Lost as error:
            raise AtomLabError(f"{_ended(others, directory)} Go on: atomlab resume {directory}") from error
        except AtomLabError:
            clean = True  # stopped, or the loss exploded: between two exchanges
            raise
        clean = True
    finally:
        for arm in arms:
            arm.state.team = None
        _dismiss(team if clean else None, others)
        if dist.is_initialized():
            dist.destroy_process_group()


def _start(directory: Path, rank: int, size: int, port: int) -> subprocess.Popen[bytes]:
    words = [str(directory), str(rank), str(size), str(port)]
    return detached([sys.executable, "-m", "atomlab.runs.processes", *words], _log(directory, rank))


def _log(directory: Path, rank: int) -> Path:
    return Path(directory) / f"log-process-{rank}.txt"


def _meet(others: Sequence[subprocess.Popen[bytes]], directory: Path, meet: Callable[[], None]) -> None:
    """Wait for the others; one that ends before it arrives would be waited for in vain."""
    import threading

    met: list[BaseException | None] = []

    def work() -> None:
        try:
            meet()
            met.append(None)
        except BaseException as error:
            met.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if any(process.poll() is not None for process in others) and thread.is_alive():
            raise AtomLabError(_ended(others, directory))
    if met[0] is not None:
        raise met[0]


def _ended(others: Sequence[subprocess.Popen[bytes]], directory: Path) -> str:
    """Which process has ended, and its last words. Its connection is closed a moment before it is gone."""
    until = time.monotonic() + PATIENCE
    while all(process.poll() is None for process in others) and time.monotonic() < until:
        time.sleep(0.02)
    for rank, process in enumerate(others, 1):
        if process.poll() is not None:
            log = _log(directory, rank)
            words = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
            last = f": {words[0]}" if words else ""
            return f"Process {rank + 1} of this training has ended (status {process.returncode}){last}. Its log: {log}."
    return "A process of this training has ended."


def _dismiss(team: Any, others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let the others go; whoever stays is ended."""
    if team is not None:
        with contextlib.suppress(AtomLabError):
            team.end()
    for process in others:
        try:
            process.wait(PATIENCE if team is not None else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def _local() -> Iterator[None]:
    """Within the `with` block gloo looks for the others on this machine, whatever its name resolves to."""
    name = "GLOO_SOCKET_IFNAME"
    before = os.environ.get(name)
    if before is None and sys.platform in ("linux", "darwin"):
        os.environ[name] = "lo" if sys.platform == "linux" else "lo0"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


def follow(directory: Path, rank: int, size: int, port: int) -> None:
    """What another process does: prepare the same plans, then serve."""
    import importlib

    import torch.distributed as dist

    from ..training.distributed import PATIENCE as FOR_EVER
    from ..training.distributed import Lost, Team, serve

    spec = placed(parse(read_spec(directory)), rank)
    prepare_torch(spec)
    recipe = importlib.import_module(f"{__package__}.recipes.{spec.kind}")
    plans = list(recipe.prepared(spec, Quiet(directory)).plans.values())
    store = dist.TCPStore("127.0.0.1", port, size, is_master=False, timeout=FOR_EVER)
    with _local():
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=FOR_EVER)
    try:
        with contextlib.suppress(Lost):  # the first process is gone: there is nothing left to do
            serve(Team(rank, size, plans))
    finally:
        dist.destroy_process_group()


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m atomlab.runs.processes", description=__doc__)
    parser.add_argument("directory", type=Path)
    for name in ("rank", "size", "port"):
        parser.add_argument(name, type=int)
    found = parser.parse_args(arguments)
    follow(found.directory, found.rank, found.size, found.port)


if __name__ == "__main__":
    main()
