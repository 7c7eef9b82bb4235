"""The task sweep: learning curves of sizes x seeds x arms, with settings chosen on validation data.

The sweep is a run whose directory holds the runs of its trainings (SWEEP/runs), what was chosen (choices.json), the
table (table.csv, table.json) and the figure (learning_curve.png). What is finished is never repeated: resumed, or asked
for again, it goes on with what is left.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ... import data
from ...errors import InputError
from ...training.settings import STRATEGIES
from ..cells import FOLDER, TEST, errors_of, finished, why
from ..directory import create, is_run, read_spec
from ..execute import Halted, RunIO
from ..inputs import located
from ..pool import carried_out
from ..spec import Spec, parse
from ..tasks import SweepSpec
from . import curves
from .loading import as_count, load_data, numbers
from .sweep_settings import BUDGET

__all__ = ["CHOICES", "Cell", "run"]

CHOICES = "choices.json"


@dataclass
class Cell:
    """One training: which arm, how many structures, which seed, and what was chosen for it."""

    arm: str
    size: int
    seed: int
    spec: Spec
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its directory's name, which two cells share only if they are the same training."""
        chosen = "".join(f"-{key}={value}" for key, value in self.values.items())
        return re.sub(r"[^\w.+=-]+", "_", f"{self.arm}-n{self.size}-s{self.seed}{chosen}")


def run(spec: SweepSpec, io: RunIO) -> None:
    """Choose, train, measure; what is lost is named, and gone on with when the sweep is resumed."""
    source = located(spec.data, io)
    left_out = _divided(spec, source, io)
    sweep = _Sweep(spec, io, source, left_out)
    chosen = sweep.choose()
    cells = [
        sweep.cell(arm, size, seed, values)
        for arm, values in chosen.items()
        for size in spec.sizes
        for seed in spec.seeds
    ]
    sweep.carry(cells, "learning curve")
    rows = [_row(cell, sweep.path(cell)) for cell in cells]
    missing = [arm for arm in spec.strategies if arm not in chosen]
    metrics = curves.written(rows, io)
    text = curves.told(metrics, rows)
    lost = [f"{row['run']} ({row['state']})" for row in rows if row["state"] != "done"]
    lost += [f"all of '{arm}', for which nothing could be chosen" for arm in missing]
    hopeless = all(finished(sweep.path(cell)) for cell in cells) and not missing
    if lost and not hopeless:
        raise Halted(f"Lost: {'; '.join(lost)}. All else is done. Go on with these: atomlab resume {io.directory}")
    io.result(metrics, text + (f"\nWithout a result: {'; '.join(lost)}" if lost else ""))


def _divided(spec: SweepSpec, source: str, io: RunIO) -> list[int]:
    """Set the test structures aside, the same for all trainings; their numbers, which no training may see."""
    whole = load_data(source, io)
    if spec.test_data:
        left_out: list[int] = []
        test: dict[str, Any] = {"data": located(spec.test_data, io), "frames": None}
    else:
        parts = whole.split(valid=0, test=as_count(spec.test), by=spec.split, seed=spec.seed)
        left_out = sorted(numbers(whole, parts.test).tolist())
        test = {"data": source, "frames": left_out}
    _check_sizes(spec, whole, len(left_out))
    io.save(TEST, lambda path: path.write_text(json.dumps(test), encoding="utf-8"))
    return left_out


def _check_sizes(spec: SweepSpec, whole: data.Dataset, tested: int) -> None:
    rest = len(whole) - tested
    valid = spec.valid if spec.valid >= 1 else round(spec.valid * rest)
    most = max([*spec.sizes, spec.choose_size or 0])
    if most + valid > rest:
        raise InputError(
            "There are not so many structures to learn from", got=f"size {most}",
            allowed=f"up to {int(rest - valid)}: {len(whole)} less {tested} for the test, {int(valid)} for validation",
        )  # fmt: skip


