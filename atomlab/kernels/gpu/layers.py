"""Layers of networks: the matrix products are torch's; what follows them, and the rows of other atoms, are ours."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from ..dispatch import implements
from .device import ours
from .gates import gated, silu_times
from .segments import gather, segment_sum

AFTER = {"silu": silu_times, "gate": gated}


def _finished(z: Tensor, after: str, times: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    if after:
        z = AFTER[after](z, times)
    return z if plus is None else z + plus


@implements("triton", "dense")
def dense(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    after: str = "",
    times: Tensor | None = None,
    plus: Tensor | None = None,
) -> Tensor:
    if after not in AFTER or 0 in (len(x), len(weight)) or not ours(x, weight):
        return NotImplemented  # a matrix product alone is torch's
    return _finished(linear(x, weight, bias), after, times, plus)


@implements("triton", "activated")
def activated(z: Tensor, times: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    same = all(t is None or t.shape == z.shape for t in (times, plus))
    return _finished(z, "silu", times, plus) if same and z.numel() and ours(z) else NotImplemented


@implements("triton", "gated")
def gate(z: Tensor, times: Tensor | None = None) -> Tensor:
    same = times is None or times.shape == (z.shape[0], z.shape[1] // 2)
    return gated(z, times) if same and z.numel() and ours(z) else NotImplemented


@implements("triton", "pair_dense")
def pair_dense(x: Tensor, weight: Tensor, bias: Tensor, nodes: Tensor, i: Tensor, j: Tensor, after: str = "") -> Tensor:
    if 0 in (len(i), len(weight)) or not ours(x, weight, bias, nodes) or after not in ("", *AFTER):
        return NotImplemented
    own, other = nodes.chunk(2, dim=1)
    return _finished(linear(x, weight, bias) + gather(own, i) + gather(other, j), after)


@implements("triton", "triplet_messages")
def triplet_messages(
    pairs: Tensor, sides: Tensor, cosines: Tensor, weight: Tensor, bias: Tensor, angle: Tensor, a: Tensor, b: Tensor
) -> Tensor:
    if len(a) == 0 or not ours(pairs, sides, cosines, weight, bias, angle):
        return NotImplemented
    left, right = pairs.chunk(2, dim=1)
    hidden = silu_times(gather(left, a) + gather(right, b))
    message = gated(linear(hidden, weight, bias), cosines[:, None] * angle[0] + angle[1])
    return segment_sum(message * gather(sides, b), a, len(sides))
