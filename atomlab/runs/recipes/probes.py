"""Honest probes of a fine-tune: what else happens to the model while its loss falls, and what knowing that costs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

import numpy as np
from ase import Atoms

from ...data import Dataset
from ...potential import Potential
from ...predict import evaluate
from ...simulate import MDSettings, simulate
from ...simulate.eos import NoMinimum, equation_of_state
from ...simulate.guards import Breakdown
from ...simulate.structures import structure
from ...training import Plan
from ...training.metrics import flat
from ..execute import RunIO
from ..inputs import located
from .loading import Parts, load_data
from .probe_budget import Budget

__all__ = ["Budget", "Watch", "times", "watches", "worse"]

MOST = 64  # frames of a data set that a probe looks at
WORSE = 1.25  # times the base's value: from here on a property counts as worse
_SHOWN = {"energy_rmse": "energy", "forces_rmse": "forces", "stress_rmse": "stress"}

Measured = Mapping[str, float]


class Watch(ABC):
    """One property, measured at validations as often as the budget allows; callable as a `Probe` of `fit`."""

    name, what = "", ""
    main = ""  # the value whose ratio to the base's is drawn and compared

    def __init__(self, budget: Budget, base: Potential, head: int = 0):
        self.budget, self.head = budget, head
        budget.waiting.add(self.name)
        self.untouched: Potential | None = base
        self.base: Measured = {}
        self.cost: float | None = None

    @abstractmethod
    def measure(self, potential: Potential) -> Measured:
        """The property's numbers."""

    @abstractmethod
    def pilot(self, potential: Potential) -> float:
        """A small piece of the work; its seconds times the returned factor are what the whole will take."""

    @abstractmethod
    def text(self, now: Measured) -> str:
        """The numbers in words, beside the base's."""

    def warm(self) -> None:
        """What the first time costs more (kernels are loaded or compiled) before the training, at nobody's charge."""
        assert self.untouched is not None
        base = self.untouched
        self.budget.aside(lambda: self.pilot(base))

    def __call__(self, potential: Potential, epoch: float) -> dict[str, Any] | None:
        if self.cost is None:
            factor, seconds = self.budget.timed(lambda: self.pilot(potential))
            self.cost = factor * seconds
        if not self.budget.allows(self.name, self.cost * (1 if self.untouched is None else 2)):
            return None
        seconds = 0.0
        if self.untouched is not None:
            self.base, seconds = self.budget.timed(lambda: self.measure(self.untouched))
            self.untouched = None  # its memory is not needed any more
        now, own = self.budget.timed(lambda: self.measure(potential))
        self.cost = own
        self.budget.waiting.discard(self.name)
        return {
            "probe": self.name,
            "what": self.what,
            "values": dict(now),
            "base": dict(self.base),
            "ratio": self.ratio(now),
            "text": self.text(now),
            "seconds": seconds + own,
            "share": self.budget.used(),
        }

    def ratio(self, now: Measured) -> float | None:
        """The main value as a multiple of the base's; None where that means nothing."""
        before, after = self.base.get(self.main, math.nan), now.get(self.main, math.nan)
        return after / before if before and math.isfinite(after / before) else None

    def left_out(self) -> str | None:
        """Why there is no value at all, in words; None if there is one."""
        if self.name not in self.budget.waiting:
            return None
        once = "is not known yet" if self.cost is None else f"takes about {self.cost:.2g} s"
        return (
            f"The probe '{self.name}' was not made: once {once}, and probes have {100 * self.budget.share:.0f} % of "
            "the run's time. A longer run, a smaller data set or a larger probe_share makes room."
        )


class Errors(Watch):
    """Errors on a data set, as multiples of the base's."""

    main = "forces_rmse"

    def __init__(self, budget: Budget, base: Potential, head: int, name: str, what: str, data: Dataset):
        self.name, self.what = name, what
        super().__init__(budget, base, head)
        self.data = (
            data if len(data) <= MOST else data[np.linspace(0, len(data) - 1, MOST).round().astype(int).tolist()]
        )
        self.what += f" ({len(self.data)} of {len(data)} frames)" if len(self.data) < len(data) else ""

    def pilot(self, potential: Potential) -> float:
        evaluate(potential, self.data[:1], head=self.head)
        return float(self.data.sizes.sum() / self.data.sizes[0])

    def measure(self, potential: Potential) -> Measured:
        errors = flat(evaluate(potential, self.data, head=self.head).errors())
        return {name: errors[name] for name in _SHOWN if name in errors}

    def ratio(self, now: Measured) -> float | None:
        name = self.main if self.main in now else "energy_rmse"
        return now[name] / self.base[name] if self.base.get(name) else None

    def text(self, now: Measured) -> str:
        parts = [
            f"{word} ×{times(now[name] / self.base[name])}"
            for name, word in _SHOWN.items()
            if self.base.get(name) and name in now
        ]
        return f"{self.what}: errors {', '.join(parts) or 'of the base are 0'} of the base's"


