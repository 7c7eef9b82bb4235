"""What a similarity search found: arrays for plots, a table for people, JSON for files."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Report", "Threshold"]

LEAST_KNOWN = 10


@dataclass(frozen=True)
class Threshold:
    """Below `value` an environment counts as unknown: the 1st percentile of the training environments' own best
    similarity to other training structures. NaN where there are none.

    used: how many environments it comes from, of `total`; rows: those that were searched, own: what was found for them.
    """

    value: float
    used: int
    total: int
    rows: np.ndarray = field(repr=False, compare=False)
    own: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "none (no training environment has one of its element in another training structure)"
        share = "all" if self.used == self.total else f"{self.used} of"
        return (
            f"{self.value:.6f} (1st percentile of the best similarity of {share} {self.total} training environments "
            "to other training structures)"
        )


@dataclass(frozen=True)
class Report:
    """Similarity of N test atoms in T test structures to a training set.

    number, frame, atom (N,): atomic number, test structure, index in it. similarity (N,): highest cosine to a training
    environment of the same element; nearest_* (N, 5): structure, index (-1 = none) and cosine of the five nearest.
    stratified (T,): `similarity` averaged over the atoms of each element of T, then over its elements.
    closest_* (T, k): the closest training structures (-1 = none) by the paper's structure-to-structure formula, with
    its element-stratified and plain mean; closest_elements (T, k, E): the mean over the atoms of each element of
    `closest_numbers` (E,). training: how many training structures have exactly, at least, or only these elements.
    """

    elements: str
    match: str
    number: np.ndarray
    frame: np.ndarray
    atom: np.ndarray
    similarity: np.ndarray
    nearest_frame: np.ndarray
    nearest_atom: np.ndarray
    nearest_similarity: np.ndarray
    stratified: np.ndarray
    closest_frame: np.ndarray
    closest_stratified: np.ndarray
    closest_plain: np.ndarray
    closest_elements: np.ndarray
    closest_numbers: np.ndarray
    threshold: Threshold
    training: list[dict[str, Any]]

    @staticmethod
    def symbols(numbers: Any) -> list[str]:
        """Chemical symbols of atomic numbers."""
        from ase.data import chemical_symbols

        return [chemical_symbols[int(z)] for z in numbers]

    @property
    def unknown(self) -> np.ndarray:
        """(N,) bool: similarity below the threshold, or no training environment of that element at all."""
        below = np.zeros(len(self.similarity), bool)
        if not math.isnan(self.threshold.value):
            below = self.similarity < self.threshold.value
        return below | (self.nearest_frame[:, 0] < 0)

    @property
    def structures(self) -> np.ndarray:
        """(T,): the number of each test structure in its set."""
        return np.unique(self.frame)

    @property
    def by_element(self) -> dict[str, float]:
        """Mean similarity over all test atoms of each element."""
        numbers = np.unique(self.number)
        return {s: float(self.similarity[self.number == z].mean()) for s, z in zip(self.symbols(numbers), numbers)}

    @property
    def overall(self) -> float:
        """Element-stratified similarity of the whole test set: the mean of `by_element`."""
        return float(np.mean(list(self.by_element.values())))

    def per_structure(self, values: np.ndarray | None = None) -> list[np.ndarray]:
        """Per-atom values (N, ...), by default the similarity, as one array per test structure."""
        values = self.similarity if values is None else values
        return np.split(values, np.flatnonzero(np.diff(self.frame)) + 1)

    def row(self, index: int) -> dict[str, Any]:
        """One atom in JSON data: where it is, how similar, and its nearest training environments."""
        near = zip(self.nearest_frame[index], self.nearest_atom[index], self.nearest_similarity[index])
        return {
            "frame": int(self.frame[index]),
            "atom": int(self.atom[index]),
            "element": self.symbols([self.number[index]])[0],
            "similarity": float(self.similarity[index]),
            "unknown": bool(self.unknown[index]),
            "nearest": [{"frame": int(f), "atom": int(a), "similarity": float(s)} for f, a, s in near if f >= 0],
        }

    def least_known(self, count: int = LEAST_KNOWN) -> list[dict[str, Any]]:
        """The test atoms with the lowest similarity, lowest first."""
        order = np.argsort(self.similarity, kind="stable")[:count]
        return [self.row(int(i)) for i in order]

    def closest(self, structure: int) -> list[dict[str, Any]]:
        """The training structures closest to a test structure, closest first."""
        out = []
        for n, frame in enumerate(self.closest_frame[structure]):
            if frame < 0:
                break
            means = zip(self.symbols(self.closest_numbers), self.closest_elements[structure, n])
            out.append(
                {
                    "frame": int(frame),
                    "stratified": float(self.closest_stratified[structure, n]),
                    "plain": float(self.closest_plain[structure, n]),
                    "elements": {s: float(m) for s, m in means if not math.isnan(m)},
                }
            )
        return out

    def summary(self) -> dict[str, Any]:
        """The report as plain JSON data, without the arrays of all atoms."""
        value = self.threshold.value
        return {
            "structures": len(self.stratified),
            "atoms": len(self.number),
            "filter": self.elements,
            "match": self.match,
            "similarity": self.overall,
            "by_element": self.by_element,
            "threshold": None if math.isnan(value) else value,
            "threshold_from": {"environments": self.threshold.used, "of": self.threshold.total},
            "unknown": int(self.unknown.sum()),
            "least_known": self.least_known(),
            "training": self.training,
        }

    def __str__(self) -> str:
        return "\n".join([*self._head(), "", *self._elements(), "", *self._least(), "", *self._structures()])

    def _head(self) -> list[str]:
        unknown, atoms = int(self.unknown.sum()), len(self.number)
        lines = [
            f"Element-stratified similarity {self.overall:.6f} ({atoms} atoms in {len(self.stratified)} structures; "
            f"filter '{self.elements}')",
            f"Unknown below {self.threshold}",
            f"Unknown atoms: {unknown} of {atoms} ({100 * unknown / atoms:.1f} %)",
        ]
        for t in self.training[:3]:
            lines.append(
                f"Training structures with exactly {'-'.join(t['elements'])}: {t['exactly']}; "
                f"with at least these: {t['at_least']}; with only these: {t['only']}"
            )
        return lines

    def _elements(self) -> list[str]:
        lines = [f"{'element':8}{'atoms':>8}{'mean':>11}{'lowest':>11}{'unknown':>9}"]
        for symbol, z in zip(self.by_element, np.unique(self.number)):
            mine = self.number == z
            s, unknown = self.similarity[mine], int(self.unknown[mine].sum())
            lines.append(f"{symbol:8}{mine.sum():8d}{s.mean():11.6f}{s.min():11.6f}{unknown:9d}")
        return lines

    def _least(self) -> list[str]:
        lines = [
            "Least known atoms",
            f"{'structure':>9}{'atom':>6} {'':3}{'similarity':>11}   nearest (structure:atom)",
        ]
        for r in self.least_known():
            near = ", ".join(f"{n['frame']}:{n['atom']}" for n in r["nearest"]) or "none"
            mark = "  unknown" if r["unknown"] else ""
            lines.append(f"{r['frame']:9d}{r['atom']:6d} {r['element']:3}{r['similarity']:11.6f}   {near}{mark}")
        return lines

    def _structures(self) -> list[str]:
        lines = [
            "Test structures, least similar first",
            f"{'structure':>9}{'similarity':>12}   closest training structure (stratified, plain)",
        ]
        for t in np.argsort(self.stratified, kind="stable")[:5]:
            best = self.closest(int(t))[:1]
            text = "".join(f"{c['frame']} ({c['stratified']:.6f}, {c['plain']:.6f})" for c in best) or "none"
            lines.append(f"{self.structures[t]:9d}{self.stratified[t]:12.6f}   {text}")
        return lines
