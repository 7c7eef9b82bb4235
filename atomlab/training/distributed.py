"""One training by several processes: each computes a share of every batch, the first owns the weights and decides.

    first process (rank 0)                          the others
    fit: says "step", sends the weights      ->     take the weights, build their share of the batch
    residuals of its own share               <->    residuals of theirs: each process sees those of the whole batch
    loss of the whole batch, backward        <-     loss of the whole batch, backward; gradients are summed
    clips, steps, averages, validates, tells

Everyone forms the loss of the whole batch from all residuals, where only its own depend on the weights. So the sum of
the gradients is that of one process, whatever the loss is (means over atoms, heads, labels that are missing), and only
rank 0 holds an optimiser, writes files and makes decisions. On one machine, through torch's gloo.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..data.loader import batch_indices, gathered
from ..errors import AtomLabError, InputError
from ..graph import Graph
from ..potential import outputs
from ..predict import CACHE_ATOMS, Predictions, evaluate
from .losses import Residuals, residuals
from .plan import Plan

__all__ = ["Lost", "Team", "check_processes", "order_of", "serve", "share_of", "trained_of"]

PATIENCE = timedelta(days=7)  # a paused run waits; a process that ended is noticed at once, since its connection closes
END, SYNC, STEP, EVALUATE = range(4)
_WORDS = 8  # integers of one call


class Lost(AtomLabError):
    """Another process of this training has ended."""


def order_of(plan: Plan, epoch: int) -> dict[str, Any]:
    """How the training set is cut and ordered in an epoch: a function of seed and epoch alone."""
    cache = bool(plan.train.sizes.sum() <= CACHE_ATOMS)
    return {**plan.batch, "shuffle": True, "seed": plan.seed, "epoch": epoch, "cache": cache}


def share_of(plan: Plan, chosen: Sequence[int], cache: bool) -> Graph:
    """The graph of some training structures, where the model is."""
    heads = plan.head if plan.mix is None else plan.mix.heads
    graph = gathered(plan.train, chosen, plan.potential.needs, heads, cache)
    return graph.to(plan.potential.device, plan.potential.dtype)


def trained_of(plan: Plan) -> list[torch.nn.Parameter]:
    """The parameters that are trained, in the optimiser's order."""
    return [p for group in plan.groups if group.trained for p in group.parameters]


def check_processes(plan: Plan, count: int) -> None:
    """Refuse more processes than a batch has structures: some would never have anything to do."""
    most = max(map(len, batch_indices(plan.train, plan.potential.needs, **order_of(plan, 0))))
    if count > most:
        raise InputError(
            "There are more processes than structures in a batch", got=f"{count} processes, up to {most} structures",
            mend="Take fewer processes, or larger batches (batch_structures)",
        )  # fmt: skip


class Team:
    """This process among those of one training. `plans`: those of the run's arms, the same in every process."""

    def __init__(self, rank: int, size: int, plans: Sequence[Plan]):
        self.rank, self.size, self.plans = rank, size, list(plans)
        self._agree()

    def _agree(self) -> None:
        """All processes must have prepared the same plans: a file may have changed meanwhile."""
        own = json.dumps([[p.fingerprint(), p.epochs] for p in self.plans], sort_keys=True, default=str)
        found: list[Any] = [None] * self.size
        self._do(lambda: dist.all_gather_object(found, hashlib.sha256(own.encode()).hexdigest()))
        if len(set(found)) > 1:
            raise AtomLabError("The processes of this training have prepared different plans: has a file changed?")

    # --- rank 0 -------------------------------------------------------------------------------------------------------

    def call(self, word: int, plan: Plan | None = None, *values: int) -> None:
        """Tell the others what comes next."""
        place = 0 if plan is None else next(k for k, p in enumerate(self.plans) if p is plan)
        numbers = [word, place, *values]
        self._shared(torch.tensor(numbers + [0] * (_WORDS - len(numbers)), dtype=torch.int64))

    def sync(self, plan: Plan) -> None:
        """Give the others all that the model holds: at the start, also of a resumed training."""
        self.call(SYNC, plan)
        self.model(plan)

    def begin(self, plan: Plan, epoch: int, batch: int) -> None:
        """The step on a batch begins: the others get the weights."""
        self.call(STEP, plan, epoch, batch)
        self.weights(plan)

    def evaluate(self, plan: Plan, which: int, head: int, batch: int) -> Predictions:
        """The model on data set `which` of `sets_of(plan)`, each process on its share; all of it comes back here."""
        self.call(EVALUATE, plan, which, head, batch)
        self.weights(plan)
        return self.part(plan, which, head, batch)

    def end(self) -> None:
        """The others may go."""
        self.call(END)

    # --- all ----------------------------------------------------------------------------------------------------------

    def heard(self) -> tuple[int, Plan, list[int]]:
        """What rank 0 has called."""
        numbers = self._shared(torch.zeros(_WORDS, dtype=torch.int64)).tolist()
        return numbers[0], self.plans[numbers[1]], numbers[2:]

    def model(self, plan: Plan) -> None:
        """Rank 0's model with all that does not change in training, to all."""
        box = [{n: t.cpu() for n, t in plan.potential.state_dict().items()} if self.rank == 0 else None]
        self._do(lambda: dist.broadcast_object_list(box, 0))
        if self.rank:
            plan.potential.load_state_dict(box[0])

    def weights(self, plan: Plan) -> None:
        """Rank 0's trained parameters, to all."""
        parameters = trained_of(plan)
        flat = self._shared(torch.nn.utils.parameters_to_vector(parameters))
        if self.rank:
            torch.nn.utils.vector_to_parameters(flat.to(parameters[0].device), parameters)

    def _shared(self, tensor: Tensor) -> Tensor:
        """Rank 0's values, on the CPU, in every process."""
        here = tensor.detach().to("cpu", copy=True)
        self._do(lambda: dist.broadcast(here, 0))
        return here

    def joined(self, own: Residuals | None) -> Residuals:
        """The residuals of the whole batch; those of the others are constants here."""
        found: list[Any] = [None] * self.size
        self._do(lambda: dist.all_gather_object(found, None if own is None else _plain(own)))
        parts = [own if k == self.rank else _restored(part, own) for k, part in enumerate(found)]
        there = [part for part in parts if part is not None]
        return _residuals([torch.cat(tensors) for tensors in zip(*map(_tensors, there))])

    def summed(self, plan: Plan) -> None:
        """Add the gradients of all processes up in rank 0."""
        parameters = trained_of(plan)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([g.reshape(-1) for g in gradients]).to("cpu")
        self._do(lambda: dist.reduce(flat, 0))
        if self.rank == 0:
            for parameter, piece in zip(parameters, flat.split([p.numel() for p in parameters])):
                parameter.grad = piece.view_as(parameter).to(parameter.device)

    def part(self, plan: Plan, which: int, head: int, batch: int) -> Predictions | None:
        """This process's share of an evaluation; in rank 0 all of it."""
        data = sets_of(plan)[which]
        mine = np.arange(len(data))[self.rank :: self.size]
        own = evaluate(plan.potential, data[mine], batch=batch, want=plan.want, head=head) if len(mine) else None
        found: list[Any] | None = [None] * self.size if self.rank == 0 else None
        self._do(lambda: dist.gather_object(own, found))
        return None if found is None else _interleaved(found, len(data))

    def _do(self, exchange: Any) -> None:
        try:
            exchange()
        except (RuntimeError, dist.DistError) as error:
            raise Lost(f"Another process of this training has ended ({str(error).splitlines()[0][:200]})") from error


