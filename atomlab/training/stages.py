"""Stages of a training: from when on which loss with which weights holds, and where the weights come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError, notice
from ..fields import reference_key
from .choices import Choices
from .losses import Loss
from .settings import TrainingSettings

if TYPE_CHECKING:
    from ..data import Dataset

__all__ = ["Stage", "loss_of", "stages", "weights_of"]

PROPERTIES = ("energy", "forces", "stress")


@dataclass(frozen=True)
class Stage:
    """From epoch `start` on: this loss, and the learning rate times `rate`."""

    start: int
    loss: Loss
    rate: float = 1.0
    name: str = "forces first"


def weights_of(settings: TrainingSettings, train: Dataset) -> dict[str, float]:
    """Loss weights, 0 where no structure has the label: said, and refused where the weight was asked for."""
    if not len(train):
        raise InputError("There is nothing to train on", got="an empty data set")
    keys = {name: reference_key(name) for name in PROPERTIES}
    weights = {name: getattr(settings, f"{name}_weight") for name in keys}
    for name in [n for n in keys if weights[n] > 0 and n not in train.labels]:
        if f"{name}_weight" in settings.model_fields_set:
            raise InputError(
                f"No training structure has the label {keys[name]}, but {name}_weight is {weights[name]:g}",
                mend=f"Set {name}_weight to 0, or name the key under which the {name} stands: read(path, keys={{...}})",
            )
        notice(f"no-label-{name}", f"No training structure has the label {keys[name]}: the {name} takes no part.")
        weights[name] = 0.0
    second = {name: weight for name, weight in settings.second_weights.items() if weight > 0}
    for name in [n for n in second if n not in train.labels]:
        raise InputError(f"No training structure has the label {keys[name]}, which the second stage is to learn from")
    if not any(weights.values()):
        raise InputError(
            "The training set has no labels to learn from",
            got="none of " + ", ".join(keys.values()),
            mend="Name the keys under which they stand: read(path, keys={'energy': ..., 'forces': ...})",
        )
    return weights


def stages(settings: TrainingSettings, weights: Mapping[str, float], epochs: int, choices: Choices) -> list[Stage]:
    """One stage or two, after the settings `energy_stage...` and `second_weights`."""
    first = loss_of(settings, weights)
    start = epochs - round(epochs * settings.energy_stage)
    chosen = settings.second_weights
    if chosen and start >= epochs:
        raise InputError(
            "There is no second stage that second_weights could be for",
            got=f"energy_stage={settings.energy_stage:g} of {epochs} epochs",
            mend="Set energy_stage to the share of the run that is to have these weights, such as 0.25",
        )
    if chosen:
        later: dict[str, float] = {**weights, **{str(name): weight for name, weight in chosen.items()}}
        told = ", ".join(f"{name} {later[name]:g} instead of {weights[name]:g}" for name in chosen)
        choices.note("stages", 2, f"Two stages: from epoch {start} of {epochs} the loss weights are {told}, as set")
        return [Stage(0, first, name="first stage"),
                Stage(start, loss_of(settings, later), settings.energy_stage_rate, "second stage")]  # fmt: skip
    if weights["energy"] == 0:
        choices.note(
            "stages", 1, "One stage on forces alone; the energy constant is fitted afterwards on the training set"
        )
        return [Stage(0, first, name="forces only")]
    if weights["forces"] == 0 or start >= epochs or settings.energy_stage_factor == 1:
        choices.note("stages", 1, f"One stage, energy to force weight {weights['energy']:g} to {weights['forces']:g}")
        return [Stage(0, first, name="one stage")]
    high = weights["energy"] * settings.energy_stage_factor
    choices.note(
        "stages", 2,
        f"Two stages: from epoch {start} of {epochs} the energy weight is {high:g} instead of {weights['energy']:g}, "
        "since forces are learned first and a low energy error needs a second stage",
    )  # fmt: skip
    second = loss_of(settings, {**weights, "energy": high})
    return [Stage(0, first), Stage(start, second, settings.energy_stage_rate, "energy stage")]


def loss_of(settings: TrainingSettings, weights: Mapping[str, float] | None = None) -> Loss:
    """The loss that is set; weights: of energy, forces and stress, by default those that are set."""
    s, weights = settings, weights or {name: getattr(settings, f"{name}_weight") for name in PROPERTIES}
    deltas = {str(name): delta for name, delta in s.huber_deltas.items()}
    return Loss(s.loss, weights["energy"], weights["forces"], weights["stress"], s.huber_delta, deltas)