class _Sweep:
    """The cells of a sweep and what becomes of them."""

    def __init__(self, spec: SweepSpec, io: RunIO, source: str, left_out: Sequence[int]):
        self.spec, self.io, self.source, self.left_out = spec, io, source, list(left_out)
        self.model = located(spec.model, io)
        self.done = 0
        grid = {arm: _trials(own.get("choose", spec.choose)) for arm, own in spec.strategies.items()}
        self.grid = grid
        trials = sum(len(trial) for trial in grid.values() if len(trial) > 1)
        self.total = trials + len(spec.strategies) * len(spec.sizes) * len(spec.seeds)
        # before anything runs: a mistake in one arm's settings is found now
        for arm, trial in grid.items():
            for values in trial:
                self.cell(arm, spec.sizes[0], spec.seeds[0], values)

    def path(self, cell: Cell) -> Path:
        """The cell's run."""
        return self.io.path(FOLDER) / cell.name

    def cell(self, arm: str, size: int, seed: int, values: Mapping[str, Any]) -> Cell:
        """One training with its checked spec."""
        own = {key: value for key, value in self.spec.strategies[arm].items() if key != "choose"}
        kind = own.get("kind", "finetune")
        if kind not in ("finetune", "train"):
            raise InputError("An arm is a training", got=f"{arm}: kind {kind}", allowed="finetune, train")
        if kind == "finetune" and "strategy" not in own:
            if arm not in STRATEGIES:
                raise InputError(f"'{arm}' names no strategy", allowed=list(STRATEGIES), mend="Say {strategy: ...}")
            own["strategy"] = arm
        fixed = {"kind": kind, "data": self.source, "train": size, "valid": self.spec.valid, "seed": seed}
        fixed |= {"left_out": self.left_out, "threads": self.spec.threads, "split": self.spec.split}
        fixed |= {"device": self.spec.device, "dtype": self.spec.dtype}
        clash = sorted((set(self.spec.settings) | set(own) | set(values)) & (set(fixed) - {"kind"}))
        if clash:
            raise InputError(f"'{clash[0]}' belongs to the whole sweep, not to its trainings", got=f"arm '{arm}'")
        try:
            spec = parse({"model": self.model, **self.spec.settings, **own, **values, **fixed})
        except InputError as error:
            raise InputError(f"Arm '{arm}': {error}") from error
        return Cell(arm, size, seed, spec, dict(values))

    def carry(self, cells: Iterable[Cell], what: str) -> None:
        """Carry cells out; each is told when it is over."""
        by_path = {self.path(cell): cell for cell in cells}
        for path, cell in by_path.items():
            self._make(path, cell)
        before = {path for path in by_path if finished(path)}
        self.done += len(before)
        self._progress(what)
        spec = self.spec
        for path in carried_out(by_path, spec.cluster, spec.workers, spec.retries, self.io.check):
            self.done += 1
            self.io.emit("cell", **_row(by_path[path], path))
            self._progress(what)
        for path in (p for p in by_path if not finished(p)):
            self.io.emit("notice", code=f"lost-{path.name}", text=f"{path.name} is not finished: {why(path)}")

    def _make(self, path: Path, cell: Cell) -> None:
        """The cell's directory; one that is there already must be the same training."""
        if not is_run(path):
            create(cell.spec.model_dump(mode="json"), directory=path)
        elif parse(read_spec(path)) != cell.spec:
            raise InputError("A training of this sweep has other settings than before", got=path)

    def _progress(self, what: str) -> None:
        text = f"{what}: {self.done} of {self.total} trainings"
        self.io.emit("progress", done=self.done, total=self.total, unit="run", left_s=None, text=text)

    def choose(self) -> dict[str, dict[str, Any]]:
        """The chosen settings of each arm, from as many trials for every arm; recorded in choices.json."""
        spec, sizes = self.spec, sorted(self.spec.sizes)
        size, seed = spec.choose_size or sizes[len(sizes) // 2], spec.seeds[0]
        cells = {arm: [self.cell(arm, size, seed, v) for v in trials] for arm, trials in self.grid.items()}
        if all(len(trials) == 1 for trials in self.grid.values()):
            return {arm: trials[0] for arm, trials in self.grid.items()}  # nothing to choose among
        self.carry([cell for arm in cells.values() for cell in arm], "choice of settings")
        budget = {"trials": len(next(iter(cells.values()))), **{b: spec.settings.get(b) for b in BUDGET}}
        out: dict[str, Any] = {"score": f"validation {spec.score}", "size": size, "seed": seed, "budget": budget}
        out["arms"] = {}
        chosen: dict[str, dict[str, Any]] = {}
        for arm, trials in cells.items():
            rows = [self._trial(cell) for cell in trials]
            scored = [row for row in rows if row["score"] is not None]
            whole = all(finished(self.path(cell)) for cell in trials)
            best = min(scored, key=lambda row: row["score"], default=None)
            if whole and best is not None:
                chosen[arm] = best["values"]
            out["arms"][arm] = {"chosen": chosen.get(arm), "trials": rows}
        self.io.save(CHOICES, lambda path: path.write_text(json.dumps(out, indent=1), encoding="utf-8"))
        for arm, values in chosen.items():
            self.io.emit("notice", code=f"chosen-{arm}", text=f"Chosen for '{arm}': {_text(values)}, of "
                         f"{budget['trials']} trials at {size} structures by the validation {spec.score}.")  # fmt: skip
        return chosen

    def _trial(self, cell: Cell) -> dict[str, Any]:
        path = self.path(cell)
        score = _validation(path).get(self.spec.score) if finished(path) else None
        state = "done" if (path / TEST).exists() else why(path)
        return {"values": cell.values, "score": score, "run": cell.name, "state": state}


def _trials(choices: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """All combinations of the values."""
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


def _text(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "nothing"


def _validation(path: Path) -> dict[str, Any]:
    result = path / "result.json"
    return json.loads(result.read_text(encoding="utf-8"))["metrics"] if result.exists() else {}


def _row(cell: Cell, path: Path) -> dict[str, Any]:
    """One row of the table: errors on the test set, those of the validation, what it cost."""
    errors, metrics = errors_of(path), _validation(path)
    row: dict[str, Any] = {"arm": cell.arm, "size": cell.size, "seed": cell.seed, "run": cell.name}
    row["state"] = "done" if errors else why(path)
    row |= {name: errors.get(name) for name in curves.ERRORS}
    row |= {f"valid_{name}": metrics.get(name) for name in ("energy_rmse", "forces_rmse")}
    row |= {name: metrics.get(name) for name in ("seconds", "epochs", "best_epoch")}
    return row | {"chosen": dict(cell.values)}
