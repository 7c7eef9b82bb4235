"""Multi-head replay: a new head learns the new data while the base's own data are replayed on the base's head.

Batatia et al., arXiv:2401.00096, section III and C.2: one body, for each level of theory a readout and E0 of its own.
The new head starts as the base's. Where no replay data are given it stops: it is never a naive fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from ...build import check_elements
from ...errors import InputError
from ...potential import Potential
from ...predict import evaluate
from ..choices import Choices
from ..losses import of_predictions
from ..plan import Held, Mix, Plan, assemble
from ..settings import ReplaySettings
from ..stages import loss_of
from . import naive, transfer
from .heads import base_constants, kept_words, pseudo_labelled, with_new_head

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["prepare"]

SHARE = 0.5  # of an epoch's structures that are new ones
FOR_EACH, LEAST, MOST = 10, 100, 10_000
WEIGHED = 200  # structures of each kind that the losses are compared on


def prepare(
    settings: ReplaySettings, base: Potential, train: Dataset, valid: Dataset | None, *,
    seed: int = 0, head: str | int | None = None, select: Callable[..., Any] | None = None,
) -> Plan:  # fmt: skip
    """The plan for `base` with one more head; `select` picks the replay structures (see `prepare` of this room)."""
    naive.check_base(base)
    if select is None:
        raise InputError(
            "The strategy 'replay' needs structures of the kind that the base learned from, and does not go on without",
            mend="Name them (replay=FILE); where the base's own data are not at hand: any structures like them, with "
            "replay_labels='base'",
        )
    choices, row, rate = Choices(), base.head_index(head), (naive.RATE, naive.WHY)
    if set(train.elements) - set(base.card.elements):
        potential, _ = transfer.carried(settings, base, train, choices)
        rate = (transfer.RATE, transfer.WHY)
    else:
        check_elements(np.array(sorted(train.elements)), base.card.elements, f"'{base.card.name}'")
        potential = deepcopy(base)
    potential, new = with_new_head(potential, settings.new_head, row, choices)
    seen, held = _replayed(settings, base, train, row, seed, choices, select)
    naive.new_constants(potential, settings, train, new, choices)
    base_constants(potential, settings.replay_e0, base, seen, row, choices)
    times = choices.pick(
        "oversample", settings.oversample, max(1, round(SHARE / (1 - SHARE) * len(seen) / len(train))),
        f"then about {100 * SHARE:.0f} % of an epoch's structures are new: {len(train)} are new, {len(seen)} replayed",
    )  # fmt: skip
    weight = choices.pick(
        "replay_weight", settings.replay_weight, *_weight(settings, potential, (train, new), (seen, row))
    )
    both = settings.keep_by == "both"
    choices.note("keep_by", settings.keep_by, kept_words(both, held, valid, potential.card.heads[new], weight))
    count = len(train) * times
    mixed = train[np.tile(np.arange(len(train)), times)] + seen
    others = (Held("replay", held, row, weight if both else 0.0),) if held is not None else ()
    mix = Mix([new] * count + [row] * len(seen), {new: 1.0, row: weight}, len(train), others)
    return assemble("replay", settings, potential, mixed, valid, choices, rate=rate, head=new, seed=seed, mix=mix)


def _weight(
    settings: ReplaySettings, potential: Potential, fresh: tuple[Dataset, int], replayed: tuple[Dataset, int]
) -> tuple[float, str]:
    """1, or so much less that the base head's loss begins no larger than the new head's (which weighs 1): else a base
    whose errors on its own data are large has its gradients drown the new data's, and they are learned late."""
    loss, losses = loss_of(settings), []
    for data, head in (fresh, replayed):
        few = data[:: math.ceil(len(data) / WEIGHED)]
        found = loss(of_predictions(evaluate(potential, few, want=_wanted(settings), head=head)))
        losses.append(0.0 if found is None else float(found))
    ours, theirs = losses
    told = f"the losses begin at {ours:.3g} for the new data and {theirs:.3g} for the replayed"
    if not 0 < ours < theirs:
        return 1.0, f"{told}, and the new head's weight is 1"
    return float(f"{ours / theirs:.2g}"), f"{told}: so they begin equal, with the new head's weight 1"


def _wanted(settings: ReplaySettings) -> tuple[str, ...]:
    return ("energy", "forces") + ("stress",) * (settings.stress_weight > 0)


def _replayed(
    settings: ReplaySettings, base: Potential, train: Dataset, row: int, seed: int, choices: Choices, select: Callable
) -> tuple[Dataset, Dataset | None]:
    """Structures to replay and those held out, with labels of the base's level."""
    count = choices.pick(
        "replay_count", settings.replay_count, min(MOST, max(LEAST, FOR_EACH * len(train))),
        f"{FOR_EACH} for each of the {len(train)} new ones, at least {LEAST} and at most {MOST}",
    )  # fmt: skip
    pseudo = settings.replay_labels == "base"
    pool = settings.replay_pool or 20 * count
    found, told = select(
        base, elements=train.elements, count=count, method=settings.replay_method, pool=pool, labelled=not pseudo,
        seed=seed,
    )  # fmt: skip
    for name, (value, reason) in told.items():
        choices.note(name, value, reason)
    if pseudo:
        stress = settings.stress_weight > 0 or settings.second_weights.get("stress", 0) > 0
        found = pseudo_labelled(base, found, row, stress)
    source = "those that the base gives (pseudo-labels)" if pseudo else "those of the replay data"
    choices.note("replay_labels", settings.replay_labels, f"Labels of the replayed structures: {source}, as set")
    apart = math.ceil(settings.replay_valid * len(found)) if len(found) > 1 else 0
    choices.note("replay_held_out", apart, f"{apart} of {len(found)} replay structures are held out to measure on")
    if not apart:
        return found, None
    parts = found.split(valid=apart, seed=seed)
    return parts.train, parts.valid
