"""Neighbour lists: vesin searches, this module puts the result in the order that every model relies on.

A bond is searched once and mirrored, so that both directions are always in the list, whatever the rounding; `reverse`
then pairs them. Arrays are numpy here; `build` makes tensors of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from vesin import NeighborList

from .errors import InputError

__all__ = ["Pairs", "SkinList", "pairs", "triplets"]


@dataclass(frozen=True)
class Pairs:
    """Directed pairs sorted by (i, j, shift): i, j, reverse (E,), shift (E, 3), all int64; vector d (E, 3) in Å."""

    i: np.ndarray
    j: np.ndarray
    shift: np.ndarray
    reverse: np.ndarray
    d: np.ndarray

    def within(self, cutoff: float, d: np.ndarray | None = None) -> Pairs:
        """Those with |d| < cutoff, exactly. `d` are newer vectors of the same pairs."""
        d = self.d if d is None else d
        return self._where(self._near(cutoff, d), d)

    def _near(self, cutoff: float, d: np.ndarray) -> np.ndarray:
        near = np.einsum("ij,ij->i", d, d) < cutoff * cutoff
        near &= near[self.reverse]  # one decision per bond: d and its mirror image may differ in the last bit
        return near

    def _where(self, near: np.ndarray, d: np.ndarray) -> Pairs:
        index = np.cumsum(near) - 1
        return Pairs(self.i[near], self.j[near], self.shift[near], index[self.reverse[near]], d[near])


def pairs(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> Pairs:
    """All pairs closer than `cutoff` (Å), with every periodic image, without the pair of an atom and itself at shift 0.

    positions (n, 3) Å; cell (3, 3) Å, rows of non-periodic directions may be zero; pbc (3,) bool.
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    pbc = np.asarray(pbc, dtype=bool)
    _check(positions, cell, pbc)
    box = cell if pbc.any() else np.zeros((3, 3))
    search = NeighborList(cutoff=float(cutoff), full_list=False, n_threads=1)
    i, j, shift = search.compute(positions, box, pbc, quantities="ijS")
    i, j, shift = i.astype(np.int64), j.astype(np.int64), shift.astype(np.int64)
    return _mirrored(i, j, shift, positions, cell).within(cutoff)


def _check(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> None:
    if not (np.isfinite(positions).all() and np.isfinite(cell).all()):
        raise InputError("A position or a cell vector is not a finite number", mend="Look for NaN in the structure")
    rows = cell[pbc]
    if len(rows) and np.linalg.matrix_rank(rows, tol=1e-9 * max(1.0, np.abs(rows).max())) < len(rows):
        raise InputError(
            "A direction is periodic whose cell vectors are missing or lie in one plane",
            got=f"pbc {pbc.tolist()} with cell {cell.round(6).tolist()}",
            mend="Give the cell vectors, or switch the periodicity of that direction off",
        )


def _mirrored(i, j, shift, positions, cell) -> Pairs:
    i, j = np.concatenate([i, j]), np.concatenate([j, i])
    shift = np.concatenate([shift, -shift])
    order = np.lexsort((shift[:, 2], shift[:, 1], shift[:, 0], j, i))
    i, j, shift = i[order], j[order], shift[order]
    mirrored = np.lexsort((-shift[:, 2], -shift[:, 1], -shift[:, 0], i, j))
    reverse = np.empty(len(i), dtype=np.int64)
    reverse[mirrored] = np.arange(len(i))
    return Pairs(i, j, shift, reverse, positions[j] + shift @ cell - positions[i])


def triplets(i: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ordered pairs (a, b), a != b, of edges with one centre, among those marked in `side` (E,) bool; sorted by a."""
    short = np.flatnonzero(side)
    centre = i[short]
    counts = np.bincount(centre, minlength=int(centre.max()) + 1 if len(centre) else 0)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if len(counts) else counts
    per_edge = counts[centre]
    a = np.repeat(np.arange(len(short)), per_edge)
    offset = np.arange(len(a)) - np.repeat(np.cumsum(per_edge) - per_edge, per_edge)
    b = first[centre[a]] + offset if len(a) else a
    keep = a != b
    return short[a[keep]], short[b[keep]]


class SkinList:
    """A list for moving atoms: searched with `cutoff + skin`, filtered to the cutoff at each step, searched again only
    when an atom has moved by more than half the skin, or the cell or the periodicity has changed."""

    def __init__(self, cutoff: float, skin: float = 0.5):
        self.cutoff, self.skin, self.searches = float(cutoff), float(skin), 0
        self._state: tuple | None = None
        self._last: tuple[np.ndarray, Pairs] | None = None

    def __call__(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> Pairs:
        """Pairs closer than the cutoff at these positions; the arrays of the call before where the pairs are its."""
        if self._stale(positions, cell, pbc):
            wide = pairs(positions, cell, pbc, self.cutoff + self.skin)
            self._state = positions.copy(), cell.copy(), np.array(pbc), wide, wide.shift @ cell
            self._last = None
            self.searches += 1
        _, _, _, wide, offset = self._state  # type: ignore[misc]
        d = positions[wide.j] + offset - positions[wide.i]
        near = wide._near(self.cutoff, d)
        if self._last is not None and np.array_equal(near, self._last[0]):
            return replace(self._last[1], d=d[near])
        self._last = near, wide._where(near, d)
        return self._last[1]

    def _stale(self, positions, cell, pbc) -> bool:
        if self._state is None:
            return True
        old, old_cell, old_pbc, *_ = self._state
        if old.shape != positions.shape or not np.array_equal(old_pbc, pbc) or not np.array_equal(old_cell, cell):
            return True
        moved = positions - old
        # `not <=` so that a NaN searches again, and is then refused in words
        return not (np.einsum("ij,ij->i", moved, moved).max(initial=0.0) <= (0.5 * self.skin) ** 2)
