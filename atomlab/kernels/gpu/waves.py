"""Spherical Bessel functions, zonal harmonics, and messages between all pairs of a centre's edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..dispatch import implements
from ..edgewise import Array, term
from ..formula import constant, dot, spherical_j, total
from .device import kept, ours, specified
from .edgewise import OfEdges
from .pointwise import Input, call


def _bessel(x, degree, top):
    return [spherical_j(x[0], degree[0], 0, top)]


@implements("triton", "spherical_bessel")
def spherical_bessel(x: Tensor, degrees: Tensor) -> Tensor:
    top = kept(degrees, "top", _top)
    if top > 8:  # the series is exact to there
        return NotImplemented

    def plain(x, degree):
        return specified("spherical_bessel")(x.view(-1, len(degrees)), degrees)

    rows = degrees.expand(x.shape).reshape(-1)
    found = call(_bessel, plain, x.numel(), (x, Input(1)), (rows, Input(1, whole=True)), constants=(top,))
    return found if found is NotImplemented else found.view(x.shape)


def _top(degrees: Tensor) -> int:
    return int(degrees.max()) if len(degrees) else 0


def _zonal(cosine, l_max):
    legendre = [constant(1.0), cosine[0]]
    for l in range(1, l_max):
        legendre.append(((2 * l + 1.0) * cosine[0] * legendre[l] - float(l) * legendre[l - 1]) / (l + 1.0))
    return [math.sqrt((2 * l + 1) / (4 * math.pi)) * legendre[l] for l in range(l_max + 1)]


@implements("triton", "zonal_harmonics")
def zonal_harmonics(cosine: Tensor, l_max: int) -> Tensor:
    def plain(cosine):
        return specified("zonal_harmonics")(cosine, l_max)

    found = call(_zonal, plain, cosine.numel(), (cosine, Input(1)), constants=(l_max,))
    return found if found is NotImplemented else found.view(*cosine.shape, l_max + 1)


def _spread(parts, filters):
    return [y * filters[math.isqrt(m)] for m, y in enumerate(parts)]


def _collected(parts, sums, filters):
    """What a centre's edges sum to, as one of them sees it, without its own share."""
    own = total(parts[m] * parts[m] * filters[math.isqrt(m)] for m in range(len(parts)))
    return [dot(parts, sums) - own]


@implements("triton", "zonal_messages")
def zonal_messages(waves: Tensor, weight: Tensor, sent: Tensor, parts: Tensor, i: Tensor, size: int) -> Tensor:
    if 0 in (waves.numel(), sent.numel()) or not ours(waves, weight, sent, parts):
        return NotImplemented
    edges, many = parts.shape
    degrees, channels = waves.shape[1], sent.shape[1]
    filters = torch.einsum("eln,cln->elc", waves, weight) * sent[:, None]  # a matrix product for each degree
    harmonics, rows = Array("edge", many, wide=False), Array("edge", degrees)
    indices, sizes = {"i": i}, {"i": size, "edge": edges}

    def spread(parts, filters):
        terms = parts[:, :, None] * filters[:, [math.isqrt(m) for m in range(many)]]
        return (terms.new_zeros(size, many, channels).index_add(0, i, terms),)

    def collected(parts, sums, filters):
        seen = sums.index_select(0, i) - parts[:, :, None] * filters[:, [math.isqrt(m) for m in range(many)]]
        return ((parts[:, :, None] * seen).sum(1),)

    made = term(_spread, (harmonics, rows), (Array("i", many),), channels, ())
    sums = OfEdges(made, indices, sizes, [(size, many, channels)], spread)(parts, filters)[0]
    made = term(_collected, (harmonics, Array("i", many), rows), (Array("edge", 1),), channels, ())
    return OfEdges(made, indices, sizes, [(edges, channels)], collected)(parts, sums, filters)[0]
