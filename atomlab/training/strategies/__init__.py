"""A strategy prepares a Plan: which model, which parameters, which constants, and why. One file each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..settings import TrainingSettings, settings_of

if TYPE_CHECKING:
    from ...data import Dataset
    from ...potential import Potential
    from ..plan import Plan

__all__ = ["Select", "prepare"]

Select = Callable[..., tuple["Dataset", Mapping[str, tuple[Any, str]]]]


def prepare(
    strategy: str, settings: TrainingSettings | Mapping[str, Any] | None, base: Potential | Mapping[str, Any] | None,
    train: Dataset, valid: Dataset | None = None, *, seed: int = 0, head: str | int | None = None,
    device: str = "auto", dtype: str = "float32", select: Select | None = None,
) -> Plan:  # fmt: skip
    """The plan of a strategy by its name.

    base: the model to start from; for 'scratch' also a configuration {'architecture': 'mace', 'channels': 16} (then
    on `device` and in `dtype`). It is never changed: the plan holds a copy. The same arguments give the same plan.
    select: for 'replay', what picks structures of the base's own data: select(base, elements=..., count=...,
    method=..., pool=..., labelled=..., seed=...) -> (a Dataset, {name of a choice: (its value, its reason)}).
    """
    settings = settings_of(strategy, settings)
    room = importlib.import_module(f"{__name__}.{strategy}")
    options: dict[str, Any] = {"device": device, "dtype": dtype} if strategy == "scratch" else {}
    if strategy == "replay":
        options["select"] = select
    elif select is not None:
        raise InputError("Only the strategy 'replay' selects structures to replay", got=strategy)
    return room.prepare(settings, base, train, valid, seed=seed, head=head, **options)
