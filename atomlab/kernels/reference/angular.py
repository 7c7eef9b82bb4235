"""Radial sines and angles between edges: what triplet models are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["edge_lengths", "sine_basis", "triplet_cosines"]


@op
def edge_lengths(vectors: Tensor) -> Tensor:
    """Lengths (E,) in Å of edge vectors (E, 3) in Å, none of which is zero."""
    return (vectors * vectors).sum(1).sqrt()


@op
def sine_basis(lengths: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
    """sqrt(2 / cutoff) * sin(frequency * r / cutoff) / r for lengths (E,) in Å and frequencies (N,): (E, N) in Å^-1.5.

    With frequencies n π these are the spherical Bessel functions of order 0 that vanish at the cutoff.
    """
    angle = lengths[:, None] * (frequencies / cutoff)
    return math.sqrt(2.0 / cutoff) * torch.sin(angle) / lengths[:, None]


@op
def triplet_cosines(vectors: Tensor, lengths: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Cosine (T,) of the angle between the edges a and b (T,) of one centre; vectors (E, 3) and lengths (E,) in Å."""
    unit = vectors / lengths[:, None]
    return (unit.index_select(0, a) * unit.index_select(0, b)).sum(1)
