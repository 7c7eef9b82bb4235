"""The traces of the fine-tune figure: curves of several runs, and the parity plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..runlog import RunView, thinned

SHOWN = {
    "forces_rmse": ("force RMSE", "eV/Å", 1.0),
    "energy_rmse": ("energy RMSE", "meV/atom", 1000.0),
    "loss": ("loss", "", 1.0),
}
DIGITS = {"forces_rmse": ".3f", "energy_rmse": ".1f", "loss": ".3g"}
MOST = 4000  # points of a parity plot


def curves(runs: list[RunView], shown: str, dark: bool, along: str = "epoch") -> list[dict[str, Any]]:
    """Solid = training, dots = validation, dashes = the base model; the newest run's scratch twin in light grey.

    along: epoch, or seconds of training, at which strategies of different cost compare.
    """
    factor, traces, longest = SHOWN[shown][2], [], 1.0
    for k, run in enumerate(runs):
        tail = f", {run_label(run)}" if len(runs) > 1 else ""
        for (arm, split), columns in list(run.log.metrics.items()):
            twin = arm == "scratch" and run.spec.get("strategy") != "scratch"
            if twin and k:
                continue
            x, y, at = known(columns["epoch"], columns[shown], columns[along])
            if not x:
                continue
            longest = max(longest, at[-1])
            if split == "train":
                y = over_an_epoch(x, y)
            x, y = thinned([at, y])
            what = (
                f"{'from scratch' if twin else 'fine-tune'}, {'training' if split == 'train' else 'validation'}{tail}"
            )
            make = plots.line if split == "train" else plots.dots
            traces.append(make(what, plots.TWIN if twin else plots.run_colour(run.color)))
            traces[-1] |= {"x": x, "y": [v * factor for v in y]}
            if len(runs) > 1 and not twin:  # one word for each run: its colour is what tells them apart
                traces[-1] |= {"name": run_label(run), "showlegend": split == "train"}
        # the whole planned length from the beginning: the axis does not move while the curve grows
        if along == "epoch":
            longest = max(longest, float(run.log.plan["values"].get("epochs") or 0.0))
    base = next((r.log.base[shown] for r in runs if np.isfinite(r.log.base.get(shown, np.nan))), None)
    if base is not None:
        style = {"color": "#aaaaaa" if dark else plots.BASE, "dash": "dash", "width": 1.6}
        traces.append(plots.line("base model, validation", "", line=style))
        traces[-1] |= {"x": [0, longest], "y": [base * factor] * 2}
    return traces


def run_label(run: RunView) -> str:
    """A short name that tells runs apart: number and strategy, "2 replay"."""
    number = run.name.partition("-")[2].partition("-")[0].lstrip("0")
    return f"{number or run.name} {run.spec.get('strategy', 'naive' if run.kind == 'finetune' else run.kind)}"


def at_equal_time(runs: list[RunView], shown: str) -> str:
    """The runs' validation errors by the time up to which all of them were trained."""
    _, unit, factor = SHOWN[shown]
    columns = {}
    for run in runs:
        rows = run.log.metrics.get(("finetune", "valid"))
        columns[run_label(run)] = known(rows["seconds"], rows[shown]) if rows else [[], []]
    told = together(columns, lambda v: f"{v * factor:{DIGITS[shown]}} {unit}".strip())
    return f"{told} (validation)." if told else ""


def together(columns: Mapping[str, Sequence[list[float]]], say: Callable[[float], str]) -> str:
    """Name -> (seconds, values): the newest value of each at the time that all have reached; "" for less than two."""
    reached = {name: column for name, column in columns.items() if column[0]}
    if len(reached) < 2:
        return ""
    time = min(x[-1] for x, _ in reached.values())
    found = {name: [v for at, v in zip(x, y) if at <= time] for name, (x, y) in reached.items()}
    parts = [f"{name} {say(values[-1])}" for name, values in found.items() if values]
    return f"After {time:.1f} s of training each: {', '.join(parts)}" if len(parts) > 1 else ""


def over_an_epoch(x: list[float], y: list[float]) -> list[float]:
    """Root mean square over the epoch that ends at each point: single batches are easy or hard, and hide the trend."""
    epochs, sums = np.array(x), np.concatenate([[0.0], np.cumsum(np.square(y))])
    first = np.searchsorted(epochs, epochs - 1.0 + 1e-9, side="right")
    last = np.arange(1, len(epochs) + 1)
    return np.sqrt((sums[last] - sums[first]) / (last - first)).tolist()


def known(x: list[float], y: list[float], *more: list[float]) -> list[list[float]]:
    """Without the points whose value was not measured."""
    rows = [row for row in zip(x, y, *more) if np.isfinite(row[1])]
    return [list(column) for column in zip(*rows)] if rows else [[] for _ in range(2 + len(more))]


def parity(path: Path) -> list[dict[str, Any]]:
    """Predicted against labelled force components of validation frames; a point knows its frame and atom."""
    with np.load(path, allow_pickle=False) as file:
        a = {k: file[k] for k in file.files}
    true, predicted = a["forces_true"].ravel(), a["forces_predicted"].ravel()
    frame, atom = np.repeat(a["frame"], 3), np.repeat(a["atom"], 3)
    pick = np.linspace(0, len(true) - 1, min(len(true), MOST)).astype(int)
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    hover = "frame %{customdata[0]}, atom %{customdata[1]}<br>%{x:.3f} → %{y:.3f} eV/Å<extra></extra>"
    points: dict[str, Any] = {"type": "scattergl", "mode": "markers", "name": "validation", "hovertemplate": hover}
    points |= {"x": true[pick].tolist(), "y": predicted[pick].tolist()}
    points |= {"marker": {"size": 3.5, "color": plots.SETS["valid"]}}
    points |= {"customdata": np.stack([frame, atom], 1)[pick].tolist()}
    exact = plots.line("exact", "", line={"color": plots.BASE, "width": 1}) | {"x": [low, high], "y": [low, high]}
    return [points, exact]
