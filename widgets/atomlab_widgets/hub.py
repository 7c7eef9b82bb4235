"""What the panels of one Lab share beside the State: run book, data set, client, width and theme."""

from __future__ import annotations

import html as escape
from collections.abc import Callable
from typing import Any

import numpy as np

from atomlab.errors import AtomLabError

from .action import Action
from .client import Client
from .frames import Frame, Trajectory
from .mapdata import MapData
from .runlog import RunBook, RunView
from .session import Selection, Session, State
from .source import Source


class Hub:
    """One for each session; panels in cells of their own with the same session share it."""

    def __init__(self, session: Session, client: Any = None):
        self.session = session
        self.client = client or Client(session.workspace)
        self.book = RunBook(session.workspace)
        self.book.fault = session.report
        self.source = Source(session.report)
        self.dark, self.width = False, 1080
        self.viewed_by = ""  # the panel in a cell of its own that the 3D view stands beside
        self.size = Action(kind="size")
        self._maps: dict[str, MapData] = {}
        self._trajectories: dict[str, Trajectory] = {}
        self._resized: list[Callable[[], None]] = []
        self._mounted: list[Callable[[], None]] = []
        self._told: set[str] = set()
        self._elements: dict[str, tuple[int, ...]] = {}
        self._grounds: dict[str, str | None] = {}
        self.size.observe(self._on_size, "size")
        self.size.observe(lambda _: self._call(self._mounted), "mounted")
        self.book.on(self._on_runs)
        session.watch(("data",), self._data_changed)
        session.resources.append(self.book)

    def _data_changed(self, old: State, new: State) -> None:
        self.source.load(new.data)

    # --- size and theme ----------------------------------------------------------------------------------------------
    def on_resize(self, listener: Callable[[], None]) -> None:
        """Call `listener()` when the width or the theme has changed."""
        self._resized.append(listener)

    def on_mount(self, listener: Callable[[], None]) -> None:
        """Call `listener()` when a page has (again) drawn the Lab."""
        self._mounted.append(listener)

    def _on_size(self, change: Any) -> None:
        self.width, self.dark = int(change.new["width"]), bool(change.new["dark"])
        self._call(self._resized)

    def _call(self, listeners: list[Callable[[], None]]) -> None:
        for listener in listeners:
            try:
                listener()
            except Exception as error:
                self.session.report(error)

    @property
    def left(self) -> int:
        """Width in px that a panel has."""
        return self.width - 389 - 34 if self.width >= 900 else self.width - 34

    # --- runs --------------------------------------------------------------------------------------------------------
    def _on_runs(self, names: set[str]) -> None:
        for name in names:
            run = self.book.get(name)
            if run is None:
                self._trajectories.pop(name, None)
                self.session.dispatch("forget", run=name)
                continue
            self._tell(run)
            chosen = self.session.selection
            if chosen.follow and chosen.source == name:
                if run.kind == "md":
                    count = len(self.trajectory(run))
                    if count:
                        self.session.dispatch("advance", source=name, frame=count - 1)
                if not run.active:  # it has ended: stay at its last frame
                    self.session.dispatch("select", source=name, frame=self.session.selection.frame)

    def _tell(self, run: RunView) -> None:
        """Notices and failures of a run go into the messages strip, once each."""
        for code, text in run.log.notices:
            key = f"run.{run.name}.{code}"
            if key not in self._told:
                self._told.add(key)
                worse = code.endswith("-worse")  # a probe's warning
                actions = [("open", "open")] if worse else ()
                self.session.say(key, f"{run.name}: {text}", "warning" if worse else "note", actions)
        guard = run.state == "stopped" and run.log.by == "guard"
        key = f"run.{run.name}.{run.state}.{run.log.seen}"
        if key in self._told or not (guard or run.state in ("failed", "lost")):
            return
        self._told.add(key)
        actions = [("show", "show")] if guard and run.kind == "md" else [("resume", "resume"), ("open", "open")]
        level = "warning" if guard else "error"
        self.session.say(key, f"{run.name} {run.sentence()}", level, actions, self._log(run))

    def _log(self, run: RunView) -> str:
        for name in ("error.txt", "worker.log", "log.txt"):
            if (run.path / name).is_file():
                return (run.path / name).read_text(errors="replace")[-4000:]
        return ""

    # --- frames ------------------------------------------------------------------------------------------------------
    def trajectory(self, run: RunView) -> Trajectory:
        """The frames of a run."""
        if run.name not in self._trajectories:
            self._trajectories[run.name] = Trajectory(run.path / "trajectory.traj")
        return self._trajectories[run.name]

    def frame(self, source: str, index: int) -> tuple[int, Frame | None]:
        """(number of frames, the frame) of the data set or of a run."""
        if source == "dataset":
            return len(self.source), self.source.frame(index)
        run = self.book.get(source)
        if run is None:
            return 0, None
        trajectory = self.trajectory(run)
        count = len(trajectory)
        return count, trajectory.frame(min(index, max(0, count - 1)))

    def no_frame(self, source: str) -> str:
        """Why there is nothing to show."""
        if source != "dataset":
            return "the first frame is on its way" if self.book.get(source) else "this run is no longer there"
        return {"loading": f"reading {self.source.name} ...", "failed": f"{self.source.name} could not be read"}.get(
            self.source.status, "no frame"
        )

    def frame_title(self, chosen: Selection, count: int, frame: Frame) -> str:
        """The line above the 3D view."""
        index = min(chosen.frame, count - 1)
        facts = [frame.formula]
        if chosen.source == "dataset":
            name, columns = f"{short(self.source.name)} frame", self.source.columns
            if columns is not None and index < len(columns.energy):
                facts += [
                    columns.group[index],
                    f"{columns.energy[index]:.3f} eV/atom" if np.isfinite(columns.energy[index]) else "",
                ]
        else:
            name, run = "MD frame", self.book.get(chosen.source)
            log = run.log.frames if run else {}
            if log and index < len(log["time_fs"]):
                facts += [f"{log['temperature'][index]:.0f} K", f"{log['time_fs'][index] / 1000:.2f} ps"]
        text = ", ".join(escape.escape(f) for f in facts if f)
        return f"<b>{escape.escape(name)} {index} of 0–{count - 1}</b> <span class='al-quiet al-num'>{text}</span>"

    def follow(self, run: str) -> None:
        """Stay at the newest frame of a run."""
        view = self.book.get(run)
        last = len(self.trajectory(view)) - 1 if view else 0
        self.session.dispatch("follow", source=run, frame=max(0, last))

    def unknown_elements(self) -> list[int]:
        """Atomic numbers in the data set that the session's model does not know; none where either is not known."""
        if self.source.dataset is None:
            return []
        known = self.known_elements()
        return [z for z in self.source.dataset.elements if z not in known] if known else []

    def known_elements(self) -> tuple[int, ...]:
        """Atomic numbers that the session's model knows; none where its file does not say."""
        model = self.session.model
        if model not in self._elements:
            try:
                self._elements[model] = self.client.elements(model)
            except (AtomLabError, OSError):  # said when a run is started with it
                self._elements[model] = ()
        return self._elements[model]

    def ground(self) -> str | None:
        """The data set that the session's model has learned from, where it is at hand."""
        model = self.session.model
        if model not in self._grounds:
            try:
                self._grounds[model] = self.client.ground(model)
            except (AtomLabError, OSError):  # said when a run is started with it
                self._grounds[model] = None
        return self._grounds[model]

    # --- maps --------------------------------------------------------------------------------------------------------
    def map(self) -> MapData | None:
        """The map that is shown: the chosen run's, else the newest finished one's."""
        runs = [r for r in self.book.of("map") if (r.path / "map.npz").is_file()]
        run = next((r for r in runs if r.name == self.session.map_run), runs[0] if runs else None)
        if run is None:
            return None
        stamp = (run.path / "map.npz").stat().st_mtime_ns
        known = self._maps.get(run.name)
        if known is None or known.stamp != stamp:
            self._maps = {run.name: MapData(run.path / "map.npz", stamp, run.spec)}
        return self._maps[run.name]

    def colour_values(self, state: State, frame: Frame) -> np.ndarray | None:
        """Numbers per atom to colour by, or None for elements."""
        if state.colour == "force" and frame.forces is not None:
            return np.linalg.norm(frame.forces, axis=1)
        if state.colour == "similarity" and (data := self.map()) is not None:
            return data.of_frame(state.selection, len(frame.numbers), data.similarity)
        return None

    def atom_fact(self, chosen: Selection, atom: int) -> str:
        """What the map knows about an atom."""
        data = self.map()
        point = data.point_of(chosen, atom) if data is not None else None
        return f"similarity {data.similarity[point]:.4f}" if data is not None and point is not None else ""


def short(name: str) -> str:
    """The last part of a path."""
    return name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def hub_of(session: Any) -> Hub:
    """The hub of a session: one per session, made when first asked for. None makes a session of its own."""
    if isinstance(session, Hub):
        return session
    session = session or Session()
    found = next((r for r in session.resources if isinstance(r, Hub)), None)
    if found is None:
        found = Hub(session)
        session.resources.append(found)
    return found
