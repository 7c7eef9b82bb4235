"""What a plan decided by itself or was told: each value with its reason in words, printed and saved with the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Choices"]


@dataclass
class Choices:
    """What was decided, as values with reasons: {setting: "0.005, chosen because ..."}."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def pick(self, name: str, given: Any, chosen: Any, because: str) -> Any:
        """`given` if a person gave it, else `chosen`, which then stands in the plan with its reason."""
        if given is not None:
            return self.note(name, given, f"{given}, as set")
        return self.note(name, chosen, f"{_short(chosen)}, chosen because {because}")

    def note(self, name: str, value: Any, reason: str) -> Any:
        """Keep a value with a whole sentence of reason."""
        self.values[name], self.reasons[name] = value, reason.rstrip(".") + "."
        return value


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
