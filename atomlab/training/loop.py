"""THE training loop: one generator for every strategy. It can be stepped, paused, stopped and resumed anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from ..data.loader import batch_indices
from ..graph import Graph
from ..potential import Outputs, outputs
from .distributed import order_of, share_of
from .energies import symbols
from .events import Clock, Diverged, Event, metric
from .losses import residuals
from .optim import clip_gradients
from .plan import Plan
from .state import ALL_DONE, State
from .validation import Probe, due, finish, validate

__all__ = ["Diverged", "Event", "Probe", "finish", "fit"]

EXPLODED = 1e3  # times the largest loss of a stage's first steps
FIRST_STEPS = 20


def fit(plan: Plan, state: State | None = None, probes: Sequence[Probe] = ()) -> Iterator[Event]:
    """Carry out a plan, an event at a time; the state is changed in place and is consistent at every event.

    At the end the plan's potential carries the best weights: those with the lowest validation loss under the last
    stage's weights, or the last ones where there is no validation set. Whoever stops in between calls
    `finish(plan, state)` for the same. Raises `Diverged`.
    """
    state = State(plan) if state is None else state
    clock, graphs = Clock(plan, state), _batches(plan, state)
    if state.team:
        state.team.sync(plan)
    while True:
        if due(plan, state):
            yield from validate(plan, state, clock, probes)
        if state.finished:
            break
        if state.epoch >= plan.epochs or clock.over():
            # validated once more before it ends
            state.finished = "the time limit is reached" if state.epoch < plan.epochs else ALL_DONE
            continue
        if state.stage != plan.stage(state.epoch).name:
            yield _enter_stage(plan, state)
        with clock.running():
            event = _step(plan, state, *next(graphs))
        yield event
        yield from clock.occasional()
    metrics = finish(plan, state)
    yield Event(
        "done",
        {
            "reason": state.finished,
            "epoch": state.progress,
            "best_epoch": state.best["epoch"],
            "seconds": state.seconds,
            **metrics,
        },
    )


def _batches(plan: Plan, state: State) -> Iterator[tuple[Graph, list[int]]]:
    """The batches from the state's position on, epoch after epoch, each epoch in an order of its own: this process's
    share as a graph, and the structures of the whole batch."""
    while True:
        epoch, found, order = state.epoch, 0, order_of(plan, state.epoch)
        for chosen in batch_indices(plan.train, plan.potential.needs, **order)[state.batch :]:
            found += 1
            mine = chosen[:: state.team.size] if state.team else chosen
            yield share_of(plan, mine, order["cache"]), chosen
        if not found or state.epoch == epoch:
            raise RuntimeError(f"The loader gave {found} batches after batch {state.batch} of epoch {epoch}.")


def _enter_stage(plan: Plan, state: State) -> Event:
    stage = plan.stage(state.epoch)
    state.stage, state.highest, state.stage_steps = stage.name, 0.0, 0
    weights = {f"{name}_weight": getattr(stage.loss, name) for name in ("energy", "forces", "stress")}
    return Event("stage", {"name": stage.name, "epoch": state.progress, "step": state.step, **weights})


def _step(plan: Plan, state: State, graph: Graph, chosen: Sequence[int]) -> Event:
    """One step of the optimiser on the batch of the structures `chosen`, of which `graph` is this process's share."""
    stage, n, team = plan.stage(state.epoch), len(plan.train), state.team
    reached = (state.progress + len(chosen) / n) / plan.epochs
    plan.optimiser.set_rate(state.optimiser, plan.schedule(reached) * stage.rate)
    state.optimiser.zero_grad(set_to_none=True)
    if team:
        team.begin(plan, state.epoch, state.batch)
    with state.random():
        out = outputs(plan.potential, graph, stage.loss.want, create_graph=True)
    r = residuals(out, graph) if team is None else team.joined(residuals(out, graph))
    loss = plan.loss(stage, r)
    if loss is not None:
        loss.backward(inputs=_trained(state))  # and not to the positions too, which forces made ask for a gradient
        if team:
            team.summed(plan)
        norm = clip_gradients(_trained(state), plan.clip)
        value = float(loss.detach())
        _check(plan, state, chosen, value, norm)
        state.optimiser.step()
        state.ema.update()
        state.running.add(value, r.of(plan.head))  # errors are the validated head's, beside those of its validation
    state.step, state.stage_steps = state.step + 1, state.stage_steps + 1
    state.batch, state.structures = state.batch + 1, state.structures + len(chosen)
    if state.structures >= n:
        state.epoch, state.batch, state.structures = state.epoch + 1, 0, 0
    if state.step % plan.report_every or not state.running.steps:
        return Event("step", {"step": state.step, "epoch": state.progress})
    values = state.running.take()
    if plan.forces_only:
        values.pop("energy_rmse", None)  # the constant is fitted at the end; until then this would mean nothing
    return metric("train", state, values)


def _trained(state: State) -> list[torch.nn.Parameter]:
    return [p for row in state.optimiser.param_groups for p in row["params"]]


def _check(plan: Plan, state: State, chosen: Sequence[int], loss: float, norm: float) -> None:
    """Stop before a step that would ruin the weights, and say where it happened."""
    if math.isfinite(loss) and math.isfinite(norm):
        if state.stage_steps < FIRST_STEPS:
            state.highest = max(state.highest, loss)
            return
        # fine-tuning may start from nearly no loss: one that is small by itself is never an explosion
        if loss <= max(1.0, EXPLODED * state.highest):
            return
        what = f"the loss has exploded to {loss:.3g}, from at most {state.highest:.3g} at the start of this stage"
    else:
        what = f"the loss is {loss:.3g} and the gradient's norm {norm:.3g}"
    graph = share_of(plan, chosen, cache=False)  # the whole batch
    blame = _culprit(graph, outputs(plan.potential, graph, plan.stage(state.epoch).loss.want), chosen)
    plan.potential.load_state_dict(state.best["weights"])
    kept = (
        f"the best weights so far, of epoch {state.best['epoch']:.3g}" if state.best["epoch"] else "the first weights"
    )
    state.finished = "the loss diverged"
    raise Diverged(
        f"Training stopped at step {state.step + 1} (epoch {state.progress:.3g}): {what}. "
        f"{blame} Kept: {kept}. Lower the learning rate, or look at that structure's labels."
    )


def _culprit(graph: Graph, out: Outputs, frames: Sequence[int]) -> str:
    """Which structure of a batch is worst: not finite first, then by its largest force error."""
    wrong = torch.zeros(graph.size, dtype=torch.float64, device=graph.batch.device)
    if "energy" in graph.labels:
        wrong = wrong + ((out.energy.detach() - graph.labels["energy"]) / graph.counts).abs().nan_to_num(0.0)
    if out.forces is not None and "forces" in graph.labels:
        by_atom = (out.forces.detach().double() - graph.labels["forces"]).abs().amax(1).nan_to_num(0.0)
        wrong = wrong.scatter_reduce(0, graph.batch, by_atom, "amax")
    broken = ~torch.isfinite(out.energy.detach())
    worst = int(broken.nonzero()[0]) if bool(broken.any()) else int(wrong.argmax())
    numbers = graph.numbers[graph.batch == worst].cpu().numpy()
    return f"The worst is frame {frames[worst]} of the training set, {symbols(numbers)}."
