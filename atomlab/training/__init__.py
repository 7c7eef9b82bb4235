"""Training: a strategy prepares a Plan, one generator carries it out.

    plan = prepare("transfer", {"effort": "quick"}, base, train, valid)
    state = State(plan)
    for event in fit(plan, state):
        print(event.kind, event.values)

Importing this room, or `atomlab.training.settings`, imports no torch: names are fetched when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "Diverged": "events",
    "Event": "events",
    "Plan": "plan",
    "Stage": "plan",
    "Loss": "losses",
    "State": "state",
    "STRATEGIES": "settings",
    "FinetuneSettings": "settings",
    "settings_of": "settings",
    "fit": "loop",
    "finish": "validation",
    "flat": "metrics",
    "table": "metrics",
    "prepare": "strategies",
}

__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"atomlab.training has no '{name}'. It has: {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
