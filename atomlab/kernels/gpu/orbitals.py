"""Gaussian-type orbitals of neighbours, their sums over the edges of each atom, and messages of orbitals."""

from __future__ import annotations

import math

from torch import Tensor

from ..dispatch import implements
from ..edgewise import Array, term
from ..formula import constant, cos, exp, power
from ..reference import orbitals as reference
from .device import ours, specified
from .edgewise import OfEdges
from .pointwise import Input, call
from .segments import gather


def _envelope(r, cutoff):
    return [power(0.5 + 0.5 * cos(r[0] * (math.pi / cutoff)), 2)]


@implements("triton", "cosine_envelope")
def cosine_envelope(lengths: Tensor, cutoff: float) -> Tensor:
    def plain(lengths):
        return specified("cosine_envelope")(lengths, cutoff)

    found = call(_envelope, plain, lengths.numel(), (lengths, Input(1)), constants=(float(cutoff),))
    return found if found is NotImplemented else found.view(lengths.shape)


def _waves(r, width, centre):
    return [exp(w * power(r[0] - c, 2)) for w, c in zip(width, centre)]


@implements("triton", "gaussian_waves")
def gaussian_waves(lengths: Tensor, width: Tensor, centre: Tensor, species: Tensor) -> Tensor:
    rows = [gather(t, species) for t in (width, centre)]
    if any(t is NotImplemented for t in rows):
        return NotImplemented

    def plain(r, width, centre):
        return (width * (r[:, None] - centre) ** 2).exp()

    waves = Input(width.shape[1])
    return call(_waves, plain, len(lengths), (lengths, Input(1)), (rows[0], waves), (rows[1], waves))


def _monomials(d, degree):
    last = [constant(1.0)]
    found = list(last)
    for l in range(1, degree + 1):
        last = [last[k] * d[axis] for k, axis in reference.steps(l)]
        found += last
    return found


@implements("triton", "monomials")
def monomials(vectors: Tensor, degree: int) -> Tensor:
    def plain(vectors):
        return specified("monomials")(vectors, degree)

    return call(_monomials, plain, len(vectors), (vectors, Input(3)), constants=(degree,))


def _orbitals(angular, radial):
    return [a * radial[0] for a in angular]


@implements("triton", "orbital_sum")
def orbital_sum(angular: Tensor, radial: Tensor, index: Tensor, size: int) -> Tensor:
    if 0 in (size, angular.numel(), radial.numel()) or not ours(angular, radial):
        return NotImplemented
    many, waves = angular.shape[1], radial.shape[1]
    made = term(_orbitals, (Array("edge", many, wide=False), Array("edge", 1)), (Array("i", many),), waves, ())

    def plain(angular, radial):
        return (specified("orbital_sum")(angular, radial, index, size),)

    rule = OfEdges(made, {"i": index}, {"i": size, "edge": len(index)}, [(size, many, waves)], plain)
    return rule(angular, radial)[0]


def _sent(orbitals, weight):
    return [orbitals[0] * weight[0]]


@implements("triton", "orbital_message")
def orbital_message(orbitals: Tensor, weight: Tensor, i: Tensor, j: Tensor) -> Tensor:
    if 0 in (orbitals.numel(), len(i)) or not ours(orbitals, weight):
        return NotImplemented
    atoms, lanes = len(orbitals), orbitals.shape[1] * orbitals.shape[2]
    made = term(_sent, (Array("j", 1), Array("edge", 1, wide=False)), (Array("i", 1),), lanes, ())

    def plain(orbitals, weight):
        return (specified("orbital_message")(orbitals, weight, i, j),)

    sizes = {"i": atoms, "j": atoms, "edge": len(i)}
    return OfEdges(made, {"i": i, "j": j}, sizes, [orbitals.shape], plain)(orbitals, weight)[0]
