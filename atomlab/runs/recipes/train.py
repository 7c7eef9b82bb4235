"""The task train: a model from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import checkpoint
from ...architectures.published import catalogue
from ...training import prepare, settings_of
from ..execute import RunIO
from ..inputs import located, prepare_torch
from ..processes import Prepared, led, placed
from ..tasks import TrainSpec
from .arms import Arm, carry_out
from .loading import divided

__all__ = ["prepared", "run"]


def run(spec: TrainSpec, io: RunIO) -> None:
    """Train, or go on training."""
    prepare_torch(spec)
    spec = placed(spec)
    found = prepared(spec, io)
    arms = [Arm("finetune", plan, io) for plan in found.plans.values()]
    with led(spec, io.directory, arms):
        carry_out(arms, found.parts, io)


def prepared(spec: TrainSpec, io: RunIO) -> Prepared:
    """The data and the plan: the same in every process of the run."""
    parts = divided(spec, io)
    settings = settings_of("scratch", spec)
    place = located(spec.model, io)
    base: Any
    if Path(place).exists() or place in checkpoint.embedded() or catalogue.find(place):
        base = checkpoint.load(place, device=spec.device, dtype=spec.dtype)
    else:
        base = {**spec.config, "architecture": place}
    plan = prepare(
        "scratch", settings, base, parts.train, parts.valid, seed=spec.seed, device=spec.device, dtype=spec.dtype
    )
    return Prepared(parts, {"finetune": plan}, base)
