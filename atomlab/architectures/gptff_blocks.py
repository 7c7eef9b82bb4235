"""The layers of GPTFF: three-body message, edge update, convolution, attention. σ is the sigmoid, s the SiLU."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from ..kernels import dense, gather, pair_dense, segment_sum, structure_attention, triplet_messages

__all__ = ["AtomAttention", "Bonds", "Layer", "Shape", "on_pairs", "on_rows"]


class Shape(NamedTuple):
    """Widths of the node, edge and radial features."""

    nodes: int
    edges: int
    radial: int


class Bonds(NamedTuple):
    """What all layers share of one graph: edges (E,), short edges (B,) that are sides of triplets, triplets (T,)."""

    i: Tensor
    j: Tensor
    radial: Tensor  # (E, N)
    short: Tensor  # (B,) index of an edge
    side: Tensor  # (B, N) radial basis of the short edges
    a: Tensor  # (T,) index among the short edges
    b: Tensor
    cosine: Tensor  # (T,)
    batch: Tensor
    size: int


class ThreeBody(nn.Module):
    """Adds to each short bond i-j the message of every other short bond i-k of its centre."""

    def __init__(self, shape: Shape):
        super().__init__()
        n, e, r = shape
        self.widths = (n, n, n, e, e)
        self.features = nn.Linear(3 * n + 2 * e, e)
        self.gate, self.value = nn.Linear(e, e), nn.Linear(e, e)
        self.side_a, self.side_b = nn.Linear(r, e), nn.Linear(r, e)
        self.angle = nn.Linear(1, e)

    def forward(self, x: Tensor, edge: Tensor, bonds: Bonds) -> Tensor:
        """New edge features (E, e)."""
        # a layer on (x_i, x_j, x_k, e_ij, e_ik) is a sum of a part per bond ij and one per bond ik: far fewer products
        w_i, w_j, w_k, w_ij, w_ik = self.features.weight.split(self.widths, dim=1)
        own, i, j = gather(edge, bonds.short), gather(bonds.i, bonds.short), gather(bonds.j, bonds.short)
        atoms = linear(x, torch.cat([w_i, torch.zeros_like(w_i), w_j, w_k]))
        bias = torch.cat([self.features.bias, torch.zeros_like(self.features.bias)])
        pairs = pair_dense(own, torch.cat([w_ij, w_ik]), bias, atoms, i, j)
        side_a, side_b = on_rows(self.side_a, bonds.side), on_rows(self.side_b, bonds.side)
        angle = torch.stack([self.angle.weight[:, 0], self.angle.bias])
        gates = side_by_side(self.value, self.gate)
        total = triplet_messages(pairs, side_b, bonds.cosine, *gates, angle, bonds.a, bonds.b) * side_a
        return edge.index_add(0, bonds.short, total)


class EdgeUpdate(nn.Module):
    """Updates each bond from its two atoms."""

    def __init__(self, shape: Shape):
        super().__init__()
        n, e, r = shape
        self.value, self.gate = nn.Linear(2 * n + e, e), nn.Linear(2 * n + e, e)
        self.out = nn.Linear(e, e)
        self.radial = nn.Linear(r, e)

    def forward(self, x: Tensor, edge: Tensor, bonds: Bonds) -> Tensor:
        """New edge features (E, e)."""
        y = on_pairs(*side_by_side(self.value, self.gate), x, edge, bonds, after="gate")
        return on_rows(self.out, y, after="silu", times=on_rows(self.radial, bonds.radial), plus=edge)


class Convolution(nn.Module):
    """Updates each atom from its bonds."""

    def __init__(self, shape: Shape):
        super().__init__()
        n, e, r = shape
        self.features = nn.Linear(2 * n + e, 2 * n)
        self.value, self.gate = nn.Linear(2 * n, n), nn.Linear(2 * n, n)
        self.radial = nn.Linear(r, n)
        # in the published files and counted among their parameters, but no part of the energy
        self.unused = nn.Linear(n, n).requires_grad_(False)

    def forward(self, x: Tensor, edge: Tensor, bonds: Bonds) -> Tensor:
        """New node features (A, n)."""
        g = on_pairs(self.features.weight, self.features.bias, x, edge, bonds, after="silu")
        radial = on_rows(self.radial, bonds.radial)
        m = dense(g, *side_by_side(self.value, self.gate), after="gate", times=radial)
        return x + segment_sum(m, bonds.i, len(x))


def on_rows(layer: nn.Linear, x: Tensor, **then: Any) -> Tensor:
    """A layer on many rows, and what follows it (see `kernels.dense`)."""
    return dense(x, layer.weight, layer.bias, **then)


def side_by_side(*layers: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias of several layers on the same input as one layer's."""
    return torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])


def on_pairs(weight: Tensor, bias: Tensor, x: Tensor, edge: Tensor, bonds: Bonds, after: str = "") -> Tensor:
    """A layer on (x_i, x_j, e_ij), and what follows it: the atoms' parts are computed once per atom. (E, out)"""
    n = x.shape[1]
    w_i, w_j, w_ij = weight.split([n, n, edge.shape[1]], dim=1)
    return pair_dense(edge, w_ij, bias, linear(x, torch.cat([w_i, w_j])), bonds.i, bonds.j, after)


class AtomAttention(nn.Module):
    """A transformer encoder layer over all atoms of each structure, between two layer norms."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.projection, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        nn.init.xavier_uniform_(self.projection.weight)
        for layer in (self.projection, self.out):
            nn.init.zeros_(layer.bias)
        self.expand, self.contract = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm_attention, self.norm_feedforward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, bonds: Bonds) -> Tensor:
        """New node features (A, n)."""
        x = self.norm_in(x)
        y = self.norm_attention(x + self.dropout(self._attend(x, bonds)))
        wide = self.dropout(gelu(self.expand(y)))
        y = self.norm_feedforward(y + self.dropout(self.contract(wide)))
        return self.norm_out(y) + x

    def _attend(self, x: Tensor, bonds: Bonds) -> Tensor:
        query, key, value = (part.unflatten(1, (self.heads, -1)) for part in self.projection(x).chunk(3, dim=1))
        dropout = self.dropout.p if self.training else 0.0
        return self.out(structure_attention(query, key, value, bonds.batch, bonds.size, dropout).flatten(1))


class Layer(nn.Module):
    """Three-body message, edge update, convolution, and attention where the model has it, in this order."""

    def __init__(self, shape: Shape, attention: AtomAttention | None):
        super().__init__()
        self.three = ThreeBody(shape)
        self.edge = EdgeUpdate(shape)
        self.convolution = Convolution(shape)
        self.attention = attention

    def forward(self, x: Tensor, edge: Tensor, bonds: Bonds) -> tuple[Tensor, Tensor]:
        """New node (A, n) and edge (E, e) features."""
        edge = self.three(x, edge, bonds)
        edge = self.edge(x, edge, bonds)
        x = self.convolution(x, edge, bonds)
        return (x if self.attention is None else self.attention(x, bonds)), edge
