"""Buttons, tabs, messages, copying, upload in pieces: one small widget whose every click is a trait.

`ipywidgets.Button` and `FileUpload` are not used anywhere in the Lab: a button's click is a custom message, which waits
for a running cell, and a file larger than 10 MB closes the connection without a word. A trait change does neither.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
from traitlets import Bool, Dict, Float, Int, List, Unicode

STATIC = Path(__file__).parent / "static"
Report = Callable[[BaseException], None]


def script(name: str) -> str:
    """`static/NAME` as a module of the page, behind the function that makes elements."""
    return "".join((STATIC / part).read_text(encoding="utf-8") for part in ("elements.js", name))


def guarded(function: Callable, report: Report | None = None) -> Callable:
    """`function`, whose exceptions are shown by `report` instead of vanishing (callbacks have no output)."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if report is None:
                traceback.print_exc()
            else:
                report(error)
            return None

    return call


class Action(anywidget.AnyWidget):
    """A row of buttons and chips, a tab bar, a messages strip, or a probe of the size around it (`kind`).

    `items`: what to draw (see static/action.js). `on(handler)` calls `handler(id, value)` at every click.
    """

    _esm = script("action.js")
    _css = STATIC / "style.css"
    kind = Unicode("buttons").tag(sync=True)
    css = Unicode("").tag(sync=True)
    items = List().tag(sync=True)
    clicked = Dict().tag(sync=True)
    piece = Dict().tag(sync=True, echo_update=False)  # a piece of an upload: 1 MB, not worth echoing
    received = Dict().tag(sync=True)
    size = Dict().tag(sync=True)
    mounted = Unicode("").tag(sync=True)

    def on(self, handler: Callable[[str, Any], None], report: Report | None = None) -> Action:
        """Call `handler(id, value)` at every click; what it raises goes to `report`."""

        def heard(change: Any) -> None:
            if change.new:
                handler(change.new["id"], change.new.get("value"))

        self.observe(guarded(heard, report), "clicked")
        return self

    def show(self, *items: dict | None) -> None:
        """Draw `items` (None is skipped); nothing is sent where nothing changed."""
        self.items = [item for item in items if item]

    def click(self, id: str, value: Any = None) -> None:
        """What a click in the browser does (for tests)."""
        self.clicked = {
            "id": id,
            "value": value,
            "n": str(len(str(self.clicked))) + str(self.clicked.get("n", ""))[-8:],
        }

    def uploads(self, folder: Callable[[], Path], done: Callable[[Path], None], report: Report | None = None) -> None:
        """Write the pieces of an upload into `folder()` and call `done(path)` when the last has come."""

        def heard(change: Any) -> None:
            piece = change.new
            if not piece:
                return
            target = folder() / Path(piece["name"]).name
            part = target.with_name(target.name + ".part")
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb" if piece["index"] == 0 else "ab") as file:
                file.write(bytes(piece["data"]))
            if piece["index"] + 1 == piece["total"]:
                target = unused(target)
                part.replace(target)
                done(target)
            self.received = {"name": piece["name"], "index": piece["index"], "bytes": piece["bytes"]}

        self.observe(guarded(heard, report), "piece")


def unused(path: Path) -> Path:
    """`path`, or the same with -2, -3 ... before its ending: an upload never overwrites a file."""
    n = 2
    free = path
    while free.exists():
        free = path.with_name(f"{path.stem}-{n}{path.suffix}")
        n += 1
    return free


# --- what a row is made of -------------------------------------------------------------------------------------------
def button(id: str, label: str, kind: str = "plain", **more: Any) -> dict:
    """A button; `kind` is primary, plain, link, danger. `confirm`: a question asked in its place first."""
    return {"id": id, "label": label, "kind": kind, **more}


def chip(label: str, title: str = "") -> dict:
    """A fact in a rounded box; <b> is allowed in it."""
    return {"id": "chip", "kind": "chip", "label": label, "title": title}


def words(label: str, **more: Any) -> dict:
    """A piece of quiet text in the row."""
    return {"id": "words", "kind": "text", "label": label, **more}


