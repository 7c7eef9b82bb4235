"""The map as jupyter-scatter draws it: points, colours with their legend, a lasso that answers at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import plots
from .frames import SYMBOLS
from .mapdata import NAMES, SETS, MapData
from .markup import colour_bar, entries

COLOURS = (
    ("set", "set"),
    ("element", "element"),
    ("similarity", "similarity"),
    ("force_error", "force error (eV/Å)"),
    ("time", "MD time (ps)"),
)
UNITS = {"similarity": "(no unit)", "force_error": "eV/Å", "time": "ps"}


class MapScatter:
    """One plot of one map in one projection: `widget` is shown, `on_select` hears a lasso or a click."""

    def __init__(self, data: MapData, projection: str, colour: str, width: int, height: int, dark: bool):
        import jscatter
        import pandas as pd

        self.data = data
        self._own = threading.local()  # a selection that Python makes is no lasso
        xy = data.xy(projection)
        table = pd.DataFrame({"x": xy[:, 0], "y": xy[:, 1]})
        table["set"] = pd.Categorical([NAMES.get(s, s) for s in data.sets], categories=[NAMES[s] for s in self.sets])
        table["element"] = pd.Categorical([SYMBOLS[z] for z in data.number])
        for name, values in self.numbers.items():
            table[name] = np.nan_to_num(values, nan=float(np.nanmin(values)) if np.isfinite(values).any() else 0.0)
        size = 5 if len(table) < 20_000 else 3
        self.plot = jscatter.Scatter(data=table, x="x", y="y", width=width, height=height, axes=False, size=size)
        self.plot.lasso(initiator=False)
        self.paint(colour)  # before there is a widget: a page that is just loading may miss a change
        self.widget = self.plot.widget
        self.widget.toolbar_buttons = []  # ours stand above it, with words
        self.look(width, dark)

    @property
    def sets(self) -> list[str]:
        """The sets that have points, in the order of the legend."""
        return [s for s in SETS if (self.data.sets == s).any()]

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """What a continuous colour can show, in the units of `UNITS`."""
        d = self.data
        return {"similarity": d.similarity, "force_error": d.force_error, "time": d.time / 1000}

    def look(self, width: int, dark: bool) -> None:
        """Width in px and background of the theme."""
        self.plot.width(width)
        self.plot.background("#111111" if dark else "#ffffff")

    def mode(self, mode: str) -> None:
        """ "lasso" or "move"."""
        self.plot.mouse(mode="lasso" if mode == "lasso" else "panZoom")

    def paint(self, colour: str) -> None:
        """Colour by one of `COLOURS`."""
        if colour == "set":
            self.plot.color(by="set", map={NAMES[s]: plots.SETS[s] for s in self.sets})
        elif colour == "element":
            symbols = [SYMBOLS[z] for z in np.unique(self.data.number)]
            self.plot.color(by="element", map={s: plots.run_colour(k) for k, s in enumerate(symbols)})
        else:
            self.plot.color(by=colour, map="viridis")

    def legend(self, colour: str) -> str:
        """What the colours mean, with counts or with ends and unit."""
        if colour == "set":
            return entries((NAMES[s], plots.SETS[s], int((self.data.sets == s).sum())) for s in self.sets)
        if colour == "element":
            found = np.unique(self.data.number)
            return entries(
                (SYMBOLS[z], plots.run_colour(k), int((self.data.number == z).sum())) for k, z in enumerate(found)
            )
        return colour_bar(self.numbers[colour], UNITS[colour]) or "no value is known for these points"

    def select(self, points: list[int]) -> None:
        """Mark points without telling anyone."""
        self._own.on = True
        try:
            self.plot.selection(points)
        finally:
            self._own.on = False

    def on_select(self, handler: Callable[[np.ndarray], None]) -> None:
        """Call `handler(points)` when a person has chosen points."""

        def heard(change: Any) -> None:
            if not getattr(self._own, "on", False):
                handler(np.atleast_1d(np.asarray(change.new if change.new is not None else [], dtype=int)))

        self.widget.observe(heard, "selection")
