"""What probes may cost: a share of a run's wall time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Budget"]


@dataclass
class Budget:
    """The time that probes may take: a share of the run's wall time so far."""

    share: float
    now: Callable[[], float] = time.perf_counter
    spent: float = 0.0
    waiting: set[str] = field(default_factory=set)  # probes that have not been made at all
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    def allows(self, name: str, seconds: float) -> bool:
        """Whether that probe may take so many seconds now. Half is kept for those that still wait for their first."""
        part = 0.5 if self.waiting - {name} else 1.0
        return self.spent + seconds <= part * self.share * (self.now() - self.began)

    def used(self) -> float:
        """The share of the time that probes have taken."""
        return self.spent / max(1e-9, self.now() - self.began)

    def aside(self, work: Callable[[], Any]) -> None:
        """Do what happens once per run or machine (kernels are loaded or compiled): no probe's time, nor the run's."""
        start = self.now()
        work()
        self.began += self.now() - start

    def timed(self, work: Callable[[], Any]) -> tuple[Any, float]:
        """The result of some work, and its seconds, which are counted."""
        start = self.now()
        out = work()
        seconds = self.now() - start
        self.spent += seconds
        return out, seconds
