"""What the fine-tuning folders share: a base with the new level's energy constants, an arm of it, errors in short."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atomlab
from atomlab.data import Dataset
from atomlab.potential import Potential
from atomlab.training import prepare


def gptff_weights(version: str) -> Path:
    """A published weight file (GPL-3.0, not part of AtomLab); the program ends with a sentence where it is absent."""
    shared = Path(os.environ.get("ATOMLAB_SHARED", Path(__file__).parents[3] / "shared"))
    path = shared / "weights" / "gptff" / f"gptff_{version}.pth"
    if not path.is_file():
        sys.exit(f"Skipped: there is no {path}.")
    return path


def started(base: Potential, train: Dataset) -> Potential:
    """The base with E0 and shift of the new data, and nothing else changed: what a fine-tuning begins with."""
    return prepare("naive", {}, base, train).potential


def tuned(
    base: Any, train: Dataset, valid: Dataset, strategy: str, threads: int, steps: int, batch: int, **settings: Any
) -> tuple[Potential, dict[str, Any]]:
    """The model of one run of about so many steps, each with `batch` of the new structures; and its metrics.

    An epoch of a replay has other structures besides: `epochs` and `batch_structures` in `settings` then say so.
    """
    settings = {"batch_structures": batch, "epochs": max(1, round(steps * batch / len(train))), **settings}
    return _ended(atomlab.finetune, base, train, strategy=strategy, valid_data=valid, threads=threads, **settings)


def learned(model: str, train: Dataset, valid: Dataset, threads: int, **settings: Any) -> Potential:
    """A model of that architecture from random weights."""
    return _ended(atomlab.train, model, train, valid_data=valid, threads=threads, **settings)[0]


def _ended(start: Callable[..., Any], *given: Any, **settings: Any) -> tuple[Potential, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        run = start(*given, directory=Path(folder) / "run", **settings)
        if run.state != "done":
            sys.exit(f"The training has {run.state}: this row is not written.")
        result = run.result()
        return result.potential, result.metrics


def short(potential: Potential, data: Dataset, head: str | None = None) -> dict[str, float]:
    """MAE and RMSE of energy (eV/atom) and forces (eV/Å), as far as there are labels."""
    errors = atomlab.evaluate(potential, data, want=("energy", "forces"), head=head).errors()
    units = {"energy": "eV_atom", "forces": "eV_A"}
    return {f"{name}_{kind}_{units[name]}": values[kind] for name, values in errors.items() for kind in ("mae", "rmse")}


def replaying(new: int, count: int, steps: int, batch: int) -> dict[str, int]:
    """Settings of a replay of `count` structures, about as many as there are new ones in an epoch (each several times),
    in which every step has `batch` new ones as a run without replay has, and there are as many steps."""
    times = max(1, round(count / new))
    size = times * new + count
    whole = round(batch * size / (times * new))
    return {
        "replay_count": count,
        "replay_valid": 0.0,
        "oversample": times,
        "batch_structures": whole,
        "epochs": max(1, round(steps * whole / size)),
    }
