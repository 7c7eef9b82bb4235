"""The blocks of DimeNet++: messages on directed edges, updated by the edges that point at their sender."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import spherical_jn
from torch import Tensor, nn
from torch.nn.functional import silu

from ..kernels import dense, gather, segment_sum, zonal_messages

__all__ = ["DirectedGraph", "Embedding", "Interaction", "Output", "bessel_zeros", "start_orthogonal"]


class DirectedGraph(NamedTuple):
    """What all blocks share: the messages j -> i (E,), the message back of each, and their basis functions."""

    i: Tensor
    j: Tensor
    back: Tensor  # (E,) index of i -> j
    atoms: int
    radial: Tensor  # (E, N)
    waves: Tensor  # (E, L, N) spherical Bessel functions
    parts: Tensor  # (E, L²) harmonics of the directions, see `zonal_parts`


class Sizes(NamedTuple):
    """Widths: messages, what passes through triplets, the small layers of the basis, radial and spherical functions."""

    hidden: int
    triplet: int
    basis: int
    radial: int
    spherical: int


def on_rows(layer: nn.Linear, x: Tensor, **then: Any) -> Tensor:
    """A layer on many rows, and what follows it (see `kernels.dense`)."""
    return dense(x, layer.weight, layer.bias, **then)


class Residual(nn.Module):
    """y + SiLU(W2 SiLU(W1 y + b1) + b2)."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, y: Tensor) -> Tensor:
        return on_rows(self.second, on_rows(self.first, y, after="silu"), after="silu", plus=y)


class Embedding(nn.Module):
    """The first messages (E, hidden): SiLU(W [h_i, h_j, radial layer] + b), receiver i first."""

    def __init__(self, elements: int, features: int, sizes: Sizes, activated: bool):
        super().__init__()
        self.activated = activated
        self.table = nn.Parameter(torch.empty(elements, features).uniform_(-math.sqrt(3), math.sqrt(3)))
        self.radial = nn.Linear(sizes.radial, sizes.hidden, bias=activated)
        self.dense = nn.Linear(2 * features + sizes.hidden, sizes.hidden)

    def forward(self, species: Tensor, graph: DirectedGraph) -> Tensor:
        radial = on_rows(self.radial, graph.radial, after="silu" if self.activated else "")
        atoms = gather(self.table, species)
        x = torch.cat([gather(atoms, graph.i), gather(atoms, graph.j), radial], dim=1)
        return on_rows(self.dense, x, after="silu")


class Interaction(nn.Module):
    """New messages (E, hidden) from those that arrive at the sender, weighted by distance and angle."""

    def __init__(self, sizes: Sizes, before: int, after: int):
        super().__init__()
        h, t, b = sizes.hidden, sizes.triplet, sizes.basis
        self.own, self.incoming = nn.Linear(h, h), nn.Linear(h, h)
        self.radial = nn.Sequential(nn.Linear(sizes.radial, b, bias=False), nn.Linear(b, h, bias=False))
        self.spherical = nn.Sequential(
            nn.Linear(sizes.spherical * sizes.radial, b, bias=False), nn.Linear(b, t, bias=False)
        )
        self.down, self.up = nn.Linear(h, t, bias=False), nn.Linear(t, h, bias=False)
        self.before = nn.Sequential(*(Residual(h) for _ in range(before)))
        self.dense = nn.Linear(h, h)
        self.after = nn.Sequential(*(Residual(h) for _ in range(after)))

    def forward(self, message: Tensor, graph: DirectedGraph) -> Tensor:
        first, second = (layer.weight for layer in self.radial)
        arriving = on_rows(self.incoming, message, after="silu", times=dense(graph.radial, second @ first))
        sent = on_rows(self.down, arriving, after="silu")
        # the two layers on the basis of a triplet k -> j -> i are one matrix; its part of k -> j is done per message,
        # so that all that is left to the triplets is a sum over k and l
        first, second = (layer.weight for layer in self.spherical)
        weight = (second @ first).unflatten(1, graph.waves.shape[1:])
        arrived = gather(zonal_messages(graph.waves, weight, sent, graph.parts, graph.i, graph.atoms), graph.back)
        own = on_rows(self.own, message, after="silu")
        y = self.before(on_rows(self.up, arrived, after="silu", plus=own))
        return self.after(on_rows(self.dense, y, after="silu", plus=message))


class Output(nn.Module):
    """Per-atom energies (A, heads) and what enters the last layer (A, outputs), from the messages into each atom."""

    def __init__(self, sizes: Sizes, outputs: int, layers: int, heads: int, scaled: bool):
        super().__init__()
        self.radial = nn.Linear(sizes.radial, sizes.hidden, bias=False)
        self.up = nn.Linear(sizes.hidden, outputs, bias=False)
        self.dense = nn.ModuleList(nn.Linear(outputs, outputs) for _ in range(layers))
        self.last = nn.Linear(outputs, heads, bias=False)
        self.scale = nn.Parameter(torch.zeros(())) if scaled else None

    def forward(self, message: Tensor, graph: DirectedGraph, atoms: int) -> tuple[Tensor, Tensor]:
        y = self.up(segment_sum(message * on_rows(self.radial, graph.radial), graph.i, atoms))
        for layer in self.dense:
            y = silu(layer(y))
        y = y if self.scale is None else y * self.scale
        return self.last(y), y


def start_orthogonal(modules: Sequence[nn.Module], variance: float) -> None:
    """Orthogonal weights of variance `variance / (fan_in + fan_out)`, biases 0, in every Linear of the modules."""
    for layer in (m for module in modules for m in module.modules() if isinstance(m, nn.Linear)):
        with torch.no_grad():
            nn.init.orthogonal_(layer.weight)
            # a single row of one number has no variance of its own
            spread = layer.weight.var() if layer.weight.numel() > 1 else torch.ones(())
            layer.weight.mul_((variance / (sum(layer.weight.shape) * spread)).sqrt())
            if layer.bias is not None:
                layer.bias.zero_()


@cache
def bessel_zeros(degrees: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Positive zeros z_ln of j_l and factors sqrt(2) / |j_(l+1)(z_ln)|, both (degrees, number), l = 0..degrees-1."""
    # the zeros of j_l lie between those of j_(l-1)
    zeros = np.arange(1, number + degrees) * math.pi
    rows = [zeros[:number]]
    for l in range(1, degrees):
        zeros = np.array(
            [brentq(lambda x, l=l: spherical_jn(l, x), a, b, xtol=1e-15, rtol=1e-15) for a, b in pairwise(zeros)]
        )
        rows.append(zeros[:number])
    z = np.stack(rows)
    return z, math.sqrt(2.0) / np.abs(np.stack([spherical_jn(l + 1, z[l]) for l in range(degrees)]))
