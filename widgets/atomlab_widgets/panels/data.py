"""Data: choose, look, mend. Table of frames, histograms with brushing, what was read as what, split and E0."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from .. import plots
from ..action import Action, Table, button, guarded, html, select, words
from ..hub import short
from ..markup import safe
from .base import Panel
from .dataset_words import COLUMNS, divided, labels, source_elements, suggested_split

UPLOAD_MB = 80
ENDINGS = ".xyz,.extxyz,.gz,.traj,.db,.json,.xml"
HISTOGRAMS = (("energy", "energy (eV/atom)"), ("force", "max |F| (eV/Å)"), ("nearest", "nearest distance (Å)"))


class DatasetPanel(Panel):
    """The data set of the session."""

    id, title = "data", "Data"

    def build(self) -> list[ipywidgets.Widget]:
        self.choose = Action().on(self.clicked, self.session.report)
        self.choose.uploads(
            lambda: self.session.workspace / "uploads",
            lambda path: self.session.dispatch("data", data=str(path)),
            self.session.report,
        )
        self.table = Table(COLUMNS, self._cells, self.session.report, height=170, empty="reading ...")
        self.table.on_pick(
            lambda row: self.session.dispatch("select", source="dataset", frame=row), self.session.report
        )
        self.table.observe(guarded(lambda _: self._fill(), self.session.report), "sort")
        self.about = html("", "al-quiet")
        self._filter, self._shown = "", None
        self._brush: dict[str, tuple[float, float]] = {}
        self._picked: dict[str, tuple[float, float]] = {}
        self._asked: Any = None
        self._dividing, self._parts = False, ""  # whether split and E0 are shown, and what they are
        self.hub.source.on(lambda: self._arrived())
        return [self.headline, self.choose, self.buttons, self.table, self.picture, self.about]

    def listens(self) -> tuple[str, ...]:
        return ("data", "selection", "left_out", "tab", "lasso", "settings")

    def badge(self) -> tuple[str, str]:
        status = self.hub.source.status
        if status == "ready":
            bad = len(set(self.hub.source.warnings) - set(self.session.left_out))
            return (f"!{bad}", "attention") if bad else ("✓", "done")
        return {"loading": ("...", "running"), "failed": ("!", "failed")}[status]

    # --- words and buttons -------------------------------------------------------------------------------------------
    def draw(self) -> None:
        source, left = self.hub.source, self.session.left_out
        name = f"<b>{safe(short(source.name or self.session.data))}</b>"
        self._choices()
        if source.status != "ready" or source.columns is None:
            loading = source.status == "loading"
            self.headline.value = f"{name}: {'reading ...' if loading else 'could not be read; the message says why'}"
            self.buttons.show(words("the frames are being read" if loading else "choose another data set"))
            return
        c = source.columns
        sizes = f"{c.atoms.min()}" if c.atoms.min() == c.atoms.max() else f"{c.atoms.min()} to {c.atoms.max()}"
        elements = ", ".join(source_elements(source.dataset))
        used = len(source) - len(left)
        tail = f"; {len(left)} left out" if left else ""
        self.headline.value = f"{name}: {used} frames of {sizes} atoms ({elements}), {labels(c)}{tail}."
        self.picture.layout.display = "none" if self._dividing else ""
        if self._dividing:
            self._divide()
        else:
            self._about(source)
        self.buttons.show(
            None if self.alone else button("use", "Use for fine-tuning", "primary"),
            words(f"{used} frames of {safe(short(source.name))} for {self.session.model}"),
            button("take_back", f"take the {len(left)} back") if left else None,
            button("show-all", f"show all {len(source)} frames", "link") if self._brush else None,
            button("parts", "histograms" if self._dividing else "split and E0", "link"),
        )

    def _choices(self) -> None:
        names = dict.fromkeys([*self.hub.client.datasets(), self.session.data])
        place = {"kind": "input", "label": "or a file", "placeholder": "path on this machine", "size": 18}
        bring = {"kind": "upload", "label": "upload", "limit_mb": UPLOAD_MB, "accept": ENDINGS}
        only = {"kind": "input", "label": "show", "placeholder": "words or 300K", "size": 9, "value": self._filter}
        self.choose.show(
            select("data", "data set", [(n, short(n)) for n in names], self.session.data),
            {"id": "path", **place, "title": "extended XYZ, ASE traj or db, VASP, mlearn JSON"},
            {"id": "upload", **bring, "title": f"from your computer, at most {UPLOAD_MB} MB"},
            {"id": "filter", **only, "title": "only rows that hold all these words"},
        )

    def _about(self, source: Any) -> None:
        parts = [f"Read in {source.seconds:.1f} s.", *source.dataset.reading]
        if self._brush:
            parts.insert(
                0,
                (f"<b>{len(self.table.order)} frames</b> in the brushed range."),
            )
        self.about.value = " ".join(p if p.startswith("<b>") else safe(p) for p in parts)

    def _divide(self) -> None:
        """Show how the set will be divided; in a thread, since a large one takes a while."""
        source, left = self.hub.source, self.session.left_out
        own = self.session.settings.get("finetune", {})
        named = {n: v for n, (v, _) in suggested_split(self.session.data, len(source)).items()} | dict(own)
        asked = (id(source.dataset), left, str(named))
        if asked != self._asked:
            self._asked, self._parts = asked, "dividing ..."

            def work() -> None:
                found = divided(source, left, named)
                if self._asked == asked:
                    self._parts = found
                    self.draw()

            threading.Thread(target=guarded(work, self.session.report), daemon=True, name="atomlab-split").start()
        self.about.value = self._parts

    def _cells(self, row: int) -> list[str]:
        c = self.hub.source.columns
        if c is None or row >= len(c.atoms):
            return [""] * len(COLUMNS)
        said = "left out" if row in self.session.left_out else "; ".join(self.hub.source.warnings.get(row, []))
        numbers = [
            f"{v:{f}}" if np.isfinite(v) else "-"
            for v, f in ((c.energy[row], ".4f"), (c.force[row], ".2f"), (c.nearest[row], ".2f"))
        ]
        return [str(row), c.group[row], c.formula[row], str(c.atoms[row]), *numbers, said]

    # --- table -------------------------------------------------------------------------------------------------------
    def _arrived(self) -> None:
        source = self.hub.source
        if source.status == "ready":
            self.table.empty = "No frame fits."
            self._brush = self._brush if self._shown is source.dataset else {}
            self._fill()
            self._mend()
        else:
            self.table.empty = "reading ..." if source.status == "loading" else "could not be read"
            self.table.fill([])
        self.refresh()

    def _fill(self) -> None:
        c = self.hub.source.columns
        if c is None:
            return
        rows = np.arange(len(c.atoms))
        keep = np.ones(len(rows), dtype=bool)
        for name, (low, high) in self._brush.items():
            values = getattr(c, name)
            keep &= np.isfinite(values) & (values >= low) & (values < high)
        for word in self._filter.lower().split():
            keep &= np.array([word in " ".join(self._cells(i)).lower() for i in rows], dtype=bool)
        rows = rows[keep]
        rows = self._sorted(rows, self.table.sort)
        self.table.fill(rows)
        self.table.choose(self.session.selection.frame if self.session.selection.source == "dataset" else -1)

    def _sorted(self, rows: np.ndarray, sort: dict) -> np.ndarray:
        c, column = self.hub.source.columns, sort.get("column")
        if not column or column == "frame" or c is None:
            return rows[::-1] if column == "frame" and sort["down"] else rows
        if column == "warnings":
            key = np.array([-len(self.hub.source.warnings.get(int(i), [])) for i in rows])
        elif column in ("group", "formula"):
            key = np.array([getattr(c, column)[i] for i in rows])
        else:
            key = getattr(c, column)[rows]
        order = np.argsort(key, kind="stable")
        return rows[order[::-1] if sort["down"] else order]

    def _mend(self) -> None:
        """Each finding of the data doctor becomes a message with what can be done about it."""
        self.session.dispatch("clear", prefix="data.")
        left = set(self.session.left_out)
        for finding in self.hub.source.findings[:6]:
            frames = list(finding.frames)
            if frames and set(frames) <= left:
                continue
            key = f"data.{short(self.hub.source.name)}.{finding.code}"
            actions = (("show", "show them"), ("leave_out", "leave them out")) if frames else ()
            level = finding.severity
            self.session.say(key, finding.text, level, actions, detail=finding.mend)

    def on_message(self, key: str, action: str) -> bool:
        """A button in the messages strip that belongs here."""
        if not key.startswith("data."):
            return False
        finding = next((f for f in self.hub.source.findings if key.endswith(f".{f.code}")), None)
        frames = list(finding.frames) if finding else []
        if action == "show" and frames:
            self.session.dispatch("tab", tab="data")
            self.table.marked = frames[:5000]
            self.session.dispatch("select", source="dataset", frame=frames[0])
        elif action == "leave_out" and frames:
            self.session.dispatch("leave_out", frames=frames)
            self.session.dispatch("clear", prefix=key)
        return True

    # --- picture -----------------------------------------------------------------------------------------------------
    def make_picture(self) -> None:
        self.fig = plots.figure(1, 3, height=136, horizontal_spacing=0.07)
        with self.fig.batch_update():
            for k, (_, title) in enumerate(HISTOGRAMS, 1):
                self.fig.add_bar(
                    x=[],
                    y=[],
                    width=[],
                    row=1,
                    col=k,
                    marker={"color": "#0072b2", "line": {"width": 0}},
                    showlegend=False,
                    hovertemplate="%{x:.3f}: %{y} frames<extra></extra>",
                )
                self.fig.update_xaxes(title_text=title, row=1, col=k)
            self.fig.update_yaxes(title_text="frames", row=1, col=1)
            self.fig.update_layout(
                dragmode="select", selectdirection="h", margin={"l": 44, "r": 8, "t": 6, "b": 40}, bargap=0
            )
        plots.keep(self.fig)
        for k in range(len(HISTOGRAMS)):
            self.fig.data[k].on_selection(
                guarded(lambda trace, points, selector, k=k: self._brushed(k, points.point_inds), self.session.report)
            )
            self.fig.data[k].on_deselect(guarded(lambda trace, points, k=k: self._brushed(k, []), self.session.report))
        self.picture.children = (self.fig,)

    def _brushed(self, k: int, bars: list[int]) -> None:
        """The bars of histogram `k` that were brushed. Plotly tells all three, one after the other, and only the first
        one's range: so what counts are the bars."""
        self._picked = {} if k == 0 else self._picked
        if bars:
            trace = self.fig.data[k]
            half = trace.width[0] / 2
            end = np.inf if max(bars) == len(trace.x) - 1 else trace.x[max(bars)] + half
            self._picked[HISTOGRAMS[k][0]] = (-np.inf if min(bars) == 0 else trace.x[min(bars)] - half, end)
        if k == len(HISTOGRAMS) - 1:
            self._brush = self._picked
            self._fill()
            self.draw()

    def _unbrush(self) -> None:
        self._brush = {}
        # the page has drawn the boxes by itself: only a change takes them away
        self.fig.layout.selections = [{"type": "rect", "xref": "x", "yref": "y", "x0": 0, "x1": 0, "y0": 0, "y1": 0}]
        self.fig.layout.selections = ()
        with self.fig.batch_update():
            for trace in self.fig.data:
                trace.selectedpoints = None
        self._fill()
        self.draw()

    def draw_picture(self) -> None:
        c = self.hub.source.columns
        chosen = self.session.selection
        self.table.choose(chosen.frame if chosen.source == "dataset" else -1)
        if c is None or self.fig is None or self._shown is self.hub.source.dataset:
            return
        self._shown = self.hub.source.dataset
        with self.fig.batch_update():
            for k, (name, _) in enumerate(HISTOGRAMS):
                x, y, width = plots.histogram(getattr(c, name))
                self.fig.data[k].x, self.fig.data[k].y, self.fig.data[k].width = x, y, width

    # --- clicks ------------------------------------------------------------------------------------------------------
    def clicked(self, id: str, value: Any) -> None:
        if id == "data":
            self.session.dispatch("data", data=value)
        elif id == "path" and value:
            self.session.dispatch("data", data=str(Path(value).expanduser()))
        elif id == "filter":
            self._filter = value or ""
            self._fill()
            self.draw()
        elif id == "upload:refused":
            text = (
                f"{value['name']} has {value['mb']:.0f} MB; at most {value['limit_mb']} MB can be "
                f"uploaded. Put it beside the notebook (drag it into the file browser) and give its path."
            )
            self.session.say("upload", text, "warning", again=True)
        elif id == "show-all":
            self._unbrush()
        elif id == "parts":
            self._dividing = not self._dividing
            self.draw()
        elif id == "use":
            self.session.dispatch("tab", tab="finetune")
        elif id == "take_back":
            self.session.dispatch("take_back")
            self._mend()
