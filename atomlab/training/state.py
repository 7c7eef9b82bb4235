"""Where a training stands: everything that its next step depends on, so that it can stop anywhere and go on."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..container import atomic
from ..errors import InputError
from .metrics import Running
from .optim import Ema
from .plan import Plan

if TYPE_CHECKING:
    from .distributed import Team

__all__ = ["ALL_DONE", "State"]

VERSION = 1
ALL_DONE = "all epochs are done"
_PLAIN = (
    *("step", "epoch", "batch", "structures", "seconds", "validated", "stale", "stage", "stage_steps", "highest"),
    *("finished", "valid_edges"),
)


class State:
    """Model, moving average, optimiser, schedule, position in the epoch and random state of one training.

    `fit(plan, state)` changes it in place and is consistent at every event, so it can be saved between any two. What
    must be the same on another day (data, batches, seed, parameter groups) is checked when it is loaded.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.optimiser = plan.optimiser.make(plan.groups)
        plan.potential.train()
        self.ema = Ema(plan.potential, plan.ema)
        self.schedule = plan.schedule
        self.step = self.epoch = self.batch = self.structures = 0  # batch, structures: done in this epoch
        self.seconds = 0.0  # spent in training, pauses left out
        self.validated = -1.0  # epochs done at the last validation
        self.stale = 0  # validations since the best
        self.stage, self.stage_steps, self.highest = "", 0, 0.0  # of this stage: name, steps, largest early loss
        self.valid_edges: int | None = None  # edges in one batch of the validation
        self.finished = ""  # why it ended
        self.best: dict[str, Any] = {"loss": None, "epoch": None, "weights": None}
        self.running = Running()
        self.team: Team | None = None  # the other processes, where several train together; never saved
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.rng = torch.random.get_rng_state()

    @property
    def progress(self) -> float:
        """Epochs done, as a fraction."""
        return self.epoch + self.structures / max(1, len(self.plan.train))

    @contextmanager
    def random(self) -> Iterator[None]:
        """Within the `with` block torch's random numbers are this training's own, whatever else runs in the process."""
        with torch.random.fork_rng(devices=[]):
            torch.random.set_rng_state(self.rng)
            yield
            self.rng = torch.random.get_rng_state()

    def keep_best(self, loss: float | None, epoch: float) -> None:
        """Remember the weights that the model carries now."""
        weights = {n: t.detach().cpu().clone() for n, t in self.plan.potential.state_dict().items()}
        self.best = {"loss": loss, "epoch": epoch, "weights": weights}

    def save(self, path: str | Path) -> None:
        """Write everything to one file, at once or not at all."""
        content = {
            "format": "atomlab-training-state",
            "version": VERSION,
            "plan": self.plan.fingerprint(),
            "plain": {name: getattr(self, name) for name in _PLAIN},
            "running": vars(self.running),
            "potential": self.plan.potential.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.state(),
            "schedule": self.schedule.state(),
            "best": self.best,
            "rng": self.rng,
        }
        atomic(Path(path), lambda target: torch.save(content, target))

    @classmethod
    def load(cls, path: str | Path, plan: Plan) -> State:
        """The saved state, on a plan that was prepared again with the same settings."""
        content = _read(Path(path))
        _check(content, plan, path)
        state = cls(plan)
        plan.potential.load_state_dict(content["potential"])
        for name, value in content["plain"].items():
            setattr(state, name, value)
        state.optimiser.load_state_dict(content["optimiser"])
        state.ema.restore(content["ema"])
        state.schedule.restore(content["schedule"])
        state.running = Running(**content["running"])
        state.best, state.rng = content["best"], content["rng"].cpu()
        if state.epoch < plan.epochs and state.finished == ALL_DONE:
            state.finished = ""  # the plan has become longer
        return state


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError("There is no saved training state", got=path)
    try:
        # weights_only: tensors and plain values, no code of the file is run
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise InputError(
            "The saved training state cannot be read: it is damaged, or not one",
            got=f"{path} ({path.stat().st_size} bytes)",
            mend="Start the training anew, from its best checkpoint if there is one",
        ) from error
    if not isinstance(content, dict) or content.get("format") != "atomlab-training-state":
        raise InputError("This file is no training state", got=path)
    if content["version"] > VERSION:
        raise InputError(
            "The training state was written by a newer version of AtomLab",
            got=f"state version {content['version']}", allowed=f"up to {VERSION}", mend="Upgrade AtomLab",
        )  # fmt: skip
    return content


def _check(content: Mapping[str, Any], plan: Plan, path: str | Path) -> None:
    before, now = content["plan"], plan.fingerprint()
    other = [name for name in now if before.get(name) != now[name]]
    if other:
        raise InputError(
            f"The saved training state belongs to another training: its {' and '.join(other)} differ from the plan's",
            got=path,
            mend="Resume with the same settings and data, or start a new run from its best checkpoint",
        )
