"""Operations that are a term of each edge or triplet, summed at atoms, written once for the backends that make kernels.

Such a backend has a rule `OfEdges` (its `edgewise.py`) and hands it to `register`.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from .dispatch import implements
from .edgewise import Array, Edgewise, term

__all__ = ["register"]

I, J, K, EDGE = (Array(name, 1) for name in ("i", "j", "k", "edge"))


def register(backend: str, rule: type[Edgewise]) -> None:
    """Implement the operations of this file for a backend."""
    for function in (many_body_two, many_body_spherical, many_body_three):
        implements(backend, function.__name__)(partial(function, rule))


def _two(own, other, radial):
    return [own[0] * other[0] * radial[0]]


def many_body_two(rule: type[Edgewise], coefficients: Tensor, radial: Tensor, i: Tensor, j: Tensor) -> Tensor:
    atoms, functions = coefficients.shape
    if radial.numel() == 0 or not rule.ours(coefficients, radial):
        return NotImplemented

    def plain(own, other, radial):
        neighbours = other.index_select(0, j) * radial
        return (own * own.new_zeros(own.shape).index_add(0, i, neighbours),)

    made = term(_two, (I, J, EDGE), (I,), functions, ())
    sizes = {"i": atoms, "j": atoms, "edge": len(i)}
    found = rule(made, {"i": i, "j": j}, sizes, [coefficients.shape], plain)(coefficients, coefficients, radial)
    return found[0] if found else NotImplemented


def _moments(other, radial, angular):
    return [other[0] * radial[0] * y for y in angular]


def many_body_spherical(
    rule: type[Edgewise], coefficients: Tensor, radial: Tensor, angular: Tensor, i: Tensor, j: Tensor
) -> Tensor:
    (atoms, functions), many = coefficients.shape, angular.shape[1]
    if angular.numel() == 0 or not rule.ours(coefficients, radial, angular):
        return NotImplemented
    shape = (atoms, many, functions)

    def plain(other, radial, angular):
        return (other.new_zeros(shape).index_add(0, i, (other.index_select(0, j) * radial)[:, None] * angular),)

    made = term(_moments, (J, EDGE, Array("edge", many)), (Array("i", many),), functions, ())
    sizes = {"i": atoms, "j": atoms, "edge": len(i)}
    found = rule(made, {"i": i, "j": j}, sizes, [shape], plain)(coefficients, radial, angular)
    return 0.5 * coefficients.square() * found[0].square().sum(1) if found else NotImplemented


def _three(own, b, c, weight):
    return [own[0] * (b[0] + c[0]) * weight[0]]


def many_body_three(
    rule: type[Edgewise], coefficients: Tensor, weight: Tensor, i: Tensor, j: Tensor, k: Tensor
) -> Tensor:
    atoms, functions = coefficients.shape
    if weight.numel() == 0 or not rule.ours(coefficients, weight):
        return NotImplemented

    def plain(own, b, c, weight):
        pair = b.index_select(0, j) + c.index_select(0, k)
        return (own * own.new_zeros(own.shape).index_add(0, i, pair * weight),)

    made = term(_three, (I, J, K, EDGE), (I,), functions, ())
    sizes = {"i": atoms, "j": atoms, "k": atoms, "edge": len(i)}
    found = rule(made, {"i": i, "j": j, "k": k}, sizes, [coefficients.shape], plain)(*[coefficients] * 3, weight)
    return found[0] if found else NotImplemented
