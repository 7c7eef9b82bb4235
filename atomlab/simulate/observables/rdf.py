"""The pair distribution function g(r), gathered frame by frame."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...errors import InputError
from ...neighbours import pairs

__all__ = ["RDF"]


class RDF:
    """g(r): the density of atoms at distance r from an atom, by the mean density. 1 in an ideal gas.

    g(r) = V / (N_a N_b 4 pi r^2 dr) * number of ordered pairs (a, b) in the shell; shells by their exact volume. Every
    periodic image counts, so `r_max` may be larger than the cell.

    Parameters
    ----------
    r_max: Å. bins: number of shells. between: two atomic numbers for a partial g(r); all atoms without it.
    """

    def __init__(self, r_max: float = 8.0, bins: int = 160, between: tuple[int, int] | None = None):
        if not (r_max > 0 and bins > 0):
            raise InputError(
                "A pair distribution needs a positive range and number of bins", got=f"{r_max} Å, {bins} bins"
            )
        self.edges = np.linspace(0.0, r_max, bins + 1)
        self.between, self.frames = between, 0
        self._sum = np.zeros(bins)

    @property
    def r(self) -> np.ndarray:
        """Middles of the shells (bins,), Å."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def g(self) -> np.ndarray:
        """The mean over the frames so far (bins,); NaN before the first."""
        return self._sum / self.frames if self.frames else np.full(len(self.edges) - 1, np.nan)

    def add(self, atoms: Atoms) -> None:
        """Count one frame. It must be periodic in all directions: else there is no density to compare with."""
        if not atoms.pbc.all():
            raise InputError(
                "g(r) needs a structure that is periodic in all directions", got=f"pbc {atoms.pbc.tolist()}"
            )
        found = pairs(atoms.positions, np.asarray(atoms.cell.array), np.asarray(atoms.pbc), float(self.edges[-1]))
        keep = slice(None)
        n_a = n_b = len(atoms)
        if self.between is not None:
            a, b = self.between
            keep = (atoms.numbers[found.i] == a) & (atoms.numbers[found.j] == b)
            n_a, n_b = int((atoms.numbers == a).sum()), int((atoms.numbers == b).sum())
        self.frames += 1
        if n_a * n_b == 0:
            return
        d = found.d[keep]
        counts = np.histogram(np.sqrt(np.einsum("ij,ij->i", d, d)), bins=self.edges)[0]
        shells = 4.0 / 3.0 * np.pi * np.diff(self.edges**3)
        self._sum += counts * atoms.get_volume() / (n_a * n_b * shells)
