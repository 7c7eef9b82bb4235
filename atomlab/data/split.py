"""Train, valid and test parts: groups ranked by SHA-256(seed, group), so that no random stream of a library decides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import InputError, nearest, notice

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["GROUP_KEYS", "Split", "parts", "rank"]

GROUP_KEYS = (
    "group", "material_id", "mp_id", "mptrj_traj_id",
    "trajectory", "trajectory_id", "traj_id", "structure_id", "source_id",
)  # fmt: skip
_GIVEN_KEYS = ("split", "tag")
_GIVEN = {
    "train": "train", "training": "train",
    "valid": "valid", "val": "valid", "validation": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Three data sets; `train, valid, test = split` and `split["train"]` work too. `reasons` say how it was made."""

    train: Dataset
    valid: Dataset
    test: Dataset
    reasons: list[str] = field(default_factory=list)

    def __iter__(self):
        return iter((self.train, self.valid, self.test))

    def __getitem__(self, name: str) -> Dataset:
        if name not in ("train", "valid", "test"):
            raise KeyError(f"A split has train, valid and test, not '{name}'.")
        return getattr(self, name)

    def keys(self) -> tuple[str, str, str]:
        """Names of the parts."""
        return ("train", "valid", "test")


def rank(seed: int, name: str) -> str:
    """The place of a group in the order that the seed gives: smaller comes first."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def parts(
    dataset: Dataset,
    valid: float | int,
    test: float | int,
    by: str,
    seed: int,
    train: float | int | None,
    group_key: str | None,
    stratify: str | None,
) -> Split:
    """See `Dataset.split`."""
    if len(dataset) == 0:
        raise InputError("An empty data set cannot be split")
    strata, divided = _strata(dataset, stratify)
    groups, reasons = _groups(dataset, by, group_key)
    where: list[str | None] = [None] * len(dataset)
    if by == "given":
        where, told = _given(dataset)
        reasons += told
        test = 0
        valid = 0 if "valid" in where else valid
    _check_sizes(len([w for w in where if w in (None, "train")]), {"valid": valid, "test": test, "train": train})
    reasons += divided
    for stratum in dict.fromkeys(strata):
        inside = [k for k in range(len(dataset)) if strata[k] == stratum and where[k] in (None, "train")]
        share = len(inside) / max(1, sum(w in (None, "train") for w in where)) if stratify else 1.0
        _assign(where, inside, groups, {"test": test, "valid": valid, "train": train}, share, seed)
    found = {name: dataset[[k for k, w in enumerate(where) if w == name]] for name in ("train", "valid", "test")}
    if not len(found["train"]):
        raise InputError(
            "No structure is left to train on", got=f"{len(dataset)} structures, valid={valid}, test={test}, by='{by}'",
            mend="Ask for smaller parts, or split by something with more groups",
        )  # fmt: skip
    reasons.append(_counts(found, sum(w is None for w in where), seed))
    for name, wanted in (("valid", valid), ("test", test)):
        if wanted and not len(found[name]):
            text = f"No structure is left for '{name}': there are too few groups to divide."
            reasons.append(text)
            notice(f"split-empty-{name}-{dataset.name}-{by}", text)
    reasons += _shared(found)
    return Split(found["train"], found["valid"], found["test"], reasons)


def _counts(found: dict[str, Dataset], left_out: int, seed: int) -> str:
    counts = ", ".join(f"{len(part)} {name}" for name, part in found.items())
    return counts + (f", {left_out} in none of them" if left_out else "") + f"; seed {seed}."


def _strata(dataset: Dataset, stratify: str | None) -> tuple[list[str | None], list[str]]:
    """What each structure is stratified by, and how."""
    if stratify is None:
        return [None] * len(dataset), []
    _check_key(dataset, stratify, "stratify")
    told = [f"Each value of '{stratify}' is divided in the same proportion."]
    return [str(v) for v in dataset.info(stratify)], told


def _assign(where: list, inside: list[int], groups: list[str], want: dict[str, Any], share: float, seed: int) -> None:
    """Fill test, then valid, then train with whole groups in the order of their rank."""
    members: dict[str, list[int]] = {}
    for k in inside:
        members.setdefault(groups[k], []).append(k)
    order = sorted(members, key=lambda g: rank(seed, g))
    for name in ("test", "valid", "train"):
        target = _count(want[name], len(inside), share, name)
        for k in inside:
            if name == "train" and where[k] == "train":
                where[k] = None  # given as train: it may still be left out
        filled = 0
        for group in list(order):
            free = members[group]
            size = len(free)
            # a group goes in if that brings the part closer to its size; the first always, so that no part is empty
            if filled >= target or (filled and abs(filled + size - target) > target - filled):
                continue
            if name != "train" and len(order) == 1:
                break  # the last group stays for training
            for k in free:
                where[k] = name
            order.remove(group)
            filled += size


def _check_sizes(total: int, want: dict[str, Any]) -> None:
    wanted = sum(_count(value, total, 1.0, name) for name, value in want.items() if value is not None)
    if wanted > total or (wanted == total and want["train"] is None):
        raise InputError(
            "The parts ask for more structures than there are, with some left to train on",
            got=want,
            allowed=f"{total} in all",
        )


def _count(value: float | int | None, total: int, share: float, name: str) -> int:
    if value is None:
        return total
    if isinstance(value, bool) or value < 0 or (isinstance(value, float) and value > 1):
        raise InputError(f"'{name}' is a fraction from 0 to 1 or a number of structures", got=value)
    return round(value * total) if isinstance(value, float) else round(value * share)


def _groups(dataset: Dataset, by: str, group_key: str | None) -> tuple[list[str], list[str]]:
    """The name of each structure's group, and how it was found."""
    own = dataset.structure_hashes()
    if by in ("random", "given"):
        return own, [f"Split {'at random' if by == 'random' else 'as given'}, structure by structure."]
    if by == "composition":
        names = [entry.composition for entry in dataset.entries]
        return names, [f"Whole compositions stay together ({len(set(names))} of them)."]
    key = group_key if by == "group" else by
    if by == "group" and key is None:
        key = _group_key(dataset)
    _check_key(dataset, key, "group_key" if by == "group" else "by")
    values = dataset.info(str(key))
    missing = sum(v is None for v in values)
    names = [o if v is None else f"{key}={v}" for v, o in zip(values, own)]
    text = f"Structures with the same '{key}' stay together ({len(set(names))} groups)."
    if missing:
        text += f" {missing} structures lack it: each of them is a group of its own."
        notice(f"split-{key}-missing-{missing}", text)
    return names, [text]


