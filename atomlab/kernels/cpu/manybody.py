"""Many-body functions: sums over neighbours and over pairs of them."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import implements
from ..sums import many_body_two, register
from . import classical
from .edgewise import OfEdges

register("numba", OfEdges)


@implements("numba", "many_body_two")
def two(coefficients: Tensor, radial: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """On few edges torch's four operations are faster."""
    return many_body_two(OfEdges, coefficients, radial, i, j) if len(i) >= classical.FEWEST else NotImplemented
