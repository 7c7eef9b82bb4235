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
def dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    after: str = "",
    times: Tensor | None = None,
    plus: Tensor | None = None,
) -> Tensor:
    """plus + times f(x W^T + b): x (N, K), weight (C, K), bias (C,); what is not given is left out.

    after: "" for f(z) = z, without times and plus, (N, C); "silu" for s(z) as in `activated`, (N, C); "gate" for
    s(z[:, : C/2]) σ(z[:, C/2 :]) as in `gated`, without plus, (N, C / 2). times and plus are of the result's shape.
    """
    return _after(linear(x, weight, bias), after, times, plus)


@op
def pair_dense(x: Tensor, weight: Tensor, bias: Tensor, nodes: Tensor, i: Tensor, j: Tensor, after: str = "") -> Tensor:
    """A layer on (x_i, x_j, x_ij) whose parts on the atoms are given: f(x W^T + b + nodes[i, :C] + nodes[j, C:]).

    x (E, K) of the edges; weight (C, K), bias (C,); nodes (A, 2 C); i, j (E,) below A. f: `after`, as in `dense`.
    """
    own, other = nodes.chunk(2, dim=1)
    return _after(linear(x, weight, bias) + own.index_select(0, i) + other.index_select(0, j), after)


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


def _after(z: Tensor, name: str, times: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    if name == "silu":
        return activated(z, times, plus)
    return gated(z, times) if name == "gate" else z
