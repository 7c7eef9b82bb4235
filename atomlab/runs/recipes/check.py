"""The task check: a model's health as findings in the events, a table in the result, and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ... import checkpoint
from ...analysis.health import CHECKS, Finding, health
from ...architectures.trainable import element_numbers
from ..execute import RunIO
from ..inputs import located, prepare_torch
from ..tasks import CheckSpec

__all__ = ["run"]

MARKS = {"pass": "pass", "fail": "FAIL", "not claimed": "not claimed"}
COLOURS = {"pass": "#009e73", "fail": "#d55e00", "not claimed": "#999999"}


def run(spec: CheckSpec, io: RunIO) -> None:
    """Run every check, one after another."""
    prepare_torch(spec)
    potential = checkpoint.load(located(spec.model, io), device=spec.device, dtype=spec.dtype)
    elements = element_numbers(spec.elements) if spec.elements else None
    found: list[Finding] = []
    for finding in health(potential, elements):
        found.append(finding)
        io.emit("finding", **finding.as_dict())
        io.emit("progress", done=len(found), total=len(CHECKS), unit="check", left_s=None, text=finding.name)
        io.check()
    io.save("health.png", lambda path: _picture(found, potential.card.name, path))
    failed = [f.name for f in found if f.status == "fail"]
    text = f"{potential.card.name}: {len(found) - len(failed)} of {len(found)} checks passed or were not claimed"
    if failed:
        text += f"; failed: {', '.join(failed)}"
    io.result({f.name: f.status for f in found}, text + "\n" + table(found))


def table(found: list[Finding]) -> str:
    """The findings as lines of text."""
    width = max(len(f.name) for f in found)
    return "\n".join(f"  {MARKS[f.status]:<11}  {f.name:<{width}}  {f.text}" for f in found)


def _picture(found: list[Finding], name: str, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    rows, curves = figure.subplots(1, 2, width_ratios=[1.15, 1])
    rows.set_title(f"Health of {name}")
    rows.set(xlim=(0, 1), ylim=(len(found) - 0.5, -0.5))
    rows.axis("off")
    for k, finding in enumerate(found):
        rows.plot(0.015, k - 0.1, "o", color=COLOURS[finding.status], markersize=9)
        rows.text(0.05, k - 0.1, f"{finding.name.replace('_', ' ')}: {finding.status}", va="center", weight="bold")
        rows.text(0.05, k + 0.22, _wrapped(finding.text), va="center", fontsize=7.5)
    _dimers(curves, {f.name: f.curve for f in found}.get("dimers", {}))
    canvas.print_png(str(path))


def _wrapped(text: str, width: int = 95) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _dimers(axes: Any, curves: dict[str, Any]) -> None:
    for name, curve in curves.items():
        axes.plot(curve["r"], curve["e"], label=name)
    axes.set(xlabel="distance (Å)", ylabel="energy against apart (eV)", title="Dimers")
    lowest = min((min(c["e"]) for c in curves.values()), default=-1.0)
    axes.set_ylim(1.4 * min(lowest, -0.5), 3 * abs(min(lowest, -1.0)))
    axes.axhline(0, color="#bbbbbb", linewidth=0.8)
    if curves:
        axes.legend(frameon=False)
