"""A plan: everything that a training will do, decided before it begins, each automatic choice with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from ..errors import InputError, nearest, notice
from ..fields import reference_key
from ..potential import Potential, Sum
from .losses import Loss
from .optim import Group, Optimiser, Schedule
from .settings import TrainingSettings

if TYPE_CHECKING:
    from ..data import Dataset

__all__ = ["Choices", "Plan", "Stage", "assemble", "groups_of"]

# optimiser steps by effort, and the least number of epochs that a large data set gets
STEPS = {"quick": 500, "normal": 3000, "thorough": 15_000}
LEAST_EPOCHS = {"quick": 2, "normal": 10, "thorough": 40}
STEP_PER_INFERENCE = 3.5  # a training step costs 3.5 evaluations of the same atoms (measured on MACE, CPU)
RATE_SIZE = 10_000  # parameters of the model that the strategies' learning rates are for
LONG_EPOCH = 500  # steps; a longer epoch is validated in its midst
REPORTS = 2000  # most training points that a curve gets


@dataclass(frozen=True)
class Stage:
    """From epoch `start` on: this loss, and the learning rate times `rate`."""

    start: int
    loss: Loss
    rate: float = 1.0
    name: str = "forces first"


@dataclass
class Choices:
    """What was decided, as values with reasons: {setting: "0.005, chosen because ..."}."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def pick(self, name: str, given: Any, chosen: Any, because: str) -> Any:
        """`given` if a person gave it, else `chosen`, which then stands in the plan with its reason."""
        if given is not None:
            return self.note(name, given, f"{given}, as set")
        return self.note(name, chosen, f"{_short(chosen)}, chosen because {because}")

    def note(self, name: str, value: Any, reason: str) -> Any:
        """Keep a value with a whole sentence of reason."""
        self.values[name], self.reasons[name] = value, reason.rstrip(".") + "."
        return value


@dataclass
class Plan:
    """What `fit` carries out. `batch` is how the loader cuts the training set: {'structures': 4}, {'atoms': ...} or
    {'edges': ...}. `validate_every` is in epochs; `report_every` in steps; `time_limit` in seconds."""

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
    choices: Choices, *, rate: tuple[float, str], head: int = 0, seed: int = 0,
) -> Plan:  # fmt: skip
    """The plan for a potential that a strategy has prepared.

    rate: the learning rate that suits a model of 10,000 parameters, with its reason. Larger models get smaller steps,
    by the square root of their size: 0.02 becomes 0.001 at MACE-MP-0's 5 million, which is what it was trained with.
    """
    weights = _weights(settings, train)
    batch, steps = _batch(settings, potential, train, choices)
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
    groups = _groups(settings, potential, choices)
    size = sum(p.numel() for group in groups for p in group.parameters)
    fitting = float(f"{rate[0] * min(1.0, math.sqrt(RATE_SIZE / max(1, size))):.2g}")
    learning_rate = choices.pick(
        "learning_rate", settings.learning_rate, fitting, f"{rate[1]}, and the model has {size} parameters"
    )
    choices.note("device", str(potential.device), f"{potential.device}, where the model is, in {_dtype(potential)}")
    s = settings
    return Plan(
        strategy=strategy,
        potential=potential,
        groups=groups,
        train=train,
        valid=valid,
        stages=_stages(s, weights, epochs, choices),
        optimiser=Optimiser(s.optimiser, learning_rate),
        schedule=Schedule(s.schedule, s.final_rate, s.warmup, s.plateau_patience, s.plateau_factor),
        ema=ema,
        epochs=epochs,
        batch=batch,
        clip=s.clip,
        early_stop=s.early_stop,
        validate_every=_validate_every(s, train, valid, steps, choices),
        report_every=max(1, math.ceil(total / REPORTS)),
        time_limit=s.time_limit and s.time_limit * 60.0,
        head=head,
        seed=seed,
        reasons=choices.reasons,
        values=choices.values,
    )


def _weights(settings: TrainingSettings, train: Dataset) -> dict[str, float]:
    """Loss weights, 0 where no structure has the label: said, and refused where the weight was asked for."""
    if not len(train):
        raise InputError("There is nothing to train on", got="an empty data set")
    keys = {name: reference_key(name) for name in ("energy", "forces", "stress")}
    weights = {name: getattr(settings, f"{name}_weight") for name in keys}
    for name in [n for n in keys if weights[n] > 0 and n not in train.labels]:
        if f"{name}_weight" in settings.model_fields_set:
            raise InputError(
                f"No training structure has the label {keys[name]}, but {name}_weight is {weights[name]:g}",
                mend=f"Set {name}_weight to 0, or name the key under which the {name} stands: read(path, keys={{...}})",
            )
        notice(f"no-label-{name}", f"No training structure has the label {keys[name]}: the {name} takes no part.")
        weights[name] = 0.0
    if not any(weights.values()):
        raise InputError(
            "The training set has no labels to learn from",
            got="none of " + ", ".join(keys.values()),
            mend="Name the keys under which they stand: read(path, keys={'energy': ..., 'forces': ...})",
        )
    return weights


