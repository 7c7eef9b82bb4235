"""Runs: every run directory of the workspace, whoever started it: state, sparkline; compare, stop, resume, delete."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import ipywidgets

from .. import plots
from ..action import Table, button, html, words
from ..markup import spark
from ..runlog import RunView
from .base import Panel

COLUMNS = [
    {"name": "name", "label": "run", "width": 150, "grow": 2},
    {"name": "kind", "label": "kind", "width": 76, "grow": 0},
    {"name": "state", "label": "state", "width": 64},
    {"name": "started", "label": "started", "width": 104, "grow": 0},
    {
        "name": "spark",
        "label": "loss or T",
        "width": 112,
        "grow": 0,
        "svg": True,
        "title": "loss (log scale) or temperature",
    },
    {"name": "size", "label": "size (MB)", "width": 84, "grow": 0, "right": True},
    {"name": "text", "label": "what it says", "width": 120, "grow": 4},
]


class RunsPanel(Panel):
    """All runs under the workspace; those started in a terminal appear here too."""

    id, title = "runs", "Runs"
    with_view = False  # nothing here points at a structure

    def build(self) -> list[ipywidgets.Widget]:
        self.table = Table(COLUMNS, self._cells, self.session.report, height=300, empty="No run yet.")
        self.table.on_pick(self._picked, self.session.report)
        self.table.observe(lambda _: self.refresh(), "sort")
        self.detail = html("", "al-quiet")
        self._names: list[str] = []
        self._chosen = ""
        self._sizes: dict[str, tuple[float, float]] = {}
        return [self.headline, self.table, self.detail, self.buttons, self.links]

    def listens(self) -> tuple[str, ...]:
        return ("tab", "shown_runs")

    def concerns(self, names: set[str]) -> bool:
        return True

    def badge(self) -> tuple[str, str]:
        runs = self.book.of()
        active = [r for r in runs if r.active]
        return (f"{len(active)} of {len(runs)}" if active else str(len(runs) or ""), "running" if active else "")

    def draw(self) -> None:
        runs = self.book.of()
        active = sum(r.active for r in runs)
        self.headline.value = (
            f"<b>{len(runs)} runs</b> in {self.session.workspace.name}/, "
            f"{active} active. Those started in a terminal appear here too."
        )
        for run in runs:
            if run.name not in self._names:
                self._names.append(run.name)
        self.table.fill(self._sorted(runs))
        run = self.book.get(self._chosen)
        if run is None:
            self.detail.value = ""
            self.buttons.show(
                words("click a run to see what can be done with it")
                if runs
                else self.goto("finetune", "start a fine-tune", "primary")
            )
            self.links.show()
            return
        self.detail.value = f"<b>{run.name}</b> <span class=al-num>{run.sentence()}</span>"
        on = run.name in self.session.shown_runs
        self.buttons.show(
            button("open", "Open", "primary"),
            button("compare", "in the curves", on=on, title="overlay its curves in Fine-tune")
            if run.kind in ("finetune", "train")
            else None,
            *(self.run_buttons(run) if run.active else ()),
            button("resume", "Resume") if run.state in ("stopped", "lost", "failed") else None,
            button("fork", "Fork", title="put its settings into the panel, to start another one with changes"),
            button("delete", "Delete", "danger", confirm=f"Delete {run.name} and all it made?", yes="delete")
            if not run.active
            else None,
        )
        values = {k: v for k, v in run.spec.items() if k != "kind"}
        self.copy_links(run.kind, values)

    def _sorted(self, runs: list[RunView]) -> list[int]:
        sort = self.table.sort
        key = {
            "name": lambda r: r.name,
            "kind": lambda r: r.kind,
            "state": lambda r: r.state,
            "started": lambda r: r.started,
            "size": self._size,
            "text": lambda r: r.sentence(),
            "spark": lambda r: r.started,
        }
        chosen = key.get(sort.get("column", ""))
        if chosen:
            runs = sorted(runs, key=chosen, reverse=bool(sort.get("down")))
        return [self._names.index(r.name) for r in runs]

    def _size(self, run: RunView) -> float:
        """MB, looked at again at most every five seconds."""
        now = time.monotonic()
        at, mb = self._sizes.get(run.name, (-9.0, 0.0))
        if now - at > 5 and (run.active or at < 0):
            with contextlib.suppress(OSError):  # a file may go away while we look
                mb = run.size() / 1e6
            self._sizes[run.name] = (now, mb)
        return mb

    def _cells(self, row: int) -> list[str]:
        run = self.book.get(self._names[row]) if row < len(self._names) else None
        if run is None:
            return [""] * len(COLUMNS)
        colour = plots.run_colour(run.color)
        line = spark(run.spark(), colour, log=run.kind != "md")
        started = time.strftime("%d %b %H:%M", time.localtime(run.started))
        state = run.state if run.fraction is None or not run.active else f"{run.state} {100 * run.fraction:.0f} %"
        return [run.name, run.kind, state, started, line, f"{self._size(run):.1f}", run.sentence()]

    def _picked(self, row: int) -> None:
        self._chosen = self._names[row]
        self.table.choose(row)
        self.refresh()

    def clicked(self, id: str, value: Any) -> None:
        if id.startswith("goto-"):
            self.session.dispatch("tab", tab=id.removeprefix("goto-"))
            return
        run = self.book.get(self._chosen)
        if run is None:
            return
        if id in ("stop", "pause", "resume"):
            self.control(run, id)
        elif id == "open":
            self.open(run)
        elif id == "compare":
            self.session.dispatch("overlay", run=run.name, on=run.name not in self.session.shown_runs)
        elif id == "fork":
            self.fork(run)
        elif id == "delete" and not run.active:
            self.hub.client.delete(run.path)
            self._chosen = ""
            self.book.sync()
        self.refresh()

    def open(self, run: RunView) -> None:
        """Go to the panel of this kind of run, with this run in it."""
        if run.kind == "md":
            self.hub.follow(run.name) if run.active else self.session.dispatch("select", source=run.name, frame=0)
        elif run.kind == "map":
            self.session.dispatch("map_run", run=run.name)
        elif run.kind == "check":
            self.session.dispatch("model", model=str(run.spec["model"]))
        else:
            self.session.dispatch("overlay", run=run.name)
        self.session.dispatch("tab", tab={"train": "finetune"}.get(run.kind, run.kind))

    def fork(self, run: RunView) -> None:
        """Its settings go into the panel: nothing of the old run is touched."""
        kept = {k: v for k, v in run.spec.items() if k not in ("kind", "model", "data", "structure", "name")}
        if "model" in run.spec and run.kind in ("finetune", "check"):
            self.session.dispatch("model", model=str(run.spec["model"]))
        panel = {"train": "finetune"}.get(run.kind, run.kind)
        self.session.dispatch("setting", panel=panel, values=kept)
        self.session.dispatch("tab", tab=panel)
