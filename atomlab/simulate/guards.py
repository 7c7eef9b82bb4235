"""When a simulation makes no sense any more, and the sentence that says why."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii

from ..errors import AtomLabError, notice
from ..neighbours import pairs

__all__ = ["Breakdown", "Guards", "check_timestep"]


class Breakdown(AtomLabError):
    """The simulation cannot go on. `atoms` are the indices of those concerned, `code` names the kind of trouble."""

    def __init__(self, code: str, text: str, atoms: tuple[int, ...] = ()):
        self.code, self.atoms = code, atoms
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, str(self), self.atoms)


class Guards:
    """Checks of one simulation.

    Parameters
    ----------
    closest: share of the sum of two covalent radii (Cordero et al., Dalton Trans. 2008, 2832) below which a pair is too
    close; 0 switches that off. hottest: K.
    """

    def __init__(self, atoms: Atoms, closest: float, hottest: float):
        self.hottest = hottest
        self.limits = closest * covalent_radii[atoms.numbers]
        self.cutoff = 2.0 * float(self.limits.max(initial=0.0))

    def quick(self, energy: float, forces: np.ndarray, temperature: float, time_fs: float) -> None:
        """At every step: finite numbers and a bearable temperature."""
        when = _when(time_fs)
        if not np.isfinite(energy):
            raise Breakdown("not-finite", f"The energy is {energy} {when}.")
        if not np.isfinite(forces).all():
            bad = tuple(int(i) for i in np.flatnonzero(~np.isfinite(forces).all(axis=1)))
            raise Breakdown("not-finite", f"The force on {_named(bad)} is not a finite number {when}.", bad)
        if not temperature <= self.hottest:
            raise Breakdown(
                "too-hot",
                f"The temperature reached {temperature:.0f} K {when}; the limit is {self.hottest:.0f} K "
                "(max_temperature). A shorter timestep, or a model that knows such structures, may help.",
            )

    def close_pairs(self, atoms: Atoms, time_fs: float) -> None:
        """Now and then: no two atoms on top of each other."""
        if self.cutoff == 0.0:
            return
        found = pairs(atoms.positions, np.asarray(atoms.cell.array), np.asarray(atoms.pbc), self.cutoff)
        r = np.sqrt(np.einsum("ij,ij->i", found.d, found.d))
        too_close = r < self.limits[found.i] + self.limits[found.j]
        if not too_close.any():
            return
        worst = int(np.argmin(np.where(too_close, r / (self.limits[found.i] + self.limits[found.j]), np.inf)))
        i, j = sorted((int(found.i[worst]), int(found.j[worst])))
        symbols = [chemical_symbols[atoms.numbers[k]] for k in (i, j)]
        raise Breakdown(
            "too-close",
            f"Atoms {i} ({symbols[0]}) and {j} ({symbols[1]}) came as close as {r[worst]:.2f} Å {_when(time_fs)}; "
            f"the limit for this pair is {self.limits[i] + self.limits[j]:.2f} Å.",
            (i, j),
        )


def _when(time_fs: float) -> str:
    return f"at {time_fs:.1f} fs" if time_fs < 1000 else f"at {time_fs / 1000:.3f} ps"


def _named(atoms: tuple[int, ...]) -> str:
    shown = ", ".join(str(i) for i in atoms[:5])
    return f"atom {shown}" if len(atoms) == 1 else f"atoms {shown}{' ...' if len(atoms) > 5 else ''}"


def check_timestep(atoms: Atoms, timestep: float) -> float:
    """The longest timestep (fs) that is safe for the lightest atom; a notice if `timestep` is longer.

    0.5 fs for hydrogen, scaled by the root of the mass: about a twentieth of the fastest vibration's period.
    """
    masses = atoms.get_masses()
    lightest = int(np.argmin(masses))
    limit = 0.5 * float(np.sqrt(masses[lightest] / 1.008))
    if timestep > limit * 1.0001:
        notice(
            f"md-timestep-{atoms.symbols[lightest]}-{timestep:g}",
            f"The timestep of {timestep:g} fs is long for {atoms.symbols[lightest]}, the lightest atom here: "
            f"up to {limit:.1f} fs is safe. Watch the conserved energy.",
        )
    return limit
