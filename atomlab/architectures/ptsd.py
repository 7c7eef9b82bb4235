"""Power-type structure descriptors S1 to S6, the input of MBNN's atomic networks.

Huang, Shang, Kang, Liu, Chem. Sci. 9 (2018) 8644, with f_c(r) = 0.5 tanh^3(1 - r / r_c). The published sets of powers
are not at hand: `default_descriptors` is a set of our own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph
from ..kernels import (
    safe_norm,
    segment_sum,
    tanh_powers,
    torsion_cosines,
    triplet_powers,
)
from .triangles import Geometry, degree_table

__all__ = ["Descriptors", "default_descriptors"]

KINDS = {
    "S1": ("n",),
    "S2": ("n", "L"),
    "S3": ("n", "m", "p", "zeta", "lam"),
    "S4": ("n", "m", "zeta", "lam"),
    "S5": ("n", "m", "p", "L"),
    "S6": ("n", "m", "p", "zeta", "lam"),
}
BLOCKS = (("S1",), ("S2",), ("S3", "S4"), ("S5",), ("S6",))  # computed together
NEIGHBOURS = {"S1": 1, "S2": 1, "S3": 2, "S4": 2, "S5": 2, "S6": 3}


def default_descriptors(pair_cutoff: float = 5.0, triple_cutoff: float = 4.0) -> list[dict[str, Any]]:
    """11 two-body, 8 three-body and 1 four-body function; each counts once per species, pair or triple of species."""
    rows: list[dict[str, Any]] = [{"kind": "S1", "n": n, "cutoff": pair_cutoff} for n in (-4, -2, -1, 0, 1, 2, 4)]
    rows += [{"kind": "S2", "n": n, "L": L, "cutoff": pair_cutoff} for n, L in ((0, 1), (0, 2), (1, 2), (0, 3))]
    for n, zeta, lam in ((0, 1, 1), (0, 1, -1), (1, 4, 1), (1, 4, -1)):
        rows.append({"kind": "S4", "n": n, "m": n, "zeta": zeta, "lam": lam, "cutoff": triple_cutoff})
    rows += [
        {"kind": "S3", "n": 0, "m": 0, "p": 0, "zeta": zeta, "lam": lam, "cutoff": triple_cutoff}
        for zeta, lam in ((1, -1), (4, 1))
    ]
    rows += [{"kind": "S5", "n": 0, "m": 0, "p": 0, "L": L, "cutoff": triple_cutoff} for L in (1, 2)]
    rows.append({"kind": "S6", "n": 0, "m": 0, "p": 0, "zeta": 1, "lam": 1, "cutoff": 0.75 * triple_cutoff})
    return rows


class Descriptors(nn.Module):
    """All descriptors of every atom, (A, count), in the order of the rows, species innermost.

    rows: dictionaries with `kind` (S1 ... S6), `cutoff` in Å and the powers and angles of that kind.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], species: int, cutoff: float, side: float):
        super().__init__()
        self.rows = [_checked(row) for row in rows]
        self.n_species, self.cutoff, self.key = species, cutoff, (cutoff, side)
        groups = {n: list(combinations_with_replacement(range(species), n)) for n in (1, 2, 3)}
        self.groups = {n: len(g) for n, g in groups.items()}
        for n in (2, 3):
            table = torch.zeros((species,) * n, dtype=torch.int64)
            for index in torch.cartesian_prod(*[torch.arange(species)] * n).tolist():
                table[tuple(index)] = groups[n].index(tuple(sorted(index)))
            self.register_buffer(f"group{n}", table, persistent=False)
        self.count = sum(self.groups[NEIGHBOURS[row["kind"]]] for row in self.rows)
        self.l_max = max((row.get("L", 0) for row in self.rows), default=0)
        self.of = {kinds: [row for row in self.rows if row["kind"] in kinds] for kinds in BLOCKS}
        pairs, norms, angles, turns, torsions = self.of.values()
        self.powers = tuple((row["n"], row["cutoff"]) for row in pairs + norms)
        self.powers += tuple((row[x], row["cutoff"]) for row in torsions for x in ("n", "m", "p"))
        self.triangles = tuple(_triangle(row) for row in angles + turns)
        self.register_buffer("order", self._order(), persistent=False)
        # of f_c = tanh^3 / 2 for each length, and of the angular part
        self.register_buffer("scale", torch.tensor([_factor(row) for row in angles + turns]), persistent=False)
        for name, rows in (("norms", norms), ("turns", turns)):
            self.register_buffer(name, _padded(degree_table([row["L"] for row in rows]), self.l_max), persistent=False)

    def _order(self) -> Tensor:
        """Which column of the blocks each column of the result is."""
        place, begin = {}, 0
        for kinds in BLOCKS:
            for n, row in enumerate(self.rows):
                if row["kind"] in kinds:
                    end = begin + self.groups[NEIGHBOURS[row["kind"]]]
                    place[n], begin = range(begin, end), end
        return torch.tensor([c for n in range(len(self.rows)) for c in place[n]])

    def forward(self, graph: Graph, species: Tensor, geometry: Geometry | None = None) -> Tensor:
        """graph: with edges of the cutoff and triplets of the key; species (A,): index of each atom's element.

        geometry: of that graph, where it is known already.
        """
        g = Geometry(graph, self.cutoff, self.key) if geometry is None else geometry
        pairs, norms, angles, turns, torsions = self.of.values()
        sizes = [len(pairs), len(norms), 3 * len(torsions)]
        single, moments, sides = (0.5 * tanh_powers(g.r, self.powers)).split(sizes, dim=1)
        other = species.index_select(0, g.edges.j)
        target, size = g.edges.i * self.n_species + other, len(species) * self.n_species
        y = g.harmonics(self.l_max) if self.l_max else None
        blocks = []
        if pairs:
            blocks.append(self._block(segment_sum(single, target, size), len(species)))
        if norms:
            blocks.append(self._block(_norms(moments, y @ self.norms, target, size), len(species)))
        if angles or turns:
            blocks += self._angles(g, y, other, len(species))
        if torsions:
            blocks.append(self._block(self._torsions(graph, g, sides, other, len(species)), len(species)))
        return torch.cat(blocks, dim=1).index_select(1, self.order)

    def _block(self, sums: Tensor, atoms: int) -> Tensor:
        """(A groups, V) to (A, V groups)."""
        return sums.view(atoms, -1, sums.shape[1]).transpose(1, 2).reshape(atoms, -1)

    def _angles(self, g: Geometry, y: Tensor | None, other: Tensor, atoms: int) -> list[Tensor]:
        t, (angles, turns) = g.triangles, list(self.of.values())[2:4]
        group = self.group2[other.index_select(0, t.a), other.index_select(0, t.b)]
        target, size = g.edges.i.index_select(0, t.a) * self.groups[2] + group, atoms * self.groups[2]
        weights = self.scale * triplet_powers(t.first, t.second, self.triangles)
        plain, turned = weights.split([len(angles), len(turns)], dim=1)
        blocks = [self._block(segment_sum(plain, target, size), atoms)] if angles else []
        if turns:
            of_edges = y @ self.turns
            both = of_edges.index_select(0, t.a) + of_edges.index_select(0, t.b)
            blocks.append(self._block(_norms(turned, both, target, size), atoms))
        return blocks

    def _torsions(self, graph: Graph, g: Geometry, sides: Tensor, other: Tensor, atoms: int) -> Tensor:
        a, b, c = self._quadruples(graph, g)
        group = self.group3[other[a], other[b], other[c]]
        cosine = torsion_cosines(*(g.d.index_select(0, x) for x in (a, b, c)))
        rows = list(self.of.values())[4]
        angle = [2.0 ** (1 - row["zeta"]) * (1 + row["lam"] * cosine).pow(row["zeta"]) for row in rows]
        n, m, p = (sides[:, k::3].index_select(0, x) for k, x in enumerate((a, b, c)))
        return segment_sum(
            torch.stack(angle, 1) * n * m * p, g.edges.i[a] * self.groups[3] + group, atoms * self.groups[3]
        )

    def _quadruples(self, graph: Graph, g: Geometry) -> tuple[Tensor, Tensor, Tensor]:
        """All ordered triples of different edges of a centre within the torsions' reach."""
        t, reach = graph.triplets[self.key], max(row["cutoff"] for row in self.rows if row["kind"] == "S6")
        near = (g.r < reach).detach()
        keep = near[t.a] & near[t.b]
        a, b = t.a[keep], t.b[keep]
        first, second = _join(a)
        a, b, c = a[first], b[first], b[second]
        distinct = b != c
        return a[distinct], b[distinct], c[distinct]


