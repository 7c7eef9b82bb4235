"""Which structures to take: farthest-point sampling, each next one as unlike all chosen before as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, notice
from .descriptors import describe
from .environments import Environments

if TYPE_CHECKING:
    from ase import Atoms

    from ..potential import Potential

__all__ = ["averages", "farthest_points", "farthest_structures"]

ROWS = 65536
METRICS = ("euclidean", "cosine")
Check = Callable[[int, int], None]


def farthest_structures(
    model: Potential | str | Path,
    pool: Sequence[Atoms] | Any,
    count: int,
    known: Sequence[Atoms] | Any | None = None,
    metric: str = "euclidean",
    each: Check | None = None,
) -> np.ndarray:
    """Indices (count,) of structures of the pool, in the order in which they are taken.

    Farthest points of the atom-averaged descriptors (as MACE-MP-0's arsenic set). known: structures that are
    there already, such as the training set: the choice then begins with what is least like them. Fewer are returned,
    with a notice, where the rest of the pool repeats what was taken.
    """
    there = None if known is None else averages(describe(model, known))
    order, _ = farthest_points(averages(describe(model, pool)), count, there, metric, each)
    return order


def averages(environments: Environments) -> np.ndarray:
    """Mean descriptor (S, F) of each structure, float64; one structure is read at a time."""
    return np.stack([np.mean(values, axis=0, dtype=np.float64) for values in environments.frames()])


def farthest_points(
    values: np.ndarray,
    count: int,
    known: np.ndarray | None = None,
    metric: str = "euclidean",
    each: Check | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(order, distance): rows of `values` (n, F) in the order taken, and the distance of each to all taken before.

    Without `known` (m, F) the first is the row farthest from the mean: nothing is random. `values` may be mapped from
    disk: it is read in blocks, once for each choice, and only one distance per row is held. The distances fall,
    and the k-th of them bounds how far any row is from the first k.
    """
    if metric not in METRICS:
        raise InputError("There is no such distance", got=metric, allowed=METRICS)
    if count < 1 or values.ndim != 2 or not len(values):
        raise InputError("At least one row must be there, and be asked for", got=f"{count} of {values.shape}")
    nearest = np.full(len(values), np.inf)
    if known is not None:
        for point in known:
            _closer(nearest, values, point, metric)
        start = int(np.argmax(nearest))
    else:
        start = _outermost(values, metric)
    order, distance = [], []
    while len(order) < min(count, len(values)):
        row = start if not order else int(np.argmax(nearest))
        if (order or known is not None) and nearest[row] <= _resolution(values[row]):
            break
        order.append(row)
        distance.append(nearest[row])
        _closer(nearest, values, values[row], metric)
        if each is not None:
            each(len(order), count)
    if len(order) < count:
        notice("select-few", f"{len(order)} of the {count} wanted were taken: the rest repeats what is there.")
    return np.array(order, dtype=np.int64), np.array(distance)


def _outermost(values: np.ndarray, metric: str) -> int:
    mean = sum((block.sum(0) for _, block in _blocks(values, metric)), np.zeros(values.shape[1])) / len(values)
    far = np.concatenate([np.linalg.norm(block - mean, axis=1) for _, block in _blocks(values, metric)])
    return int(np.argmax(far))


def _closer(nearest: np.ndarray, values: np.ndarray, point: np.ndarray, metric: str) -> None:
    """nearest = min(nearest, distance to the point), in place."""
    ((_, row),) = _blocks(np.asarray(point)[None], metric)
    for start, block in _blocks(values, metric):
        part = nearest[start : start + len(block)]
        np.minimum(part, np.linalg.norm(block - row[0], axis=1), out=part)


def _blocks(values: np.ndarray, metric: str) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of rows in float64; of length 1 for 'cosine': then |a - b|² = 2 (1 - cos), which orders alike."""
    for start in range(0, len(values), ROWS):
        block = np.asarray(values[start : start + ROWS], dtype=np.float64)
        if metric == "cosine":
            norm = np.linalg.norm(block, axis=1, keepdims=True)
            block = block / np.where(norm > 0, norm, 1.0)
        yield start, block


def _resolution(row: np.ndarray) -> float:
    """Below this two rows differ by the rounding of float32 only."""
    return 1e-6 * max(float(np.linalg.norm(row)), 1e-300)
