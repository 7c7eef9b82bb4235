"""Conformal prediction (MACE-MP-0, D.4): uncertainties scaled so that a stated share of errors lies below them.

Scores s = error / sigma of a calibration set; q is their quantile at level ⌈(N+1)(1-α)⌉/N, and q sigma bounds the error
of new data with probability 1-α at least, if they are exchangeable with the calibration data (drawn like them). The
classes of local environments, each with a q of its own, come from a Gaussian mixture on descriptors.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError, notice

__all__ = ["Conformal", "EnvironmentClasses", "coverage", "quantile", "split_by_frame"]


def quantile(scores: np.ndarray, alpha: float) -> float:
    """The ⌈(N+1)(1-α)⌉-th smallest of N scores. InputError with the N that is needed where that exceeds N."""
    scores = np.asarray(scores, dtype=float)
    if not 0 < alpha < 1:
        raise InputError("The share of errors above the bound lies between 0 and 1", got=alpha)
    if not np.isfinite(scores).all():
        raise InputError("A score is not a finite number", mend="Look for uncertainties of 0, or missing labels")
    # 1e-9: (N + 1)(1 - α) may miss a whole number by its rounding, and the ceiling would jump
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    if rank > len(scores):
        raise InputError(
            f"A bound that holds for {1 - alpha:.0%} of errors needs more calibration data",
            got=len(scores),
            allowed=f"at least {fewest(alpha)}",
        )
    return float(np.partition(scores, rank - 1)[rank - 1])


def fewest(alpha: float) -> int:
    """The smallest N with a finite bound: N >= 1/α - 1."""
    return max(1, math.ceil(1 / alpha - 1 - 1e-9))


@dataclass
class Conformal:
    """Calibrated uncertainties q sigma. alpha: share of errors that may lie above (0.5: a median, "about right").

    q: of all calibration data; by_class: of each class that has enough of them; the others use q. count: how many
    calibration values there were; frames: in how many structures.
    """

    alpha: float = 0.5
    q: float = float("nan")
    by_class: dict[int, float] = field(default_factory=dict)
    count: int = 0
    frames: int | None = None

    def fit(
        self,
        errors: np.ndarray,
        sigma: np.ndarray,
        classes: np.ndarray | None = None,
        frame: np.ndarray | None = None,
    ) -> Conformal:
        """From absolute errors (N,) and uncertainties (N,) > 0 of calibration data, with their classes (N,) if wanted.

        For forces, error is |F - F_ref| of an atom and sigma the root of the sum of its three variances. frame (N,):
        the structure of each value, to say how many there were: atoms of one structure are not independent.
        """
        errors, sigma = np.abs(np.asarray(errors, dtype=float)), np.asarray(sigma, dtype=float)
        if errors.shape != sigma.shape or errors.ndim != 1:
            raise InputError("One uncertainty is needed for each error", got=(errors.shape, sigma.shape))
        if not (sigma > 0).all():
            raise InputError("An uncertainty must be positive", got=f"{(~(sigma > 0)).sum()} that are not")
        scores = errors / sigma
        self.q, self.count = quantile(scores, self.alpha), len(scores)
        self.frames = None if frame is None else len(np.unique(frame))
        self.by_class = {}
        for name in [] if classes is None else np.unique(classes):
            mine = scores[classes == name]
            if len(mine) >= fewest(self.alpha):
                self.by_class[int(name)] = quantile(mine, self.alpha)
            else:
                notice(
                    f"conformal-class-{int(name)}",
                    f"Class {int(name)} has {len(mine)} calibration values, and {fewest(self.alpha)} are needed: "
                    f"it uses the factor of all ({self.q:.3g}).",
                )
        return self

    def bound(self, sigma: np.ndarray, classes: np.ndarray | None = None) -> np.ndarray:
        """Calibrated uncertainties of new data (M,); a class that was not seen in calibration uses q of all."""
        sigma = np.asarray(sigma, dtype=float)
        if math.isnan(self.q):
            raise InputError("This bound is not calibrated yet", mend="Call fit(errors, sigma) first")
        if classes is None:
            return self.q * sigma
        factors = np.array([self.by_class.get(int(c), self.q) for c in classes])
        return factors * sigma

    def __str__(self) -> str:
        n = self.count
        where = "" if self.frames is None else f" of {self.frames} structures"
        spread = math.sqrt(self.alpha * (1 - self.alpha) / (n + 2)) if n else math.nan
        classes = "".join(f", class {c}: {q:.3g}" for c, q in sorted(self.by_class.items()))
        return (
            f"{1 - self.alpha:.0%} means: in data drawn like the {n} calibration values{where}, this share of errors "
            f"lies below {self.q:.3g} sigma{classes}; from one calibration set to "
            f"another it scatters by about {100 * spread:.1f} points."
        )


def coverage(
    errors: np.ndarray, bounds: np.ndarray, frame: np.ndarray | None = None
) -> tuple[float, np.ndarray | None]:
    """Share of errors (N,) at or below their bounds; and by structure (S,), if `frame` (N,) says which."""
    inside = np.abs(errors) <= bounds
    if frame is None:
        return float(inside.mean()), None
    _, index = np.unique(frame, return_inverse=True)
    return float(inside.mean()), np.bincount(index, weights=inside) / np.bincount(index)


def split_by_frame(frame: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows for calibration and for the rest, (share of the structures, the others): no structure is on both sides."""
    names = np.unique(frame)
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise InputError("This share leaves one side without a structure", got=f"{share} of {len(names)}")
    chosen = np.random.default_rng(seed).choice(names, count, replace=False)
    inside = np.isin(frame, chosen)
    return np.flatnonzero(inside), np.flatnonzero(~inside)


