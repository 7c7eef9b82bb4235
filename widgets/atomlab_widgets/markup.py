"""Small pieces of HTML and SVG that several panels show. Numbers and our own words only; text from files is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import numpy as np

VIRIDIS = ("#440154", "#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#a0da39", "#fde725")


def safe(text: object) -> str:
    """Text that may come from a file or a person."""
    return html.escape(str(text))


def colour_bar(values: np.ndarray, unit: str, width: int = 130) -> str:
    """The scale of a continuous colour with its ends and unit; empty where nothing is known."""
    if not np.isfinite(values).any():
        return ""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    paint = f"linear-gradient(90deg,{','.join(VIRIDIS)})"
    stripe = f"<span style='display:inline-block;width:{width}px;height:8px;background:{paint}'></span>"
    return f"<span class=al-num>{low:.4g} {stripe} {high:.4g} {unit}</span>"


def entries(items: Iterable[tuple[str, str, int]]) -> str:
    """A legend of (name, colour, count)."""
    return " &nbsp; ".join(
        f"<span style='color:{colour}'>●</span> {safe(name)} <span class=al-quiet>{count}</span>"
        for name, colour, count in items
    )


def bar(share: float) -> str:
    """A progress bar."""
    percent = 100 * share
    return (
        f"<div class=al-progress role=progressbar aria-valuemin=0 aria-valuemax=100 aria-valuenow={percent:.0f}>"
        f"<div style='width:{percent:.1f}%'></div></div>"
    )


def cards(items: Iterable[tuple[str, str]]) -> str:
    """Cards of (title, sentence); both are escaped."""
    inner = "".join(f"<div class=al-card><b>{safe(title)}</b>{safe(text)}</div>" for title, text in items)
    return f"<div class=al-cards>{inner}</div>"


def small_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of a few rows; the first column is words, the others are numbers."""

    def row(cells: Sequence[object], css: str = "") -> str:
        inner = "".join(f"<td{' class=al-right' if k else ''}>{safe(c)}</td>" for k, c in enumerate(cells))
        return f"<tr class='{css}'>{inner}</tr>"

    return f"<table class=al-small>{row(head, 'al-quiet')}{''.join(map(row, rows))}</table>"


def spark(values: Sequence[float], colour: str, log: bool = False, width: int = 96, height: int = 18) -> str:
    """A small line as SVG text."""
    y = np.asarray(values, dtype=float)
    y = y[np.isfinite(y) & ((y > 0) if log else True)]
    if len(y) < 2:
        return ""
    told = f"from {y[0]:.3g} to {y[-1]:.3g}"
    y = (np.log10(y) if log else y)[:: max(1, len(y) // 60)]
    span = float(y.max() - y.min()) or 1.0
    x = np.linspace(1, width - 1, len(y))
    points = " ".join(f"{a:.1f},{height - 2 - (b - y.min()) / span * (height - 4):.1f}" for a, b in zip(x, y))
    line = f"<polyline fill=none stroke='{colour}' stroke-width=1.4 points='{points}'/>"
    return f"<svg class=al-spark width={width} height={height} role=img aria-label='{told}'>{line}</svg>"