def _norms(weight: Tensor, y: Tensor, target: Tensor, size: int) -> Tensor:
    """|Σ weight y| over the components of each function: weight (N, V), y (N, M V), result (size, V)."""
    functions = weight.shape[1]
    components = y.shape[1] // functions
    terms = weight[:, None] * y.view(len(y), components, functions)
    return safe_norm(segment_sum(terms.flatten(1), target, size).view(size, components, functions).transpose(1, 2))


def _triangle(row: Mapping[str, Any]) -> tuple:
    """A row of `triplet_powers`."""
    scale, zeta = (row["lam"], row["zeta"]) if "zeta" in row else (0.0, 0)
    return row["n"], row["m"], row.get("p"), 1.0, float(scale), zeta, row["cutoff"]


def _factor(row: Mapping[str, Any]) -> float:
    return (0.125 if "p" in row else 0.25) * 2.0 ** (1 - row.get("zeta", 1))


def _padded(table: Tensor, l_max: int) -> Tensor:
    """The table for all harmonics up to l_max."""
    return nn.functional.pad(table, (0, 0, 0, (l_max + 1) ** 2 - len(table)))


def _join(sorted_key: Tensor) -> tuple[Tensor, Tensor]:
    """All ordered pairs of rows with equal keys, for keys in ascending runs."""
    _, counts = torch.unique_consecutive(sorted_key, return_counts=True)
    start = torch.cumsum(counts, 0) - counts
    per_row = counts.repeat_interleave(counts)
    first = torch.arange(len(sorted_key), device=sorted_key.device).repeat_interleave(per_row)
    offset = torch.arange(len(first), device=sorted_key.device) - (torch.cumsum(per_row, 0) - per_row)[first]
    return first, start.repeat_interleave(counts)[first] + offset


def _checked(row: Mapping[str, Any]) -> dict[str, Any]:
    kind = row.get("kind")
    if kind not in KINDS:
        raise InputError("There is no such descriptor", got=kind, allowed=KINDS)
    names = {"kind", "cutoff", *KINDS[kind]}
    if set(row) != names:
        raise InputError(f"A descriptor {kind} is given by other settings", got=sorted(row), allowed=sorted(names))
    if not (math.isfinite(row["cutoff"]) and row["cutoff"] > 0):
        raise InputError("A descriptor's cutoff must be positive", got=row["cutoff"])
    return dict(row)
