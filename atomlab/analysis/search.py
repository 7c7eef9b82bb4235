"""Exact cosine search in blocks: the nearest environments of each atom, and the closest structures of each structure.

Memory is bounded by the block sizes, whatever the sizes of the sets. No index: a million environments of 256 numbers
are searched in 80 ms a query, and nothing is lost. A descriptor of zeros (an atom without neighbours) has no direction:
its similarity is 1 to another such descriptor and 0 to all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .environments import Environments

__all__ = ["Closest", "Filter", "Nearest", "closest", "nearest"]

QUERIES, KEYS, PANEL = 1024, 8192, 65536
NOTHING = -2.0  # below every cosine
Each = Callable[[int, int], None]


@dataclass(frozen=True)
class Filter:
    """Which structures of the searched set a structure is compared with, by their elements.

    'all': every one. 'inclusive': those that contain all elements of the structure, others allowed. 'exclusive': those
    that contain no other elements than the structure (the same set or a subset of it).
    """

    mode: str
    group: np.ndarray  # (structures of the queries,) index into `sets`
    sets: np.ndarray  # (groups, 119) bool: elements of the queries' structures
    keys: np.ndarray  # (structures searched, 119) bool

    @classmethod
    def of(cls, mode: str, queries: Environments, keys: Environments) -> Filter:
        """For the structures of two sets."""
        mine, theirs = elements_of(queries), elements_of(keys)
        if mode == "all":
            return cls(mode, np.zeros(len(mine), np.int64), np.zeros((1, 119), bool), theirs)
        sets, group = np.unique(mine, axis=0, return_inverse=True)
        return cls(mode, group.reshape(-1), sets, theirs)

    def allows(self, group: int) -> np.ndarray:
        """(structures searched,) bool: which of them structures of this group are compared with."""
        mine = self.sets[group]
        if self.mode == "inclusive":
            return (self.keys | ~mine).all(1)
        if self.mode == "exclusive":
            return (~self.keys | mine).all(1)
        return np.ones(len(self.keys), bool)


def elements_of(environments: Environments) -> np.ndarray:
    """(structures, 119) bool: which elements each structure contains, by atomic number."""
    out = np.zeros((environments.structures, 119), bool)
    out[environments.frame, environments.number] = True
    return out


@dataclass
class Nearest:
    """similarity (n, k) float64, falling along k; row (n, k) of the environment in the searched set, -1 for none."""

    similarity: np.ndarray
    row: np.ndarray


def nearest(
    queries: Environments, keys: Environments, k: int, allowed: Filter, others: bool = False, each: Each | None = None
) -> Nearest:
    """The k environments of `keys` most similar to each of `queries`, of the same element, in the allowed structures.

    others=True leaves out the structure of the query itself (the two sets must be numbered alike). Found in the
    floating type of the descriptors; the values of those found are then computed in float64.
    """
    n = len(queries)
    out = Nearest(np.zeros((n, k)), np.full((n, k), -1, np.int64))
    masks = [allowed.allows(g) for g in range(len(allowed.sets))]
    group = allowed.group[queries.frame]
    for a, b in _ranges(n, PANEL):
        q = _unit(queries.read(a, b))
        value = torch.full((b - a, k), NOTHING, dtype=q.dtype)
        row = torch.full((b - a, k), -1, dtype=torch.int64)
        for c, d in _ranges(len(keys), KEYS):
            x = _unit(keys.read(c, d))
            for mine, theirs in _pairs(queries.number[a:b], group[a:b], keys.number[c:d], keys.frame[c:d], masks):
                own = (queries.frame[a:b][mine], keys.frame[c:d][theirs]) if others else None
                _merge(value, row, q, x, mine, theirs, c, own)
            if each is not None:
                each(a * len(keys) + (b - a) * d, n * len(keys))
        out.row[a:b] = torch.where(value > NOTHING / 2, row, -1).numpy()
    _refine(out, queries, keys)
    return out


def _pairs(
    number: np.ndarray, group: np.ndarray, their_number: np.ndarray, their_frame: np.ndarray, masks: list[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of queries and rows of keys that may be compared: the same element, an allowed structure."""
    for z in np.intersect1d(number, their_number):
        of_element = their_number == z
        for g in np.unique(group[number == z]):
            theirs = np.flatnonzero(of_element & masks[g][their_frame])
            if len(theirs):
                yield np.flatnonzero((number == z) & (group == g)), theirs


