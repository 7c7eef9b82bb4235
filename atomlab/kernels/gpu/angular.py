"""Lengths, cosines of angles and of dihedral angles."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import implements
from ..formula import dot, sqrt
from .device import specified
from .pointwise import Input, call
from .segments import gather

VECTOR, NUMBER = Input(3), Input(1)


def _length(d):
    return [sqrt(dot(d, d))]


@implements("triton", "edge_lengths")
def edge_lengths(vectors: Tensor) -> Tensor:
    found = call(_length, specified("edge_lengths"), len(vectors), (vectors, VECTOR))
    return found if found is NotImplemented else found.squeeze(1)


def _cosine(a, b, ra, rb):
    return [dot([x / ra[0] for x in a], [x / rb[0] for x in b])]


def _plain_cosine(a: Tensor, b: Tensor, ra: Tensor, rb: Tensor) -> Tensor:
    return (a / ra[:, None] * (b / rb[:, None])).sum(1)


@implements("triton", "triplet_cosines")
def triplet_cosines(vectors: Tensor, lengths: Tensor, a: Tensor, b: Tensor) -> Tensor:
    given = [gather(t, index) for t in (vectors, lengths) for index in (a, b)]
    if any(t is NotImplemented for t in given):
        return NotImplemented
    found = call(_cosine, _plain_cosine, len(a), *zip(given, (VECTOR, VECTOR, NUMBER, NUMBER)))
    return found if found is NotImplemented else found.squeeze(1)
