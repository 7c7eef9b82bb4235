"""The distribution of angles between the bonds of an atom, gathered frame by frame."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ...errors import InputError
from ...neighbours import pairs, triplets

__all__ = ["ADF"]


class ADF:
    """Probability density of the angle between two bonds of one atom, per degree: its integral over 0 to 180 is 1.

    A bond is a pair closer than `cutoff` (Å). Each pair of bonds counts once. Random directions give
    sin(angle) pi / 360.
    """

    def __init__(self, cutoff: float, bins: int = 90):
        if not (cutoff > 0 and bins > 0):
            raise InputError(
                "An angle distribution needs a positive cutoff and number of bins", got=f"{cutoff} Å, {bins}"
            )
        self.cutoff, self.edges = float(cutoff), np.linspace(0.0, 180.0, bins + 1)
        self._counts = np.zeros(bins)

    @property
    def angle(self) -> np.ndarray:
        """Middles of the bins (bins,), degrees."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def density(self) -> np.ndarray:
        """Per degree (bins,), over all frames so far; NaN before the first angle."""
        total = self._counts.sum()
        return self._counts / (total * np.diff(self.edges)) if total else np.full(len(self._counts), np.nan)

    def add(self, atoms: Atoms) -> None:
        """Count one frame."""
        found = pairs(atoms.positions, np.asarray(atoms.cell.array), np.asarray(atoms.pbc), self.cutoff)
        a, b = triplets(found.i, np.ones(len(found.i), dtype=bool))
        a, b = a[a < b], b[a < b]
        unit = found.d / np.sqrt(np.einsum("ij,ij->i", found.d, found.d))[:, None]
        cosine = np.clip(np.einsum("ij,ij->i", unit[a], unit[b]), -1.0, 1.0)
        self._counts += np.histogram(np.degrees(np.arccos(cosine)), bins=self.edges)[0]
