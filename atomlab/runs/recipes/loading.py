"""Data sets of runs: whole, a part by numbers, or the structures that another run has learned from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ... import data
from ...errors import InputError
from ..directory import is_run, read_spec, workspace
from ..execute import RunIO
from ..inputs import located
from ..spec import INPUTS

__all__ = ["Parts", "divided", "load_data", "as_count", "numbers"]

SPLIT = "split.json"


def load_data(text: str, io: RunIO) -> data.Dataset:
    """The data set that a spec names: `sw-ge`, a file, `sw-ge#0:10`, `sw-ge#3,5,8`, `RUN#train`, `RUN#valid`."""
    source, hash_, part = located(text, io).rpartition("#")
    if not hash_:
        return data.read(part)
    folder = Path(source) if is_run(Path(source)) else workspace() / source
    if part in ("train", "valid"):
        return _of_run(folder, part)
    whole = data.read(source)
    return whole[_rows(part, len(whole), text)]


def _rows(part: str, count: int, text: str) -> list[int]:
    if found := re.fullmatch(r"(-?\d*):(-?\d*)(?::(-?\d+))?", part):
        start, stop, step = (int(x) if x else None for x in found.groups())
        rows = list(range(count))[slice(start, stop, step or 1)]
    elif re.fullmatch(r"-?\d+(,-?\d+)*", part):
        rows = [int(x) for x in part.split(",")]
    else:
        raise InputError(
            "After '#' stand numbers of frames", got=text, allowed="3, 3,5,8, 0:10; train or valid of a run"
        )
    if not rows or not all(-count <= row < count for row in rows):
        raise InputError("There are no such frames", got=text, allowed=f"0 to {count - 1}")
    return rows


def _of_run(folder: Path, part: str) -> data.Dataset:
    if not (folder / SPLIT).is_file():
        raise InputError("This is no training run that has divided its data", got=folder)
    spec, split = read_spec(folder), json.loads((folder / SPLIT).read_text(encoding="utf-8"))
    source = split["valid_data"] if part == "valid" and split["valid_data"] else spec["data"]
    whole = data.read(str(folder / source) if source.startswith(f"{INPUTS}/") else source)
    return whole[split[part]]


@dataclass
class Parts:
    """Training and validation set of a run, and which frames of their sources these are."""

    train: data.Dataset
    valid: data.Dataset | None
    valid_frames: np.ndarray


def divided(spec: Any, io: RunIO) -> Parts:
    """Divide the data as the spec says; what came out is written to split.json and says so in the plan's words."""
    whole = load_data(spec.data, io)
    kept = _without(whole, spec.left_out)
    if spec.valid_data:
        other = load_data(spec.valid_data, io)
        train = (
            kept
            if spec.train is None
            else kept.split(valid=0, train=as_count(spec.train), by=spec.split, seed=spec.seed).train
        )
        valid, rows = other, np.arange(len(other))
    elif spec.valid:
        split = kept.split(valid=as_count(spec.valid), train=as_count(spec.train), by=spec.split, seed=spec.seed)
        train, valid = split.train, split.valid
        rows = numbers(whole, valid)
    else:
        train = (
            kept
            if spec.train is None
            else kept.split(valid=0, train=as_count(spec.train), by=spec.split, seed=spec.seed).train
        )
        valid, rows = None, np.zeros(0, dtype=np.int64)
    content = {"train": numbers(whole, train).tolist(), "valid": rows.tolist(), "valid_data": spec.valid_data}
    io.save(SPLIT, lambda path: path.write_text(json.dumps(content), encoding="utf-8"))
    if not len(train):
        raise InputError(
            "No structure is left to learn from", got=f"train={spec.train}, valid={spec.valid} of {len(whole)}"
        )
    return Parts(train, valid if valid is not None and len(valid) else None, rows)


def as_count(value: float | None) -> float | int | None:
    """A form may give 40 as 40.0: from one on it is a number of structures."""
    return int(value) if value is not None and value >= 1 else value


def _without(whole: data.Dataset, left_out: list[int]) -> data.Dataset:
    wrong = [k for k in left_out if not 0 <= k < len(whole)]
    if wrong:
        raise InputError("There is no such frame to leave out", got=wrong[0], allowed=f"0 to {len(whole) - 1}")
    gone = set(left_out)
    return whole[[k for k in range(len(whole)) if k not in gone]] if gone else whole


def numbers(whole: data.Dataset, part: data.Dataset) -> np.ndarray:
    """Where the structures of a part stand in the whole (they share their entries)."""
    known, wanted = whole.entries.identities(), part.entries.identities()
    order = np.argsort(known, kind="stable")
    return order[np.searchsorted(known, wanted, sorter=order)]
