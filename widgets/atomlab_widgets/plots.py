"""Figures with one look: the theme's colours, SVG lines, units on the axes. Imports plotly when a figure is made."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from .plotly_once import figure_class

# Okabe-Ito. Sets: maps, histograms and parity plots only. Runs: curves only, so that no colour means two things.
SETS = {"train": "#0072b2", "valid": "#e69f00", "test": "#009e73", "md": "#8e44ad"}
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b8860b")
BASE, TWIN = "#555555", "#b0b0b0"
CLEAR = "rgba(0,0,0,0)"
IMPORTING = threading.Lock()


def run_colour(index: int) -> str:
    """The colour of a run, the same everywhere."""
    return RUNS[index % len(RUNS)]


def figure(rows: int = 1, cols: int = 1, height: int = 260, **subplots: Any) -> Any:
    """An empty FigureWidget with the Lab's look; zooming survives updates."""
    with IMPORTING:
        # plotly asks a half-imported pandas for its classes if another thread imports that meanwhile: so pandas first
        import pandas  # noqa: F401, ICN001

        Figure = figure_class()
        from plotly.subplots import make_subplots

    if rows * cols > 1:
        base = make_subplots(rows=rows, cols=cols, **subplots)
        fig = Figure(base)
    else:
        fig = Figure()
    fig.layout.template = "none"
    fig.update_layout(
        height=height, autosize=True, margin={"l": 56, "r": 12, "t": 24, "b": 40}, uirevision="keep",
        paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, hovermode="closest", showlegend=True,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 11}, "bgcolor": CLEAR},
    )  # fmt: skip
    fig._config = {"displayModeBar": False, "responsive": False, "displaylogo": False}
    theme(fig, False)
    keep(fig)
    return fig


def theme(fig: Any, dark: bool) -> None:
    """Colours of text and grid for the light or the dark theme."""
    ink, line = ("#dddddd", "#3a3a3a") if dark else ("#333333", "#e6e6e6")
    axis = {
        "gridcolor": line,
        "zerolinecolor": line,
        "linecolor": line,
        "tickfont": {"size": 11},
        "title_font": {"size": 12},
        "showline": True,
    }
    with fig.batch_update():
        fig.update_layout(font={"family": "system-ui, sans-serif", "size": 12, "color": ink})
        fig.update_xaxes(**axis)
        fig.update_yaxes(**axis)


def keep(fig: Any) -> None:
    """A reloaded page asks for a figure's state: let that be the present one, not the one it was made with.

    The lists are the figure's own, so this is done once after traces were added and costs nothing at an update.
    """
    fig._trait_values["_widget_data"] = fig._data
    fig._trait_values["_widget_layout"] = fig._layout


def log_ticks() -> dict[str, Any]:
    """Ticks at 1, 2, 5 of every decade, written out (plotly's own leave the decade away)."""
    values = [m * 10.0**e for e in range(-9, 10) for m in (1, 2, 5)]
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{v:g}" for v in values]}


def resize(fig: Any, width: int) -> None:
    """Set the width (plotly's own watching of the page costs a redraw at every message)."""
    if width > 100 and fig.layout.width != width:
        fig.layout.width = width


def line(name: str, colour: str, **more: Any) -> dict:
    """A solid line: training."""
    return _empty("lines", name) | {"line": {"color": colour, "width": 1.6}} | more


def dots(name: str, colour: str, **more: Any) -> dict:
    """Dots: validation."""
    return _empty("markers", name) | {"marker": {"color": colour, "size": 6}} | more


def _empty(mode: str, name: str) -> dict:
    return {"type": "scatter", "mode": mode, "name": name, "x": [], "y": []}


def histogram(values: np.ndarray) -> tuple[list[float], list[float], list[float]]:
    """Centres, counts and widths of a histogram of the finite values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return [], [], []
    bins = int(np.clip(2 * np.sqrt(len(values)), 8, 48))
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5e-3, high + 0.5e-3
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return ((edges[1:] + edges[:-1]) / 2).tolist(), counts.tolist(), np.diff(edges).tolist()
