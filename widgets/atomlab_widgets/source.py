"""The chosen data set: read in a thread, its numbers in columns, so that table and histograms answer at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .frames import Frame, of_atoms


class Columns:
    """One row per frame: energy per atom (eV/atom), largest force (eV/Å), nearest distance (Å), atoms, words."""

    def __init__(self, dataset: Any):
        table = dataset.columns()
        self.energy, self.force, self.nearest = (np.asarray(table[k], float) for k in ("energy", "force", "nearest"))
        self.nearest = np.where(np.isfinite(self.nearest), self.nearest, np.nan)
        self.atoms = np.asarray(table["atoms"])
        self.group, self.formula = list(table["config_type"]), list(table["formula"])
        self.stress = bool(np.isfinite(table["pressure"]).any())


class Source:
    """Holds the data set of the session. `status`: loading, ready, failed; `on(listener)` hears when it changes."""

    def __init__(self, report: Callable[[BaseException], None]):
        self.report = report
        self.name, self.status, self.seconds = "", "loading", 0.0
        self.dataset: Any = None
        self.columns: Columns | None = None
        self.warnings: dict[int, list[str]] = {}  # frame -> sentences
        self.findings: list[Any] = []
        self._given: dict[str, Any] = {}
        self._listeners: list[Callable[[], None]] = []
        self._turn = 0

    def on(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def give(self, name: str, dataset: Any) -> None:
        """A data set that is already in memory, under a name."""
        self._given[name] = dataset

    def load(self, name: str) -> threading.Thread:
        """Read `name` (embedded, path) in a thread of its own."""
        self._turn += 1
        self.name, self.status = name, "loading"
        self.dataset, self.columns, self.warnings, self.findings = None, None, {}, []
        self._tell()
        thread = threading.Thread(target=self._read, args=(name, self._turn), daemon=True, name="atomlab-data")
        thread.start()
        return thread

    def _read(self, name: str, turn: int) -> None:
        start = time.monotonic()
        try:
            dataset = self._given.get(name)
            if dataset is None:
                from atomlab.data import read

                dataset = read(name)
            columns = Columns(dataset)
        except Exception as error:
            if turn == self._turn:
                self.status = "failed"
                self.report(error)
                self._tell()
            return
        if turn != self._turn:
            return  # another one was chosen meanwhile
        self.dataset, self.columns, self.status = dataset, columns, "ready"
        self.seconds = time.monotonic() - start
        self._tell()
        try:
            self._check(dataset, turn)
        except Exception as error:
            self.report(error)

    def _check(self, dataset: Any, turn: int) -> None:
        """The data doctor's findings, after the table is on screen."""
        from atomlab.data import findings as examine

        findings = examine(dataset)
        if turn != self._turn:
            return
        self.findings = findings
        for finding in findings:
            for frame in finding.frames:
                self.warnings.setdefault(int(frame), []).append(finding.code.replace("-", " "))
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            try:
                listener()
            except Exception as error:
                self.report(error)

    def __len__(self) -> int:
        return len(self.dataset) if self.dataset is not None else 0

    def frame(self, index: int) -> Frame | None:
        """Frame `index`, clipped."""
        if not len(self):
            return None
        return of_atoms(self.dataset[min(index, len(self) - 1)])
