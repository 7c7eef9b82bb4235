"""Messages along edges: the trilinear form of radial weights, harmonics and features, with both derivatives."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.convolution import edge_convolution as reference
from .arrays import copies, flat, real, sorted_rows
from .compiled import library, template
from .simd import width
from .threads import over_rows, shares

Paths = Sequence[tuple[int, int, int]]


@dataclass(frozen=True)
class Degree:
    """The paths of one l3: tables as `loops/convolution.py` takes them."""

    l3: int
    paths: np.ndarray
    places: np.ndarray
    values: np.ndarray
    size: int

    @property
    def tables(self) -> tuple:
        return self.paths, self.places, self.values, self.size


def _degree(l3: int, paths: Paths, couplings: Sequence[Tensor], dtype: str) -> Degree:
    rows, places, values, turned, size = [], [], [], [], 0
    for column, (l1, l2, mine) in enumerate(paths):
        if mine != l3:
            continue
        d1, d2, d3 = 2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1
        matrix = np.eye(d3) if l1 == 0 else couplings[column].detach().numpy()
        c = matrix.reshape(d3, d2, d1)
        rows.append((column, l1 * l1, d1, size))
        for m3, m2, m1 in np.argwhere(c).tolist():
            places.append((size + m1 * d3 + m3, l2 * l2 + m2))
            values.append(c[m3, m2, m1])
            turned.append((-1) ** l2 * c[m3, m2, m1])
        size += d1 * d3
    return Degree(l3, np.array(rows), np.array(places), np.array(values + turned, dtype), size)


_degrees: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def degrees(paths: Paths, couplings: Sequence[Tensor], dtype: str) -> list[Degree]:
    """The tables of all l3; kept as long as the couplings are."""
    kept = _degrees.setdefault(couplings[-1], {})
    key = (dtype, tuple(paths), tuple(id(c) for c in couplings))
    if key not in kept:
        top = max(l3 for _, _, l3 in paths)
        kept[key] = [_degree(l3, paths, couplings, dtype) for l3 in range(top + 1)]
    return kept[key]


@functools.cache
def _loops(dtype: str, wide: int, l3: int) -> str:
    return template("convolution", {"M": 2 * l3 + 1}, REAL=dtype, WIDTH=wide, D3=2 * l3 + 1)


def loops(channels: int, dtype: str, l3: int) -> ModuleType | None:
    """The compiled loops for results of degree l3; None while there are none."""
    wide = width(channels, dtype)
    return library(f"convolution{l3}_{dtype}_{wide}", _loops(dtype, wide, l3))


class Convolution(Rule):
    """x: radial (H, P, K), harmonics (H, M2), features (A, M1, K)."""

    def __init__(self, code: Sequence[ModuleType], kinds: Sequence[Degree], edges: tuple[Tensor, ...], given: tuple):
        self.code, self.kinds, self.edges, self.given = code, kinds, edges, given

    def _start(self, x) -> None:
        radial, harmonics, features = x
        self.atoms, m1s, self.channels = features.shape
        i, j, pair, against = self.edges
        self.first, _ = sorted_rows(i, self.atoms)
        self.where = (self.first, j.numpy(), pair.numpy(), against.numpy())
        most = int(np.diff(self.first).max()) if self.atoms else 0
        self.sizes = (radial.shape[1], m1s, harmonics.shape[1], self.channels, most)
        self.work = 4 * len(i) * radial.shape[1] * self.channels

    def forward(self, x):
        self._start(x)
        out = []
        for code, kind in zip(self.code, self.kinds):
            y = x[0].new_empty(self.atoms, 2 * kind.l3 + 1, len(kind.paths) * self.channels)
            arrays = (*map(flat, x), *kind.tables, *self.sizes, flat(y))
            over_rows(code.forward, self.atoms, *self.where, *arrays, work=self.work, ends=self.first)
            out.append(y)
        return tuple(out)

    def backward(self, g, x, wanted):
        to_x = wanted[2]
        parts = _Parts(self, x, to_x)
        for code, kind, gy in zip(self.code, self.kinds, g):
            arrays = (flat(gy), *map(flat, x), *kind.tables, *self.sizes, parts.apart, self.atoms, to_x, *parts.arrays)
            over_rows(code.backward, parts.many, parts.cuts, *self.where, *arrays, work=self.work)
        return parts.sums()

    def double(self, v, g, x, wanted):
        v = tuple(torch.zeros_like(t) if part is None else part for part, t in zip(v, x))
        parts, out = _Parts(self, x), []
        for code, kind, gy in zip(self.code, self.kinds, g):
            dg = torch.empty_like(gy)
            arrays = (*map(flat, v), flat(gy), *map(flat, x), *kind.tables, *self.sizes, parts.apart, self.atoms)
            over_rows(
                code.double, parts.many, parts.cuts, *self.where, *arrays, flat(dg), *parts.arrays, work=self.work
            )
            out.append(dg)
        return tuple(out), parts.sums()

    def reference(self, *x):
        return reference.__wrapped__(*x, *self.edges, *self.given)


class _Parts:
    """Room for gradients of radial weights, harmonics and features that several threads write at once."""

    def __init__(self, rule: Convolution, x: tuple[Tensor, ...], to_x: bool = True):
        radial, harmonics, features = x
        cuts = shares(rule.atoms, rule.work, rule.first)
        self.many, self.cuts, self.to_x = len(cuts) - 1, np.array(cuts), to_x
        self.apart = len(radial) if self.many > 1 else 0
        ways = 2 if self.apart else 1
        self.radial = radial.new_empty((ways, *radial.shape))
        self.harmonics = copies(harmonics, ways)
        self.features = copies(features, self.many) if to_x else features.new_empty(0)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return flat(self.radial), flat(self.harmonics), flat(self.features)

    def sums(self) -> tuple[Tensor | None, ...]:
        radial, harmonics = (t[0].add_(t[1]) if self.apart else t[0] for t in (self.radial, self.harmonics))
        if not self.to_x:
            return radial, harmonics, None
        return radial, harmonics, self.features[0] if self.many == 1 else self.features.sum(0)


@implements("numba", "edge_convolution")
def edge_convolution(
    radial: Tensor,
    harmonics: Tensor,
    features: Tensor,
    i: Tensor,
    j: Tensor,
    pair: Tensor,
    against: Tensor,
    paths: Paths,
    couplings: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    dtype = real(radial)
    if dtype is None or len(i) == 0 or radial.shape[2] == 0:
        return NotImplemented
    kinds = degrees(paths, couplings, dtype)
    code = [loops(radial.shape[2], dtype, kind.l3) for kind in kinds]
    if any(module is None for module in code):
        return NotImplemented
    rule = Convolution(code, kinds, (i, j, pair, against), (paths, couplings))
    return apply(rule, radial, harmonics, features)
