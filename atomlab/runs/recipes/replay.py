"""What a fine-tuning with replay needs of a run: the selected structures, kept in the run so that it can go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ... import data
from ...analysis.replay import select_replay
from ...errors import InputError
from ...potential import Potential
from ..execute import RunIO
from ..tasks import FinetuneSpec
from .loading import load_data

__all__ = ["selection"]

CHOSEN, REASONS = "replay.extxyz", "replay.json"


def selection(spec: FinetuneSpec, io: RunIO) -> Callable[..., Any] | None:
    """What the strategy 'replay' selects its structures with; None for the others, or without replay data."""
    if spec.replay is not None and spec.strategy != "replay":
        raise InputError("Replay data are for the strategy 'replay'", got=f"strategy {spec.strategy}")
    if spec.replay is None or spec.strategy != "replay":
        return None

    def select(base: Potential, **wanted: Any) -> tuple[data.Dataset, dict[str, tuple[Any, str]]]:
        if not io.path(REASONS).exists():
            found, told = select_replay(load_data(str(spec.replay), io), base, **wanted, each=_told(io))
            io.save(CHOSEN, found.write)
            io.save(REASONS, lambda path: path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8"))
        told = json.loads(io.path(REASONS).read_text(encoding="utf-8"))
        return data.read(io.path(CHOSEN)), {name: (value, reason) for name, (value, reason) in told.items()}

    return select


def _told(io: RunIO) -> Callable[[int, int], None]:
    def each(done: int, total: int) -> None:
        io.check()
        io.emit("progress", done=done, total=total, unit="structure", left_s=None, text="replay: descriptors")

    return each
