"""What the Fine-tune panel says of each strategy, what it asks for, and what is missing before one can start."""

from __future__ import annotations

from typing import Any

from atomlab.training.settings import STRATEGIES

from ..action import button, words

TITLES = {
    "naive": ("go on training", "All weights of the base go on learning from the new frames."),
    "transfer": ("element transfer", "New elements start from their nearest known relative; then all weights learn."),
    "replay": ("replay", "A new head learns the new frames; data of the base's kind keep the old head as it is."),
    "lora": ("low-rank additions", "The base's matrices stay; small additions learn, and are merged in the end."),
    "atomft": ("bounded correction", "The base stays as it is; a bounded correction per atom learns on top of it."),
    "scratch": ("from scratch", "Random weights; nothing of the base is used."),
}
# Settings that a strategy asks for in sight; all others that act are folded.
OWN = {
    "naive": ("freeze",),
    "transfer": ("parents", "freeze"),
    "replay": ("replay", "replay_labels", "replay_count", "replay_method", "replay_weight"),
    "lora": ("lora_rank", "lora_alpha", "freeze"),
    "atomft": ("alpha", "blocks"),
    "scratch": (),
}
LABELS = {
    "replay": "replayed data",
    "replay_labels": "their labels",
    "replay_count": "how many",
    "replay_method": "chosen",
    "replay_weight": "their weight",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "alpha": "bound",
    "probe_tasks": "other tasks",
    "probe_foundation": "base's ground",
    "probe_md": "MD",
    "probe_temperature": "MD begins at",
    "probe_structure": "crystal",
    "probe_path": "path",
    "probe_share": "at most",
    "energy_stage": "share",
    "energy_stage_factor": "energy weight ×",
    "energy_stage_rate": "learning rate ×",
    "second_weights": "or weights",
}
WORDS = {
    "strategy": {name: f"{title} ({name})" if title != name else name for name, (title, _) in TITLES.items()},
    "replay_labels": {"data": "those of the data", "base": "the base's (pseudo-labels)"},
    "replay_method": {"farthest": "farthest points", "random": "at random"},
}
HINTS = {
    "parents": "the nearest, or Ge: Si",
    "freeze": "none, or interactions.*",
    "second_weights": "energy: 100, forces: 1",
    "huber_deltas": "energy: 0.01, forces: 0.02",
    "probe_tasks": "a data set",
    "probe_foundation": "a data set",
    "probe_structure": "bulk:Si",
    "probe_path": "images in order",
    "valid_data": "a part of this one",
}
# (model, strategy) -> a learning rate that was measured to be better than the plan's own, and why
RATES = {
    ("atomlab-tiny", "naive"): (
        0.01,
        "Best of 0.001 to 0.02 on ten frames of sw-ge, and as good as 0.005 on ten of DFT germanium; the plan's own is "
        "0.001, since it counts the weights of all 18 elements",
    )
}
STAGE, PROBES = "second stage", "watch other properties"
SECOND = ("energy_stage", "energy_stage_factor", "energy_stage_rate", "second_weights")
NEEDS_ELEMENTS = ("naive", "lora", "atomft")  # the base must know every element of the data


def foreign(strategy: str, schema: dict[str, Any]) -> set[str]:
    """Settings that do nothing under this strategy: neither shown nor given to the run.

    From scratch there is no base: no twin to compare with, no head to go on from, and nothing that a probe could be a
    multiple of.
    """
    others = {name for kind in STRATEGIES.values() for name in kind.model_fields}
    out = others - set(STRATEGIES[strategy].model_fields)
    if strategy != "replay":
        out.add("replay")
    if strategy == "scratch":
        out |= {"scratch_twin", "head", *probes(schema)}
    return out


def probes(schema: dict[str, Any]) -> list[str]:
    """Names of the settings of the probes."""
    return [name for name in schema["properties"] if name.startswith("probe_")]


def folds(schema: dict[str, Any]) -> dict[str, str]:
    """Setting -> title of the fold that it is in, where that is one of its own."""
    return dict.fromkeys(probes(schema), PROBES) | dict.fromkeys(SECOND, STAGE)


def missing(strategy: str, model: str, data: str, new: list[str], replay: str | None) -> list[dict]:
    """What stands in the button's place while this strategy lacks something: words, and what helps. Else nothing.

    new: elements of the data that the base does not know.
    """
    if new and strategy in NEEDS_ELEMENTS:
        told = f'{model} has never seen {" and ".join(new)}, which "{TITLES[strategy][0]}" needs:'
        return [words(told), button("take-transfer", "take element transfer", "link")]
    if strategy == "replay" and not replay:
        told = "name structures to replay, of the kind that the base has learned from"
        own = button("replay-own", f"or {data} with the base's labels", "link") if not new else None
        return [words(told), *([own] if own else [])]
    return []
