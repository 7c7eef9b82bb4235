"""Runs: whatever takes time is a directory with a spec, a log of events and results, and is run by one function."""

from __future__ import annotations

import importlib
from typing import Any

# At once: importing the module `execute` later would otherwise put it in the place of the function.
from .execute import RunIO, execute

# name -> module; fetched when used, so that the Lab's process stays light
_NAMES = {
    "Result": "handle",
    "train": "api",
    "finetune": "api",
    "Run": "handle",
    "Spec": "spec",
    "TASKS": "tasks",
    "as_command": "spec",
    "as_python": "spec",
    "attach": "handle",
    "keep_warm": "worker",
    "list_runs": "handle",
    "map": "api",
    "md": "api",
    "parse": "spec",
    "prepare": "api",
    "run": "api",
    "schema": "spec",
    "start": "api",
    "worker_state": "worker",
    "workspace": "directory",
}

__all__ = [*_NAMES, "RunIO", "execute"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"atomlab.runs has no '{name}'. It has: {', '.join(__all__)}.")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
