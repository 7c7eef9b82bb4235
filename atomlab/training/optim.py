"""Optimisers, learning-rate schedules, the moving average of the weights, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError

__all__ = ["Ema", "Group", "Optimiser", "Schedule", "clip_gradients"]


@dataclass
class Group:
    """Parameters with settings of their own: frozen, or with a weight decay and a factor of the learning rate."""

    name: str
    parameters: list[nn.Parameter]
    trained: bool = True
    weight_decay: float = 0.0
    rate: float = 1.0


@dataclass(frozen=True)
class Optimiser:
    """Which optimiser: 'adam', 'adamw' or 'amsgrad' (Adam that never forgets its largest second moment)."""

    kind: str = "amsgrad"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)

    def make(self, groups: Sequence[Group]) -> torch.optim.Optimizer:
        """The torch optimiser over all groups that are trained. Frozen parameters stop asking for gradients."""
        for group in groups:
            for parameter in group.parameters:
                parameter.requires_grad_(group.trained)
        rows = [
            {"params": g.parameters, "weight_decay": g.weight_decay, "name": g.name, "rate": g.rate}
            for g in groups
            if g.trained and g.parameters
        ]
        if not rows:
            raise InputError(
                "No parameter is left to be trained", got=f"frozen: {', '.join(g.name for g in groups)}",
                mend="Freeze fewer groups",
            )  # fmt: skip
        common: dict[str, Any] = {"lr": self.learning_rate, "betas": self.betas, "fused": True}
        if self.kind == "adamw":
            return torch.optim.AdamW(rows, **common)
        if self.kind in ("adam", "amsgrad"):
            return torch.optim.Adam(rows, amsgrad=self.kind == "amsgrad", **common)
        raise InputError("There is no such optimiser", got=self.kind, allowed=("adam", "adamw", "amsgrad"))

    def set_rate(self, optimiser: torch.optim.Optimizer, factor: float) -> None:
        """Every group's learning rate = highest rate x the group's factor x `factor`."""
        for row in optimiser.param_groups:
            row["lr"] = self.learning_rate * row["rate"] * factor


@dataclass
class Schedule:
    """The factor of the learning rate at `progress` (0 at the start, 1 at the end of the run).

    'plateau' depends on what validation found: `seen(loss)` lowers its `level` when `patience` validations in a row
    were no better. All other kinds are functions of the progress alone.
    """

    kind: str = "cosine"
    final: float = 0.01
    warmup: float = 0.0
    patience: int = 10
    factor: float = 0.8
    level: float = 1.0
    best: float = math.inf
    waited: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "cosine", "plateau", "exponential"):
            allowed = ("constant", "cosine", "plateau", "exponential")
            raise InputError("There is no such schedule", got=self.kind, allowed=allowed)

    def __call__(self, progress: float) -> float:
        rise = min(1.0, progress / self.warmup) if self.warmup > 0 else 1.0
        return rise * self._fall(min(1.0, progress))

    def _fall(self, x: float) -> float:
        if self.kind == "cosine":
            return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * x))
        if self.kind == "exponential":
            return self.final**x
        return self.level if self.kind == "plateau" else 1.0

    def seen(self, loss: float) -> bool:
        """Tell of a validation loss; True if the rate was lowered."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return False
        self.waited += 1
        if self.kind != "plateau" or self.waited < self.patience:
            return False
        self.level, self.waited = self.level * self.factor, 0
        return True

    def state(self) -> dict[str, float]:
        """What changes during a run."""
        return {"level": self.level, "best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved `state`."""
        self.level, self.best, self.waited = float(state["level"]), float(state["best"]), int(state["waited"])


class Ema:
    """The exponential moving average of a model's parameters. It starts short, so that the random start is forgotten:
    the decay of update n is min(decay, (1 + n) / (10 + n)). Decay 0 = the parameters themselves."""

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay, self.updates = model, float(decay), 0
        self.average = {n: p.detach().clone() for n, p in model.named_parameters()} if decay > 0 else {}

    @torch.no_grad()
    def update(self) -> None:
        """Take the present parameters into the average."""
        if not self.average:
            return
        self.updates += 1
        keep = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in self.model.named_parameters():
            self.average[name].lerp_(parameter, 1 - keep)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the `with` block the model carries the averaged parameters."""
        if not self.average:
            yield
            return
        before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self._write(self.average)
        try:
            yield
        finally:
            self._write(before)

    def keep(self) -> None:
        """Put the averaged parameters into the model for good."""
        self._write(self.average or dict(self.model.named_parameters()))

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(values[name])

    def state(self) -> dict[str, Any]:
        """What changes during a run."""
        return {"updates": self.updates, "average": dict(self.average)}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a saved `state`."""
        self.updates = int(state["updates"])
        for name, value in self.average.items():
            value.copy_(state["average"][name])


def clip_gradients(parameters: Sequence[nn.Parameter], limit: float) -> float:
    """The norm of all gradients together, which are scaled down to `limit` if they exceed it (0: only measured)."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if limit > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return float(norm)
