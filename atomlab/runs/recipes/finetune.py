"""The task finetune: a base model on new data, and if wished its from-scratch twin, step by step in turn."""

from __future__ import annotations

from ... import checkpoint
from ...training import prepare, settings_of
from ..execute import RunIO
from ..inputs import located, prepare_torch
from ..tasks import FinetuneSpec
from .arms import Arm, carry_out
from .loading import divided
from .probes import watches
from .replay import selection

__all__ = ["run"]


def run(spec: FinetuneSpec, io: RunIO) -> None:
    """Fine-tune, or go on with it."""
    prepare_torch(spec)
    settings = settings_of(spec.strategy, spec)
    base = checkpoint.load(located(spec.model, io), device=spec.device, dtype=spec.dtype, head=spec.head)
    parts = divided(spec, io)
    options = {"seed": spec.seed, "head": spec.head}
    chosen = selection(spec, io)
    plan = prepare(spec.strategy, settings, base, parts.train, parts.valid, select=chosen, **options)
    arms = [Arm("finetune", plan, io, watches(spec, plan, parts, io, base.head_index(spec.head)))]
    if spec.scratch_twin and spec.strategy != "scratch":
        twin = settings_of("scratch", spec, others=True)
        arms.append(Arm("scratch", prepare("scratch", twin, base, parts.train, parts.valid, seed=spec.seed), io))
    carry_out(arms, parts, io)
