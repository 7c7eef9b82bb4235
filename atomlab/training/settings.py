"""What can be set in a training, by strategy: the forms, the command's options and the docs are made from this.

Every field carries its unit, its range and one sentence of reason with its source. `None` means "chosen from the data";
what was chosen then stands in `Plan.values` and why in `Plan.reasons`. Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from ..errors import InputError, nearest
from .common import TrainingSettings, described

__all__ = [
    "STRATEGIES",
    "AtomFTSettings",
    "FinetuneSettings",
    "LoRASettings",
    "NaiveSettings",
    "ReplaySettings",
    "ScratchSettings",
    "TrainingSettings",
    "TransferSettings",
    "settings_of",
]


class ScratchSettings(TrainingSettings):
    """Random weights, everything learned from this data set."""

    scale: float | None = described(
        None, "Scale", "What the network's energies are multiplied with; by default the root mean square force of the "
        "training set, as MACE does.", "eV", gt=0, le=1000,
    )  # fmt: skip


class NaiveSettings(TrainingSettings):
    """Go on training a base model on new data, all of it or with some groups frozen."""

    freeze: list[str] = described(
        [], "Freeze", "Parameter groups that keep the base's weights, by name or pattern ('interactions.*'): fewer "
        "weights for few data; the transfer paper found best to train all.", main=True,
    )  # fmt: skip


class TransferSettings(NaiveSettings):
    """Carry a base model over to elements that it has never seen."""

    parents: dict[str, str] = described(
        {}, "Parents", "From which known element each new one starts, such as {'Ge': 'Si'}; by default the nearest in "
        "its group of the periodic table.", main=True,
    )  # fmt: skip
    freeze: list[str] = described(
        [], "Freeze", "Parameter groups that keep the base's weights, by name or pattern; the transfer paper found "
        "best to train all.",
    )  # fmt: skip


class ReplaySettings(TransferSettings):
    """Learn the new data with a head of its own while the base's own data are replayed on the base's head."""

    replay_count: int | None = described(
        None, "Replay structures", "How many of the base's structures are replayed; by default ten for each new one, "
        "100 to 10,000 (mace-torch takes 10,000, the paper 100,000).", "structures", ge=1, le=10**7,
    )  # fmt: skip
    replay_method: Literal["farthest", "random"] = described(
        "farthest", "Replay selection", "Among the structures that share elements: farthest points of the base's "
        "descriptors (arXiv:2401.00096, C.2), or at random as in all of that paper's examples.",
    )  # fmt: skip
    replay_pool: int | None = described(
        None, "Replay pool", "The farthest points are sought among at most so many, drawn at random: each costs a pass "
        "of the base; by default 20 for each that is wanted.", "structures", ge=1, le=10**8,
    )  # fmt: skip
    replay_labels: Literal["data", "base"] = described(
        "data", "Replay labels", "The replayed structures' own labels, or those that the base gives them "
        "(pseudo-labels: for a base whose training data are not at hand).",
    )  # fmt: skip
    replay_weight: float | None = described(
        None, "Replay weight", "Weight of the base head's loss; the new head's is 1. By default 1, or less where the "
        "replayed structures' loss would begin larger than the new ones'.", gt=0, le=1e6,
    )  # fmt: skip
    replay_valid: float = described(
        0.1, "Replay held out", "Share of the replay structures that is not learned from: its errors tell what is "
        "forgotten of the foundation's data.", ge=0, lt=1,
    )  # fmt: skip
    replay_e0: Literal["base", "residuals"] = described(
        "base", "Replay E0", "E0 of the base's head: the base's own, or corrected by least squares on what the base "
        "leaves of the replayed energies.", "eV",
    )  # fmt: skip
    oversample: int | None = described(
        None, "Oversampling", "How often each new structure occurs in an epoch; by default so that they make up a "
        "share that the plan names.", "times", ge=1, le=100_000,
    )  # fmt: skip
    new_head: str = described(
        "new", "New head", "Name of the head that learns the new data; the saved model uses it unless told otherwise.",
        min_length=1, max_length=60,
    )  # fmt: skip
    keep_by: Literal["target", "both"] = described(
        "target", "Kept weights", "Which validation chooses the weights that are kept: the new data's on the new head, "
        "or with it the held-out replay structures' on the base's, times the replay weight.",
    )  # fmt: skip


class LoRASettings(NaiveSettings):
    """Freeze the base's matrices and learn low-rank additions to them."""

    lora_rank: int = described(
        4, "Adapter rank", "Rank of what is added to each matrix (LoRA, arXiv:2106.09685: 1 to 8 mostly suffice).",
        ge=1, le=1024,
    )  # fmt: skip
    lora_alpha: float | None = described(
        None, "Adapter alpha", "What is added is multiplied with alpha / rank; by default alpha is the rank.",
        gt=0, le=1e4,
    )  # fmt: skip


class AtomFTSettings(TrainingSettings):
    """Keep the base as it is, bit for bit, and learn a bounded correction per atom on top of it."""

    alpha: float = described(
        0.2, "Bound", "Largest correction per atom, either way; 0.1 to 0.4 eV in the AtomFT paper.", "eV/atom",
        gt=0, le=10,
    )  # fmt: skip
    blocks: int = described(
        1, "Blocks", "Interaction blocks of the correction: each adds its range and its cost (AtomFT paper: one is "
        "mostly enough).", ge=0, le=8,
    )  # fmt: skip


class FinetuneSettings(ReplaySettings, LoRASettings, AtomFTSettings):
    """The settings of all strategies in one: for a form or a command in which the strategy itself is chosen.

    `settings_of(strategy, these)` takes those of the strategy and refuses what was set for another one.
    """


STRATEGIES: dict[str, type[TrainingSettings]] = {
    "scratch": ScratchSettings,
    "naive": NaiveSettings,
    "transfer": TransferSettings,
    "replay": ReplaySettings,
    "lora": LoRASettings,
    "atomft": AtomFTSettings,
}


def settings_of(
    strategy: str, values: Mapping[str, Any] | BaseModel | None = None, others: bool = False
) -> TrainingSettings:
    """The checked settings of a strategy, from plain data or from a model that has them among its fields.

    What is wrong is said in one sentence, with what was got. A setting of another strategy is refused, unless
    `others` is true: then it is left aside (the from-scratch twin of a fine-tuning).
    """
    if strategy not in STRATEGIES:
        raise InputError(
            "There is no such strategy", got=strategy, allowed=STRATEGIES, mend=nearest(strategy, STRATEGIES)
        )
    kind = STRATEGIES[strategy]
    if type(values) is kind:
        return values
    if isinstance(values, BaseModel):
        fields = {name: field for other in STRATEGIES.values() for name, field in other.model_fields.items()}
        given = {name: getattr(values, name) for name in fields if hasattr(values, name)}
        values = {name: value for name, value in given.items() if value != fields[name].default}
    values = dict(values or {})
    if others:
        values = {name: value for name, value in values.items() if name in kind.model_fields}
    return _checked(strategy, kind, values)


def _checked(strategy: str, kind: type[TrainingSettings], values: dict[str, Any]) -> TrainingSettings:
    unknown = sorted(set(values) - set(kind.model_fields))
    if unknown:
        raise InputError(
            f"Strategy '{strategy}' has no setting '{unknown[0]}'",
            allowed=sorted(kind.model_fields),
            mend=nearest(unknown[0], kind.model_fields),
        )
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"Setting '{name}': {message}" if name else message, got=values.get(name)) from None