def select(id: str, label: str, options: Sequence[tuple[str, str]], value: str, title: str = "") -> dict:
    """A drop-down list of (value, label)."""
    return {
        "id": id,
        "kind": "select",
        "label": label,
        "options": [list(o) for o in options],
        "value": value,
        "title": title,
    }


def copies(command: str, python: str) -> list[dict]:
    """ "Copy as command" and "copy as Python"."""
    return [
        {"id": "copy-command", "kind": "copy", "label": "copy as command", "text": command, "title": command},
        {"id": "copy-python", "kind": "copy", "label": "copy as Python", "text": python, "title": python},
    ]


GAP = {"id": "gap", "kind": "gap", "label": ""}


class Player(anywidget.AnyWidget):
    """First, back, play, forward and a slider over `count` frames; `asked` is what the person wants to see."""

    _esm = STATIC / "player.js"
    count = Int(0).tag(sync=True)
    frame = Int(0).tag(sync=True)
    follow = Bool(False).tag(sync=True)
    asked = Dict().tag(sync=True)


class Table(anywidget.AnyWidget):
    """Rows of which the browser holds only those in sight.

    `source(row)` returns the cells of one row id; `order` (row ids as shown) stays in Python.
    """

    _esm = STATIC / "table.js"
    columns = List().tag(sync=True)
    count = Int(0).tag(sync=True)
    window = Dict({"start": 0, "rows": []}).tag(sync=True)
    wanted = Dict().tag(sync=True)
    sort = Dict({"column": "", "down": False}).tag(sync=True)
    chosen = Int(-1).tag(sync=True)
    position = Int(-1).tag(sync=True)  # of the chosen row in the shown order
    marked = List().tag(sync=True)
    picked = Dict().tag(sync=True)
    height = Float(160).tag(sync=True)
    empty = Unicode("No rows.").tag(sync=True)

    def __init__(
        self,
        columns: Sequence[dict],
        source: Callable[[int], Sequence[str]],
        report: Report | None = None,
        **traits: Any,
    ):
        super().__init__(columns=list(columns), **traits)
        self._source, self._order, self._places = source, [], {}
        self._lock = threading.RLock()
        self.observe(guarded(lambda _: self.refresh(), report), "wanted")

    @property
    def order(self) -> list[int]:
        """Row ids in the shown order."""
        return self._order

    def fill(self, order: Sequence[int]) -> None:
        """Show these row ids in this order."""
        with self._lock:
            self._order = [int(i) for i in order]
            self._places = {row: place for place, row in enumerate(self._order)}
            self.refresh()
            self.count = len(self._order)
            self.position = self._places.get(self.chosen, -1)

    def refresh(self) -> None:
        """Send the rows in sight again."""
        with self._lock:
            start = int(self.wanted.get("start", 0))
            stop = max(int(self.wanted.get("stop", 0)), start + 60)
            start = max(0, min(start, len(self._order) - 1))
            rows = [{"id": row, "cells": list(self._source(row))} for row in self._order[start:stop]]
            self.window = {"start": start, "rows": rows}

    def choose(self, row: int) -> None:
        """Highlight a row and bring it into sight."""
        self.chosen = row
        self.position = self._places.get(row, -1)

    def on_pick(self, handler: Callable[[int], None], report: Report | None = None) -> None:
        """Call `handler(row id)` when a row is clicked or reached with the arrow keys."""

        def heard(change: Any) -> None:
            pick = change.new
            if "id" in pick:
                handler(int(pick["id"]))
            elif "step" in pick and self._order:
                place = min(max(self.position + int(pick["step"]), 0), len(self._order) - 1)
                handler(self._order[place])

        self.observe(guarded(heard, report), "picked")


def html(text: str = "", css: str = "") -> ipywidgets.HTML:
    """A piece of HTML of our own making (what comes from files is escaped by whoever puts it in)."""
    widget = ipywidgets.HTML(text)
    for name in css.split():
        widget.add_class(name)
    return widget


def box(*children: ipywidgets.Widget, css: str = "") -> ipywidgets.VBox:
    """Children under each other."""
    widget = ipywidgets.VBox(children)
    for name in css.split():
        widget.add_class(name)
    return widget
