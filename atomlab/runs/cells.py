"""The trainings of a sweep: each is a run of its own in SWEEP/runs, and afterwards measured on the sweep's test set.

python -m atomlab.runs.cells RUN     carry one out; what is done already is not repeated
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import AtomLabError
from .directory import derive_state, read_spec
from .events import last_event
from .execute import execute
from .processes import Quiet

__all__ = ["FOLDER", "TEST", "errors_of", "finished", "why", "work"]

FOLDER, TEST = "runs", "test.json"
_one = threading.Lock()  # torch's seed and the notices belong to the process: one training at a time in each


def finished(directory: Path) -> bool:
    """Whether nothing is left to do: measured on the test set, or given up by itself (the loss exploded)."""
    if (directory / TEST).exists():
        return True
    last = last_event(directory, "state") or {}
    return derive_state(directory) == "stopped" and last.get("by") == "guard"


def why(directory: Path) -> str:
    """In words, where a training stands that is not finished."""
    state = derive_state(directory)
    last = last_event(directory, "state") or {}
    reason = "its process died" if state == "lost" else last.get("reason", "it was never begun")
    return f"{state}: {reason}"


def errors_of(directory: Path) -> dict[str, Any]:
    """Errors on the test set; empty for a training that gave up."""
    path = directory / TEST
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def work(directory: str | os.PathLike[str]) -> None:
    """Train, or go on with it; then measure. Waits where another process is at it: one left over from a dead sweep."""
    path = Path(directory)
    with _one:
        while derive_state(path) in ("running", "paused"):
            time.sleep(0.2)
        if finished(path):
            return
        if derive_state(path) != "done":
            execute(path)
        if derive_state(path) == "done":
            _measure(path)


def _measure(path: Path) -> None:
    from .. import checkpoint
    from ..predict import evaluate
    from ..training.metrics import flat
    from .recipes.loading import load_data
    from .spec import parse

    spec: Any = parse(read_spec(path))
    test = json.loads((path.parent.parent / TEST).read_text(encoding="utf-8"))
    quiet: Any = Quiet(path)
    data = load_data(test["data"], quiet)
    data = data if test["frames"] is None else data[test["frames"]]
    # the best weights, on the head that was trained, which is the saved model's own
    model = checkpoint.load(str(path / "best.safetensors"), device=spec.device, dtype=spec.dtype)
    errors = {**flat(evaluate(model, data).errors()), "structures": len(data)}
    new = path / f".new-{TEST}"
    new.write_text(json.dumps(errors, indent=1), encoding="utf-8")
    os.replace(new, path / TEST)


def main(arguments: list[str] | None = None) -> int:
    """The command; its output is the log of the training."""
    (directory,) = sys.argv[1:] if arguments is None else arguments
    try:
        work(directory)
    except AtomLabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
