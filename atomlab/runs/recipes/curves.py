"""The table and the figure of a sweep: errors on the test set by arm and number of structures, over the seeds."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..execute import RunIO

__all__ = ["ERRORS", "FIGURE", "TABLE", "told", "written"]

TABLE, FIGURE = "table", "learning_curve.png"
ERRORS = ("energy_mae", "energy_rmse", "forces_mae", "forces_rmse", "stress_mae", "stress_rmse")
_SHOWN = (("forces_mae", "force MAE", "meV/Å"), ("energy_mae", "energy MAE", "meV/atom"))


def written(rows: Sequence[dict[str, Any]], io: RunIO) -> dict[str, Any]:
    """Write table.csv, table.json and the figure; returns {arm: {size: {error: mean, least, most, seeds}}}."""
    curve = _curve(rows)
    content = {"units": {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å^3"}, "curve": curve, "rows": list(rows)}
    io.save(f"{TABLE}.json", lambda path: path.write_text(json.dumps(content, indent=1), encoding="utf-8"))

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            names = [*rows[0]] if rows else []
            out = csv.DictWriter(file, names)
            out.writeheader()
            out.writerows({**row, "chosen": json.dumps(row["chosen"])} for row in rows)

    io.save(f"{TABLE}.csv", write)
    if curve:
        io.save(FIGURE, lambda path: _picture(curve, rows, path))
    return curve


def _curve(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for arm, size in dict.fromkeys((row["arm"], row["size"]) for row in rows):
        mine = [row for row in rows if (row["arm"], row["size"]) == (arm, size)]
        found = {}
        for name in ERRORS:
            values = [row[name] for row in mine if row[name] is not None]
            if values:
                found[name] = {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
                found[name]["seeds"] = len(values)
        if found:
            out.setdefault(arm, {})[str(size)] = found
    return out


def told(curve: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The table for people: a line for each arm and size, mean (least to most) over the seeds."""
    lines = [f"{sum(row['state'] == 'done' for row in rows)} of {len(rows)} trainings measured on the test set"]
    width = max((len(arm) for arm in curve), default=0)
    for arm, sizes in curve.items():
        for size, found in sizes.items():
            parts = []
            for name, title, unit in _SHOWN:
                if name in found:
                    mean, least, most = (1000 * found[name][k] for k in ("mean", "least", "most"))
                    parts.append(f"{title} {mean:.3g} ({least:.3g} to {most:.3g}) {unit}")
            lines.append(f"  {arm:<{width}}  {size:>6}  {', '.join(parts)}")
    return "\n".join(lines)


def _picture(curve: dict[str, Any], rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Log-log: the mean over the seeds as a line, each seed as a point, from the least to the most as a band."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (name, title, unit) in zip(figure.subplots(1, 2), _SHOWN):
        ticks: set[int] = set()
        for k, (arm, sizes) in enumerate(curve.items()):
            there = {int(size): found[name] for size, found in sizes.items() if name in found}
            if not there:
                continue
            x, colour = sorted(there), f"C{k}"
            ticks |= set(x)
            mean, least, most = ([1000 * there[n][key] for n in x] for key in ("mean", "least", "most"))
            axes.plot(x, mean, "-", color=colour, label=arm)
            axes.fill_between(x, least, most, color=colour, alpha=0.15, linewidth=0)
            mine = [r for r in rows if r["arm"] == arm and r[name] is not None]
            axes.plot([r["size"] for r in mine], [1000 * r[name] for r in mine], ".", color=colour, markersize=5)
        axes.set(
            xscale="log", yscale="log", xlabel="structures learned from", ylabel=f"{title} on the test set ({unit})"
        )
        axes.set_xticks(sorted(ticks), [str(n) for n in sorted(ticks)])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        if ticks:
            axes.legend(frameon=False)
    canvas.print_png(str(path))
