"""Lengths of edges and angles between them: what triplet models are made of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from ..dispatch import op

__all__ = ["edge_lengths", "triplet_cosines", "triplet_messages"]


@op
def edge_lengths(vectors: Tensor) -> Tensor:
    """Lengths (E,) in Å of edge vectors (E, 3) in Å, none of which is zero."""
    return (vectors * vectors).sum(1).sqrt()


@op
def triplet_cosines(vectors: Tensor, lengths: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Cosine (T,) of the angle between the edges a and b (T,) of one centre; vectors (E, 3) and lengths (E,) in Å."""
    unit = vectors / lengths[:, None]
    return (unit.index_select(0, a) * unit.index_select(0, b)).sum(1)


@op
def triplet_messages(
    pairs: Tensor, sides: Tensor, cosines: Tensor, weight: Tensor, bias: Tensor, angle: Tensor, a: Tensor, b: Tensor
) -> Tensor:
    """Σ over triplets of edge a: s(p) σ(q) (w cos + β) sides[b], (p, q) = W s(pairs[a, :C] + pairs[b, C:]) + bias.

    pairs (B, 2 C) and sides (B, C) of the edges; cosines (T,) of the triplets; weight (2 C, C), bias (2 C,), angle
    (2, C): w and β; a, b (T,): edges of one centre, a sorted. σ is the sigmoid, s the SiLU. Returns (B, C). The
    three-body message of GPTFF: Xie, Lu, Meng, Liu, Science Bulletin 69 (2024) 3525.
    """
    left, right = pairs.chunk(2, dim=1)
    value, gate = linear(silu(left.index_select(0, a) + right.index_select(0, b)), weight, bias).chunk(2, dim=1)
    message = silu(value) * torch.sigmoid(gate) * (cosines[:, None] * angle[0] + angle[1])
    return torch.zeros_like(sides).index_add(0, a, message * sides.index_select(0, b))
