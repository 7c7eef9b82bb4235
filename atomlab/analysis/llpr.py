"""Uncertainty from the last layer (LLPR, MACE-MP-0 paper, D.1): sigma² = a² fᵀ (H0 + s² 1)⁻¹ f.

f is the input of the last linear layer, summed over the atoms of a structure; H0 the Gauss-Newton Hessian of the energy
loss per atom over the training set. Nothing is trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, notice
from .descriptors import as_frames, as_potential, fingerprint, graphs
from .readout import check_linear, derivatives, readout, rows_of

if TYPE_CHECKING:
    from ase import Atoms

    from ..potential import Potential

__all__ = ["LLPR"]

START = 1e-8  # s² in units of the mean eigenvalue of H0, until calibration chooses it
GRID = 10.0 ** np.arange(-14, 3)
FEWEST = 10  # structures below which a calibration is hardly one
Each = Callable[[int, int], None]


class LLPR:
    """Uncertainty of a potential's energies, energy differences, forces and stress, from its training set.

    `LLPR.fit(potential, train)`, then `calibrate(other)` with structures that are in neither training nor test set.
    Until then the scale a is 1 and only ratios of uncertainties mean something. hessian (P, P); s2: regulariser s²;
    scale: a in eV.
    """

    def __init__(self, potential: Potential, hessian: np.ndarray, hashes: Iterable[str], s2: float | None):
        self.potential, self.hessian = potential, hessian
        self.hashes = set(hashes)
        self.given = s2 is not None
        self.values, self.vectors = np.linalg.eigh(hessian)
        self.scale, self.calibrated_on = 1.0, 0
        self.s2 = self._checked(s2 if s2 is not None else START * self.mean)

    @property
    def mean(self) -> float:
        """Mean eigenvalue of H0."""
        return float(np.trace(self.hessian)) / len(self.hessian)

    @classmethod
    def fit(
        cls,
        model: Potential | str | Path,
        train: Sequence[Atoms] | Any,
        regulariser: float | None = None,
        delta: float | None = None,
        weights: Sequence[float] | None = None,
        each: Each | None = None,
    ) -> LLPR:
        """H0 = Σ weight (f/N)(f/N)ᵀ over the training structures with N atoms.

        Parameters
        ----------
        model: a potential whose energy is linear in its readout features, a name or a file. train: the data it was
        trained on (or a part of it: then the shape of sigma changes, not only its scale). regulariser: s (0 is refused
        where H0 has no inverse); by default `calibrate` chooses it. delta: of a Huber loss, in eV/atom: structures with
        a larger error per atom count 0, their second derivative. weights: of the structures in the loss.
        """
        potential, frames = as_potential(model), as_frames(train)
        check_linear(potential, frames)
        rows = rows_of(potential, frames, each)
        weight = np.ones(len(rows.f)) if weights is None else np.asarray(weights, dtype=float)
        if weight.shape != (len(rows.f),) or (weight < 0).any():
            raise InputError(
                "One weight, 0 or more, is needed for each structure", got=weight.shape, allowed=len(rows.f)
            )
        if delta is not None:
            wrong = np.abs(rows.energy - rows.label) / rows.atoms
            if np.isnan(wrong).any():
                raise InputError("A Huber loss needs the energies of all training structures", mend="Leave delta away")
            weight = weight * (wrong < delta)
        g = rows.f / rows.atoms[:, None]
        if not weight.any():
            raise InputError("No training structure is left for the uncertainty", mend="Give a larger delta")
        return cls(
            potential,
            g.T @ (weight[:, None] * g),
            rows.hashes,
            None if regulariser is None else regulariser**2,
        )

    def _checked(self, s2: float) -> float:
        if not np.isfinite(s2) or s2 < 0 or self.values[0] + s2 <= 1e-14 * max(self.values[-1], 0.0):
            raise InputError(
                "H0 has no inverse with this regulariser: the training structures do not span all features",
                got=s2**0.5 if s2 >= 0 else s2,
                mend="Give a larger one, or none to have it chosen by the calibration",
            )
        return float(s2)

    def calibrate(self, data: Sequence[Atoms] | Any, method: str = "likelihood", bins: int = 10) -> float:
        """Choose the scale a by energies that were in neither training nor test set; returns it (eV).

        method "likelihood": a² = mean(error² / sigma0²), the Gaussian maximum likelihood; "bins": the authors' way,
        least Σ (ln(mean error² / mean sigma²))² over bins of equally many structures, sorted by sigma. Where no
        regulariser was given, the likelihood chooses it too. Structures of the training set are refused.
        """
        frames = as_frames(data)
        rows = rows_of(self.potential, frames)
        known = sum(h in self.hashes for h in rows.hashes)
        if known:
            raise InputError(
                f"{known} of the {len(rows.f)} structures to calibrate with are training data: errors are small there",
                mend="Calibrate with structures that the model has not seen",
            )
        error = rows.energy - rows.label
        if np.isnan(error).any():
            raise InputError("Calibration needs an energy for each structure", got=f"{np.isnan(error).sum()} without")
        if len(error) < FEWEST:
            notice("llpr-few", f"The uncertainty is calibrated on {len(error)} structures only: its scale is rough.")
        if not self.given:
            self.s2 = self._likeliest(rows.f, error)
        sigma2 = self._quadratic(rows.f)
        self.scale = float(np.sqrt(_scale2(error**2, sigma2, method, bins)))
        self.calibrated_on = len(error)
        return self.scale

    def _likeliest(self, f: np.ndarray, error: np.ndarray) -> float:
        best = (np.inf, self.s2)
        for s2 in GRID * self.mean:
            if self.values[0] + s2 > 1e-14 * self.values[-1]:
                v = self._quadratic(f, s2)
                best = min(best, (np.log(v).mean() + np.log((error**2 / v).mean() + 1e-300), s2))
        return float(best[1])

    def _quadratic(self, f: np.ndarray, s2: float | None = None) -> np.ndarray:
        """fᵀ (H0 + s²)⁻¹ f for f (..., P)."""
        return ((f @ self.vectors) ** 2 / (self.values + (self.s2 if s2 is None else s2))).sum(-1)

    def _ready(self) -> None:
        if not self.calibrated_on:
            notice("llpr-raw", "The uncertainty is not calibrated: only ratios mean something until `calibrate`.")

    def energy(self, data: Sequence[Atoms] | Any) -> np.ndarray:
        """Sigma of the total energy of each structure (S,) in eV."""
        self._ready()
        return self.scale * np.sqrt(self._quadratic(rows_of(self.potential, as_frames(data)).f))

    def difference(self, data: Sequence[Atoms] | Any, reference: int = 0) -> np.ndarray:
        """Sigma of the energies relative to the structure `reference` (S,) in eV: the band of a path."""
        self._ready()
        f = rows_of(self.potential, as_frames(data)).f
        return self.scale * np.sqrt(self._quadratic(f - f[reference]))

    def shares(self, data: Sequence[Atoms] | Any) -> list[np.ndarray]:
        """What each atom adds to sigma² of its structure: (n,) eV² that sum to it; single ones may be negative."""
        self._ready()
        out = []
        for frames, graph in graphs(self.potential, as_frames(data)):
            atoms = readout(self.potential, graph)
            if len(atoms) != len(graph.numbers):
                raise InputError("This model's readout belongs to structures, not to atoms: there are no shares")
            parts = np.split(atoms.detach().double().cpu().numpy(), np.cumsum([len(a) for a in frames])[:-1])
            for f in parts:
                g = self.vectors @ ((self.vectors.T @ f.sum(0)) / (self.values + self.s2))
                out.append(self.scale**2 * (f @ g))
        return out

    def gradients(self, data: Sequence[Atoms] | Any, each: Each | None = None) -> tuple[list[np.ndarray], np.ndarray]:
        """Sigma of the force components, (n, 3) eV/Å for each structure, and of the stress (S, 6) eV/Å^3, Voigt order.

        From the gradients of f, with the same scale as the energies; P backward passes. Stress is NaN without a volume.
        """
        from ..potential import volumes

        self._ready()
        frames, forces, stress = as_frames(data), [], []
        for batch, graph in graphs(self.potential, frames):
            dr, strain = derivatives(self.potential, graph)
            sigma = self.scale * np.sqrt(self._quadratic(dr))
            forces += np.split(sigma, np.cumsum([len(a) for a in batch])[:-1])
            volume = volumes(graph).cpu().numpy()[:, None, None]
            whole = self.scale * np.sqrt(self._quadratic(strain)) / volume
            stress.append(np.stack([whole[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], 1))
            if each is not None:
                each(len(forces), len(frames))
        return forces, np.concatenate(stress)

    def save(self, path: str | Path) -> None:
        """Write H0 and the calibration to an .npz file."""
        from ..container import atomic

        arrays = {
            "hessian": self.hessian,
            "hashes": np.array(sorted(self.hashes)),
            "numbers": np.array([self.s2, self.scale, self.calibrated_on, self.given], dtype=float),
            "model": np.array(fingerprint(self.potential)),
        }

        def write(target: Path) -> None:
            with target.open("wb") as file:
                np.savez(file, **arrays)

        atomic(Path(path), write)

    @classmethod
    def load(cls, path: str | Path, model: Potential | str | Path) -> LLPR:
        """Read what `save` wrote; the model must be the one it was made for."""
        potential = as_potential(model)
        with np.load(path, allow_pickle=False) as file:
            a = {name: file[name] for name in file.files}
        if str(a["model"]) != fingerprint(potential):
            raise InputError("This uncertainty was made for another model, or for other weights", got=path)
        s2, scale, count, given = a["numbers"]
        new = cls(potential, a["hessian"], a["hashes"].tolist(), float(s2))
        new.given, new.scale, new.calibrated_on = bool(given), float(scale), int(count)
        return new


def _scale2(error2: np.ndarray, sigma2: np.ndarray, method: str, bins: int) -> float:
    if method == "likelihood":
        return float((error2 / sigma2).mean())
    if method != "bins":
        raise InputError("There is no such calibration", got=method, allowed=("likelihood", "bins"))
    order = np.argsort(sigma2, kind="stable")
    groups = [g for g in np.array_split(order, min(bins, len(order))) if error2[g].any()]
    if not groups:
        raise InputError("All errors of the calibration set are 0", mend="Calibrate with real reference energies")
    # the sum of squares of logarithms is least where they average to 0
    return float(np.exp(np.mean([np.log(error2[g].mean() / sigma2[g].mean()) for g in groups])))
