"""The session: what the panels share. One frozen State, one pure `reduce(state, event)`, one object that holds it.

Names, paths and numbers only: no torch, no widgets. So it is tested without a browser and written to a small file.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import HasTraits

from atomlab.checkpoint import FIRST

SESSION_FILE = ".lab-session.json"
TABS = ("data", "finetune", "md", "map", "runs", "check")


@dataclass(frozen=True)
class Selection:
    """What the 3D view shows. `source` is "dataset" or the name of a run; `follow` = stay at the newest frame."""

    source: str = "dataset"
    frame: int = 0
    atoms: tuple[int, ...] = ()
    follow: bool = False


@dataclass(frozen=True)
class Message:
    """A sentence in the messages strip; `actions` are (id, label) of the buttons beside it."""

    key: str
    text: str
    level: str = "note"  # note, warning, error
    actions: tuple[tuple[str, str], ...] = ()
    detail: str = ""


@dataclass(frozen=True)
class State:
    """Everything that two panels must agree on."""

    model: str = FIRST
    data: str = "sw-ge"
    tab: str = "data"
    selection: Selection = Selection()
    colour: str = "element"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # panel -> changed values
    left_out: tuple[int, ...] = ()  # frames of the data set that are not used
    messages: tuple[Message, ...] = ()
    dismissed: tuple[str, ...] = ()
    shown_runs: tuple[str, ...] = ()  # runs overlaid in the curves, newest first
    lasso: tuple[int, ...] = ()  # chosen points of the map
    map_run: str = ""


Event = Mapping[str, Any]
KEPT = ("model", "data", "tab", "selection", "colour", "settings", "left_out", "dismissed", "shown_runs", "map_run")


def reduce(state: State, event: Event) -> State:
    """The state after `event` ({"do": name, ...}); pure. An unknown name is a programming error and raises."""
    do = event["do"]
    return _REDUCERS[do](state, {k: v for k, v in event.items() if k != "do"})


def _select(state: State, e: Mapping) -> State:
    old = state.selection
    source = e.get("source", old.source)
    frame = max(0, int(e.get("frame", old.frame if source == old.source else 0)))
    same = source == old.source and frame == old.frame
    atoms = e.get("atoms", old.atoms if same else ())
    # Pointing at anything ends following; only "follow" starts it.
    return replace(
        state, selection=Selection(source, frame, tuple(sorted({int(a) for a in atoms})), bool(e.get("follow", False)))
    )


def _advance(state: State, e: Mapping) -> State:
    """A followed run has a new frame; nobody pointed at anything."""
    now = state.selection
    if not now.follow or now.source != e["source"] or now.frame == e["frame"]:
        return state
    return replace(state, selection=replace(now, frame=int(e["frame"]), atoms=()))


def _data(state: State, e: Mapping) -> State:
    if e["data"] == state.data:
        return state
    return replace(
        state, data=e["data"], selection=Selection(), left_out=(), lasso=(), messages=_without(state, "data.")
    )


def _setting(state: State, e: Mapping) -> State:
    return replace(state, settings={**state.settings, e["panel"]: dict(e["values"])})


def _message(state: State, e: Mapping) -> State:
    new = Message(
        e["key"], e["text"], e.get("level", "note"), tuple(tuple(a) for a in e.get("actions", ())), e.get("detail", "")
    )
    if new.key in state.dismissed and not e.get("again"):
        return state
    rest = tuple(m for m in state.messages if m.key != new.key)
    return replace(state, messages=(new, *rest))


def _dismiss(state: State, e: Mapping) -> State:
    rest = tuple(m for m in state.messages if m.key != e["key"])
    # Only what would come back by itself needs remembering; the list must not grow for ever.
    return replace(state, messages=rest, dismissed=(*(k for k in state.dismissed if k != e["key"]), e["key"])[-200:])


def _without(state: State, prefix: str) -> tuple[Message, ...]:
    return tuple(m for m in state.messages if not m.key.startswith(prefix))


def _overlay(state: State, e: Mapping) -> State:
    rest = tuple(r for r in state.shown_runs if r != e["run"])
    return replace(state, shown_runs=((e["run"], *rest) if e.get("on", True) else rest)[:6])


def _forget(state: State, e: Mapping) -> State:
    """A run was deleted."""
    run = e["run"]
    selection = Selection() if state.selection.source == run else state.selection
    shown = tuple(r for r in state.shown_runs if r != run)
    messages = tuple(m for m in state.messages if not m.key.startswith(f"run.{run}."))
    return replace(
        state,
        selection=selection,
        shown_runs=shown,
        messages=messages,
        map_run="" if state.map_run == run else state.map_run,
    )


_REDUCERS: dict[str, Callable[[State, Mapping], State]] = {
    "select": _select,
    "advance": _advance,
    "follow": lambda s, e: replace(s, selection=Selection(e["source"], int(e.get("frame", 0)), (), True)),
    "mark": lambda s, e: replace(s, selection=replace(s.selection, atoms=tuple(sorted({int(a) for a in e["atoms"]})))),
    "tab": lambda s, e: replace(s, tab=e["tab"] if e["tab"] in TABS else s.tab),
    "model": lambda s, e: replace(s, model=e["model"]),
    "data": _data,
    "colour": lambda s, e: replace(s, colour=e["colour"]),
    "setting": _setting,
    "leave_out": lambda s, e: replace(s, left_out=tuple(sorted({*s.left_out, *e["frames"]}))),
    "take_back": lambda s, e: replace(s, left_out=()),
    "message": _message,
    "dismiss": _dismiss,
    "clear": lambda s, e: replace(s, messages=_without(s, e["prefix"])),
    "overlay": _overlay,
    "lasso": lambda s, e: replace(s, lasso=tuple(int(p) for p in e["points"])),
    "map_run": lambda s, e: replace(s, map_run=e["run"], lasso=()),
    "forget": _forget,
}


class Session(HasTraits):
    """Holds the State, tells who asked about changes, and keeps a small file in the workspace.

    `dispatch` may be called from any thread (callbacks run in a subshell thread also while a cell runs): events are
    queued and drained by one thread at a time, so they are applied in order and no callback waits for another.
    """

    state = AnyTrait()

    def __init__(self, workspace: str | os.PathLike | None = None, **initial: Any):
        super().__init__()
        self.workspace = (
            Path(workspace or os.environ.get("ATOMLAB_WORKSPACE") or "atomlab-runs").expanduser().absolute()
        )
        self.workspace.mkdir(parents=True, exist_ok=True)
        self._queue: deque[Event] = deque()
        self._draining = threading.Lock()
        self._watchers: list[tuple[tuple[str, ...], Callable[[State, State], None]]] = []
        self.resources: list[Any] = []  # what must be closed with the Lab
        self.state = replace(restored(self.workspace / SESSION_FILE), **initial)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in State.__dataclass_fields__:
            return getattr(self.state, name)
        raise AttributeError(name)

    def dispatch(self, do: str, **event: Any) -> None:
        """Apply an event and tell the watchers."""
        self._queue.append({"do": do, **event})
        while self._queue and self._draining.acquire(blocking=False):
            try:
                while self._queue:
                    self._apply(self._queue.popleft())
            finally:
                self._draining.release()

    def _apply(self, event: Event) -> None:
        old, new = self.state, reduce(self.state, event)
        if new == old:
            return
        self.state = new
        if any(getattr(old, name) != getattr(new, name) for name in KEPT) and event["do"] != "advance":
            self.save()
        for names, watcher in list(self._watchers):
            if any(getattr(old, name) != getattr(new, name) for name in names):
                try:
                    watcher(old, new)
                except Exception as error:  # one panel's fault must not stop the others; it is shown
                    self.report(error)

    def watch(self, names: Iterable[str], watcher: Callable[[State, State], None]) -> None:
        """Call `watcher(old, new)` when one of these parts of the state has changed."""
        self._watchers.append((tuple(names), watcher))

    def say(
        self, key: str, text: str, level: str = "note", actions: Iterable = (), detail: str = "", again: bool = False
    ) -> None:
        """Put a sentence into the messages strip. `again`: even where it was dismissed before."""
        self.dispatch("message", key=key, text=text, level=level, actions=tuple(actions), detail=detail, again=again)

    def report(self, error: BaseException) -> None:
        """A failure as a sentence; its traceback is one click away."""
        import traceback

        from atomlab.errors import AtomLabError

        text = str(error) if isinstance(error, AtomLabError) else f"{type(error).__name__}: {error}"
        detail = "" if isinstance(error, AtomLabError) else "".join(traceback.format_exception(error))
        self._queue.append(
            {
                "do": "message",
                "key": f"error.{hash(text)}",
                "text": text,
                "level": "error",
                "detail": detail,
                "again": True,
            }
        )
        if not self._draining.locked():
            self.dispatch("tab", tab=self.state.tab)

    def save(self) -> None:
        """Replace the session file atomically (two Labs in one folder never see half a file)."""
        kept = {k: v for k, v in asdict(self.state).items() if k in KEPT}
        kept["selection"]["follow"] = self.state.selection.follow
        target = self.workspace / SESSION_FILE
        part = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            part.write_text(json.dumps(kept))
            os.replace(part, target)
        except OSError as error:
            self._queue.append(
                {
                    "do": "message",
                    "key": "session.save",
                    "text": f"The session file could not be written: {error}.",
                    "level": "warning",
                }
            )


def restored(path: Path) -> State:
    """The state of a session file; a missing or broken one gives the start."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return State()
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items() if k in KEPT}
        chosen: dict[str, Any] = values.get("selection", {})
        values["selection"] = Selection(**{**chosen, "atoms": tuple(chosen.get("atoms", ()))})
        return State(**values)
    except (TypeError, AttributeError):
        return State(
            messages=(Message("session.broken", f"{path.name} was not understood and is ignored.", "warning"),)
        )
