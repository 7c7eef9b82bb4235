"""What the Lab asks of `atomlab.runs`, in one place: make a run, stop, pause, resume, fork, delete, and say it as text.

Nothing is computed here: a run goes to the workspace's warm worker (another process), and its directory tells the rest.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .form import nested


class Client:
    """Runs of one workspace."""

    def __init__(self, workspace: Path):
        self.workspace = workspace

    def schema(self, kind: str) -> dict[str, Any]:
        """The JSON schema of a task's spec."""
        from atomlab.runs import schema

        return schema(kind)

    def warm(self) -> None:
        """Say that a Lab is open, and see that a worker is there: it imports torch while the person looks around."""
        from atomlab.runs import keep_warm

        keep_warm(self.workspace)

    def worker(self) -> str:
        """none, starting, ready, or the run that it executes."""
        from atomlab.runs import worker_state

        return worker_state(self.workspace)

    def start(self, kind: str, values: Mapping[str, Any]) -> Path:
        """Write a run directory and queue it for the worker."""
        from atomlab.runs import start

        return start({"kind": kind, **nested(values)}, self.workspace).directory

    def _run(self, path: Path) -> Any:
        from atomlab.runs import attach

        return attach(path)

    def stop(self, path: Path) -> None:
        self._run(path).stop()

    def pause(self, path: Path) -> None:
        self._run(path).pause()

    def resume(self, path: Path) -> None:
        self._run(path).resume()

    def delete(self, path: Path) -> None:
        """Remove a run directory (asked before in the panel)."""
        if path.parent != self.workspace or not (path / "spec.yaml").is_file():
            raise ValueError(f"{path} is not a run of this workspace")
        shutil.rmtree(path)

    def command(self, kind: str, values: Mapping[str, Any]) -> str:
        """The shortest command line that repeats this."""
        from atomlab.runs import as_command, parse

        return as_command(parse({"kind": kind, **nested(values)}))

    def python(self, kind: str, values: Mapping[str, Any]) -> str:
        """The shortest Python that repeats this."""
        from atomlab.runs import as_python, parse

        return as_python(parse({"kind": kind, **nested(values)}))

    def models(self) -> list[str]:
        """Names of the embedded models."""
        from atomlab.checkpoint import embedded

        return embedded()

    def datasets(self) -> list[str]:
        """Names of the embedded data sets."""
        from atomlab.data import embedded_names

        return list(embedded_names())

    def elements(self, model: str) -> tuple[int, ...]:
        """Atomic numbers that a model knows, from the header of its file; empty where that does not say."""
        from atomlab.checkpoint import header

        return tuple(int(z) for z in header(model).get("elements", ()))

    def ground(self, model: str) -> str | None:
        """The embedded data set that a model has learned from, or that is shipped as a part of it; None: not known."""
        from atomlab.checkpoint import header

        about = header(model).get("metadata", {})
        named = (about.get("set") or {}).get("name") or about.get("data")
        return named if isinstance(named, str) and named in self.datasets() else None

    def levels(self, model: str, data: str) -> tuple[str, str]:
        """Levels of theory in short (CHGNet 0.3.0): of a model and an embedded data set; "" where it is not told."""
        from atomlab.checkpoint import header
        from atomlab.data import embedded_names

        cards = [header(model).get("potential", {}).get("card", {})]
        path = embedded_names().get(data)
        cards.append(json.loads(path.with_name(f"{data}.json").read_text(encoding="utf-8")) if path else {})
        first, second = (in_short(str(card.get("level_of_theory", "unknown"))) for card in cards)
        return first, second


def in_short(level: str) -> str:
    """A level of theory without what follows in brackets, after a comma or a plus; "" for an unknown one."""
    return "" if level == "unknown" else re.split(r" \(|,| \+ ", level)[0]
