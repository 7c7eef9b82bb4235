"""Transfer across elements: a base trained on some elements starts the training for others (Si to Ge in paper and Lab).

All weights are carried over, and all are trained again. The rows of an element that the base has never seen are copied
from a parent; E0 and shift never are.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from ase.data import atomic_numbers, chemical_symbols

from ...errors import InputError, notice
from ...potential import Potential
from ..choices import Choices
from ..plan import Plan
from ..settings import TransferSettings
from .naive import tuned

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["carried", "nearest_element", "prepare"]

RATE = 0.01  # 0.005, 0.01, 0.02 from si-base to ten frames of sw-ge, 500 steps: 0.01 was best on two seeds
WHY = "a new element is far enough from its parent to need larger steps than the same elements would"
_PERIODS = (1, 3, 11, 19, 37, 55, 87, 119)  # atomic numbers at which the periods begin


def prepare(
    settings: TransferSettings, base: Potential, train: Dataset, valid: Dataset | None, *,
    seed: int = 0, head: str | int | None = None,
) -> Plan:  # fmt: skip
    """The plan for `base` extended by the elements of the data that it does not know."""
    choices = Choices()
    potential, fresh = carried(settings, base, train, choices)
    if not fresh:
        notice("transfer-nothing-new", f"'{base.card.name}' knows every element here: this is a naive fine-tuning.")
    return tuned("transfer", settings, potential, train, valid, choices, seed=seed, head=head, rate=(RATE, WHY))


def carried(
    settings: TransferSettings, base: Potential, train: Dataset, choices: Choices
) -> tuple[Potential, list[int]]:  # fmt: skip
    """A copy of the base that knows the elements of the data, and which of them are new to it."""
    if not hasattr(base, "extended"):
        raise InputError("This model cannot be extended to new elements", got=getattr(base, "card", base))
    fresh = sorted(set(train.elements) - set(base.card.elements))
    parents = _parents(settings, base, fresh)
    potential = base.extended(fresh, parents) if fresh else deepcopy(base)
    potential.card = replace(base.card, elements=potential.card.elements)
    potential.default_head = base.default_head
    named = {chemical_symbols[z]: chemical_symbols[p] for z, p in parents.items()}
    pairs = ", ".join(f"{z} from {p}" for z, p in named.items()) or "none, since no element is new"
    why = "as set" if settings.parents else "chosen because each is the nearest known element in the periodic table"
    choices.note("parents", named, f"{pairs}, {why}" if named else pairs)
    return potential, fresh


def _parents(settings: TransferSettings, base: Potential, fresh: list[int]) -> dict[int, int]:
    known = [chemical_symbols[z] for z in base.card.elements]
    named = {}
    for symbol, parent in settings.parents.items():
        if atomic_numbers.get(symbol) not in fresh:
            new = [chemical_symbols[z] for z in fresh]
            raise InputError("A parent was named for an element that is not new", got=symbol, allowed=new or "none")
        if parent not in known:
            raise InputError(f"The parent of {symbol} is not known to the model", got=parent, allowed=known)
        named[atomic_numbers[symbol]] = atomic_numbers[parent]
    return {z: named.get(z) or nearest_element(z, base.card.elements) for z in fresh}


def nearest_element(z: int, known: tuple[int, ...]) -> int:
    """The known element nearest to `z` in the periodic table: in its group if there is one, then by period."""
    group, period = _place(z)

    def distance(other: int) -> tuple[int, int, int]:
        g, p = _place(other)
        return abs(g - group), abs(p - period), other

    return min(known, key=distance)


def _place(z: int) -> tuple[int, int]:
    """Group and period; f elements have groups of their own (beyond 100), so that lanthanides pair with actinides."""
    if z == 1:
        return 0, 1  # no alkali metal
    period = next(k for k, first in enumerate(_PERIODS[1:], 1) if z < first)
    k, length = z - _PERIODS[period - 1], _PERIODS[period] - _PERIODS[period - 1]
    if k < 2 and length > 2:
        return k + 1, period
    if length == 32 and k < 16:
        return 100 + k, period
    return k + 1 + 18 - length, period
