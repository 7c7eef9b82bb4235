"""A task that only counts, for the tests of runs: it adds random numbers, saves its state, and waits at gates.

As a program it is the worker of a package that knows this task: `python toy.py --run RUN`, `python toy.py WORKSPACE`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, Literal

from atomlab.errors import InputError, notice
from atomlab.runs import worker
from atomlab.runs.execute import Halted, RunIO, Stopped
from atomlab.runs.spec import Spec, setting
from atomlab.runs.tasks import TASKS

PATIENCE = 60.0


class CountSpec(Spec):
    """Count to n."""

    kind: Literal["count"] = "count"
    data: str = setting("nothing", "What is counted", role="data", first=True)
    n: int = setting(5, "How far", "steps", main=True, ge=0, le=1000)
    gate: str = setting("", "A file that must exist before step `gate_at`")
    gate_at: int = setting(2, "Which step waits", ge=0)
    trouble: Literal["", "input", "crash", "halt", "full", "say", "print"] = setting("", "What goes wrong at step 3")
    weights: list[float] = setting([1.0, 2.0], "Anything with commas")
    fast: bool = setting(True, "A switch")


def count(spec: CountSpec, io: RunIO) -> None:
    """The task: its state is the step, the sum and the random state."""
    generator, step, total = random.Random(spec.seed), 0, 0.0
    state = io.path("state.json")
    if state.exists():
        saved = json.loads(state.read_text())
        step, total = saved["step"], saved["total"]
        generator.setstate((saved["random"][0], tuple(saved["random"][1]), saved["random"][2]))
    try:
        while step < spec.n:
            if spec.gate and step == spec.gate_at:
                wait_at(Path(spec.gate), io)
            io.check()
            if step == 3:
                trouble(spec.trouble, io)
            total += generator.random()
            step += 1
            io.emit("progress", done=step, total=spec.n, unit="step", left_s=None, text="counting")
            io.emit("metric", arm="finetune", split="train", epoch=step, step=step, loss=total)
            text = json.dumps({"step": step, "total": total, "random": generator.getstate()})
            io.save("state.json", lambda path, text=text: path.write_text(text))
    except Stopped:
        io.result({"total": total}, f"stopped at {step}")
        raise
    io.result({"total": total}, f"counted to {step}")


def wait_at(gate: Path, io: RunIO) -> None:
    io.emit("gate", file=str(gate))
    until = time.monotonic() + PATIENCE
    while not gate.exists():
        io.check()
        assert time.monotonic() < until, "nobody opened the gate"
        time.sleep(0.01)


def trouble(kind: str, io: RunIO) -> None:
    if kind == "input":
        raise InputError("The counter is broken", mend="Mend it")
    if kind == "crash":
        raise ZeroDivisionError("three")
    if kind == "halt":
        raise Halted("Three is too many", atoms=[3])
    if kind == "full":
        raise OSError(28, "No space left on device")
    if kind == "say":
        notice("toy-three", "This is the number three.")
    if kind == "print":
        print("printed at three")


def until(condition: Any, seconds: float = PATIENCE) -> Any:
    """Wait for a condition; its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
    return value


TASKS["count"] = (CountSpec, count)
worker._warm = lambda: None
if "TOY_PLACES" in os.environ:
    worker.places = lambda: int(os.environ["TOY_PLACES"])

if __name__ == "__main__":
    sys.exit(worker.main())

COMMAND = [sys.executable, os.path.abspath(__file__)]
