"""Power-type structure descriptors S1 to S6, the input of MBNN's atomic networks.

Huang, Shang, Kang, Liu, Chem. Sci. 9 (2018) 8644, with f_c(r) = 0.5 tanh^3(1 - r / r_c). The published sets of powers
are not at hand: `default_descriptors` is a set of our own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph
from ..kernels import (
    edge_lengths,
    safe_norm,
    segment_sum,
    spherical_harmonics,
    tanh_cutoff,
    torsion_cosines,
    triplet_cosines,
)

__all__ = ["Descriptors", "default_descriptors"]

KINDS = {
    "S1": ("n",),
    "S2": ("n", "L"),
    "S3": ("n", "m", "p", "zeta", "lam"),
    "S4": ("n", "m", "zeta", "lam"),
    "S5": ("n", "m", "p", "L"),
    "S6": ("n", "m", "p", "zeta", "lam"),
}
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


@dataclass(frozen=True)
class _Geometry:
    """What the descriptors of one graph share: lengths, harmonics, triplets and quadruplets with their species."""

    i: Tensor
    r: Tensor
    d: Tensor
    species: Tensor
    size: int


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

    def forward(self, graph: Graph, species: Tensor) -> Tensor:
        """graph: with edges of the cutoff and triplets of the key; species (A,): index of each atom's element."""
        d = graph.vectors(self.cutoff)
        edges = graph.edges[self.cutoff]
        base = _Geometry(edges.i, edge_lengths(d), d, species.index_select(0, edges.j), len(species))
        harmonics = spherical_harmonics(d / base.r[:, None], self.l_max) if self.l_max else None
        kinds = {row["kind"] for row in self.rows}
        three = self._triples(graph, base) if kinds & {"S3", "S4", "S5", "S6"} else None
        four = self._quadruples(base, three) if "S6" in kinds else None
        columns = []
        for row in self.rows:
            if row["kind"] in ("S1", "S2"):
                columns.append(self._pairs(row, base, harmonics))
            elif row["kind"] == "S6":
                columns.append(self._torsion(row, base, four))
            else:
                columns.append(self._angle(row, base, three, harmonics))
        return torch.cat(columns, dim=1)

    def _pairs(self, row: Mapping[str, Any], g: _Geometry, harmonics: Tensor | None) -> Tensor:
        radial = _radial(g.r, row["n"], row["cutoff"])
        target = g.i * self.n_species + g.species
        if row["kind"] == "S1":
            return segment_sum(radial, target, g.size * self.n_species).view(g.size, -1)
        L = row["L"]
        moments = segment_sum(radial[:, None] * harmonics[:, L * L : (L + 1) ** 2], target, g.size * self.n_species)
        return safe_norm(moments).view(g.size, -1)

    def _triples(self, graph: Graph, g: _Geometry) -> dict[str, Tensor]:
        t = graph.triplets[self.key]
        once = t.a < t.b  # the sums are symmetric in j and k, or made so below
        a, b = t.a[once], t.b[once]
        opposite = g.d.index_select(0, b) - g.d.index_select(0, a)
        return {
            "a": a,
            "b": b,
            "all_a": t.a,
            "all_b": t.b,
            "cos": triplet_cosines(g.d, g.r, a, b),
            "opposite": torch.sqrt((opposite * opposite).sum(1) + 1e-12),
            "target": g.i[a] * self.groups[2] + self.group2[g.species[a], g.species[b]],
        }

    def _angle(self, row: Mapping[str, Any], g: _Geometry, t: Mapping[str, Tensor], harmonics: Tensor | None) -> Tensor:
        a, b = t["a"], t["b"]
        n, m = (_radial(g.r, row[x], row["cutoff"]) for x in ("n", "m"))
        weight = n[a] * m[b] + n[b] * m[a]
        if "p" in row:
            weight = weight * _radial(t["opposite"], row["p"], row["cutoff"])
        if row["kind"] == "S5":
            L = slice(row["L"] ** 2, (row["L"] + 1) ** 2)
            both = harmonics[:, L].index_select(0, a) + harmonics[:, L].index_select(0, b)
            moments = segment_sum(weight[:, None] * both, t["target"], g.size * self.groups[2])
            return safe_norm(moments).view(g.size, -1)
        weight = weight * 2.0 ** (1 - row["zeta"]) * (1 + row["lam"] * t["cos"]).pow(row["zeta"])
        return segment_sum(weight, t["target"], g.size * self.groups[2]).view(g.size, -1)

    def _quadruples(self, g: _Geometry, t: Mapping[str, Tensor]) -> dict[str, Tensor]:
        reach = max(row["cutoff"] for row in self.rows if row["kind"] == "S6")
        near = (g.r < reach).detach()
        keep = near[t["all_a"]] & near[t["all_b"]]
        a, b = t["all_a"][keep], t["all_b"][keep]
        first, second = _join(a)
        a, b, c = a[first], b[first], b[second]
        distinct = b != c
        a, b, c = a[distinct], b[distinct], c[distinct]
        index = self.group3[g.species[a], g.species[b], g.species[c]]
        vectors = (g.d.index_select(0, x) for x in (a, b, c))
        return {"a": a, "b": b, "c": c, "cos": torsion_cosines(*vectors), "target": g.i[a] * self.groups[3] + index}

    def _torsion(self, row: Mapping[str, Any], g: _Geometry, q: Mapping[str, Tensor]) -> Tensor:
        n, m, p = (_radial(g.r, row[x], row["cutoff"]) for x in ("n", "m", "p"))
        angle = 2.0 ** (1 - row["zeta"]) * (1 + row["lam"] * q["cos"]).pow(row["zeta"])
        weight = angle * n[q["a"]] * m[q["b"]] * p[q["c"]]
        return segment_sum(weight, q["target"], g.size * self.groups[3]).view(g.size, -1)


def _radial(r: Tensor, power: int, cutoff: float) -> Tensor:
    return 0.5 * tanh_cutoff(r, cutoff) * r.pow(power)


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
