"""A layer of GPTFF, three-body message, edge update and convolution, as one compiled loop over the atoms.

A part of a pass without autograd (`chain.Chain`): what comes between its matrix products stays in the cache, and Python
is entered four times per layer.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule
from . import layers, products
from .arrays import flat, sorted_rows
from .compiled import library
from .exponential import STAMP
from .simd import width
from .space import Space
from .threads import over_rows

__all__ = ["BondsAndTriplets", "Lists", "Weights", "loops"]


@functools.cache
def _text(dtype: str, both: int, narrow: int) -> str:
    wide = width(both, dtype)
    text = products.behind(layers.text(dtype, both, wide), "triplets", WIDTH=wide, STAMP=STAMP)
    text = products.behind(text, "segments", REAL=dtype, WIDTH=wide)
    return products.behind(text, "bonds_and_triplets", NARROW=narrow)


def loops(dtype: str, nodes: int, edges: int, radial: int) -> ModuleType | None:
    """The compiled loops for that many features of atoms and edges, and radial functions; None while there are none,
    or for odd numbers."""
    both = math.gcd(nodes, edges)
    panel = products.panel(both, dtype)[0]
    if panel < products.LEAST:
        return None
    narrow = width(radial, dtype)
    return library(f"bonds_and_triplets_{dtype}_{panel}_{width(both, dtype)}_{narrow}", _text(dtype, both, narrow))


class Lists:
    """Edges (i, j), sorted by i, and triplets (a, b) of edges, sorted by a, as the loops take them.

    by_atom: where the edges, sides and triplets of each atom begin; triplet: the sides' edges, a and b in numbers of
    sides; ends: for edges and for sides, rows of each atom as i and as j.
    """

    def __init__(self, i: Tensor, j: Tensor, a: Tensor, b: Tensor, atoms: int):
        i_, j_, a_, b_ = (flat(t.contiguous()) for t in (i, j, a, b))
        # every side of a triplet is the first one of another triplet, and they are sorted by it
        new = np.ones(len(a_), bool)
        new[1:] = a_[1:] != a_[:-1]
        short = a_[new]
        place = np.zeros(len(i_), np.int64)
        place[short] = np.arange(len(short))
        self.atoms, self.edges, self.sides, self.triplets = atoms, len(i_), len(short), len(a_)
        first = np.searchsorted(i_, np.arange(atoms + 1))
        first_side = np.searchsorted(short, first)
        first_triplet = np.searchsorted(a_, first)
        self.by_atom = first, first_side, first_triplet
        side_i, side_j = i_[short], j_[short]
        self.i, self.j, self.triplet = i_, j_, (short, place[a_], place[b_])
        self.all = *self.by_atom, i_, j_, side_i, side_j, *self.triplet
        straight = np.arange(len(i_))
        of_edges, of_sides = (sorted_rows(torch.from_numpy(x), atoms) for x in (j_, side_j))
        self.ends = (first, straight, *of_edges), (first_side, straight, *of_sides)


@dataclass
class Weights:
    """Flat arrays in the order of the loops: `forth` with biases, `back` the matrices transposed; atoms: the matrices
    on atoms (n, ...) of three-body message, edge update and convolution, and the same transposed."""

    nodes: int
    edges: int
    radial: int
    forth: tuple[np.ndarray, ...]
    back: tuple[np.ndarray, ...]
    atoms: tuple[np.ndarray, ...]
    atoms_back: tuple[np.ndarray, ...]


class BondsAndTriplets(Rule):
    """(x (A, n), edge (E, e), basis (E, N), side_a and side_b (B, e), cosine (T,)) -> (x, edge) after the layer.

    name: of its arrays in the pass's room.
    """

    def __init__(self, code: ModuleType, lists: Lists, weights: Weights, room: Space, name: str):
        self.code, self.lists, self.weights, self.room, self.name = code, lists, weights, room, name

    def _array(self, name: str, like: Tensor, rows: int, columns: int) -> np.ndarray:
        return self.room.numbers(name, rows * columns, like.dtype)

    def _kept(self, like: Tensor) -> tuple[np.ndarray, ...]:
        """pairs, total, z_edge, z_out, z_conv, z_message."""
        n, e, lists = self.weights.nodes, self.weights.edges, self.lists
        rows = (lists.sides, 2 * e), (lists.sides, e), *((lists.edges, c) for c in (2 * e, e, 2 * n, 2 * n))
        return tuple(self._array(f"{self.name} {k}", like, *shape) for k, shape in enumerate(rows))

    def _over(self, function, *arguments):
        n, e, lists = self.weights.nodes, self.weights.edges, self.lists
        work = lists.edges * e * n + lists.triplets * e * e
        over_rows(function, lists.atoms, *arguments, work=work, ends=lists.by_atom[0])

    def forward(self, x):
        n, e, lists, weights = self.weights.nodes, self.weights.edges, self.lists, self.weights
        atoms = [self._array(f"atoms {k}", x[0], lists.atoms, c) for k, c in enumerate((4 * e, 4 * e, 4 * n))]
        self.kept, out = self._kept(x[0]), (torch.empty_like(x[0]), torch.empty_like(x[1]))
        given = [flat(t) for t in x]
        self._over(self.code.on_atoms, n, e, 2 * n, given[0], *weights.atoms, *atoms)
        self._over(
            self.code.forward, n, e, weights.radial, *lists.all, *weights.forth, *given[2:], *atoms, *given[:2],
            *self.kept, *(flat(t) for t in out),
        )  # fmt: skip
        return out

    def backward(self, g, x, wanted):
        n, e, lists, weights = self.weights.nodes, self.weights.edges, self.lists, self.weights
        out = [torch.empty_like(t) for t in x[1:]]
        d_x = g[0].clone()
        ends = [
            self._array(f"ends {k}", x[0], rows, c)
            for k, (rows, c) in enumerate(((lists.sides, 2 * e), (lists.edges, 2 * e), (lists.edges, 2 * n)))
        ]
        given, (d_edge, *others) = [flat(t) for t in x[2:]], (flat(t) for t in out)
        self._over(
            self.code.backward, n, e, weights.radial, *lists.all, *weights.forth, *weights.back, *given, *self.kept,
            flat(g[0]), flat(g[1]), d_edge, *ends, *others, self._array("total", x[0], lists.sides, e),
        )  # fmt: skip
        sums = self._array("sums", x[0], lists.atoms, 2 * max(n, e))
        of_edges, of_sides = lists.ends
        self._over(self.code.from_ends, n, e, *of_edges, *of_sides, *ends, *weights.atoms_back, sums, flat(d_x))
        return (d_x, *out)
