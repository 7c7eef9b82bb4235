"""What the models of triangles share: the two bonds of one centre, each pair of them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..graph import Graph
from ..kernels import edge_lengths, spherical_harmonics

__all__ = ["Geometry", "Triangles", "degree_table"]


@dataclass(frozen=True)
class Triangles:
    """Triplets a < b of edges of one centre: first and second (T, 3) are their vectors in Å."""

    a: Tensor
    b: Tensor
    first: Tensor
    second: Tensor


class Geometry:
    """Vectors d (E, 3) and lengths r (E,) in Å of a graph's edges; harmonics and triangles when first asked for."""

    def __init__(self, graph: Graph, cutoff: float, key: tuple[float, float]):
        self.edges, self.d = graph.edges[cutoff], graph.vectors(cutoff)
        self.r = edge_lengths(self.d)
        self._triplets = graph.triplets.get(key)
        self._made: Triangles | None = None
        self._harmonics: dict[int, Tensor] = {}

    def harmonics(self, l_max: int) -> Tensor:
        """Spherical harmonics of the edges' directions (E, (l_max + 1)^2)."""
        if l_max not in self._harmonics:
            self._harmonics[l_max] = spherical_harmonics(self.d / self.r[:, None], l_max)
        return self._harmonics[l_max]

    @property
    def triangles(self) -> Triangles:
        """What is symmetric in the two bonds needs each pair of them once."""
        if self._made is None:
            once = torch.nonzero(self._triplets.a < self._triplets.b)[:, 0]
            a, b = (index.index_select(0, once) for index in (self._triplets.a, self._triplets.b))
            self._made = Triangles(a, b, self.d.index_select(0, a), self.d.index_select(0, b))
        return self._made


def degree_table(degrees: Sequence[int]) -> Tensor:
    """Ones ((L + 1)^2, M V) that pick from the harmonics up to L those of each of V degrees, M = 2 L + 1.

    y @ table: (E, M V), zero beyond a degree's own 2 l + 1 components.
    """
    top = max(degrees, default=0)
    table = torch.zeros((top + 1) ** 2, 2 * top + 1, len(degrees))
    for v, l in enumerate(degrees):
        table[l * l : (l + 1) ** 2, : 2 * l + 1, v] = torch.eye(2 * l + 1)
    return table.flatten(1)
