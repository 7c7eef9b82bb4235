"""Molecular dynamics of any potential: a generator of frames, with guards and a state that can be saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_changes

from ..calculator import Calculator
from ..errors import InputError, notice
from ..potential import Potential
from .dynamics import Motion
from .guards import Breakdown, Guards, check_timestep
from .settings import MDSettings

__all__ = ["Frame", "simulate"]

_LOOK_EVERY = 10  # steps between two looks for atoms that are too close


@dataclass
class Frame:
    """One moment of a simulation.

    index counts frames, step counts steps; time_fs fs; temperature K; energies eV; pressure eV/Å^3, compression
    positive, None where there is no volume; conserved eV; steps_per_s since the frame before. `atoms` is the living
    object of the simulation with its results cached: copy what you keep. `state` is all that `simulate(state=...)`
    needs to go on.
    """

    index: int
    step: int
    time_fs: float
    temperature: float
    potential_energy: float
    kinetic_energy: float
    conserved: float | None
    pressure: float | None
    steps_per_s: float | None
    atoms: Atoms
    state: dict[str, Any]

    def values(self) -> dict[str, Any]:
        """The numbers, without the structure."""
        return {k: v for k, v in vars(self).items() if k not in ("atoms", "state")}


class _Calculator(Calculator):
    """Computes the stress along with the forces when the next evaluation will be asked for both: one pass, not two."""

    with_stress = False

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has moved. Nothing else changes in MD; ASE's own comparison costs a tenth of a small model's step."""
        if self.atoms is None:
            return list(all_changes)
        moved = ["positions"] * (not np.array_equal(self.atoms.positions, atoms.positions))
        return moved + ["cell"] * (not np.array_equal(self.atoms.cell.array, atoms.cell.array))

    def calculate(self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), *rest: Any) -> None:
        wanted = list(properties)
        if self.with_stress and "stress" not in wanted:
            wanted.append("stress")
        super().calculate(atoms, wanted, *rest)


def simulate(
    potential: Potential,
    atoms: Atoms,
    settings: MDSettings,
    state: dict[str, Any] | None = None,
    head: str | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[Frame]:
    """Frames of the dynamics of `atoms` (a copy of them), the first one at once, then one every `frame_every` steps.

    Parameters
    ----------
    state: of an earlier frame; then that frame is not given again. check: called at every step (stop and pause).
    Raises `Breakdown`, after the frame in which it happened, when atoms come too close, the temperature runs away or a
    value is not finite.
    """
    run = _Run(potential, atoms, settings, state, head)
    if state is None:
        run.prepare()
        yield run.frame()
    while run.step < settings.steps:
        try:
            run.advance(check)
        except Breakdown as end:
            if end.code != "not-finite":
                yield run.frame()
            raise
        yield run.frame()


class _Run:
    """The state of one simulation between two frames."""

    def __init__(
        self, potential: Potential, atoms: Atoms, settings: MDSettings, state: dict[str, Any] | None, head: str | None
    ):
        self.settings = settings
        self.atoms = atoms.copy()
        self.volume = bool(np.linalg.matrix_rank(self.atoms.cell.array) == 3)
        if settings.ensemble == "npt" and not self.atoms.pbc.all():
            raise InputError(
                "npt needs a structure that is periodic in all three directions", got=f"pbc {self.atoms.pbc.tolist()}",
                mend="Take nvt-langevin, or a periodic structure",
            )  # fmt: skip
        self.calculator = _Calculator(potential, head=head, skin=settings.skin, wait=True)
        self.atoms.calc = self.calculator
        self.calculator.with_stress = self.volume
        check_timestep(self.atoms, settings.timestep)
        self.step = int(state["step"]) if state else 0
        self.index = int(state["index"]) + 1 if state else 0
        self.motion = Motion(self.atoms, settings, state)
        hottest = settings.max_temperature or max(10 * settings.temperature, 5000.0)
        self.guards = Guards(self.atoms, settings.closest, hottest)
        self._clock: float | None = None
        self._rate: float | None = None
        if not self.volume and settings.ensemble != "npt":
            notice("md-no-pressure", "The structure has no volume (no cell), so there is no pressure.")

    @property
    def time_fs(self) -> float:
        return self.step * self.settings.timestep

    def prepare(self) -> None:
        """The first energy, and whether the structure can be used at all."""
        self.guards.close_pairs(self.atoms, 0.0)
        self.atoms.get_forces()
        self._quick()

    def advance(self, check: Callable[[], None] | None) -> None:
        """To the next frame."""
        s = self.settings
        target = min((self.step // s.frame_every + 1) * s.frame_every, s.steps)
        start, clock = self.step, time.perf_counter()
        while self.step < target:
            if check:
                check()
            # pressure is only wanted where a frame is made; npt needs it at each step
            self.calculator.with_stress = self.volume and (s.ensemble == "npt" or self.step + 1 == target)
            self.motion.step()
            self.step += 1
            self._quick()
            if self.step % _LOOK_EVERY == 0 or self.step == target:
                self.guards.close_pairs(self.atoms, self.time_fs)
        self._rate = (self.step - start) / max(time.perf_counter() - clock, 1e-9)

    def _quick(self) -> None:
        found = self.calculator.results  # those of the step's last evaluation, at the positions of now
        self.guards.quick(found["energy"], found["forces"], self.motion.temperature(), self.time_fs)

    def frame(self) -> Frame:
        """This moment."""
        kinetic = self.motion.kinetic()
        pressure = None
        if self.volume:
            stress = self.atoms.get_stress()[:3].sum() / 3
            pressure = float(-stress + 2.0 * kinetic / (3.0 * self.atoms.get_volume()))
        frame = Frame(
            index=self.index,
            step=self.step,
            time_fs=self.time_fs,
            temperature=self.motion.temperature(),
            potential_energy=float(self.atoms.get_potential_energy()),
            kinetic_energy=kinetic,
            conserved=float(self.motion.conserved()),
            pressure=pressure,
            steps_per_s=self._rate,
            atoms=self.atoms,
            state={**self.motion.state(), "step": self.step, "index": self.index},
        )
        self.index += 1
        return frame
