"""The traces and words of the probes: what else happens to a model while its loss falls."""

from __future__ import annotations

from typing import Any

from .. import plots
from ..runlog import RunView
from .curves import run_label, together

# name -> (words, shape of its points); shapes and dashes tell probes apart, colours tell runs apart
ERRORS = {"forgetting": "error on other tasks", "foundation": "error on the base's ground"}
PROPERTIES = {"md": "stable MD steps", "lattice": "lattice constant", "barrier": "barrier"}
STYLES = {
    "forgetting": ("circle", "solid"),
    "foundation": ("square", "dash"),
    "lattice": ("diamond", "solid"),
    "md": ("triangle-up", "dot"),
    "barrier": ("x", "dash"),
}
FACTOR = 3.0  # errors that differ by more than this are drawn on a logarithmic axis
TITLES = ("error / base's error", "change from base (%)")


def probed(
    runs: list[RunView], dark: bool, along: str = "epoch"
) -> tuple[list[dict[str, Any]], list[tuple[str, bool]]]:
    """The traces, and the y axes as (title, logarithmic): errors as multiples of the base's, properties in per cent.

    Where there are both, they stand side by side.
    """
    kinds = [kind for kind in (ERRORS, PROPERTIES) if any(name in kind for r in runs for name in r.log.probes)]
    traces: list[dict[str, Any]] = []
    axes = []
    for side, kind in enumerate(kinds):
        lines = [t for run in runs for t in _lines(run, kind, along, many=len(runs) > 1)]
        low = 1.0 if kind is ERRORS else 0.0
        ends = [x for t in lines for x in t["x"]]
        style = {"color": "#aaaaaa" if dark else plots.BASE, "dash": "dash", "width": 1.6}
        more = {"x": [0, max([1.0, *ends])], "y": [low, low], "showlegend": side == 0}
        lines.append(plots.line("as the base", "", line=style) | more)
        where = {"xaxis": f"x{side + 1 if side else ''}", "yaxis": f"y{side + 1 if side else ''}"}
        traces += [t | where for t in lines]
        values = [v for t in lines for v in t["y"] if v > 0]
        axes.append((TITLES[0 if kind is ERRORS else 1], kind is ERRORS and max(values) > FACTOR * min(values)))
    if len(runs) > 1:
        traces += _keys(runs)
    return traces, axes


def _lines(run: RunView, kind: dict[str, str], along: str, many: bool) -> list[dict[str, Any]]:
    found = []
    for name in [n for n in kind if n in run.log.probes]:
        x, y, text = _points(run, name, along)
        colour, (shape, dash) = plots.run_colour(run.color), STYLES[name]
        line = plots.line(f"{kind[name]}{f', {run_label(run)}' if many else ''}", colour)
        line |= {"x": x, "y": y if kind is ERRORS else [100 * (v - 1) for v in y], "mode": "lines+markers"}
        line["line"] = {**line["line"], "dash": dash}
        line |= {"marker": {"symbol": shape, "size": 7, "color": colour}, "showlegend": not many}
        line |= {"text": text, "hovertemplate": "%{text}<extra></extra>"}
        found.append(line)
    return found


def _keys(runs: list[RunView]) -> list[dict[str, Any]]:
    """The legend of several runs: a colour for each run and a shape for each probe, not all their pairs."""
    names = dict.fromkeys(name for run in runs for name in run.log.probes)
    keys = [plots.line(run_label(run), plots.run_colour(run.color)) for run in runs]
    for name in names:
        key = plots.dots({**ERRORS, **PROPERTIES}.get(name, name), plots.BASE)
        keys.append(key | {"marker": {"symbol": STYLES[name][0], "size": 7, "color": plots.BASE}})
    return [key | {"x": [None], "y": [None]} for key in keys]


def _points(run: RunView, name: str, along: str) -> tuple[list[float], list[float], list[str]]:
    """Epoch or seconds of training, ratio to the base's, and words of a probe, in the order of training."""
    rows = sorted((r for r in run.log.probes.get(name, ()) if r.get("ratio") is not None), key=lambda r: r["epoch"])
    rows = [r for r in rows if not r.get("final") or along == "epoch"]  # it is of earlier weights, and made at the end
    x = [float(r["epoch"] if along == "epoch" else r["train_seconds"]) for r in rows]
    return x, [float(r["ratio"]) for r in rows], [r["text"] for r in rows]


def probe_words(run: RunView) -> list[str]:
    """The newest value of every probe, a line each, and what all of them cost."""
    rows = [rows[-1] for rows in run.log.probes.values()]
    if not rows:
        return ["This run has no probes."]
    share = max(row["share"] for row in rows if row["share"] is not None)
    most = run.spec.get("probe_share", 0.15)
    cost = f"Probes took {100 * share:.0f} % of the time (at most {100 * most:g} %)."
    return [f"{row['text']}." for row in rows] + [cost]


def at_equal_time_probed(runs: list[RunView]) -> str:
    """What the runs have forgotten by the time up to which all of them were trained."""
    for name, words in ERRORS.items():
        columns = {run_label(run): _points(run, name, "seconds")[:2] for run in runs}
        told = together(columns, lambda v: f"×{v:.2f}" if v < 10 else f"×{v:.0f}")
        if told:
            return f"{told} ({words}, multiple of the base's)."
    return ""