def _merge(
    value: Tensor,
    row: Tensor,
    q: Tensor,
    x: Tensor,
    mine: np.ndarray,
    theirs: np.ndarray,
    first: int,
    own: tuple[np.ndarray, np.ndarray] | None,
) -> None:
    """Update the best (value, row) of the queries `mine` with the keys `theirs`; x[0] is the row `first` of the set."""
    k = value.shape[1]
    columns = torch.from_numpy(theirs)
    x = x if len(theirs) == len(x) else x[columns]
    for a, b in _ranges(len(mine), QUERIES):
        rows = torch.from_numpy(mine[a:b])
        s = q[rows] @ x.T
        if own is not None:
            s[torch.from_numpy(own[0][a:b, None] == own[1][None, :])] = NOTHING
        best, index = s.topk(min(k, len(theirs)), dim=1)
        both = torch.cat([value[rows], best], 1)
        found = torch.cat([row[rows], columns[index] + first], 1)
        value[rows], order = both.topk(k, dim=1)
        row[rows] = found.gather(1, order)


def _refine(out: Nearest, queries: Environments, keys: Environments) -> None:
    """Similarities of what was found, in float64, and in falling order (the first row of the set at a tie)."""
    k = out.row.shape[1]
    for a, b in _ranges(len(queries), QUERIES):
        rows = out.row[a:b]
        if not len(keys):
            continue
        q = _unit(queries.read(a, b).astype(np.float64))
        x = _unit(keys.take(rows.clip(0).reshape(-1)).astype(np.float64)).reshape(b - a, k, -1)
        s = torch.einsum("af,akf->ak", q, x).clamp(-1.0, 1.0).numpy()
        s[rows < 0] = NOTHING
        order = np.lexsort((rows, -s), axis=1)
        s, rows = np.take_along_axis(s, order, 1), np.take_along_axis(rows, order, 1)
        out.similarity[a:b], out.row[a:b] = np.where(rows < 0, 0.0, s), rows


@dataclass
class Closest:
    """For each structure T, the k closest structures S: frame (T, k), -1 for none; stratified and plain (T, k) float64;
    elements (T, k, E): mean best match of T's atoms of each element in `numbers` (E,), NaN where T has none."""

    frame: np.ndarray
    stratified: np.ndarray
    plain: np.ndarray
    elements: np.ndarray
    numbers: np.ndarray


def closest(
    queries: Environments, keys: Environments, k: int, allowed: Filter, same: bool = False, each: Each | None = None
) -> Closest:
    """The k allowed structures with the highest element-stratified similarity to each structure (MACE-MP-0 paper, C.4).

    Each atom a of T is given k_a = max over the atoms b of S of cos(d_a, d_b); these are averaged over the atoms of
    each element of T, and then over its elements. same=True compares atoms of one element only (0 where S lacks it).
    """
    count, numbers = queries.structures, np.unique(queries.number)
    frame = np.full((count, k), -1, np.int64)
    first = keys.first
    masks = torch.from_numpy(np.stack([allowed.allows(g) for g in range(len(allowed.sets))]))
    for a, b in queries.blocks(QUERIES):
        q, weights = _unit(queries.read(a, b)), _weights(queries, a, b)
        t0, t1 = int(queries.frame[a]), int(queries.frame[b - 1]) + 1
        value, found = torch.full((t1 - t0, k), NOTHING, dtype=q.dtype), torch.full((t1 - t0, k), -1)
        for c, d in keys.blocks(KEYS):
            s0, s1 = int(keys.frame[c]), int(keys.frame[d - 1]) + 1
            x = _unit(keys.read(c, d))
            best = _best(q, x, queries.number[a:b], keys.number[c:d], first[s0 : s1 + 1] - c, same)
            score = weights.to(q.dtype).T @ best.T
            score[~masks[:, s0:s1][torch.from_numpy(allowed.group[t0:t1])]] = NOTHING
            both = torch.cat([value, score], 1)
            where = torch.cat([found, torch.arange(s0, s1).expand(t1 - t0, -1)], 1)
            value, order = both.topk(k, dim=1)
            found = where.gather(1, order)
            if each is not None:
                each(a * len(keys) + (b - a) * d, len(queries) * len(keys))
        frame[t0:t1] = torch.where(value > NOTHING / 2, found, -1).numpy()
    return _detailed(queries, keys, frame, numbers, same)


