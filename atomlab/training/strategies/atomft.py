"""AtomFT: the base stays bit for bit what it is; a bounded correction per atom is learned on top of it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ...architectures.atomft import AtomFT
from ...potential import Potential
from ..choices import Choices
from ..plan import Plan, assemble
from ..settings import AtomFTSettings
from .naive import check_base

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["prepare"]

RATE = 2e-3


def prepare(
    settings: AtomFTSettings, base: Potential, train: Dataset, valid: Dataset | None, *,
    seed: int = 0, head: str | int | None = None,
) -> Plan:  # fmt: skip
    """The plan for a correction on a frozen copy of `base`. E0, scale and shift are the base's and stay."""
    check_base(base, train)
    choices = Choices()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        potential = AtomFT(deepcopy(base), alpha=settings.alpha, blocks=settings.blocks)
    potential.card = replace(potential.card, name=f"{potential.card.name}, {train.name}")
    frozen = sum(p.numel() for p in base.parameters())
    choices.note("base", frozen, f"The {frozen} parameters of '{base.card.name}' are frozen, its E0 and shift too")
    choices.note("alpha", settings.alpha, f"No atom's energy changes by more than {settings.alpha:g} eV, as set")
    why = "the correction starts at 0 with random weights before it, and its bound keeps large steps harmless"
    row = potential.head_index(head)
    return assemble("atomft", settings, potential, train, valid, choices, rate=(RATE, why), head=row, seed=seed)
