"""Validation with the averaged weights, and what is kept of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..potential import Potential
from ..predict import Predictions, budget, evaluate
from .distributed import sets_of
from .energies import fit_constant
from .events import Clock, Diverged, Event, metric
from .losses import of_predictions
from .metrics import flat
from .plan import Plan
from .state import State

__all__ = ["Probe", "due", "finish", "validate"]

# called at each validation with the model (averaged weights) and the epochs done; what it returns becomes an event
Probe = Callable[[Potential, float], Mapping[str, Any] | None]


def finish(plan: Plan, state: State) -> dict[str, float]:
    """Put the best weights into the plan's potential and return its errors on the validation set.

    After a training on forces alone the energy constant is fitted here, on the training set (transfer paper).
    """
    potential = plan.potential
    if state.best["weights"] is not None:
        potential.load_state_dict(state.best["weights"])
    else:
        state.ema.keep()
    potential.eval()
    for group in plan.groups:
        for parameter in group.parameters:
            parameter.requires_grad_(True)
    if plan.forces_only:
        fit_constant(potential, plan.own, plan.head)
    state.team = None  # what is left to do is done here alone
    if not plan.valid:
        return _held(plan, state)[1]
    return {**flat(_evaluated(plan, state, 0, plan.head).errors()), **_held(plan, state)[1]}


def due(plan: Plan, state: State) -> bool:
    """Whether the work done since the last validation, or the end of the run, calls for one."""
    if state.validated < 0:
        return True
    since = state.progress - state.validated
    return since >= plan.validate_every - 1e-9 or (bool(state.finished) and since > 0)


def validate(plan: Plan, state: State, clock: Clock, probes: Sequence[Probe]) -> Iterator[Event]:
    """Validate the averaged weights, keep them if they are the best. The state is settled before anything is told."""
    events = []
    with clock.running(), state.ema.applied():
        first, state.validated = state.validated < 0, state.progress
        loss, values = _validation(plan, state)
        if first and values and plan.strategy != "scratch":
            events.append(Event("base", values))
        if values:
            events.append(metric("valid", state, {"loss": loss, **values}))
        if loss is None or state.best["loss"] is None or loss < state.best["loss"]:
            state.stale = 0
            state.keep_best(loss, state.progress)
            events.append(Event("best", {"epoch": state.progress, "step": state.step, "loss": loss}))
        else:
            state.stale += 1
        if loss is not None and plan.schedule.seen(loss):
            times, level = plan.schedule.patience, plan.schedule.level
            text = f"No better validation {times} times: the learning rate falls to {level:.3g} of the highest."
            events.append(Event("notice", {"code": "plateau", "text": text}))
        if plan.early_stop and state.stale >= plan.early_stop:
            state.finished = f"no better validation for {state.stale} times (early stop)"
        for probe in probes:
            found = probe(plan.potential, state.progress)
            if found:
                events.append(Event("probe", {"epoch": state.progress, **found}))
    yield from events
    yield clock.progress()
    yield clock.checkpoint()


def _validation(plan: Plan, state: State) -> tuple[float | None, dict[str, float]]:
    """Loss under the last stage's weights, so that all validations of a run compare, and the errors."""
    if not plan.valid:
        return None, _held(plan, state)[1]
    found = _evaluated(plan, state, 0, plan.head)
    loss = plan.stages[-1].loss(of_predictions(found))
    values = flat(found.errors())
    if plan.forces_only:
        # the constant is not fitted yet: an energy error would mean nothing
        values = {name: value for name, value in values.items() if not name.startswith("energy")}
    if loss is None:
        return None, values
    more, others = _held(plan, state)
    loss, values = loss + more, {**values, **others}
    if not math.isfinite(float(loss)):
        bad = [k for k, e in enumerate(found.energy) if not math.isfinite(e)]
        raise Diverged(
            f"The validation loss is {float(loss)} at epoch {state.progress:.3g}. "
            f"Validation frames without a finite energy: {bad[:10] or 'none'}. Lower the learning rate."
        )
    return float(loss), values


def _held(plan: Plan, state: State) -> tuple[float, dict[str, float]]:
    """Of the sets beside the validation set: their weighted loss, and their errors under their own names."""
    total, values = 0.0, {}
    for which, held in enumerate(plan.mix.held if plan.mix else (), 1):
        found = _evaluated(plan, state, which, held.head)
        loss = plan.stages[-1].loss(of_predictions(found)) if held.weight > 0 else None
        total += 0.0 if loss is None else held.weight * float(loss)
        values |= {f"{held.name}_{name}": value for name, value in flat(found.errors()).items()}
    return total, values


def _evaluated(plan: Plan, state: State, which: int, head: int) -> Predictions:
    """The model as it is on one of the sets that are validated, by all processes of the training."""
    batch = _budget(plan, state)
    if state.team:
        return state.team.evaluate(plan, which, head, batch)
    return evaluate(plan.potential, sets_of(plan)[which], batch=batch, want=plan.want, head=head)


def _budget(plan: Plan, state: State) -> int:
    if state.valid_edges is None:
        state.valid_edges = budget(plan.potential, plan.valid or plan.train, plan.want, plan.head)
    return state.valid_edges
