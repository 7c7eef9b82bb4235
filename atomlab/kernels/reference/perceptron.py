"""The radial network: a perceptron without biases on each pair of atoms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import silu

from ..dispatch import op

__all__ = ["radial_network", "scales"]


@op
def radial_network(x: Tensor, weights: Sequence[Tensor], activation: float) -> Tensor:
    """x W / sqrt(fan-in), then `activation` times SiLU before the next layer: x (H, N), weights (N, ·), ..., (·, M).

    Returns (H, M); nothing after the last layer.
    """
    for n, (weight, scale) in enumerate(zip(weights, scales(weights, activation))):
        # the activation's constant goes into the next, much smaller, weight
        x = (silu(x) if n else x) @ (weight * scale)
    return x


def scales(weights: Sequence[Tensor], activation: float) -> list[float]:
    """What each weight is multiplied with."""
    return [(activation if n else 1.0) / math.sqrt(weight.shape[0]) for n, weight in enumerate(weights)]
