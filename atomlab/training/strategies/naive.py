"""Naive fine-tuning: go on training the base on the new data; all of it, or with some groups frozen."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from ...build import check_elements
from ...data import statistics
from ...errors import InputError
from ...potential import Potential
from ..choices import Choices
from ..energies import main_member, set_energies
from ..plan import Plan, assemble
from ..settings import NaiveSettings

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["check_base", "new_constants", "prepare", "tuned"]

RATE = 0.005
WHY = "trained weights are changed in small steps, so that they keep what they know"


def prepare(
    settings: NaiveSettings, base: Potential, train: Dataset, valid: Dataset | None, *,
    seed: int = 0, head: str | int | None = None,
) -> Plan:  # fmt: skip
    """The plan for a copy of `base`, whose E0 and shift come from the new data; the scale stays."""
    check_base(base, train)
    return tuned("naive", settings, deepcopy(base), train, valid, Choices(), seed=seed, head=head)


def check_base(base: object, train: Dataset | None = None) -> None:
    """Refuse what is no trained model, and one that does not know the elements of `train`."""
    if not isinstance(base, Potential):
        raise InputError("Fine-tuning needs a trained model", got=type(base).__name__, allowed="a Potential")
    if train is not None:
        check_elements(np.array(sorted(train.elements)), base.card.elements, f"'{base.card.name}'")


def tuned(
    strategy: str, settings: NaiveSettings, potential: Potential, train: Dataset, valid: Dataset | None,
    choices: Choices, *, seed: int, head: str | int | None, rate: tuple[float, str] = (RATE, WHY),
    only: Collection[nn.Parameter] | None = None,
) -> Plan:  # fmt: skip
    """What all strategies share that go on from a base which knows the elements of the data."""
    row = potential.head_index(head)
    new_constants(potential, settings, train, row, choices)
    return assemble(
        strategy, settings, potential, train, valid, choices, rate=rate, head=row, seed=seed, only=only
    )  # fmt: skip


def new_constants(
    potential: Potential, settings: NaiveSettings, train: Dataset, row: int, choices: Choices
) -> None:  # fmt: skip
    """E0 and shift of a head from the new data; the scale stays the base's; the card's name says what it learned."""
    set_energies(potential, train, settings.e0, row, choices, trained=True)
    scale = getattr(main_member(potential), "scale", None)
    if scale is not None:
        value = float(scale[row])
        new = f"{statistics.force_scale(train):.4g} eV" if "forces" in train.labels else "unknown, without forces"
        text = f"{value:.4g} eV, the base's: it multiplies all that was learned; the new data's would be {new}"
        choices.note("scale", value, text)
    potential.card = replace(potential.card, name=f"{potential.card.name} on {train.name}")
