"""A plan: everything that a training will do, decided before it begins, each automatic choice with its reason."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..potential import Potential
from .choices import Choices
from .groups import groups, groups_of
from .losses import Residuals, by_head
from .optim import Group, Optimiser, Schedule
from .settings import TrainingSettings
from .stages import Stage, stages, weights_of

if TYPE_CHECKING:
    from ..data import Dataset

__all__ = ["Choices", "Held", "Mix", "Plan", "Stage", "assemble", "groups_of"]

# optimiser steps by effort, and the least number of epochs that a large data set gets
STEPS = {"quick": 500, "normal": 3000, "thorough": 15_000}
LEAST_EPOCHS = {"quick": 2, "normal": 10, "thorough": 40}
STEP_PER_INFERENCE = 3.5  # a training step costs 3.5 evaluations of the same atoms (measured on MACE, CPU)
RATE_SIZE = 10_000  # parameters of the model that the strategies' learning rates are for
WIDEST = 4  # times as many structures in a step as without replay, at most
LONG_EPOCH = 500  # steps; a longer epoch is validated in its midst
REPORTS = 2000  # most training points that a curve gets


@dataclass(frozen=True)
class Held:
    """Structures beside the validation set whose errors are told too, as `name_forces_rmse` ...

    weight: of their loss in the choice of the best weights; 0 = they are only told.
    """

    name: str
    data: Dataset
    head: int
    weight: float = 0.0


@dataclass(frozen=True)
class Mix:
    """Several heads in one training: the head of each training structure, and the weight of each head's loss.

    fresh: distinct structures of the head that is validated; a step is to hold as many of them as without a mix.
    """

    heads: Sequence[int]
    weights: Mapping[int, float]
    fresh: int
    held: tuple[Held, ...] = ()


@dataclass
class Plan:
    """What `fit` carries out. `batch` is how the loader cuts the training set: {'structures': 4}, {'atoms': ...} or
    {'edges': ...}. `validate_every` is in epochs; `report_every` in steps; `time_limit` in seconds.
    `head` is validated, and is that of all training structures unless `mix` says otherwise."""

    strategy: str
    potential: Potential
    groups: list[Group]
    train: Dataset
    valid: Dataset | None
    stages: list[Stage]
    optimiser: Optimiser
    schedule: Schedule
    ema: float
    epochs: int
    batch: dict[str, int]
    clip: float
    early_stop: int
    validate_every: float
    report_every: int
    time_limit: float | None
    head: int
    seed: int
    reasons: Mapping[str, str]
    values: Mapping[str, Any]
    mix: Mix | None = None

    @property
    def own(self) -> Dataset:
        """The training structures of the head that is validated: all of them, unless heads are mixed."""
        if self.mix is None:
            return self.train
        return self.train[[k for k, head in enumerate(self.mix.heads) if head == self.head]]

    def loss(self, stage: Stage, r: Residuals) -> torch.Tensor | None:
        """The loss of a batch, each head's by itself times its weight; None without a weighted label."""
        return stage.loss(r) if self.mix is None else by_head(stage.loss, self.mix.weights, r)

    def stage(self, epoch: int) -> Stage:
        """The stage that an epoch belongs to."""
        return [s for s in self.stages if s.start <= epoch][-1]

    @property
    def forces_only(self) -> bool:
        """No stage learns from energies: the energy constant is fitted afterwards, on the training set."""
        return all(s.loss.energy == 0 for s in self.stages)

    @property
    def want(self) -> tuple[str, ...]:
        """What validation computes: energy and forces always, the stress where it is learned."""
        return ("energy", "forces") + ("stress",) * any(s.loss.stress > 0 for s in self.stages)

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a saved state to be taken up again."""
        return {
            "data": self.train.hash(),
            "batch": dict(self.batch),
            "seed": self.seed,
            "optimiser": self.optimiser.kind,
            "groups": [[g.name, g.trained, sum(p.numel() for p in g.parameters)] for g in self.groups],
        }


def assemble(
    strategy: str, settings: TrainingSettings, potential: Potential, train: Dataset, valid: Dataset | None,
    choices: Choices, *, rate: tuple[float, str], head: int = 0, seed: int = 0, mix: Mix | None = None,
    only: Collection[torch.nn.Parameter] | None = None,
) -> Plan:  # fmt: skip
    """The plan for a potential that a strategy has prepared.

    mix: where `train` holds structures of several heads. only: the parameters that are trained; by default all that
    no setting freezes.

    rate: the learning rate that suits a model of 10,000 parameters, with its reason. Larger models get smaller steps,
    by the square root of their size: 0.02 becomes 0.001 at MACE-MP-0's 5 million, which is what it was trained with.
    """
    weights = weights_of(settings, train)
    batch, steps = _batch(settings, potential, train, choices, mix, head)
    steps_wanted, least = STEPS[settings.effort], LEAST_EPOCHS[settings.effort]
    epochs = choices.pick(
        "epochs", settings.epochs, max(least, math.ceil(steps_wanted / steps)),
        f"effort '{settings.effort}' means about {steps_wanted} steps and at least {least} epochs, and an epoch of "
        f"{len(train)} structures has {steps} steps",
    )  # fmt: skip
    total = epochs * steps
    span = max(10.0, total / 20)
    ema = choices.pick(
        "ema", settings.ema, round(1 - 1 / span, 5), f"it averages over the last {span:.0f} of {total} steps"
    )
    parts = groups(potential, getattr(settings, "freeze", ()), settings.weight_decay, choices, only)
    size = sum(p.numel() for part in parts for p in part.parameters)
    fitting = float(f"{rate[0] * min(1.0, math.sqrt(RATE_SIZE / max(1, size))):.2g}")
    learning_rate = choices.pick(
        "learning_rate", settings.learning_rate, fitting, f"{rate[1]}, and the model has {size} parameters"
    )
    choices.note("device", str(potential.device), f"{potential.device}, where the model is, in {_dtype(potential)}")
    s = settings
    return Plan(
        strategy=strategy,
        potential=potential,
        groups=parts,
        train=train,
        valid=valid,
        stages=stages(s, weights, epochs, choices),
        optimiser=Optimiser(s.optimiser, learning_rate),
        schedule=Schedule(s.schedule, s.final_rate, s.warmup, s.plateau_patience, s.plateau_factor),
        ema=ema,
        epochs=epochs,
        batch=batch,
        clip=s.clip,
        early_stop=s.early_stop,
        validate_every=_validate_every(s, train, valid, steps, choices, mix),
        report_every=max(1, math.ceil(total / REPORTS)),
        time_limit=s.time_limit and s.time_limit * 60.0,
        head=head,
        seed=seed,
        reasons=choices.reasons,
        values=choices.values,
        mix=mix,
    )


def _batch(
    settings: TrainingSettings, potential: Potential, train: Dataset, choices: Choices, mix: Mix | None, head: int
) -> tuple[dict[str, int], int]:
    """How the training set is cut into batches, and how many there are about."""
    n = len(train)
    if settings.batch_atoms:
        choices.note("batch_atoms", settings.batch_atoms, f"{settings.batch_atoms} atoms, as set")
        return {"atoms": settings.batch_atoms}, max(1, math.ceil(_atoms(train) / settings.batch_atoms))
    if settings.batch_edges:
        from ..build import build

        few = [train[k] for k in range(0, n, max(1, n // 8))]
        edges = sum(len(e.i) for e in build(few, potential.needs).edges.values()) / len(few)
        choices.note("batch_edges", settings.batch_edges, f"{settings.batch_edges} edges, as set")
        return {"edges": settings.batch_edges}, max(1, math.ceil(n * edges / settings.batch_edges))
    size = choices.pick("batch_structures", settings.batch_structures, *_structures(n, mix, head))
    return {"structures": size}, max(1, math.ceil(n / size))


def _structures(n: int, mix: Mix | None, head: int) -> tuple[int, str]:
    """How many structures a step has, and why: of the new ones as many with replay as without, on average."""
    new = mix.fresh if mix else n
    alone = 2 if new <= 20 else 4 if new <= 400 else 8 if new <= 4000 else 16
    why = f"few structures need small steps, and many allow larger ones: there are {new}"
    if mix is None:
        return alone, why
    share = list(mix.heads).count(head) / n
    size = min(WIDEST * alone, math.ceil(alone / share))
    return size, f"{why} new ones, of which a step has {size * share:.2g} on average ({alone} without replay)"


def _validate_every(
    settings: TrainingSettings, train: Dataset, valid: Dataset | None, steps: int, choices: Choices, mix: Mix | None
) -> float:
    """Epochs between validations, from the work (not seconds: a seeded run must not depend on them) that one costs."""
    least = 1.0 if steps <= LONG_EPOCH else LONG_EPOCH / steps
    if not valid:
        choices.note("validation", None, "There is no validation set: the last weights are kept instead of the best")
        return 1.0
    share = settings.validation_share
    held = sum(_atoms(h.data) for h in mix.held) if mix else 0
    cost = (_atoms(valid) + held) / (STEP_PER_INFERENCE * _atoms(train))
    every = max(least, cost * (1 - share) / share)
    every = float(math.ceil(every)) if every > 1 else every
    often = "every epoch" if every == 1 else f"every {every:g} epochs"
    choices.note(
        "validation", every,
        f"Validated {often} and at the end, chosen because one validation costs {cost:.2g} epochs of training and may "
        f"take at most {100 * share:.0f} % of the work",
    )  # fmt: skip
    return every


def _atoms(dataset: Dataset) -> int:
    return int(dataset.sizes.sum())


def _dtype(potential: Potential) -> str:
    return str(potential.dtype).removeprefix("torch.")
