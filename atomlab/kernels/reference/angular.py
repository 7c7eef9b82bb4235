"""Lengths of edges and angles between them: what triplet models are made of."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import op

__all__ = ["edge_lengths", "triplet_cosines"]


@op
def edge_lengths(vectors: Tensor) -> Tensor:
    """Lengths (E,) in Å of edge vectors (E, 3) in Å, none of which is zero."""
    return (vectors * vectors).sum(1).sqrt()


@op
def triplet_cosines(vectors: Tensor, lengths: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Cosine (T,) of the angle between the edges a and b (T,) of one centre; vectors (E, 3) and lengths (E,) in Å."""
    unit = vectors / lengths[:, None]
    return (unit.index_select(0, a) * unit.index_select(0, b)).sum(1)