def _weights(queries: Environments, a: int, b: int) -> Tensor:
    """(atoms, structures) float64: a column times the atoms' values is the structure's element-stratified average."""
    frame, number = queries.frame[a:b] - queries.frame[a], queries.number[a:b]
    pair, index, count = np.unique(np.stack([frame, number]), axis=1, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    elements = np.bincount(pair[0], minlength=frame[-1] + 1)
    weights = np.zeros((b - a, frame[-1] + 1))
    weights[np.arange(b - a), frame] = 1.0 / (count[index] * elements[frame])
    return torch.from_numpy(weights)


def _best(q: Tensor, x: Tensor, number: np.ndarray, their_number: np.ndarray, first: np.ndarray, same: bool) -> Tensor:
    """(structures, atoms): the best match of each atom in each structure, whose rows of x start at `first`."""
    out = torch.empty((len(first) - 1, len(q)), dtype=q.dtype)
    structure = np.repeat(np.arange(len(first) - 1), np.diff(first))
    for z in np.unique(number) if same else [None]:
        mine = np.arange(len(q)) if z is None else np.flatnonzero(number == z)
        theirs = np.arange(len(x)) if z is None else np.flatnonzero(their_number == z)
        part = torch.full((len(first) - 1, len(mine)), NOTHING, dtype=q.dtype)
        for c, d in _ranges(len(theirs), KEYS):
            rows = theirs[c:d]
            starts = np.flatnonzero(np.diff(structure[rows], prepend=-1, append=len(first)))
            for a, b in _ranges(len(mine), QUERIES):
                s = x[torch.from_numpy(rows)] @ q[torch.from_numpy(mine[a:b])].T
                for lo, hi in pairwise(starts):
                    at = structure[rows[lo]]
                    part[at, a:b] = torch.maximum(part[at, a:b], s[lo:hi].amax(0))
        if z is not None:
            part[part < NOTHING / 2] = 0.0
        out[:, torch.from_numpy(mine)] = part
    return out


def _detailed(queries: Environments, keys: Environments, frame: np.ndarray, numbers: np.ndarray, same: bool) -> Closest:
    """The averages of the structures found, in float64, in falling order."""
    shape = frame.shape
    out = Closest(frame, np.zeros(shape), np.zeros(shape), np.full((*shape, len(numbers)), np.nan), numbers)
    mine, theirs = queries.first, keys.first
    for t in range(shape[0]):
        a, b = mine[t], mine[t + 1]
        q, z = _unit(queries.read(a, b).astype(np.float64)), queries.number[a:b]
        for n in np.flatnonzero(frame[t] >= 0):
            c, e = theirs[frame[t, n]], theirs[frame[t, n] + 1]
            x = _unit(keys.read(c, e).astype(np.float64))
            best = _best(q, x, z, keys.number[c:e], np.array([0, e - c]), same)[0].clamp(-1.0, 1.0).numpy()
            means = [best[z == element].mean() if (z == element).any() else np.nan for element in numbers]
            out.elements[t, n] = means
            out.stratified[t, n], out.plain[t, n] = np.nanmean(means), best.mean()
        order = np.lexsort((frame[t], -np.where(frame[t] < 0, NOTHING, out.stratified[t])))
        for array in (out.frame, out.stratified, out.plain, out.elements):
            array[t] = array[t][order]
    return out


def _unit(values: np.ndarray) -> Tensor:
    """Rows of length 1, with one more column that is 1 for rows of zeros and 0 for all others."""
    x = torch.from_numpy(np.ascontiguousarray(values))
    norm = x.norm(dim=1, keepdim=True)
    empty = norm == 0
    return torch.cat([x / norm.masked_fill(empty, 1.0), empty.to(x.dtype)], 1)


def _ranges(n: int, step: int) -> Iterator[tuple[int, int]]:
    for a in range(0, n, step):
        yield a, min(a + step, n)
