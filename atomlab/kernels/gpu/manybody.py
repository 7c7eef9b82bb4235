"""Many-body functions: sums over neighbours."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import implements
from ..formula import dot
from .device import ours
from .edgewise import Array, Edgewise, term
from .pointwise import Input, call


def _two(own, other, radial):
    return [own[0] * other[0] * radial[0]]


@implements("triton", "many_body_two")
def many_body_two(coefficients: Tensor, radial: Tensor, i: Tensor, j: Tensor) -> Tensor:
    if radial.numel() == 0 or not ours(coefficients, radial):
        return NotImplemented
    atoms = len(coefficients)
    arrays = (Array("i", 1), Array("j", 1), Array("edge", 1))
    made = term(_two, arrays, (Array("i", 1),), coefficients.shape[1], ())

    def plain(own, other, radial):
        neighbours = other.index_select(0, j) * radial
        return (own * own.new_zeros(own.shape).index_add(0, i, neighbours),)

    sizes = {"i": atoms, "j": atoms, "edge": len(i)}
    rule = Edgewise(made, {"i": i, "j": j}, sizes, [coefficients.shape], plain)
    return rule(coefficients, coefficients, radial)[0]


def _moments(other, radial, angular):
    return [other[0] * radial[0] * y for y in angular]


def _squares(own, moments):
    return [0.5 * own[0] * own[0] * dot(moments, moments)]


@implements("triton", "many_body_spherical")
def many_body_spherical(coefficients: Tensor, radial: Tensor, angular: Tensor, i: Tensor, j: Tensor) -> Tensor:
    if angular.numel() == 0 or not ours(coefficients, radial, angular):
        return NotImplemented
    atoms, functions = coefficients.shape
    many = angular.shape[2]
    inputs = (Array("j", 1), Array("edge", 1), Array("edge", many, last=True))
    made = term(_moments, inputs, (Array("i", many, last=True),), functions, ())
    shape = (atoms, functions, many)

    def plain(other, radial, angular):
        return (other.new_zeros(shape).index_add(0, i, (other.index_select(0, j) * radial)[:, :, None] * angular),)

    def squares(own, moments):
        return 0.5 * own.square() * moments.square().sum(-1)

    rule = Edgewise(made, {"i": i, "j": j}, {"i": atoms, "j": atoms, "edge": len(i)}, [shape], plain)
    moments = rule(coefficients, radial, angular)[0]
    given = ((coefficients, Input(1)), (moments, Input(many)))
    return call(_squares, squares, coefficients.numel(), *given).view(coefficients.shape)


def _three(own, b, c, weight):
    return [own[0] * (b[0] + c[0]) * weight[0]]


@implements("triton", "many_body_three")
def many_body_three(coefficients: Tensor, weight: Tensor, i: Tensor, j: Tensor, k: Tensor) -> Tensor:
    if weight.numel() == 0 or not ours(coefficients, weight):
        return NotImplemented
    atoms = len(coefficients)
    inputs = (Array("i", 1), Array("j", 1), Array("k", 1), Array("edge", 1))
    made = term(_three, inputs, (Array("i", 1),), coefficients.shape[1], ())

    def plain(own, b, c, weight):
        pair = b.index_select(0, j) + c.index_select(0, k)
        return (own * own.new_zeros(own.shape).index_add(0, i, pair * weight),)

    sizes = {"i": atoms, "j": atoms, "k": atoms, "edge": len(i)}
    rule = Edgewise(made, {"i": i, "j": j, "k": k}, sizes, [coefficients.shape], plain)
    return rule(coefficients, coefficients, coefficients, weight)[0]
