"""Many-body functions: sums over neighbours and over pairs of them."""

from __future__ import annotations

from ..sums import register
from .edgewise import OfEdges

register("triton", OfEdges)
