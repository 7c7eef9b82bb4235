"""What a training tells while it runs, and the clock that decides when to say so (never about a step)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import AtomLabError
from .plan import Plan
from .state import State

__all__ = ["Clock", "Diverged", "Event", "metric"]

TELL_EVERY = 0.5  # seconds of training between two events 'progress'
SAVE_EVERY = 30.0  # seconds of training between two events 'checkpoint' that no validation caused


@dataclass(frozen=True)
class Event:
    """Something that a training has to tell. Kinds and their values, all plain numbers and strings:

    base (errors before the first step), metric (split, epoch, step, seconds, loss, energy_rmse, forces_rmse, ...),
    progress (done, total, unit, left_s, text), stage (name, epoch, weights), best (epoch, loss), notice (code, text),
    probe, checkpoint (a good moment to save the state), step (a step without a metric: a moment to pause), and done
    (reason, epoch, best_epoch, seconds, errors of the best weights).
    """

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Diverged(AtomLabError):
    """The loss is no finite number, or has exploded. The best weights so far are back in the plan's potential."""


def metric(split: str, state: State, values: Mapping[str, float]) -> Event:
    """Errors on the training or the validation set, with where in the run they were found."""
    place = {"split": split, "epoch": state.progress, "step": state.step, "seconds": state.seconds}
    return Event("metric", {**place, **values})


class Clock:
    """Time spent in training itself, and what is told now and then because of it. It never decides about a step."""

    def __init__(self, plan: Plan, state: State):
        self.plan, self.state = plan, state
        self.began, self.start = state.seconds, state.progress
        self.told = self.saved = state.seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within the `with` block time counts as training."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.state.seconds += time.perf_counter() - before

    def over(self) -> bool:
        """Whether the time limit is reached."""
        return self.plan.time_limit is not None and self.state.seconds >= self.plan.time_limit

    def occasional(self) -> Iterator[Event]:
        """Progress and a reminder to save, if it is time."""
        if self.state.seconds - self.told >= TELL_EVERY:
            yield self.progress()
        if self.state.seconds - self.saved >= SAVE_EVERY:
            yield self.checkpoint()

    def progress(self) -> Event:
        """How far the training is, and how long it will still take."""
        self.told = self.state.seconds
        done, total = self.state.progress, self.plan.epochs
        speed = (done - self.start) / max(1e-9, self.state.seconds - self.began)
        left = (total - done) / speed if speed > 0 else None
        if self.plan.time_limit is not None and left is not None:
            left = min(left, max(0.0, self.plan.time_limit - self.state.seconds))
        text = f"epoch {done:.1f} of {total}, step {self.state.step}"
        return Event("progress", {"done": done, "total": total, "unit": "epoch", "left_s": left, "text": text})

    def checkpoint(self) -> Event:
        """A good moment to save the state."""
        self.saved = self.state.seconds
        return Event("checkpoint", {"epoch": self.state.progress, "step": self.state.step})