def _group_key(dataset: Dataset) -> str:
    counts = {key: sum(v is not None for v in dataset.info(key)) for key in GROUP_KEYS}
    best = max(GROUP_KEYS, key=lambda key: counts[key])
    if not counts[best]:
        raise InputError(
            "No key says which structures come from the same source", got=", ".join(_keys(dataset)) or "no keys",
            allowed=GROUP_KEYS, mend="Name the key: split(by='group', group_key='...')",
        )  # fmt: skip
    return best


def _keys(dataset: Dataset) -> list[str]:
    return dataset.entries.keys()


def _check_key(dataset: Dataset, key: str | None, option: str) -> None:
    if key is not None and all(v is None for v in dataset.info(key)):
        allowed = ["random", "group", "composition", "given", *_keys(dataset)] if option == "by" else _keys(dataset)
        raise InputError(
            f"'{option}' names no key of this data set", got=key, allowed=allowed, mend=nearest(key, allowed)
        )


def _given(dataset: Dataset) -> tuple[list[str | None], list[str]]:
    for key in _GIVEN_KEYS:
        values = dataset.info(key)
        where = [None if v is None else _GIVEN.get(str(v).lower()) for v in values]
        if any(w is not None for w in where):
            unknown = sorted({str(v) for v, w in zip(values, where) if w is None and v is not None})
            told = [f"'{key}' says where each structure belongs."]
            if unknown:
                told.append(f"Structures with {key} = {', '.join(unknown[:5])} are in no part.")
            if "valid" not in where:
                told.append("It names none for validation: these are taken from train.")
            # a structure that the key says nothing about must not slip into a part
            return ["left out" if w is None else w for w in where], told
    raise InputError(
        "The structures don't say to which part they belong",
        allowed="info['split'] or info['tag'] = train, valid, test",
    )


def _shared(found: dict[str, Dataset]) -> list[str]:
    """Structures that are in two parts: a warning for each pair of parts."""
    told = []
    hashes = {name: set(part.structure_hashes()) for name, part in found.items()}
    for a, b in (("train", "valid"), ("train", "test"), ("valid", "test")):
        both = hashes[a] & hashes[b]
        if both:
            text = f"{len(both)} structures are in {a} and in {b}: errors on {b} will look smaller than they are."
            told.append(text)
            notice(f"leak-{a}-{b}-{min(both)[:12]}", text)
    return told
