"""Radial bases of edges and sides and cosines of triplets for a pass without autograd, and forces from gradients."""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from .arrays import flat
from .bonds_and_triplets import Lists
from .compiled import library, template
from .space import Space
from .threads import over_rows

__all__ = ["Angles", "loops"]


def loops(dtype: str) -> ModuleType | None:
    """The compiled loops; None while there are none."""
    return library(f"angles_{dtype}", _text(dtype))


@functools.cache
def _text(dtype: str) -> str:
    return template("angles", None, REAL=dtype)


class Angles:
    """radial (E, N) and side (B, N): sqrt(2 / c) sin(n π r / c) / r, n = 1..N-1, after a first column of ones; cosine
    (T,) of the triplets, times 1 - 1e-6. cutoffs: c of edges and of sides in Å."""

    def __init__(self, code: ModuleType, lists: Lists, room: Space, cutoffs: tuple[float, float], many: int):
        self.code, self.lists, self.room, self.cutoffs, self.many = code, lists, room, cutoffs, many

    def measure(self, shift: Tensor, batch: Tensor, positions: Tensor, cell: Tensor) -> None:
        """Of edges that cross `shift` (E, 3) cells; positions (A, 3) and cell (S, 3, 3) in Å."""
        lists, many, dtype = self.lists, self.many, positions.dtype
        room, double = self.room.numbers, torch.float64
        self.batch, self.dtype, self.structures = flat(batch.contiguous()), dtype, len(cell)
        self.radial, self.side = (positions.new_empty(rows, many) for rows in (lists.edges, lists.sides))
        self.cosine = positions.new_empty(lists.triplets)
        self.slopes = room("radial slope", lists.edges * many, dtype), room("side slope", lists.sides * many, dtype)
        self.vector, self.length = room("vector", 3 * lists.edges, double), room("length", lists.edges, double)
        self._over(
            self.code.measure, *lists.by_atom, lists.i, lists.j, flat(shift.contiguous()), self.batch, *lists.triplet,
            flat(positions.double().contiguous()), flat(cell.double().contiguous()), many, *self.cutoffs, self.vector,
            self.length, flat(self.radial), self.slopes[0], flat(self.side), self.slopes[1], flat(self.cosine),
        )  # fmt: skip

    def forces(self, g_radial: Tensor, g_side: Tensor, g_cosine: Tensor) -> tuple[Tensor, Tensor]:
        """Forces (A, 3) in eV/Å and virial (S, 3, 3) in eV of an energy with these gradients."""
        lists = self.lists
        g = self.room.numbers("vector gradient", 3 * lists.edges, torch.float64)
        self._over(
            self.code.gradients, *lists.by_atom, *lists.triplet, self.many, self.vector, self.length, *self.slopes,
            flat(g_radial), flat(g_side), flat(g_cosine), g,
        )  # fmt: skip
        forces, virial = np.zeros((lists.atoms, 3)), np.zeros((self.structures, 3, 3))
        self.code.collect(
            lists.i, lists.j, self.batch, self.vector, g, forces.reshape(-1), virial.reshape(-1)
        )  # fmt: skip
        return torch.from_numpy(forces).to(self.dtype), torch.from_numpy(virial).to(self.dtype)

    def _over(self, function, *arguments):
        lists = self.lists
        over_rows(
            function, lists.atoms, *arguments, work=3000 * lists.edges + 600 * lists.triplets, ends=lists.by_atom[0]
        )  # fmt: skip
