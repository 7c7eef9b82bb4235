"""The equations of motion: ASE's dynamics, and a Langevin integrator that counts its heat.

All of them keep the total momentum at zero where nothing is fixed, so the temperature has 3N - 3 degrees of freedom.
"""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

from ..errors import InputError, notice
from ..units import EV_A3_PER_GPA
from .settings import MDSettings

__all__ = ["Langevin", "Motion"]


class Langevin(MolecularDynamics):
    """Langevin dynamics by BAOAB (Leimkuhler and Matthews, J. Chem. Phys. 138 (2013) 174102).

    The bath acts in one substep only (O), so the heat that it gives is the change of the kinetic energy there. Energy
    less heat is then conserved as well as the energy is by velocity Verlet. Noise on the centre of mass is projected
    out, which samples the momenta of zero sum exactly.

    Parameters
    ----------
    timestep, time: in ASE's unit of time; time = 1/friction. mobile (N, 3): 0 where an atom is fixed.
    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        temperature_K: float,
        time: float,
        rng: np.random.Generator,
        mobile: np.ndarray,
    ):
        super().__init__(atoms, timestep)
        self.rng, self.mobile, self.heat = rng, mobile, 0.0
        self.keep = float(np.exp(-timestep / time))
        self.kick = np.sqrt((1.0 - self.keep**2) * units.kB * temperature_K * self.masses) * mobile
        self.drifts = not mobile.all() or len(atoms) < 2

    def step(self) -> None:
        """One timestep: half a kick (B), half a move (A), the bath (O), half a move (A), half a kick (B)."""
        atoms, dt, m = self.atoms, self.dt, self.masses
        p = atoms.get_momenta() + 0.5 * dt * atoms.get_forces(md=True)
        x = atoms.get_positions() + 0.5 * dt * p / m
        before = _kinetic(p, m)
        p = self.keep * p + self.kick * self.rng.standard_normal(p.shape)
        if not self.drifts:
            p -= m * (p.sum(axis=0) / m.sum())
        self.heat += _kinetic(p, m) - before
        atoms.set_positions(x + 0.5 * dt * p / m)
        atoms.set_momenta(p + 0.5 * dt * atoms.get_forces(md=True))

    def get_conserved_energy(self) -> float:
        """Total energy less the heat that came from the bath, eV."""
        return self.atoms.get_potential_energy() + self.atoms.get_kinetic_energy() - self.heat


def _kinetic(p: np.ndarray, m: np.ndarray) -> float:
    return 0.5 * float((p * p / m).sum())


# what of the inner state must be saved so that a resumed run goes on as if nothing had been
_CHAIN = ("_thermostat._eta", "_thermostat._p_eta")
_INNER: dict[str, tuple[str, ...]] = {
    "nve": (),
    "nvt-langevin": ("heat",),
    "nvt-nose-hoover": _CHAIN,
    "npt": (*_CHAIN, "_barostat._xi", "_barostat._p_xi", "_eps", "_p_eps", "_cell0", "_volume0"),
}


class Motion:
    """One of the ensembles with its random numbers: step, temperature, conserved quantity, state in and out."""

    def __init__(self, atoms: Atoms, settings: MDSettings, state: dict[str, Any] | None = None):
        self.atoms, self.settings = atoms, settings
        self.rng = np.random.default_rng(settings.seed)
        self.mobile = _mobile(atoms, settings.ensemble)
        fixed = not self.mobile.all()
        # one atom alone may fly; several start without drift and keep none
        self.dof = int(self.mobile.sum()) - 3 * (not fixed and len(atoms) > 1)
        if state is None:
            self._first_velocities(fixed)
        else:
            atoms.set_cell(state["cell"], scale_atoms=False)
            atoms.set_positions(state["positions"], apply_constraint=False)
            atoms.set_momenta(state["momenta"], apply_constraint=False)
        self.dynamics = self._made()
        if state is not None:
            self._restore(state)
        self._masses = atoms.get_masses()[:, None]

    def _first_velocities(self, fixed: bool) -> None:
        atoms, how = self.atoms, self.settings.velocities
        if how == "zero":
            atoms.set_momenta(np.zeros((len(atoms), 3)))
        elif how == "thermal":
            sigma = np.sqrt(atoms.get_masses()[:, None] * units.kB * self.settings.temperature)
            atoms.set_momenta(sigma * self.rng.standard_normal((len(atoms), 3)))
        p, m = atoms.get_momenta(), atoms.get_masses()[:, None]
        if not fixed and len(atoms) > 1:
            p -= m * (p.sum(axis=0) / m.sum())
        atoms.set_momenta(p)
        if how == "thermal" and self.dof and self.temperature() > 0:
            atoms.set_momenta(atoms.get_momenta() * np.sqrt(self.settings.temperature / self.temperature()))

    def _made(self) -> MolecularDynamics:
        atoms, s = self.atoms, self.settings
        dt, time = s.timestep * units.fs, s.thermostat_time * units.fs
        if s.ensemble == "nve":
            return VelocityVerlet(atoms, dt)
        if s.ensemble == "nvt-langevin":
            return Langevin(atoms, dt, s.temperature, time, self.rng, self.mobile)
        if s.temperature <= 0:
            raise InputError(f"{s.ensemble} needs a temperature above zero", got=f"{s.temperature:g} K")
        # ASE's chain drives the sum of p²/m to 3N kT, but only `dof` momenta are free
        temperature = s.temperature * self.dof / (3 * len(atoms))
        if s.ensemble == "nvt-nose-hoover":
            return NoseHooverChainNVT(atoms, dt, temperature_K=temperature, tdamp=time)
        return IsotropicMTKNPT(
            atoms, dt, temperature_K=temperature, pressure_au=s.pressure * EV_A3_PER_GPA, tdamp=time,
            pdamp=s.barostat_time * units.fs,
        )  # fmt: skip

    def step(self) -> None:
        """One timestep."""
        self.dynamics.step()

    def kinetic(self) -> float:
        """Kinetic energy, eV."""
        p = self.atoms.arrays["momenta"]
        return 0.5 * float((p * p / self.atoms.get_masses()[:, None]).sum())

    def temperature(self) -> float:
        """K, of the free degrees of freedom."""
        return 2.0 * self.kinetic() / (units.kB * self.dof) if self.dof else 0.0

    def conserved(self) -> float:
        """What the equations of motion conserve, eV."""
        if self.settings.ensemble == "nve":
            return self.atoms.get_potential_energy() + self.kinetic()
        return self.dynamics.get_conserved_energy()

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, as arrays and text."""
        atoms = self.atoms
        state: dict[str, Any] = {
            "ensemble": self.settings.ensemble,
            "positions": atoms.get_positions(),
            "momenta": atoms.get_momenta(),
            "cell": np.array(atoms.cell.array),
            "random": json.dumps(self.rng.bit_generator.state),
        }
        for name in _INNER[self.settings.ensemble]:
            try:
                state[f"inner{name}"] = np.array(attrgetter(name)(self.dynamics))
            except AttributeError:  # another version of ASE calls it differently: said when the run is resumed
                continue
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = json.loads(str(state["random"]))
        try:
            for name in _INNER[self.settings.ensemble]:
                owner, _, attribute = name.rpartition(".")
                target = attrgetter(owner)(self.dynamics) if owner else self.dynamics
                value = np.asarray(state[f"inner{name}"])
                getattr(target, attribute)  # must be there already
                setattr(target, attribute, float(value) if value.ndim == 0 else value.copy())
        except (AttributeError, KeyError):
            notice(
                "md-thermostat-restarted",
                f"Positions, velocities, cell and random numbers were restored, but the thermostat of "
                f"{self.settings.ensemble} had to start anew: the conserved energy makes a step here.",
            )


def _mobile(atoms: Atoms, ensemble: str) -> np.ndarray:
    """(N, 3): 1 where an atom may move, 0 where it is fixed."""
    from ase.constraints import FixAtoms, FixCartesian

    strange = [type(c).__name__ for c in atoms.constraints if not isinstance(c, FixAtoms | FixCartesian)]
    if strange:
        raise InputError(
            "MD can hold atoms fixed, but knows no other constraint",
            got=", ".join(strange),
            allowed="FixAtoms, FixCartesian",
            mend="Remove the constraint from the structure",
        )
    if atoms.constraints and ensemble == "npt":
        raise InputError("npt moves all atoms with the cell, so none can be fixed", mend="Take another ensemble")
    mask = np.ones((len(atoms), 3))
    for constraint in atoms.constraints:
        constraint.adjust_momenta(atoms, mask)
    return mask
