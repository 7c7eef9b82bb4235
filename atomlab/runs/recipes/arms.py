"""Trainings as runs: one or two arms stepped in turn, their events, checkpoints and result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from ... import checkpoint
from ...potential import Potential
from ...predict import Predictions, evaluate
from ...training import Diverged, Event, Plan, State, finish, fit
from ...training.forgetting import foundation_ratio
from ..events import last_event
from ..execute import Halted, RunIO, Stopped
from .loading import Parts
from .probes import Watch, times, worse

__all__ = ["Arm", "carry_out"]

MAIN = "finetune"  # the arm whose model is the run's result
_SAVE_EVERY = 2.0  # seconds between two writings of the best model
_OWN = ("energy_rmse", "forces_rmse", "energy_mae", "forces_mae", "stress_rmse")
_ERRORS = (*_OWN, *(f"replay_{name}" for name in _OWN))  # on held-out structures of the base's own data


class Arm:
    """One training of a run: where it stands, and what of it is on disk. watches: properties probed beside the loss."""

    def __init__(self, name: str, plan: Plan, io: RunIO, watches: Sequence[Watch] = ()):
        self.name, self.plan, self.io, self.watches = name, plan, io, watches
        self.losses: list[float] = []  # of the validation: the first (the base's, unless it is a resumed run), the last
        self.warned: set[str] = set()  # probes whose property is worse: said once
        tail = "" if name == MAIN else f"-{name}"
        self.state_file, self.best_file, self.last_file = (
            f"state{tail}.pt",
            f"best{tail}.safetensors",
            f"last{tail}.safetensors",
        )
        resumed = io.path(self.state_file).exists()
        self.state = State.load(io.path(self.state_file), plan) if resumed else State(plan)
        self.events = fit(plan, self.state, watches)
        self.over, self.left, self.metrics = False, 0.0, {}
        self._copy: Potential | None = None
        self._written: float | None = None
        self._at = 0.0
        io.emit("plan", arm=name, reasons=dict(plan.reasons), values=dict(plan.values))
        if resumed:
            io.emit("state", state="running", reason=f"{name} goes on from epoch {self.state.progress:.3g}")

    def save(self) -> None:
        """The state to go on from, the last weights, and the best ones if there are new ones."""
        self.io.save(self.state_file, self.state.save)
        self._save_model(self.last_file, self.plan.potential, {"epoch": self.state.progress})
        self.save_best()

    def save_best(self) -> None:
        """The best weights so far, as a model of their own."""
        best = self.state.best
        if best["weights"] is None or best["epoch"] == self._written:
            return
        if self._copy is None:
            self._copy = deepcopy(self.plan.potential)
        self._copy.load_state_dict(best["weights"])
        self._save_model(self.best_file, self._copy, {"epoch": best["epoch"], "loss": best["loss"]})
        self._written = best["epoch"]

    def end(self) -> None:
        """Put the best weights into the potential, and write it."""
        if not self.metrics:  # else the loop has come to its end and has done so
            self.metrics = finish(self.plan, self.state)
        about = {"epoch": self.state.best["epoch"], "errors": self.metrics}
        self._save_model(self.best_file, self.plan.potential, about)

    def probe(self) -> None:
        """Probe the weights that are kept; say which probes never fitted into their share of the time."""
        for watch in self.watches:
            found = watch(self.plan.potential, self.state.best["epoch"])
            if found:
                self._probed({"epoch": self.state.best["epoch"], "final": True, **found})
            elif text := watch.left_out():
                self.io.emit("notice", code=f"probe-{watch.name}", text=text)

    def _save_model(self, name: str, potential: Potential, about: dict[str, Any]) -> None:
        about = {
            **about,
            "data": self.plan.train.name,
            "data_hash": self.plan.train.hash(),
            "run": self.io.directory.name,
            "strategy": self.plan.strategy,
            "choices": dict(self.plan.reasons),
        }
        self.io.save(name, lambda path: checkpoint.save(potential, path, about))

    def step(self) -> None:
        """On to the next event, and tell it."""
        try:
            event = next(self.events)
        except StopIteration:
            self.over, self.left = True, 0.0
            return
        self._tell(event)

    def _tell(self, event: Event) -> None:
        kind, values = event.kind, dict(event.values)
        if kind == "step":
            return
        if kind == "base":
            if self.name == MAIN and not self.io.resumed:
                self.io.emit("base", **{name: values[name] for name in _ERRORS if name in values})
        elif kind == "progress":
            self.left = values["left_s"]
        elif kind == "checkpoint":
            self._save_now_and_then(bool(self.state.finished))
        elif kind == "done":
            self.metrics = {name: values[name] for name in _ERRORS if name in values}
        elif kind == "probe":
            self._probed(values)
        else:
            if kind == "metric" and values["split"] == "valid" and values.get("loss") is not None:
                self.losses = [*self.losses[:1], values["loss"]]
            self.io.emit(kind, arm=self.name, **values)

    def _probed(self, values: dict[str, Any]) -> None:
        self.io.emit("probe", arm=self.name, train_seconds=self.state.seconds, **values)
        name = values["probe"]
        if name in self.warned or len(self.losses) < 2:
            return
        if text := worse(values, *self.losses):
            self.warned.add(name)
            self.io.emit("notice", code=f"probe-{name}-worse", text=text)

    def _save_now_and_then(self, now: bool) -> None:
        if now or time.monotonic() - self._at > _SAVE_EVERY:
            self.save()
            self._at = time.monotonic()


def carry_out(arms: Sequence[Arm], parts: Parts, io: RunIO) -> None:
    """Step the arms in turn until all are over; then parity, the models and the result."""
    told = 0.0
    try:
        while not all(arm.over for arm in arms):
            # whoever is behind: so both curves grow side by side, whatever a step costs
            arm = min((a for a in arms if not a.over), key=lambda a: a.state.progress)
            _stepped(arm, io)
            io.check()
            if time.monotonic() - told > 0.5:
                told = time.monotonic()
                _progress(arms, io)
    except Stopped:
        _kept(arms)
        _result(arms, io, "stopped")
        raise
    for arm in arms:
        arm.end()
        arm.probe()
    _progress(arms, io)
    _parity(arms, parts, io)
    _result(arms, io)


def _stepped(arm: Arm, io: RunIO) -> None:
    try:
        arm.step()
    except Diverged as error:
        arm.over, arm.left = True, 0.0
        if arm.name == MAIN:
            arm.end()
            raise Halted(str(error)) from error
        io.emit("notice", code="twin-diverged", text=f"The run from scratch: {error}")


def _kept(arms: Sequence[Arm]) -> None:
    """What a stopped training leaves: the state to go on from, and the best model."""
    for arm in arms:
        if arm.state.best["weights"] is not None:
            arm.save()
            arm.end()


def _progress(arms: Sequence[Arm], io: RunIO) -> None:
    main = next(arm for arm in arms if arm.name == MAIN)
    done = sum(min(arm.state.progress, arm.plan.epochs) for arm in arms) / len(arms)
    left = None if any(arm.left is None for arm in arms) else sum(arm.left for arm in arms)
    if not any(arm.state.step for arm in arms):
        left = None
    text = f"epoch {main.state.progress:.1f} of {main.plan.epochs}"
    io.emit("progress", done=round(done, 3), total=main.plan.epochs, unit="epoch", left_s=left, text=text)


def _parity(arms: Sequence[Arm], parts: Parts, io: RunIO) -> None:
    """Reference and prediction of every force component and energy of the validation set, of each arm."""
    if parts.valid is None:
        return
    arrays: dict[str, np.ndarray] = {}
    for arm in arms:
        found = evaluate(arm.plan.potential, parts.valid, want=("energy", "forces"), head=arm.plan.head)
        predicted, true = found.energy_per_atom()
        name = "predicted" if arm.name == MAIN else arm.name
        arrays |= {f"energy_{name}": predicted, f"forces_{name}": np.concatenate(found.forces)}
        if arm.name == MAIN:
            arrays |= {"energy_true": true, **_places(found, parts.valid_frames)}

    def write(path: Any) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)

    io.save("parity.npz", write)
    io.emit("parity", file="parity.npz")


def _places(found: Predictions, frames: np.ndarray) -> dict[str, np.ndarray]:
    counts = [len(z) for z in found.numbers]
    return {
        "forces_true": np.concatenate(found.labels["forces"]),
        "frame": np.repeat(frames, counts),
        "atom": np.concatenate([np.arange(n) for n in counts]),
        "number": np.concatenate(found.numbers),
        "energy_frame": frames,
    }


def _result(arms: Sequence[Arm], io: RunIO, word: str = "done") -> None:
    by_name = {arm.name: arm for arm in arms}
    main = by_name[MAIN]
    base = {k: v for k, v in (last_event(io.directory, "base") or {}).items() if k in _ERRORS}
    metrics = {
        **main.metrics,
        "epochs": main.state.progress,
        "best_epoch": main.state.best["epoch"],
        "seconds": main.state.seconds,
        "base": base,
    }
    text = f"{word}: {_words(main.metrics, base) or 'no errors are known, without a validation'}"
    kept = foundation_ratio(base, main.metrics)
    if kept:
        metrics["foundation_ratio"] = kept
        told = ", ".join(f"{name} ×{times(value)}" for name, value in kept.items())
        text += f"; errors on the base's own held-out data: {told} of the base's"
    if "scratch" in by_name and by_name["scratch"].metrics:
        metrics["scratch"] = by_name["scratch"].metrics
        text += f" (scratch {_words(by_name['scratch'].metrics, {})})"
    io.result(metrics, text)


def _words(metrics: dict[str, float], base: dict[str, float]) -> str:
    """force RMSE 0.21 -> 0.06 eV/Å, energy RMSE 12.0 -> 3.1 meV/atom"""
    parts = []
    for name, title, unit, factor, digits in (
        ("forces_rmse", "force RMSE", "eV/Å", 1.0, 3),
        ("energy_rmse", "energy RMSE", "meV/atom", 1e3, 1),
    ):
        if name in metrics:
            before = f"{factor * base[name]:.{digits}f} -> " if name in base else ""
            parts.append(f"{title} {before}{factor * metrics[name]:.{digits}f} {unit}")
    return ", ".join(parts)
