"""Maps of environments in two dimensions: fitted on training environments only, all others are placed in them.

Distances on a UMAP mislead (it keeps neighbourhoods, not lengths): the similarity in numbers decides, not the picture.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError, notice

__all__ = ["FIT_LIMIT", "PCA", "UMAP", "project"]

FIT_LIMIT = 4000  # all distances between them are held: 64 MB
FIT_MOST = 4095  # umap-learn can place new points among so many by their distances, and compiles less for it
FEWEST = 10  # distinct environments below which neighbourhoods mean nothing
TRANSFORM_ROWS = 2000
Run = Callable[[Callable[[], Any]], Any]  # carries out long work; a task hands in one that watches for a stop


@dataclass
class PCA:
    """The two directions in which the training environments differ most, each with its largest weight positive.

    mean (F,); axes (2, F); explained (2,): share of the variance along each.
    """

    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    axes: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))
    explained: np.ndarray = field(default_factory=lambda: np.zeros(2))

    def fit(self, blocks: Sequence[np.ndarray]) -> PCA:
        """Fit to the rows of all blocks (n, F), read one after another; only F x F numbers are held."""
        count = sum(len(b) for b in blocks)
        if not count:
            raise InputError("A map needs at least one training environment")
        width = blocks[0].shape[1]
        self.mean = sum((np.sum(b, axis=0, dtype=np.float64) for b in blocks), np.zeros(width)) / count
        scatter = np.zeros((width, width))
        for block in blocks:
            for start in range(0, len(block), 65536):
                centred = np.asarray(block[start : start + 65536], dtype=np.float64) - self.mean
                scatter += centred.T @ centred
        values, vectors = np.linalg.eigh(scatter)
        total = max(float(np.trace(scatter)), 0.0)
        self.axes, self.explained = np.zeros((2, width)), np.zeros(2)
        # what is left of identical environments is rounding, and has no direction
        noise = 1e-12 * count * max(float(self.mean @ self.mean), 1e-300)
        for k in range(min(2, width)):
            if values[-1 - k] > noise:
                axis = vectors[:, -1 - k]
                self.axes[k] = axis * np.sign(axis[np.argmax(np.abs(axis))])
                self.explained[k] = values[-1 - k] / total
        if not self.explained[0]:
            notice("map-identical", "All training environments are identical: the map has a single point for them.")
        return self

    def transform(self, values: np.ndarray) -> np.ndarray:
        """(n, F) -> (n, 2) float64."""
        return (np.asarray(values, dtype=np.float64) - self.mean) @ self.axes.T


class UMAP:
    """UMAP (McInnes, Healy, Melville 2018) through umap-learn; seeded, so that a map comes again.

    Starts from the PCA, so that the picture keeps its orientation. Near-duplicates (equal to 4 decimals of the spread)
    are fitted once, and the parameters are 50 neighbours, min_dist 0.1, euclidean: both as in MACE-MP-0's program.
    """

    def __init__(
        self,
        neighbours: int = 50,
        min_dist: float = 0.1,
        metric: str = "euclidean",
        seed: int = 42,
        limit: int = FIT_LIMIT,
    ):
        if limit > FIT_MOST:
            raise InputError(
                "The UMAP cannot be fitted to so many environments", got=limit, allowed=f"up to {FIT_MOST}"
            )
        self.neighbours, self.min_dist, self.metric, self.seed, self.limit = neighbours, min_dist, metric, seed, limit
        self.fallback: PCA | None = None
        self.model: Any = None
        self.fitted: np.ndarray = np.zeros((0, 0), np.float32)
        self.places: dict[bytes, int] = {}

    def fit(self, values: np.ndarray, pca: PCA | None = None, run: Run | None = None) -> UMAP:
        """Fit to training environments (n, F); at most `limit` of them, chosen at random, with a notice."""
        pca = pca or PCA().fit([values])
        sampled = np.asarray(values[self.choose(len(values))], dtype=np.float64)
        first = _distinct(sampled)
        if len(first) < FEWEST:
            self.fallback = pca
            notice(
                "map-too-few",
                f"The training set has {len(first)} distinct environment{'s' * (len(first) != 1)}: too few for a UMAP "
                f"(at least {FEWEST}). The principal components are shown in its place.",
            )
            return self
        values = np.ascontiguousarray(sampled[first], dtype=np.float32)
        start = pca.transform(values)
        model = {"n_neighbors": self._neighbours(len(values)), "init": 10 * start / np.abs(start).max()}
        self.model = (run or _at_once)(lambda: self._trained(values, model))
        self.fitted = values
        self.places = {row.tobytes(): k for k, row in enumerate(values)}
        return self

    def transform(self, values: np.ndarray, run: Run | None = None) -> np.ndarray:
        """Environments (n, F) placed in the map: (n, 2) float64, 2,000 at a time."""
        if self.fallback is not None:
            return self.fallback.transform(values)
        out = np.zeros((len(values), 2))
        for start in range(0, len(values), TRANSFORM_ROWS):
            block = np.ascontiguousarray(values[start : start + TRANSFORM_ROWS], dtype=np.float32)
            work = functools.partial(self._placed, block)
            out[start : start + len(block)] = (run or _at_once)(work)
        return out

    def choose(self, count: int) -> np.ndarray:
        """Which of `count` training environments are fitted: all, or a seeded sample, with a notice."""
        if count <= self.limit:
            return np.arange(count)
        notice(
            "map-sample",
            f"The UMAP is fitted to {self.limit} of the {count} training environments, chosen at random "
            f"(seed {self.seed}); the others are placed in it.",
        )
        return np.sort(np.random.default_rng(self.seed).choice(count, self.limit, replace=False))

    def _neighbours(self, count: int) -> int:
        neighbours = min(self.neighbours, count - 1)
        if neighbours < self.neighbours:
            notice(
                "map-neighbours",
                f"The UMAP looks at {neighbours} neighbours of each environment instead of {self.neighbours}: the "
                f"training set has {count} distinct environments.",
            )
        return neighbours

    def _trained(self, values: np.ndarray, options: dict[str, Any]) -> Any:
        """umap-learn's model. It is handed the distances, since it would compute them pair by pair in Python."""
        seeds = {"random_state": self.seed, "transform_seed": self.seed, "n_jobs": 1}
        model = _umap()(min_dist=self.min_dist, metric="precomputed", **seeds, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # umap's hints on numba and sparse graphs help nobody here
            model.fit(self._distances(values, values))
        # 30 epochs to place new points, as umap-learn itself does for more than 10,000 of them
        return model.set_params(n_epochs=90)

    def _distances(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        from scipy.spatial.distance import cdist

        return cdist(a, b, {"manhattan": "cityblock"}.get(self.metric, self.metric)).astype(np.float32)

    def _placed(self, block: np.ndarray) -> np.ndarray:
        """Rows that were fitted keep their place; umap finds one for the others."""
        known = np.array([self.places.get(row.tobytes(), -1) for row in block])
        out = np.zeros((len(block), 2))
        out[known >= 0] = self.model.embedding_[known[known >= 0]]
        if (known < 0).any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out[known < 0] = self.model.transform(self._distances(block[known < 0], self.fitted))
        return out


def project(
    train: np.ndarray, others: Sequence[np.ndarray] = (), method: str = "umap", pca: PCA | None = None, **options: Any
) -> list[np.ndarray]:
    """Coordinates (n, 2) of the training environments (n, F), and of each of `others`, in a map fitted on the former.

    method: "pca", or "umap" with its options (neighbours, min_dist, metric, seed, limit).
    """
    if method not in ("pca", "umap"):
        raise InputError("There is no such map", got=method, allowed=("pca", "umap"))
    pca = pca or PCA().fit([train])
    fitted = pca if method == "pca" else UMAP(**options).fit(train, pca)
    return [fitted.transform(values) for values in (train, *others)]


def _at_once(work: Callable[[], Any]) -> Any:
    return work()


def _distinct(values: np.ndarray) -> np.ndarray:
    """Rows of the first of each group of near-duplicates: equal to 4 decimals of the spread."""
    spread = float(values.std(axis=0).max())
    if spread <= 1e-9 * float(np.abs(values).max(initial=0.0)):
        return np.array([0])
    _, first = np.unique(np.round((values - values.mean(0)) / spread, 4), axis=0, return_index=True)
    return np.sort(first)


def _umap() -> Any:
    """umap-learn's class; its import takes seconds and compiles, so it happens here and nowhere else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP as Model
    return Model
