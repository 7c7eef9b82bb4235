"""Close pairs without a neighbour-list library: `neighbours` loads torch (through vesin), and the Lab's process must
not."""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from scipy.spatial import cKDTree

__all__ = ["close_pairs", "nearest_pair"]


def close_pairs(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms i, j and distances (P,) in Å of all pairs within `cutoff`, images included; each bond in both
    directions."""
    points, owner = _images(atoms, cutoff)
    inside = cKDTree(points[: len(atoms)])
    near = inside.sparse_distance_matrix(cKDTree(points), cutoff, output_type="ndarray")
    near = near[near["i"] != near["j"]]
    return near["i"], owner[near["j"]], near["v"]


def nearest_pair(atoms: Atoms) -> tuple[float, int, int]:
    """(distance in Å, atom, atom) of the closest pair; infinite where no two are within 12 Å."""
    for cutoff in (2.6, 5.0, 12.0):
        points, owner = _images(atoms, cutoff)
        if len(points) < 2:
            continue
        distance, index = cKDTree(points).query(points[: len(atoms)], k=2, distance_upper_bound=cutoff)
        k = int(np.argmin(distance[:, 1]))
        if np.isfinite(distance[k, 1]):
            # of two atoms at one place either may come first
            other = int(index[k, 1]) if index[k, 1] != k else int(index[k, 0])
            return float(distance[k, 1]), k, int(owner[other])
    return float("inf"), 0, 0


def _images(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """The atoms, wrapped into the cell, and then their images within `cutoff` of it; and whose image each is."""
    n, pbc = len(atoms), np.asarray(atoms.pbc)
    own = np.arange(n)
    if not pbc.any():
        return atoms.positions, own
    cell = atoms.cell.complete().array
    fractional = atoms.positions @ np.linalg.inv(cell)
    fractional[:, pbc] %= 1.0
    # distance between the faces of the cell: 1 / length of the reciprocal vector
    margin = cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0)
    steps = [range(-int(np.ceil(m)), int(np.ceil(m)) + 1) if p else (0,) for m, p in zip(margin, pbc)]
    points, owner = [fractional], [own]
    for shift in itertools.product(*steps):
        if any(shift):
            moved = fractional + shift
            near = (((moved > -margin) & (moved < 1.0 + margin)) | ~pbc).all(axis=1)
            points.append(moved[near])
            owner.append(own[near])
    return np.concatenate(points) @ cell, np.concatenate(owner)
