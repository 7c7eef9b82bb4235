"""Errors as people read them: MAE and RMSE in meV/atom, meV/Å and GPa, over all, by element and by config_type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..units import EV_A3_PER_GPA
from .losses import Residuals

__all__ = ["Running", "flat", "table"]

# property -> (unit for people, factor from ours)
UNITS = {"energy": ("meV/atom", 1e3), "forces": ("meV/Å", 1e3), "stress": ("GPa", 1 / EV_A3_PER_GPA)}


def flat(errors: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The totals of `Predictions.errors()` as events carry them: energy_rmse, energy_mae, ... in our units."""
    return {f"{name}_{kind}": values[kind] for name, values in errors.items() for kind in ("rmse", "mae")}


def table(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """`Predictions.errors()` as text, one row per property and group, in meV/atom, meV/Å and GPa."""
    rows = list(_rows(errors))
    if not rows:
        return "There is no label to compare with."
    head = ("", "MAE", "RMSE", "unit", "labels")
    width = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    lines = [
        f"{r[0]:<{width[0]}}  {r[1]:>{width[1]}}  {r[2]:>{width[2]}}  {r[3]:<{width[3]}}  {r[4]:>{width[4]}}"
        for r in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _rows(errors: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, values in errors.items():
        yield _row(name, name, values)
        for title in ("per_element", "per_config_type"):
            for group, part in values.get(title, {}).items():
                yield _row(name, f"  {group}", part)


def _row(name: str, label: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    unit, factor = UNITS[name]
    return label, _number(values["mae"] * factor), _number(values["rmse"] * factor), unit, str(values["count"])


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.3f}" if value < 1 else f"{value:.2f}"


@dataclass
class Running:
    """Loss and root mean square errors over the training batches since they were last told."""

    steps: int = 0
    loss: float = 0.0
    squares: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, loss: float, r: Residuals) -> None:
        """Take in one batch."""
        self.steps += 1
        self.loss += loss
        for name, value in (("energy", r.energy), ("forces", r.forces), ("stress", r.stress)):
            if value.numel():
                self.squares[name] = self.squares.get(name, 0.0) + float((value.detach() ** 2).sum())
                self.counts[name] = self.counts.get(name, 0) + value.numel()

    def take(self) -> dict[str, float]:
        """The averages, after which it starts anew."""
        out = {"loss": self.loss / max(1, self.steps)}
        out.update({f"{n}_rmse": (self.squares[n] / self.counts[n]) ** 0.5 for n in self.squares})
        self.__init__()  # type: ignore[misc]
        return out
