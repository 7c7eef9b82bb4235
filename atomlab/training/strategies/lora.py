"""LoRA: the base's matrices are frozen, and low-rank additions to them are learned (Hu et al., arXiv:2106.09685).

The model that is saved has the additions merged into its weights: it is an ordinary model of the base's architecture,
as fast as the base.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from torch import nn

from ...architectures.lowrank import LowRank, attach
from ...errors import InputError
from ...potential import Potential
from ..choices import Choices
from ..groups import frozen_groups, groups_of
from ..plan import Plan
from ..settings import LoRASettings
from .naive import check_base, tuned

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["prepare"]

RATE = 0.01
WHY = "an adapter starts at 0 beside frozen weights, and bears larger steps than the weights themselves"


def prepare(
    settings: LoRASettings, base: Potential, train: Dataset, valid: Dataset | None, *,
    seed: int = 0, head: str | int | None = None,
) -> Plan:  # fmt: skip
    """The plan for adapters on a copy of `base`, whose E0 and shift come from the new data."""
    check_base(base, train)
    choices, potential = Choices(), deepcopy(base)
    trained = _with_adapters(potential, settings, seed, choices)
    rate = (RATE, WHY)
    return tuned("lora", settings, potential, train, valid, choices, seed=seed, head=head, rate=rate, only=trained)


def _with_adapters(potential: Potential, settings: LoRASettings, seed: int, choices: Choices) -> list[nn.Parameter]:
    """Attach the adapters; the parameters that are to be trained: theirs, and the layers too small for one."""
    named = groups_of(potential)
    frozen = set(frozen_groups(potential, settings.freeze))
    open_ = {id(p) for name, parameters in named.items() if name not in frozen for p in parameters}
    rank = settings.lora_rank
    alpha = choices.pick(
        "lora_alpha", settings.lora_alpha, float(rank), "then an adapter acts as it is, without a factor α / r"
    )
    got, small = attach(potential, rank, alpha, lambda weight: id(weight) in open_, seed)
    if not got:
        raise InputError(
            f"'{potential.card.name}' has no linear layer that an adapter of rank {rank} would be smaller than",
            mend="Take a smaller lora_rank, freeze fewer groups, or the strategy naive",
        )
    modules = dict(potential.named_modules())
    adapters = [p for m in modules.values() if isinstance(m, LowRank) for p in m.parameters()]
    whole = [p for name in small for p in modules[name].parameters()]
    told = f"; {len(small)} layers that are no larger than an adapter are trained as they are" if small else ""
    choices.note(
        "adapters", len(got), f"{len(got)} layers get an adapter of rank {rank}, merged when the model is saved{told}"
    )
    return adapters + whole
