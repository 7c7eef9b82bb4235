"""The many-body functions of MBNN and AtomFT: single, two-body, spherical, three-body, two-body with neural radii."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph, Needs
from ..kernels import (
    half_edges,
    many_body_spherical,
    many_body_three,
    many_body_two,
    pair_inputs,
    tanh_powers,
    triplet_powers,
)
from .triangles import Geometry, degree_table

__all__ = ["ManyBody", "default_functions", "tanh_network"]

BONDS = ("two", "pair", "spherical")
ORDER = ("single", "two", "spherical", "three", "pair")
SETTINGS = {
    "single": set(),
    "two": {"power", "cutoff"},
    "spherical": {"power", "degree", "cutoff"},
    "three": {"power", "degree", "cutoff"},
    "pair": {"cutoff"},
}


def default_functions(cutoff: float = 5.0, triple_cutoff: float = 4.0) -> list[dict[str, Any]]:
    """45 functions as in the paper's counts: 1 single, 20 two-body (8 of them spherical), 8 three-body, 16 neural."""
    rows: list[dict[str, Any]] = [{"kind": "single"}]
    rows += [
        {"kind": "two", "power": power, "cutoff": reach}
        for reach in (cutoff, 0.8 * cutoff)
        for power in (1, 2, 3, 4, 6, 8)
    ]
    rows += [
        {"kind": "spherical", "power": power, "degree": degree, "cutoff": cutoff}
        for degree, power in ((1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1))
    ]
    rows += [
        {"kind": "three", "power": power, "degree": degree, "cutoff": triple_cutoff}
        for degree in (1, 2, 3, 4)
        for power in (0, 1)
    ]
    return rows + [{"kind": "pair", "cutoff": cutoff}] * 16


class ManyBody(nn.Module):
    """D_i^v(c) of equation 2 for every atom and function, from coefficients c (A, size), in eV.

    The radial parts depend on the structure only: `radial(graph)` is computed once, and may serve several blocks.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        cutoff: float,
        side: float,
        strength: float,
        pair_sizes: Sequence[int],
        gaussian: float,
    ):
        super().__init__()
        self.rows = sorted((_checked(row) for row in rows), key=lambda row: ORDER.index(row["kind"]))
        self.needs = Needs((cutoff,), ((cutoff, side),) if side else ())
        self.cutoff, self.key, self.strength, self.gaussian = cutoff, (cutoff, side), strength, gaussian
        self.of = {kind: [row for row in self.rows if row["kind"] == kind] for kind in ORDER}
        self.size = len(self.rows)
        degrees = [row["degree"] for row in self.of["spherical"]]
        self.l_max = max(degrees, default=0)
        self.register_buffer("table", degree_table(degrees), persistent=False)
        signs = {"two": -1, "pair": 0, "spherical": 1}  # of the powers
        self.powers = tuple((signs[k] * row.get("power", 0), row["cutoff"]) for k in BONDS for row in self.of[k])
        # equation 7 is symmetric in j and k: half the sum, doubled
        self.triangles = tuple(
            (-row["power"],) * 3 + (2.0, 1.0, row["degree"], row["cutoff"]) for row in self.of["three"]
        )
        self.pair_network: nn.Sequential | None = None
        if self.of["pair"]:
            self.pair_network = tanh_network([*pair_sizes, len(self.of["pair"])])
            reach = max(row["cutoff"] for row in self.of["pair"])
            self.centres = tuple(torch.linspace(0.5, reach, pair_sizes[0] - 5).tolist())

    def radial(self, graph: Graph) -> dict[str, Any]:
        """Everything that depends on the structure alone, for `forward`."""
        geometry = Geometry(graph, self.cutoff, self.key)
        edges, r = geometry.edges, geometry.r
        two, pair, spherical = tanh_powers(r, self.powers).split([len(self.of[k]) for k in BONDS], dim=1)
        out = {"i": edges.i, "j": edges.j, "geometry": geometry}
        if self.of["two"]:
            out["two"] = two
        if self.of["pair"]:
            out["pair"] = self._pairs(graph, r, edges.i, edges.j, edges.reverse) * pair
        if self.of["spherical"]:
            y = geometry.harmonics(self.l_max)
            out["spherical"] = spherical
            out["angular"] = (y @ self.table).view(len(y), 2 * self.l_max + 1, spherical.shape[1])
        if self.of["three"]:
            t = geometry.triangles
            out["three"] = triplet_powers(t.first, t.second, self.triangles)
            out |= {"ti": edges.i[t.a], "tj": edges.j[t.a], "tk": edges.j[t.b]}
        return out

    def _pairs(self, graph: Graph, r: Tensor, i: Tensor, j: Tensor, reverse: Tensor) -> Tensor:
        """Equations 11 to 13, on each bond once: its input is the same in both directions."""
        once, place, _ = half_edges(reverse)
        z = graph.numbers.to(r.dtype) * 0.01
        zi, zj = z[i[once]], z[j[once]]
        numbers = torch.stack([torch.maximum(zi, zj), torch.minimum(zi, zj)], dim=1)
        bonds = pair_inputs(r.index_select(0, once), self.centres, self.gaussian)
        return self.pair_network(torch.cat([numbers, bonds], dim=1)).index_select(0, place)

    def forward(self, radial: Mapping[str, Any], coefficients: Tensor) -> Tensor:
        """D (A, size) in eV for coefficients (A, size), in the order single, two, spherical, three, pair."""
        split = dict(zip(ORDER, coefficients.split([len(self.of[kind]) for kind in ORDER], dim=1)))
        i, j = radial["i"], radial["j"]
        parts = [split["single"]]
        if "two" in radial:
            parts.append(many_body_two(split["two"], radial["two"], i, j))
        if "spherical" in radial:
            parts.append(many_body_spherical(split["spherical"], radial["spherical"], radial["angular"], i, j))
        if "three" in radial:
            atoms = (radial[name] for name in ("ti", "tj", "tk"))
            parts.append(many_body_three(split["three"], radial["three"], *atoms))
        if "pair" in radial:
            parts.append(many_body_two(split["pair"], radial["pair"], i, j))
        return self.strength * torch.cat(parts, dim=1)


def tanh_network(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of these sizes with tanh between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _checked(row: Mapping[str, Any]) -> dict[str, Any]:
    kind = row.get("kind")
    if kind not in SETTINGS:
        raise InputError("There is no such many-body function", got=kind, allowed=ORDER)
    names = {"kind", *SETTINGS[kind]}
    if set(row) != names:
        raise InputError(f"A many-body function '{kind}' has other settings", got=sorted(row), allowed=sorted(names))
    return dict(row)
