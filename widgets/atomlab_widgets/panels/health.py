"""Health: what the session's model promises and keeps, check by check, before anybody trusts it."""

from __future__ import annotations

from typing import Any

import ipywidgets

from .. import plots
from ..action import Table, button, html, words
from ..findings import MARKS, WORDS, counted, curve, periodic_table, said, same_model
from ..hub import short
from ..markup import safe
from ..runlog import RunView
from .base import WAITS, Panel

STAGE, TABLE = 336, 304  # px: height of the table, its width
MARK_WIDTH = 116  # px of the column with mark and word
COLUMNS = [
    {"name": "status", "label": "result", "width": MARK_WIDTH, "grow": 0, "svg": True},
    {"name": "name", "label": "check", "width": 160},
]


class HealthPanel(Panel):
    """The health card of the session's model: findings as they come, dimer curves, covered elements."""

    id, title, kind = "check", "Health", "check"
    with_view = False  # nothing here points at a structure
    hidden = ("kind", "model", "name", "seed")
    in_tabs = False  # reached from the session bar; a tab of its own only while it is open

    def build(self) -> list[ipywidgets.Widget]:
        self.form = self.make_form()
        self.unfolded, self._picked = False, ""
        self._rows: list[dict] = []
        self.table = Table(COLUMNS, self._cells, self.session.report, height=STAGE, empty="No check was made yet.")
        self.table.on_pick(self._pick, self.session.report)
        self.detail, self.elements = html("", "al-finding"), html()
        right = ipywidgets.VBox([self.detail, self.picture, self.elements])
        self.stage = ipywidgets.HBox([self.table, right])
        self.stage.add_class("al-stage")
        for widget, width in ((self.table, f"{TABLE}px"), (right, f"calc(100% - {TABLE + 12}px)")):
            widget.layout.width, widget.layout.flex = width, "0 0 auto"
        return [self.headline, self.form, self.buttons, self.stage, self.links]

    def listens(self) -> tuple[str, ...]:
        return ("model", "settings", "tab")

    @property
    def run(self) -> RunView | None:
        """The newest check of the session's model; a check of another model says nothing about this one."""
        found = (r for r in self.book.of(self.kind) if same_model(r.spec.get("model"), self.session.model))
        return next(found, None)

    def values(self) -> dict[str, Any]:
        return {"model": self.session.model, **super().values()}

    def chip(self) -> dict:
        """The way here: a button beside the model's name, which says how it stands."""
        run = self.run
        found = run.log.findings if run else []
        failed = sum(f.get("status") == "fail" for f in found)
        label = "health"
        if run is not None and run.active:
            label += f" {len(found)} of {self._total(run)}"
        elif found:
            label += f" ✗ {failed}" if failed else " ✓"
        title = f"what {short(self.session.model)} promises and keeps: {counted(found) if found else 'not checked yet'}"
        return button("health", label, "plain", on=self.visible and not self.alone, title=title)

    def badge(self) -> tuple[str, str]:
        """The tab says how many failed: a check that is done is not yet a healthy model."""
        failed = sum(f.get("status") == "fail" for f in self.run.log.findings) if self.run else 0
        return (f"✗ {failed}", "failed") if failed and self.run and not self.run.active else super().badge()

    # --- words and buttons -------------------------------------------------------------------------------------------
    def draw(self) -> None:
        run = self.run
        self._rows = list(run.log.findings) if run else []
        settled = run is not None and (run.active or bool(self._rows))
        self.form.layout.display = "none" if settled and not self.unfolded else ""
        self.stage.layout.display = "" if settled else "none"
        name = f"<b>{safe(short(self.session.model))}</b>"
        if not self._rows:
            self.headline.value = (
                f"{name}: are its forces the energy's derivatives, does it stay the same when turned, do supercells "
                "add up, does it jump at a cutoff, do atoms repel? The button asks the model itself, check by check."
            )
        else:
            self.headline.value = f"{name}: {counted(self._rows)}{self._whose(run)}"
        self._buttons(run, settled)
        self.table.fill(range(len(self._rows)))
        self._detail()
        self.elements.value = periodic_table(self._covered())
        self.copy_links("check", self.values())

    def _whose(self, run: RunView | None) -> str:
        if run is None or run.state == "done":
            return "."
        return f", of {self._total(run)} checks." + (f" {safe(run.sentence())}" if not run.active else "")

    def _total(self, run: RunView) -> int:
        return int(run.log.progress.get("total") or len(WORDS))

    def _buttons(self, run: RunView | None, settled: bool) -> None:
        fold = button("settings", "hide settings" if self.unfolded else "settings", "link") if settled else None
        if run is not None and run.active:
            self.buttons.show(*self.run_buttons(run), words(self._progress(run)), fold)
            return
        took = "some seconds; a large model takes longer" if not self._rows else ""
        self.buttons.show(
            button("start", "Check this model" if not settled else "Check it again", "plain" if settled else "primary"),
            self.goto("md", "Run MD with it", "primary") if settled else None,
            fold,
            words(took) if took else None,
        )

    def _progress(self, run: RunView) -> str:
        if run.state == "queued":
            worker = self.hub.client.worker()
            return WAITS.get(worker, f"waits until {worker} has ended")
        return f"check {min(len(self._rows) + 1, self._total(run))} of {self._total(run)}"

    def _cells(self, row: int) -> list[str]:
        finding = self._rows[row]
        status, name = str(finding.get("status", "")), str(finding["name"])
        css = {"pass": "al-good", "fail": "al-bad"}.get(status, "al-quiet")
        mark = f"<b class={css}>{safe(MARKS.get(status, status))}</b>"
        return [mark, WORDS.get(name, name.replace("_", " "))]

    def chosen(self) -> dict | None:
        """The finding that is told in full: the one clicked, else the first that failed, else the newest."""
        rows = {f["name"]: f for f in self._rows}
        failed = (f for f in self._rows if f.get("status") == "fail")
        return rows.get(self._picked) or next(failed, self._rows[-1] if self._rows else None)

    def _detail(self) -> None:
        finding = self.chosen()
        self.detail.value = said(finding) if finding else "The first finding is on its way."
        if finding:
            self.table.choose(self._rows.index(finding))

    def _covered(self) -> tuple[int, ...]:
        found = next((f for f in self._rows if f["name"] == "elements"), None)
        if found is not None:
            return tuple(int(z) for z in (found.get("curve") or {}).get("numbers", ()))
        return self.hub.known_elements()

    def _pick(self, row: int) -> None:
        self._picked = str(self._rows[row]["name"])
        self.refresh()

    def clicked(self, id: str, value: Any) -> None:
        run = self.run
        if id.startswith("goto-"):
            self.session.dispatch("tab", tab=id.removeprefix("goto-"))
        elif id == "settings":
            self.unfolded = not self.unfolded
        elif id == "start" and not (run is not None and run.active):
            self._picked = ""
            self.start("check", self.values())
        elif run is not None and id in ("stop", "pause", "resume"):
            self.control(run, id)
        self.refresh()

    # --- picture -----------------------------------------------------------------------------------------------------
    def make_picture(self) -> None:
        self.fig = plots.figure(height=168)
        self.fig.update_layout(margin={"l": 52, "r": 8, "t": 20, "b": 36}, legend={"font": {"size": 10}})
        plots.keep(self.fig)
        self.picture.children = (self.fig,)

    def draw_picture(self) -> None:
        """The curve of the chosen finding where it has one, else the dimers'."""
        dimers = next((f for f in self._rows if f["name"] == "dimers"), None)
        picked = next((f for f in self._rows if f["name"] == self._picked), None)
        shown = curve(picked) or curve(dimers)
        self.picture.layout.visibility = "visible" if shown else "hidden"
        key = (self.run.name if self.run else "", shown)
        if shown is None or key == self._drawn:
            return
        self._drawn = key
        with self.fig.batch_update():
            self.fig.data = []
            for k, (name, (x, y)) in enumerate(shown.lines.items()):
                self.fig.add_scatter(**plots.line(name or shown.y, plots.run_colour(k)) | {"x": x, "y": y})
            self.fig.update_layout(showlegend=len(shown.lines) > 1 or "" not in shown.lines)
            self.fig.update_xaxes(title_text=shown.x, title_standoff=2)
            given = None if shown.low is None else [shown.low, shown.high]
            self.fig.update_yaxes(title_text=shown.y, title_standoff=2, range=given, autorange=given is None)
        plots.keep(self.fig)

    def _on_resize(self) -> None:
        super()._on_resize()
        if self.fig is not None:
            plots.resize(self.fig, self.width - TABLE - 20)
