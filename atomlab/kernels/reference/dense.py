"""Layers of networks on many rows: linear layers, also on pairs of atoms, and what follows them.

σ is the sigmoid, s(x) = x σ(x) the SiLU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from ..dispatch import op

__all__ = ["activated", "dense", "gated", "pair_dense"]


@op
def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b: x (N, K), weight (C, K), bias (C,); (N, C)."""
    return linear(x, weight, bias)


@op
def pair_dense(x: Tensor, weight: Tensor, bias: Tensor, nodes: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """A layer on (x_i, x_j, x_ij) whose parts on the atoms are given: x W^T + b + nodes[i, :C] + nodes[j, C:].

    x (E, K) of the edges; weight (C, K), bias (C,); nodes (A, 2 C); i, j (E,) below A, i sorted. Returns (E, C).
    """
    own, other = nodes.chunk(2, dim=1)
    return linear(x, weight, bias) + own.index_select(0, i) + other.index_select(0, j)


@op
def activated(z: Tensor, times: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    """plus + times s(z), all (N, C); what is not given is left out."""
    y = silu(z)
    y = y if times is None else y * times
    return y if plus is None else y + plus


@op
def gated(z: Tensor, times: Tensor | None = None) -> Tensor:
    """times s(z[:, :C]) σ(z[:, C:]): z (N, 2 C), times (N, C) or none; (N, C)."""
    value, gate = z.chunk(2, dim=1)
    y = silu(value) * torch.sigmoid(gate)
    return y if times is None else y * times
