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
    edge_lengths,
    many_body_spherical,
    many_body_three,
    many_body_two,
    spherical_harmonics,
    tanh_cutoff,
    triplet_cosines,
)

__all__ = ["ManyBody", "default_functions", "tanh_network"]

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
        self.l_max = max((row["degree"] for row in self.of["spherical"]), default=0)
        self.pair_network: nn.Sequential | None = None
        if self.of["pair"]:
            self.pair_network = tanh_network([*pair_sizes, len(self.of["pair"])])
            reach = max(row["cutoff"] for row in self.of["pair"])
            self.register_buffer("centres", torch.linspace(0.5, reach, pair_sizes[0] - 5), persistent=False)

    def radial(self, graph: Graph) -> dict[str, Tensor]:
        """Everything that depends on the structure alone, for `forward`."""
        d, edges = graph.vectors(self.cutoff), graph.edges[self.cutoff]
        r = edge_lengths(d)
        out = {"i": edges.i, "j": edges.j}
        if self.of["two"]:
            out["two"] = torch.stack([_power(r, -row["power"], row["cutoff"]) for row in self.of["two"]], dim=1)
        if self.of["pair"]:
            envelope = torch.stack([tanh_cutoff(r, row["cutoff"]) for row in self.of["pair"]], dim=1)
            out["pair"] = self._pairs(graph, r, edges.i, edges.j, edges.reverse) * envelope
        if self.of["spherical"]:
            out["spherical"] = torch.stack([_power(r, row["power"], row["cutoff"]) for row in self.of["spherical"]], 1)
            out["angular"] = self._angular(d, r)
        if self.of["three"]:
            out.update(self._three(graph, d, r))
        return out

    def _pairs(self, graph: Graph, r: Tensor, i: Tensor, j: Tensor, reverse: Tensor) -> Tensor:
        """Equations 11 to 13, on each bond once: its input is the same in both directions."""
        once = torch.nonzero(torch.arange(len(i), device=i.device) <= reverse)[:, 0]
        z = graph.numbers.to(r.dtype) * 0.01
        zi, zj = z[i[once]], z[j[once]]
        x = r.index_select(0, once)[:, None]
        bond = torch.cat(
            [
                torch.maximum(zi, zj)[:, None],
                torch.minimum(zi, zj)[:, None],
                1 / x,
                1 / x.square(),
                1 / x.pow(3),
                torch.exp(-(x - self.centres).square() / self.gaussian),
            ],
            dim=1,
        )
        place = torch.empty_like(i)
        place[once] = torch.arange(len(once), device=i.device)
        other = torch.nonzero(torch.arange(len(i), device=i.device) > reverse)[:, 0]
        place[other] = place[reverse[other]]
        return self.pair_network(bond).index_select(0, place)

    def _angular(self, d: Tensor, r: Tensor) -> Tensor:
        """Harmonics of every spherical function (E, V, M), zero beyond its own 2l + 1."""
        y = spherical_harmonics(d / r[:, None], self.l_max)
        width = 2 * self.l_max + 1
        columns = []
        for row in self.of["spherical"]:
            part = y[:, row["degree"] ** 2 : (row["degree"] + 1) ** 2]
            columns.append(torch.nn.functional.pad(part, (0, width - part.shape[1])))
        return torch.stack(columns, dim=1)

    def _three(self, graph: Graph, d: Tensor, r: Tensor) -> dict[str, Tensor]:
        t, edges = graph.triplets[self.key], graph.edges[self.cutoff]
        once = t.a < t.b  # equation 7 is symmetric in j and k: half the sum, doubled
        a, b = t.a[once], t.b[once]
        opposite = d.index_select(0, b) - d.index_select(0, a)
        r_jk = torch.sqrt((opposite * opposite).sum(1) + 1e-12)
        bend = 2 + triplet_cosines(d, r, a, b)
        columns = []
        for row in self.of["three"]:
            side = _power(r, -row["power"], row["cutoff"])
            sides = side.index_select(0, a) * side.index_select(0, b) * _power(r_jk, -row["power"], row["cutoff"])
            columns.append(2 * bend.pow(row["degree"]) * sides)
        return {"three": torch.stack(columns, dim=1), "ti": edges.i[a], "tj": edges.j[a], "tk": edges.j[b]}

    def forward(self, radial: Mapping[str, Tensor], coefficients: Tensor) -> Tensor:
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


def _power(r: Tensor, power: int, cutoff: float) -> Tensor:
    return r.pow(power) * tanh_cutoff(r, cutoff)


def _checked(row: Mapping[str, Any]) -> dict[str, Any]:
    kind = row.get("kind")
    if kind not in SETTINGS:
        raise InputError("There is no such many-body function", got=kind, allowed=ORDER)
    names = {"kind", *SETTINGS[kind]}
    if set(row) != names:
        raise InputError(f"A many-body function '{kind}' has other settings", got=sorted(row), allowed=sorted(names))
    return dict(row)
