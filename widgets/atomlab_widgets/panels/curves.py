"""The traces of the fine-tune figure: curves of several runs, their probes, and the parity plot."""

from __future__ import annotations

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
PROBED = {
    "forgetting": "force error on other tasks",
    "foundation": "force error on the base's ground",
    "md": "stable MD steps",
    "lattice": "lattice constant",
    "barrier": "barrier",
}
DASHES = ("solid", "dot", "dashdot", "longdash", "dash")
MOST = 4000  # points of a parity plot


def curves(runs: list[RunView], shown: str, dark: bool, along: str = "epoch") -> list[dict[str, Any]]:
    """Solid = training, dots = validation, dashes = the base model; the newest run's scratch twin in light grey.

    along: epoch, or seconds of training, at which strategies of different cost compare.
    """
    factor, traces, longest = SHOWN[shown][2], [], 1.0
    for k, run in enumerate(runs):
        tail = f" ({run.name})" if len(runs) > 1 else ""
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
        # the whole planned length from the beginning: the axis does not move while the curve grows
        if along == "epoch":
            longest = max(longest, float(run.log.plan["values"].get("epochs") or 0.0))
    base = next((r.log.base[shown] for r in runs if np.isfinite(r.log.base.get(shown, np.nan))), None)
    if base is not None:
        style = {"color": "#aaaaaa" if dark else plots.BASE, "dash": "dash", "width": 1.6}
        traces.append(plots.line("base model, validation", "", line=style))
        traces[-1] |= {"x": [0, longest], "y": [base * factor] * 2}
    return traces


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


def probed(runs: list[RunView], dark: bool, along: str = "epoch") -> list[dict[str, Any]]:
    """What was probed beside the loss, as multiples of the base's values: one line per property and run."""
    traces, longest = [], 1.0
    for run in runs:
        tail = f" ({run.name})" if len(runs) > 1 else ""
        for n, (name, rows) in enumerate(run.log.probes.items()):
            rows = sorted((r for r in rows if r.get("ratio") is not None), key=lambda r: r["epoch"])
            if not rows:
                continue
            x = [float(r["epoch"] if along == "epoch" else r["train_seconds"]) for r in rows]
            longest = max(longest, x[-1])
            trace = plots.line(f"{PROBED.get(name, name)}{tail}", plots.run_colour(run.color))
            trace |= {"x": x, "y": [r["ratio"] for r in rows], "mode": "lines+markers"}
            trace["line"] = {**trace["line"], "dash": DASHES[n % len(DASHES)]}
            trace |= {"text": [r["text"] for r in rows], "hovertemplate": "%{text}<extra></extra>"}
            traces.append(trace)
    if traces:
        style = {"color": "#aaaaaa" if dark else plots.BASE, "dash": "dash", "width": 1.6}
        traces.append(plots.line("as the base", "", line=style) | {"x": [0, longest], "y": [1.0, 1.0]})
    return traces


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