def _batch(
    settings: TrainingSettings, potential: Potential, train: Dataset, choices: Choices
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
    chosen = 2 if n <= 20 else 4 if n <= 400 else 8 if n <= 4000 else 16
    size = choices.pick(
        "batch_structures", settings.batch_structures, chosen,
        f"few structures need small steps, and many allow larger ones: there are {n}",
    )  # fmt: skip
    return {"structures": size}, max(1, math.ceil(n / size))


def _stages(settings: TrainingSettings, weights: Mapping[str, float], epochs: int, choices: Choices) -> list[Stage]:
    loss = Loss(settings.loss, weights["energy"], weights["forces"], weights["stress"], settings.huber_delta)
    start = epochs - round(epochs * settings.energy_stage)
    if weights["energy"] == 0:
        choices.note(
            "stages", 1, "One stage on forces alone; the energy constant is fitted afterwards on the training set"
        )
        return [Stage(0, loss, name="forces only")]
    if weights["forces"] == 0 or start >= epochs or settings.energy_stage_factor == 1:
        choices.note("stages", 1, f"One stage, energy to force weight {weights['energy']:g} to {weights['forces']:g}")
        return [Stage(0, loss, name="one stage")]
    high = weights["energy"] * settings.energy_stage_factor
    second = Loss(settings.loss, high, weights["forces"], weights["stress"], settings.huber_delta)
    choices.note(
        "stages", 2,
        f"Two stages: from epoch {start} of {epochs} the energy weight is {high:g} instead of {weights['energy']:g}, "
        "since forces are learned first and a low energy error needs a second stage",
    )  # fmt: skip
    return [Stage(0, loss), Stage(start, second, settings.energy_stage_rate, "energy stage")]


def _validate_every(
    settings: TrainingSettings, train: Dataset, valid: Dataset | None, steps: int, choices: Choices
) -> float:
    """Epochs between validations, from the work (not seconds: a seeded run must not depend on them) that one costs."""
    least = 1.0 if steps <= LONG_EPOCH else LONG_EPOCH / steps
    if not valid:
        choices.note("validation", None, "There is no validation set: the last weights are kept instead of the best")
        return 1.0
    share = settings.validation_share
    cost = _atoms(valid) / (STEP_PER_INFERENCE * _atoms(train))
    every = max(least, cost * (1 - share) / share)
    every = float(math.ceil(every)) if every > 1 else every
    often = "every epoch" if every == 1 else f"every {every:g} epochs"
    choices.note(
        "validation", every,
        f"Validated {often} and at the end, chosen because one validation costs {cost:.2g} epochs of training and may "
        f"take at most {100 * share:.0f} % of the work",
    )  # fmt: skip
    return every


def groups_of(potential: Potential) -> dict[str, list]:
    """The potential's own parameter groups; a sum's are its main member's; a model that names none has one group."""
    if isinstance(potential, Sum):
        return groups_of(potential.members[0])
    named = getattr(potential, "parameter_groups", None)
    # without names: all but what the model itself holds fixed (AtomFT's base)
    return named() if named is not None else {"all": [p for p in potential.parameters() if p.requires_grad]}


def _groups(settings: TrainingSettings, potential: Potential, choices: Choices) -> list[Group]:
    """Frozen groups, and weight decay on all but embeddings and readouts, as MACE does."""
    named = {name: list(parameters) for name, parameters in groups_of(potential).items() if parameters}
    if not named:
        raise InputError(f"'{potential.card.name}' has no parameters that could be trained")
    patterns: Sequence[str] = getattr(settings, "freeze", ())
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in named):
            raise InputError(
                "There is no such parameter group to freeze", got=pattern, allowed=named, mend=nearest(pattern, named)
            )
    frozen = [name for name in named if any(fnmatch(name, pattern) for pattern in patterns)]
    count = sum(p.numel() for name, ps in named.items() if name not in frozen for p in ps)
    choices.note(
        "trained", count, f"{count} parameters are trained" + (f"; frozen: {', '.join(frozen)}" if frozen else "")
    )
    return [
        Group(name, ps, name not in frozen, 0.0 if "embedding" in name or "readout" in name else settings.weight_decay)
        for name, ps in named.items()
    ]


def _atoms(dataset: Dataset) -> int:
    return int(dataset.sizes.sum())


def _dtype(potential: Potential) -> str:
    return str(potential.dtype).removeprefix("torch.")


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