def sets_of(plan: Plan) -> list[Any]:
    """The data sets that are validated: the validation set, then those beside it."""
    return [plan.valid, *(held.data for held in (plan.mix.held if plan.mix else ()))]


def serve(team: Team) -> None:
    """What all processes but rank 0 do, until they are told to end."""
    for plan in team.plans:
        plan.potential.train()
        for group in plan.groups:
            for parameter in group.parameters:
                parameter.requires_grad_(group.trained)
    while True:
        word, plan, values = team.heard()
        if word == END:
            return
        if word == SYNC:
            team.model(plan)
        elif word == STEP:
            team.weights(plan)
            _share(team, plan, values[0], values[1])
        else:
            team.weights(plan)
            team.part(plan, values[0], values[1], values[2])


def _share(team: Team, plan: Plan, epoch: int, batch: int) -> None:
    """This process's share of one step: its gradients go to rank 0."""
    order, stage = order_of(plan, epoch), plan.stage(epoch)
    rows = batch_indices(plan.train, plan.potential.needs, **order)[batch]
    mine, own = rows[team.rank :: team.size], None
    for parameter in trained_of(plan):
        parameter.grad = None
    if mine:
        with torch.random.fork_rng(devices=[]):
            # a stream of its own: rank 0's is the training's
            torch.manual_seed(hash((plan.seed, epoch, batch, team.rank)) % 2**63)
            graph = share_of(plan, mine, order["cache"])
            own = residuals(outputs(plan.potential, graph, stage.loss.want, create_graph=True), graph)
    loss = plan.loss(stage, team.joined(own))
    if loss is None:
        return
    if loss.requires_grad:
        loss.backward()
    team.summed(plan)


def _tensors(r: Residuals) -> list[Tensor]:
    return [r.energy, r.forces, r.force_norms, r.stress, r.heads, *r.row_heads]


def _residuals(tensors: Sequence[Tensor]) -> Residuals:
    energy, forces, norms, stress, heads, *of_rows = tensors
    return Residuals(energy, forces, norms, stress, heads, (of_rows[0], of_rows[1], of_rows[2]))


def _plain(r: Residuals) -> list[np.ndarray]:
    return [t.detach().cpu().numpy() for t in _tensors(r)]


def _restored(part: list[np.ndarray] | None, like: Residuals | None) -> Residuals | None:
    if part is None:
        return None
    device = "cpu" if like is None else like.energy.device
    return _residuals([torch.from_numpy(array).to(device) for array in part])


def _interleaved(parts: list[Predictions | None], count: int) -> Predictions:
    """Shares k::n put back into the data set's order."""
    size, there = len(parts), [p for p in parts if p is not None]

    def rows(get: Any) -> np.ndarray:
        first = get(there[0])
        out = np.empty((count, *first.shape[1:]), dtype=first.dtype)
        for k, part in enumerate(there):
            out[k::size] = get(part)
        return out

    def lists(get: Any) -> list[Any]:
        out: list[Any] = [None] * count
        for k, part in enumerate(there):
            out[k::size] = get(part)
        return out

    first = there[0]
    labels: dict[str, Any] = {}
    for name, value in first.labels.items():
        get = lambda p, name=name: p.labels[name]  # noqa: E731
        labels[name] = lists(get) if isinstance(value, list) else rows(get)
    return Predictions(
        energy=rows(lambda p: p.energy),
        forces=None if first.forces is None else lists(lambda p: p.forces),
        stress=None if first.stress is None else rows(lambda p: p.stress),
        labels=labels,
        numbers=lists(lambda p: p.numbers),
        config_types=lists(lambda p: p.config_types),
    )
