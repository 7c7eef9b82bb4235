"""Dynamics of any potential through ASE, with guards, one seed and a state that can be saved; observables beside it."""

from __future__ import annotations

import importlib
from typing import Any

# public name of this room -> where it is; fetched when used, so that reading the settings imports no torch
_NAMES = {
    "Breakdown": "guards",
    "Frame": "md",
    "MDSettings": "settings",
    "simulate": "md",
    "structure": "structures",
}

__all__ = list(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"atomlab.simulate has no '{name}'. It has: {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
