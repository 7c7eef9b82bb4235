"""A run as the Lab sees it: its events folded into numbers. Reads run directories only; whoever made them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atomlab.runs.directory import derive_state, read_spec, runs_in
from atomlab.runs.events import Tail

METRICS = ("loss", "forces_rmse", "energy_rmse", "forces_mae", "energy_mae", "stress_rmse", "epoch", "step", "seconds")
MD = ("step", "time_fs", "temperature", "potential_energy", "kinetic_energy", "conserved", "pressure", "steps_per_s")
ACTIVE = ("queued", "running", "paused")
NAN = float("nan")


@dataclass
class Log:
    """The events of one run, folded. Lists grow only; readers copy what they need."""

    metrics: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)  # (arm, split) -> columns
    base: dict[str, float] = field(default_factory=dict)
    frames: dict[str, list[float]] = field(default_factory=lambda: {k: [] for k in MD})
    rdf: dict[str, list[float]] = field(default_factory=dict)
    probes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by property, in the order of time
    plan: dict[str, dict] = field(default_factory=lambda: {"reasons": {}, "values": {}})
    progress: dict[str, Any] = field(default_factory=dict)
    notices: list[tuple[str, str]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # parity, map
    findings: list[dict[str, Any]] = field(default_factory=list)  # of a health check, in their order
    reason: str = ""
    said: str = ""  # the last state that was said
    by: str = ""  # who stopped it: user, guard
    atoms: tuple[int, ...] = ()  # those that a guard stopped it for
    seen: int = 0  # events so far


def fold(log: Log, event: Mapping[str, Any]) -> None:
    """Take one event into the log; kinds that the Lab does not draw are only counted."""
    log.seen += 1
    kind = event["kind"]
    if kind == "metric":
        columns = log.metrics.setdefault(
            (event.get("arm", "finetune"), event.get("split", "train")), {k: [] for k in METRICS}
        )
        _drop_from(columns, "step", number(event.get("step")))
        for name in METRICS:
            columns[name].append(number(event.get(name)))
    elif kind == "frame":
        _drop_from(log.frames, "step", number(event.get("step")))
        for name in MD:
            log.frames[name].append(number(event.get(name)))
    elif kind == "base":
        log.base = {k: number(v) for k, v in event.items() if k.endswith(("rmse", "mae"))}
    elif kind == "probe":
        _probed(log.probes.setdefault(event["probe"], []), dict(event))
    elif kind == "rdf":
        log.rdf = {"r": event["r"], "g": event["g"]}
    elif kind == "plan" and event.get("arm") != "scratch":
        log.plan["reasons"].update(event.get("reasons") or {})
        log.plan["values"].update(event.get("values") or {})
    elif kind == "progress":
        log.progress = dict(event)
    elif kind == "notice":
        log.notices.append((str(event.get("code", "")), str(event.get("text", ""))))
    elif kind == "finding":
        _note(log.findings, dict(event))
    elif kind == "result":
        log.result = dict(event)
    elif kind in ("parity", "map"):
        log.files[kind] = event.get("file", f"{kind}.npz")
    elif kind == "state":
        log.said, log.reason, log.by = event.get("state", ""), event.get("reason") or "", event.get("by") or ""
        log.atoms = tuple(int(a) for a in event.get("atoms") or ())


def _drop_from(columns: dict[str, list[float]], key: str, value: float) -> None:
    """A resumed run makes its last steps again: what it had said about them before is forgotten."""
    while columns[key] and columns[key][-1] >= value:
        for column in columns.values():
            column.pop()


def _probed(rows: list[dict[str, Any]], new: dict[str, Any]) -> None:
    """Probes in the order of training; the one of the kept weights, which may be earlier ones, stands last."""
    while rows and not new.get("final") and rows[-1]["epoch"] >= new["epoch"]:
        rows.pop()
    rows.append(new)


def _note(findings: list[dict[str, Any]], new: dict[str, Any]) -> None:
    """A resumed check says everything again: the newer word counts, in the same place."""
    names = [f["name"] for f in findings]
    if new["name"] in names:
        findings[names.index(new["name"])] = new
    else:
        findings.append(new)


def number(value: Any) -> float:
    """A float; what is absent is NaN."""
    return NAN if value is None else float(value)


@dataclass
class RunView:
    """One run directory: spec, state, folded log."""

    path: Path
    spec: dict[str, Any]
    state: str = "queued"
    log: Log = field(default_factory=Log)
    color: int = 0

    def __post_init__(self) -> None:
        self._tail = Tail(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def kind(self) -> str:
        return str(self.spec.get("kind", "?"))

    @property
    def started(self) -> float:
        return (self.path / "spec.yaml").stat().st_mtime

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def fraction(self) -> float | None:
        """0..1 of the work, None if unknown."""
        p = self.log.progress
        return min(1.0, p["done"] / p["total"]) if p.get("total") else None

    def poll(self) -> bool:
        """Read what is new; True if anything changed. An ended run is not looked at again until its log grows."""
        events = self._tail.read()
        for event in events:
            fold(self.log, event)
        state = derive_state(self.path)
        changed = bool(events) or state != self.state
        self.state = state
        return changed

    def size(self) -> int:
        """Bytes on disk."""
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())

    def spark(self) -> list[float]:
        """The numbers of its sparkline: loss or temperature."""
        for arm in ("finetune", "train", "scratch"):
            if (arm, "train") in self.log.metrics:
                return self.log.metrics[arm, "train"]["loss"]
        return self.log.frames["temperature"]

    def sentence(self) -> str:
        """What it does or did, in words."""
        log = self.log
        if self.state == "done":
            return str(log.result.get("text") or "done").splitlines()[0]
        if self.state == "lost":
            return "its process has ended without a word; what was saved is kept, and it can be resumed"
        if self.state in ("failed", "stopped"):
            plain = log.reason.removeprefix("Stopped: ")
            return f"{self.state}: {plain}" if plain else self.state
        p = log.progress
        if not p:
            return "waits for the worker" if self.state == "queued" else "starts"
        done = f"{p.get('unit', '')} {p.get('done', 0):g}" + (f" of {p['total']:g}" if p.get("total") else "")
        left = p.get("left_s")
        tail = f", {seconds(left)} left" if left is not None else ""
        return ("paused at " if self.state == "paused" else "") + (p.get("text") or done.strip()) + tail


def seconds(value: float) -> str:
    """A duration in words, to the digits that mean something."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


