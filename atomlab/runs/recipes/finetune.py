"""The task finetune: a base model on new data, and if wished its from-scratch twin, step by step in turn."""

from __future__ import annotations

from ... import checkpoint
from ...training import prepare, settings_of
from ..execute import RunIO
from ..inputs import located, prepare_torch
from ..processes import Prepared, led, placed
from ..tasks import FinetuneSpec
from .arms import Arm, carry_out
from .loading import divided
from .probes import watches
from .replay import selection

__all__ = ["prepared", "run"]


def run(spec: FinetuneSpec, io: RunIO) -> None:
    """Fine-tune, or go on with it."""
    prepare_torch(spec)
    spec = placed(spec)
    found = prepared(spec, io)
    plan = found.plans["finetune"]
    seen = {"finetune": watches(spec, plan, found.parts, io, found.base.head_index(spec.head))}
    arms = [Arm(name, plan, io, seen.get(name, ())) for name, plan in found.plans.items()]
    with led(spec, io.directory, arms):
        carry_out(arms, found.parts, io)


def prepared(spec: FinetuneSpec, io: RunIO) -> Prepared:
    """The base, the data and the plans: the same in every process of the run."""
    settings = settings_of(spec.strategy, spec)
    base = checkpoint.load(located(spec.model, io), device=spec.device, dtype=spec.dtype, head=spec.head)
    parts = divided(spec, io)
    options = {"seed": spec.seed, "head": spec.head}
    chosen = selection(spec, io)
    plans = {"finetune": prepare(spec.strategy, settings, base, parts.train, parts.valid, select=chosen, **options)}
    if spec.scratch_twin and spec.strategy != "scratch":
        twin = settings_of("scratch", spec, others=True)
        plans["scratch"] = prepare("scratch", twin, base, parts.train, parts.valid, seed=spec.seed)
    return Prepared(parts, plans, base)