class Stability(Watch):
    """A short NVE run: how far it comes, and how well it keeps its energy."""

    name, main = "md", "share"

    def __init__(self, budget: Budget, base: Potential, head: int, atoms: Atoms, steps: int, temperature: float):
        super().__init__(budget, base, head)
        self.atoms = atoms
        self.settings = MDSettings(
            ensemble="nve", temperature=temperature, steps=steps, timestep=1.0, frame_every=max(1, steps // 10)
        )
        self.what = f"NVE dynamics of {len(atoms)} atoms from {temperature:g} K"

    def pilot(self, potential: Potential) -> float:
        self._run(potential, 2)
        return self.settings.steps / 2

    def measure(self, potential: Potential) -> Measured:
        return self._run(potential, self.settings.steps)

    def _run(self, potential: Potential, steps: int) -> Measured:
        settings = self.settings.model_copy(
            update={"steps": steps, "frame_every": min(steps, self.settings.frame_every)}
        )
        frames, energies = 0, []
        with suppress(Breakdown):  # how far it came is the result
            for frame in simulate(potential, self.atoms, settings, head=potential.card.heads[self.head]):
                frames = frame.step
                energies.append(frame.conserved)
        drift = (energies[-1] - energies[0]) / len(self.atoms) if len(energies) > 1 else math.nan
        return {"steps": float(frames), "share": frames / steps, "drift": drift}

    def text(self, now: Measured) -> str:
        whole, steps = self.settings.steps, int(now["steps"])
        drift = "" if math.isnan(now["drift"]) else f", energy drift {1000 * now['drift']:+.2f} meV/atom"
        before = f" (base {int(self.base['steps'])})" if self.base["steps"] != now["steps"] else ""
        return f"{self.what}: {steps} of {whole} steps{before}{drift}"


class Lattice(Watch):
    """Lattice constant and bulk modulus of a crystal."""

    name, main = "lattice", "scale"

    def __init__(self, budget: Budget, base: Potential, head: int, atoms: Atoms):
        super().__init__(budget, base, head)
        self.atoms, self.what = atoms, f"Energy against volume of {atoms.get_chemical_formula()}"

    def pilot(self, potential: Potential) -> float:
        self.measure(potential)
        return 1.0

    def measure(self, potential: Potential) -> Measured:
        try:
            found = equation_of_state(potential, self.atoms, head=self.head)
        except NoMinimum:
            return {"scale": math.nan, "bulk_modulus": math.nan}
        return {"scale": found.scale, "bulk_modulus": found.bulk_modulus}

    def text(self, now: Measured) -> str:
        if math.isnan(now["scale"]):
            return f"{self.what}: no minimum within 4 % of its lengths"
        length, modulus = self.atoms.cell.lengths()[0], now["bulk_modulus"] * 160.21766
        before = "" if math.isnan(self.base["scale"]) else f" (base {length * self.base['scale']:.3f} Å)"
        return f"{self.what}: a = {length * now['scale']:.3f} Å{before}, bulk modulus {modulus:.0f} GPa"


class Barrier(Watch):
    """Energy of the highest image of a path above its first."""

    name, main = "barrier", "barrier"

    def __init__(self, budget: Budget, base: Potential, head: int, images: Dataset):
        super().__init__(budget, base, head)
        self.images, self.what = images, f"Path of {len(images)} images"

    def pilot(self, potential: Potential) -> float:
        evaluate(potential, self.images[:1], want=("energy",), head=self.head)
        return float(len(self.images))

    def measure(self, potential: Potential) -> Measured:
        energy = evaluate(potential, self.images, want=("energy",), head=self.head).energy
        return {"barrier": float(energy.max() - energy[0]), "reaction": float(energy[-1] - energy[0])}

    def text(self, now: Measured) -> str:
        return f"{self.what}: barrier {now['barrier']:.3f} eV (base {self.base['barrier']:.3f} eV)"


def watches(spec: Any, plan: Plan, parts: Parts, io: RunIO, base_head: int = 0) -> list[Watch]:
    """The probes that a spec asks for, sharing one budget. The plan's potential still is the base.

    base_head: the head that other tasks and the base's own data are compared under.
    """
    found: list[Watch] = []
    if not any((spec.probe_tasks, spec.probe_foundation, spec.probe_md, spec.probe_structure, spec.probe_path)):
        return found
    budget, base = Budget(spec.probe_share), deepcopy(plan.potential)
    if spec.probe_tasks:
        tasks = load_data(spec.probe_tasks, io)
        found.append(Errors(budget, base, base_head, "forgetting", f"Other tasks, {tasks.name}", tasks))
    if spec.probe_foundation:
        own = load_data(spec.probe_foundation, io)
        found.append(Errors(budget, base, base_head, "foundation", f"The base's own ground, {own.name}", own))
    given = structure(located(spec.probe_structure, io), _read) if spec.probe_structure else None
    if spec.probe_md:
        start = given if given is not None else (parts.valid or parts.train).entries[0].atoms
        found.append(Stability(budget, base, plan.head, start, spec.probe_md, spec.probe_temperature))
    if given is not None and given.pbc.all():
        found.append(Lattice(budget, base, plan.head, given))
    if spec.probe_path:
        found.append(Barrier(budget, base, plan.head, load_data(spec.probe_path, io)))
    for watch in found:
        watch.warm()
    return found


def times(ratio: float) -> str:
    """A ratio to the digits that mean something: 1.08, 12, 527."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _read(path: str) -> Any:
    from ... import data

    return data.read(path)


def worse(now: Mapping[str, Any], loss_before: float, loss_now: float) -> str | None:
    """A sentence, if a property is worse than the base's while the validation loss is better than it was."""
    ratio = now["ratio"]
    if not loss_now < loss_before or ratio is None:
        return None
    if now["probe"] == "md":
        bad = ratio < 1.0 / WORSE
    elif now["probe"] in ("lattice", "barrier"):
        bad = abs(ratio - 1.0) > (0.01 if now["probe"] == "lattice" else 0.25)
    else:
        bad = ratio > WORSE
    if not bad:
        return None
    fell = f"The validation loss fell from {loss_before:.3g} to {loss_now:.3g}"
    return f"{fell}, but not everything got better. {now['text']}."
