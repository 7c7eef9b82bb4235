"""The task evaluate: errors of a model on a data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checkpoint
from ...errors import InputError
from ...predict import evaluate
from ...training import table
from ..execute import RunIO
from ..inputs import located, prepare_torch
from ..tasks import EvaluateSpec
from .loading import load_data

__all__ = ["run"]


def run(spec: EvaluateSpec, io: RunIO) -> None:
    """Predictions into predictions.npz, errors into the result."""
    prepare_torch(spec)
    potential = checkpoint.load(located(spec.model, io), device=spec.device, dtype=spec.dtype, head=spec.head)
    dataset = load_data(spec.data, io)
    io.emit("progress", done=0, total=len(dataset), unit="structure", left_s=None, text="evaluating")
    found = evaluate(potential, dataset, head=spec.head)
    errors = found.errors()
    if not errors:
        raise InputError(
            "The data set has no labels to compare with", got=dataset.name, mend="Name their keys when reading"
        )
    counts = [len(z) for z in found.numbers]

    def write(path: Any) -> None:
        with path.open("wb") as file:
            np.savez_compressed(
                file, energy=found.energy, energy_true=found.labels["energy"],
                forces=np.concatenate(found.forces), forces_true=np.concatenate(found.labels["forces"]),
                stress=found.stress, stress_true=found.labels["stress"],
                frame=np.repeat(np.arange(len(counts)), counts), number=np.concatenate(found.numbers),
            )  # fmt: skip

    io.save("predictions.npz", write)
    io.emit("progress", done=len(dataset), total=len(dataset), unit="structure", left_s=0.0, text="evaluated")
    io.result(errors, f"Errors on {len(dataset)} structures of {dataset.name}:\n{table(errors)}")
