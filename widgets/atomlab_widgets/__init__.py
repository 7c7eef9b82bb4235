"""The Lab and its panels for Jupyter. Importing this imports neither torch nor plotly nor nglview."""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "lab": "screen",
    "Lab": "screen",
    "Session": "session",
    "DatasetPanel": "panels",
    "FinetunePanel": "panels",
    "HealthPanel": "panels",
    "MDPanel": "panels",
    "MapPanel": "panels",
    "RunsPanel": "panels",
}
__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"atomlab_widgets has no '{name}'. It has: {', '.join(_NAMES)}.")
    value = getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)
    globals()[name] = value
    return value