class RunBook:
    """All runs of a workspace, kept up to date by one daemon thread; `on(listener)` hears names of changed runs."""

    def __init__(self, workspace: Path, every: float = 0.4):
        self.workspace, self.every = workspace, every
        self.runs: dict[str, RunView] = {}
        self._listeners: list[Callable[[set[str]], None]] = []
        self._wake, self.over = threading.Event(), threading.Event()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._scanned = 0.0
        self.fault: Callable[[BaseException], None] = lambda error: None

    def on(self, listener: Callable[[set[str]], None]) -> None:
        """Call `listener(names)` in the book's thread whenever runs have changed, come or gone."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin to look (a daemon thread: an asyncio task would stand still while a cell runs)."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, daemon=True, name="atomlab-runs")
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self.over.set()
        self._wake.set()

    def newest(self, *kinds: str) -> RunView | None:
        """The youngest run of these kinds."""
        return next(iter(self.of(*kinds)), None)

    def of(self, *kinds: str) -> list[RunView]:
        """The runs of these kinds, youngest first."""
        with self._lock:
            return [r for r in reversed(self.runs.values()) if not kinds or r.kind in kinds]

    def get(self, name: str) -> RunView | None:
        return self.runs.get(name)

    def sync(self) -> None:
        """Look now, in the caller's thread: something was just started or asked for."""
        self._scanned = -9.0
        self.tell(self.look())

    def tell(self, changed: set[str]) -> None:
        """Let the listeners know."""
        for listener in list(self._listeners) if changed else ():
            listener(changed)

    def look(self) -> set[str]:
        """One round: new directories, new events, gone directories. Returns the names of what changed."""
        with self._lock:
            changed: set[str] = set()
            if time.monotonic() - self._scanned > 1.5 or any(r.active for r in self.runs.values()) is False:
                changed |= self._scan()
            for run in list(self.runs.values()):
                try:
                    if run.poll():
                        changed.add(run.name)
                except OSError:  # it is being deleted
                    changed.add(run.name)
            return changed

    def _scan(self) -> set[str]:
        self._scanned = time.monotonic()
        found = {p.name: p for p in runs_in(self.workspace)}
        gone = set(self.runs) - set(found)
        for name in gone:
            del self.runs[name]
        fresh = [n for n in found if n not in self.runs]
        for name in fresh:
            try:
                self.runs[name] = RunView(found[name], read_spec(found[name]), color=len(self.runs))
            except Exception as error:
                self.fault(error)
        return gone | {n for n in fresh if n in self.runs}

    def _follow(self) -> None:
        while not self.over.is_set():
            try:
                self.tell(self.look())
            except Exception as error:  # the thread must live on; the fault is shown
                self.fault(error)
            self._wake.wait(self.every)
            self._wake.clear()


def thinned(columns: Iterable[list[float]], most: int = 2000) -> list[list[float]]:
    """Columns of equal length with at most `most` rows, first and last kept (what a browser draws in time)."""
    columns = [list(c) for c in columns]
    n = min((len(c) for c in columns), default=0)
    step = max(1, -(-n // most))
    return [c[:n:step] + (c[n - 1 : n] if n and (n - 1) % step else []) for c in columns]
