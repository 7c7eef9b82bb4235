"""From scratch: random weights; E0, scale and shift from the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from ... import architectures
from ...architectures.mbnn import MBNN
from ...architectures.reann import REANN
from ...build import build
from ...checkpoint import place
from ...data import statistics
from ...errors import InputError
from ...potential import Potential
from ..choices import Choices
from ..energies import main_member, set_energies
from ..plan import Plan, assemble
from ..settings import ScratchSettings

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["prepare"]

RATE = 0.02  # best of 0.005, 0.01, 0.02 on sw-si and on ten frames of sw-ge, 16 channels


def prepare(
    settings: ScratchSettings, base: Potential | Mapping[str, Any] | None, train: Dataset, valid: Dataset | None, *,
    seed: int = 0, head: str | int | None = None, device: str = "auto", dtype: str = "float32",
) -> Plan:  # fmt: skip
    """The plan for a model with random weights.

    base: a configuration {'architecture': name, ...}, or a potential whose architecture is taken (the from-scratch twin
    of a fine-tuning: same shape, device and type, elements of the data).
    """
    choices = Choices()
    potential = _model(base, train, seed, choices, device, dtype)
    row = potential.head_index(head)
    set_energies(potential, train, settings.e0, row, choices, trained=False)
    _set_scale(potential, settings, train, row, choices)
    _standardise(potential, train, choices)
    why = "random weights need large steps at first, and the schedule makes them small in time"
    return assemble("scratch", settings, potential, train, valid, choices, rate=(RATE, why), head=row, seed=seed)


def _model(base: Any, train: Dataset, seed: int, choices: Choices, device: str, dtype: Any) -> Potential:
    if isinstance(base, Potential):
        inner = main_member(base)
        name, config, device, dtype = inner.kind, {**inner.config, "heads": ["default"]}, str(base.device), base.dtype
    elif isinstance(base, Mapping) and "architecture" in base:
        config = dict(base)
        name = config.pop("architecture")
    else:
        allowed = "a model, or {'architecture': 'mace', ...}"
        raise InputError("Training from scratch needs an architecture", got=base, allowed=allowed)
    config["elements"] = sorted(train.elements)
    choices.note("architecture", name, f"'{name}' for the elements of the data, with random weights of seed {seed}")
    if name == "mace":
        config["seed"] = seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        potential = architectures.create(name, **config)
        mean = _neighbours(potential, config, train)
        if mean:
            choices.note("average_neighbours", mean, f"{mean:.1f}, the mean number of neighbours in the data")
            potential = architectures.create(name, **config, average_neighbours=mean)
        seen = _seen(potential, config, train)
        if seen:
            why = "the mean number of neighbours, each counted by the cutoff function: the sums over them start near 1"
            choices.note("neighbours", seen, f"{seen:.2f}, {why}")
            torch.manual_seed(seed)
            potential = architectures.create(name, **config, neighbours=seen)
    return place(potential, device, dtype)


def _neighbours(potential: Potential, given: Mapping[str, Any], train: Dataset) -> float | None:
    """The mean number of neighbours, if the model divides its messages by one that was not given."""
    kinds = [potential.config.get(name, "density") for name in ("first_interaction", "interaction")]
    if "average_neighbours" in given or all(kind.startswith("density") for kind in kinds):
        return None
    few = _few(train)
    edges = next(iter(build(few, potential.needs).edges.values()))
    return len(edges.i) / sum(len(atoms) for atoms in few)


def _seen(potential: Potential, given: Mapping[str, Any], train: Dataset) -> float | None:
    """The mean sum of REANN's cutoff function over an atom's neighbours, if its start was not given.

    Its density goes with the square of the first coefficients, and what a round of EquiREANN adds with two powers more:
    at the packages' 1/60 the dihedral angle of a cumulene is below the last digit of float32.
    """
    if not isinstance(potential, REANN) or "neighbours" in given:
        return None
    return potential.crowding(build(_few(train), potential.needs)) or None


def _few(train: Dataset, count: int = 20) -> list[Any]:
    return [train[k] for k in range(0, len(train), max(1, len(train) // count))]


def _standardise(potential: Potential, train: Dataset, choices: Choices) -> None:
    """Mean and spread of MBNN's descriptors from the data, without which its networks would start saturated."""
    model = main_member(potential)
    if not isinstance(model, MBNN):
        return
    frames = _few(train, 500)
    model.standardise(build(frames[k : k + 8], model.needs) for k in range(0, len(frames), 8))
    choices.note("descriptors", len(frames), f"{len(frames)} structures gave the descriptors' means and spreads")


def _set_scale(potential: Potential, settings: ScratchSettings, train: Dataset, head: int, choices: Choices) -> None:
    model = main_member(potential)
    if not hasattr(model, "scale") or not model.config.get("scale_shift", True):
        return
    chosen = statistics.force_scale(train) if "forces" in train.labels else 0.0
    chosen = chosen if chosen > 0 else 1.0
    value = choices.pick("scale", settings.scale, chosen, "it is the root mean square force of the training set")
    with torch.no_grad():
        model.scale[head] = value
