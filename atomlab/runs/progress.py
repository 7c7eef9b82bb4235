"""A progress bar of a run in the terminal or in a notebook's cell."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm

__all__ = ["Bar", "metric_text", "sentence"]


class Bar:
    """Called with each event: moves the bar, shows the newest errors, writes notices and results above it."""

    def __init__(self, file: Any = None):
        self.file = file
        self.bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        if event["kind"] == "progress":
            self._move(event)
        elif event["kind"] == "metric" and self.bar is not None:
            if event["split"] == "valid" and event["arm"] == "finetune":
                self.bar.set_postfix_str(metric_text(event), refresh=False)
        elif (text := sentence(event)) is not None:
            self._say(text)

    def _move(self, event: dict[str, Any]) -> None:
        if self.bar is None or self.bar.total != event["total"]:
            if self.bar is not None:
                self.bar.close()
            self.bar = tqdm(total=event["total"], unit=event["unit"], file=self.file, dynamic_ncols=True, leave=True)
        if event.get("text"):
            self.bar.set_description_str(event["text"], refresh=False)
        self.bar.update(event["done"] - self.bar.n)

    def _say(self, text: str) -> None:
        if self.bar is not None:
            tqdm.write(text, file=self.file or sys.stderr)
        else:
            print(text, file=self.file or sys.stderr)


def metric_text(event: dict[str, Any]) -> str:
    """force 62 meV/Å, energy 3.1 meV/atom"""
    parts = []
    if event.get("forces_rmse") is not None:
        parts.append(f"force {1000 * event['forces_rmse']:.0f} meV/Å")
    if event.get("energy_rmse") is not None:
        parts.append(f"energy {1000 * event['energy_rmse']:.1f} meV/atom")
    return ", ".join(parts)


def sentence(event: dict[str, Any]) -> str | None:
    """An event that a person should read, as a line; None for the others."""
    kind = event["kind"]
    if kind == "plan":
        lines = [f"  {name}: {why}" for name, why in event.get("reasons", {}).items()]
        return "\n".join(["Chosen:", *lines]) if lines else None
    if kind == "notice":
        return f"Note: {event['text']}"
    if kind == "base":
        return f"The base model on the validation set: {metric_text(event)}"
    if kind == "result":
        return event["text"]
    if kind == "state" and event["state"] in ("paused", "stopped"):
        return f"{event['state'].capitalize()}: {event['reason']}"
    return None
