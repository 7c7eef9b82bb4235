"""Map: atomic environments as points. PCA at once, UMAP when it is ready; a lasso marks atoms in the 3D view."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np

from ..action import Action, Table, button, guarded, html, select, words
from ..hub import short
from ..mapdata import MapData
from ..markup import safe, small_table
from ..plots import IMPORTING
from ..runlog import RunView
from ..scatter import COLOURS, MapScatter
from ..session import Selection
from .base import Panel

HEIGHT, SIDE = 276, 272
COLUMNS = [
    {"name": "who", "label": "environment", "width": 108, "grow": 1},
    {"name": "similarity", "label": "similarity", "width": 74, "grow": 0, "right": True},
    {
        "name": "error",
        "label": "ΔF (eV/Å)",
        "width": 76,
        "grow": 0,
        "right": True,
        "title": "length of the force error (eV/Å), where labels exist",
    },
]
UMAP_NOTE = "UMAP compiles first (20 to 50 s in a new process); PCA is shown as soon as it is there"


class MapPanel(Panel):
    """Where the MD went, seen from the training set."""

    id, title, kind = "map", "Map", "map"

    def build(self) -> list[ipywidgets.Widget]:
        self.tools = Action().on(self.clicked, self.session.report)
        self.legend, self.report = html("", "al-num"), html("", "al-num al-report")
        self.table = Table(
            COLUMNS,
            self._cells,
            self.session.report,
            height=HEIGHT - 124,
            empty="Draw a lasso, or click a point.",
        )
        self.table.on_pick(self._picked, self.session.report)
        side = ipywidgets.VBox([self.report, self.table], layout={"width": f"{SIDE}px", "flex": "none"})
        self.stage = ipywidgets.HBox([self.picture, side])
        self.stage.add_class("al-stage")
        self.scatter: MapScatter | None = None
        self.colour, self.projection, self.mode = "set", "umap", "lasso"
        return [self.headline, self.buttons, self.note, self.tools, self.stage, self.legend, self.links]

    def listens(self) -> tuple[str, ...]:
        return ("model", "data", "tab", "map_run", "selection", "lasso")

    def concerns(self, names: set[str]) -> bool:
        return True  # a finished fine-tune or MD changes what the button would map

    def badge(self) -> tuple[str, str]:
        run, data = self.run, self.hub.map()
        if data is None or (run is not None and (run.active or run.state in ("failed", "lost"))):
            return super().badge()
        return (f"!{len(data.unknown)}", "attention") if len(data.unknown) else ("✓", "done")

    # --- words and buttons -------------------------------------------------------------------------------------------
    def values(self) -> dict[str, Any]:
        """The map that the button would make: what the newest model learned from, its other frames, the newest MD.

        Of a base that knows the elements, and whose own data are at hand: the data set among those.
        """
        trained = next((r for r in self.book.of("finetune", "train") if (r.path / "best.safetensors").is_file()), None)
        values = {"model": self.session.model, "train": self.session.data}
        if trained is not None and (trained.path / "split.json").is_file():
            parts = f"{trained.path}#"
            values = {"model": str(trained.path), "train": parts + "train", "test": parts + "valid"}
        elif (ground := self.hub.ground()) and ground != self.session.data and not self.hub.unknown_elements():
            values |= {"train": ground, "test": self.session.data}
        moved = (r for r in self.book.of("md") if len(self.hub.trajectory(r)))
        md = next(moved, None)
        return values | ({"md": str(md.path)} if md is not None else {})

    def draw(self) -> None:
        data, run, values = self.hub.map(), self.run, self.values()
        md = f" and the MD {short(values['md'])}" if "md" in values else ""
        among = f" among <b>{safe(values['train'])}</b>" if values.get("test") == self.session.data else ""
        self.headline.value = (
            told(data)
            if data is not None
            else f"Every atom with its neighbours becomes a point: <b>{safe(short(self.session.data) + md)}</b>"
            f"{among}, as <b>{safe(short(values['model']))}</b> sees them."
        )
        self._buttons(run, data, values)
        self.note.value = self.progress(run) if run is not None and run.state != "done" else ""
        for widget in (self.stage, self.tools, self.legend):
            widget.layout.display = "" if data is not None else "none"
        self.copy_links("map", values)

    def _buttons(self, run: RunView | None, data: MapData | None, values: dict[str, Any]) -> None:
        if run is not None and run.active:
            self.buttons.show(*self.run_buttons(run), words(UMAP_NOTE))
            return
        if self.hub.source.status != "ready":
            reading = self.hub.source.status == "loading"
            choose = self.goto("data", "choose a data set first", "link")
            self.buttons.show(words("the data set is being read") if reading else choose)
            return
        unknown = len(data.unknown) if data is not None else 0
        self.buttons.show(
            button("unknown", f"Show the {min(10, unknown)} least known", "primary") if unknown else None,
            button("start", "Make it again" if data is not None else "Make the map", "plain" if unknown else "primary"),
            words(self.took()) if data is None else None,
            self.goto("md", "run an MD first, to see where it goes", "link") if "md" not in values else None,
        )

    # --- picture -----------------------------------------------------------------------------------------------------
    def make_picture(self) -> None:
        with IMPORTING:
            import jscatter  # noqa: F401  a second and 100 MB: now, not when the first map is ready

        self.picture.children = ()

    def _on_resize(self) -> None:
        if self.scatter is not None:
            self.scatter.look(self._width(), self.hub.dark)
            self.picture.layout.width = f"{self._width()}px"

    def _width(self) -> int:
        return max(240, self.width - SIDE - 16)

    def draw_picture(self) -> None:
        data = self.hub.map()
        if data is None:
            return
        if self.scatter is None or self.scatter.data is not data:
            self._make(data)
        self._tools(data)
        self._find_marked(data)

    def _make(self, data: MapData) -> None:
        self.scatter = MapScatter(data, self.projection, self.colour, self._width(), HEIGHT, self.hub.dark)
        self.scatter.mode(self.mode)
        self.scatter.on_select(guarded(self.take, self.session.report))
        self.picture.layout.width, self.picture.layout.overflow = f"{self._width()}px", "hidden"
        self.picture.children = (self.scatter.widget,)
        self.report.value = report(data)

    def _tools(self, data: MapData) -> None:
        projections = [("umap", "UMAP"), ("pca", "PCA")] if data.has_umap else [("pca", "PCA (UMAP is not ready)")]
        self.tools.show(
            select("projection", "projection", projections, self.projection if data.has_umap else "pca"),
            select("colour", "colour by", COLOURS, self.colour),
            button("lasso", "lasso", on=self.mode == "lasso", title="draw round points"),
            button("move", "move", on=self.mode == "move", title="drag and zoom"),
            button("clear", "clear") if self.session.lasso else None,
        )
        assert self.scatter is not None
        self.legend.value = self.scatter.legend(self.colour)

    # --- selection ---------------------------------------------------------------------------------------------------
    def take(self, points: np.ndarray) -> None:
        """These points of the map are meant: list them, least known first, and mark their atoms in the 3D view."""
        data = self.hub.map()
        if data is None:
            return
        order = points[np.argsort(data.similarity[points])] if len(points) else points
        self.session.dispatch("lasso", points=points.tolist())
        self.table.fill(order)
        if not len(points):
            self.session.dispatch("mark", atoms=[])
            self.report.value = report(data)
            return
        chosen, elsewhere = data.selection_of(order)
        self._show(chosen, data.data_of(int(order[0])))
        lowest = float(data.similarity[points].min())
        others = f"; {elsewhere} more lie in other frames (click a row)" if elsewhere else ""
        self.report.value = (
            f"<b>{len(points)} points</b>, similarity from {lowest:.4f}. "
            f"{len(chosen.atoms)} atoms of {'MD' if chosen.source != 'dataset' else short(self.session.data)} "
            f"frame {chosen.frame} are marked{others}."
        )

    def _show(self, chosen: Selection, source: str) -> None:
        """Select atoms; those of a data set that is not the shown one bring it first."""
        if chosen.source == "dataset" and source and source != self.session.data:
            self.session.dispatch("data", data=source)
        self.session.dispatch("select", source=chosen.source, frame=chosen.frame, atoms=chosen.atoms)

    def _picked(self, point: int) -> None:
        data = self.hub.map()
        if data is None:
            return
        self.table.choose(point)
        chosen, _ = data.selection_of(np.array([point]))
        self._show(chosen, data.data_of(point))
        near = "<br>".join(f"frame {f}, atom {a}: {s:.4f}" for f, a, s in data.neighbours(point))
        self.report.value = f"<b>{data.name_of(point)}</b>, nearest training environments:<br>{near}"

    def _cells(self, point: int) -> list[str]:
        data = self.hub.map()
        if data is None or point >= len(data):
            return ["", "", ""]
        error = data.force_error[point]
        return [data.short_name(point), f"{data.similarity[point]:.4f}", f"{error:.3f}" if np.isfinite(error) else "-"]

    def _find_marked(self, data: MapData) -> None:
        """An atom clicked in the 3D view is found on the map."""
        chosen = self.session.selection
        points = [p for p in (data.point_of(chosen, a) for a in chosen.atoms) if p is not None]
        if points and self.scatter is not None and not set(points) <= set(self.session.lasso):
            self.scatter.select(points)
            self.session.dispatch("lasso", points=points)
            self.table.fill(points)

    # --- clicks ------------------------------------------------------------------------------------------------------
    def clicked(self, id: str, value: Any) -> None:
        run, data = self.run, self.hub.map()
        if id == "start" and (run is None or not run.active):
            self.start("map", self.values())
        elif id in ("stop", "pause", "resume") and run is not None:
            self.control(run, id)
        elif id.startswith("goto-"):
            self.session.dispatch("tab", tab=id.removeprefix("goto-"))
        elif data is not None and self.scatter is not None:
            self._changed(id, value, data, self.scatter)
        self.refresh()

    def _changed(self, id: str, value: Any, data: MapData, scatter: MapScatter) -> None:
        if id == "projection":
            self.projection, self.scatter = value, None
        elif id == "colour":
            self.colour = value
            scatter.paint(value)
        elif id in ("lasso", "move"):
            self.mode = id
            scatter.mode(id)
        elif id == "clear":
            scatter.select([])
            self.take(np.array([], dtype=int))
        elif id == "unknown":
            worst = data.unknown[np.argsort(data.similarity[data.unknown])][:10]
            scatter.select(worst.tolist())
            self.take(worst)


def told(data: MapData) -> str:
    """The map in one sentence."""
    md = data.sets == "md"
    if md.any():
        below, what = int((data.similarity[md] < data.threshold).sum()), f"of {int(md.sum())} MD environments"
    else:
        below, what = len(data.unknown), "of the test environments"
    number = f"{len(data):,}".replace(",", " ")
    return (
        f"{number} environments; <b>{below} {what}</b> are less similar to the training set than {data.threshold:.4f}."
    )


def report(data: MapData) -> str:
    """Similarity by set and element, and what "unknown" means."""
    rows = [(f"{name} {symbol}", n, f"{mean:.4f}", below) for name, symbol, n, mean, below in data.stratified()]
    return small_table(("set, element", "atoms", "similarity", "unknown"), rows) + (
        f"<div class=al-fine>unknown: below {data.threshold:.4f}, the 1st percentile of the training environments' own "
        "best similarity to other training structures</div>"
    )