class EnvironmentClasses:
    """Classes of local environments: a Bayesian Gaussian mixture on invariant descriptors.

    The paper names the mixture and leaves the rest open. Here: descriptors are centred, scaled by one number and
    reduced to their leading principal components; covariances are full; each atom belongs to its likeliest class.
    """

    def __init__(self, classes: int = 6, components: int = 10, seed: int = 0):
        if classes < 1 or components < 1:
            raise InputError("There must be at least one class and one component", got=(classes, components))
        self.classes, self.components, self.seed = classes, components, seed
        self.mean: np.ndarray | None = None
        self.mixture: Any = None

    def fit(self, values: np.ndarray) -> EnvironmentClasses:
        """From the descriptors (n, F) of calibration (or training) environments."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import BayesianGaussianMixture

        values = np.asarray(values, dtype=float)
        if len(values) < self.classes:
            raise InputError("There are fewer environments than classes", got=f"{len(values)} for {self.classes}")
        self.mean = values.mean(0)
        centred = values - self.mean
        scatter, vectors = np.linalg.eigh(centred.T @ centred / len(values))
        keep = min(self.components, int((scatter > 1e-10 * max(scatter[-1], 1e-300)).sum()) or 1)
        # one scale for all, so that a class is what is near in descriptor space
        self.axes = vectors[:, ::-1][:, :keep] / math.sqrt(max(scatter[-1], 1e-300))
        self.mixture = BayesianGaussianMixture(
            n_components=self.classes, covariance_type="full", random_state=self.seed, max_iter=500, reg_covar=1e-6
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # said below, or harmless: classes that stay empty
            self.mixture.fit(centred @ self.axes)
        if not self.mixture.converged_:
            notice("conformal-classes", "The classes of environments were still changing after 500 steps.")
        return self

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Class (n,) of each environment, 0 ... classes - 1; some may stay empty."""
        if self.mixture is None:
            raise InputError("The classes are not fitted yet", mend="Call fit(descriptors) first")
        return self.mixture.predict((np.asarray(values, dtype=float) - self.mean) @ self.axes)
