"""Terms of edges and triplets summed at atoms: the many-body functions."""

from __future__ import annotations

from collections.abc import Callable

import torch

from atomlab import kernels

from .cases import Case, Problem, edges_of, indices, random

__all__ = ["CASES"]


def two(atoms: int, bonds: int, functions: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        i, j, _ = edges_of(atoms, bonds)
        inputs = random(atoms, functions, dtype=dtype), random(2 * bonds, functions, dtype=dtype, seed=1)
        return lambda *x: kernels.many_body_two(*x, i, j), inputs

    return make


def spherical(atoms: int, bonds: int, functions: int, components: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        i, j, _ = edges_of(atoms, bonds)
        shapes = (atoms, functions), (2 * bonds, functions), (2 * bonds, components, functions)
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.many_body_spherical(*x, i, j), inputs

    return make


def three(atoms: int, triplets: int, functions: int, ordered: bool = True) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        i = indices(max(atoms - 1, 1), triplets, ordered=ordered)  # the last atom is nobody's centre
        j, k = (indices(atoms, triplets, seed, ordered=False) for seed in (1, 2))
        inputs = random(atoms, functions, dtype=dtype), random(triplets, functions, dtype=dtype, seed=1)
        return lambda *x: kernels.many_body_three(*x, i, j, k), inputs

    return make


CASES = [
    Case("many_body_two", "one bond", two(3, 1, 3), small=True),
    Case("many_body_two", "odd", two(4, 5, 3), small=True),
    Case("many_body_two", "wide", two(9, 40, 48)),
    Case("many_body_two", "nothing", two(3, 0, 2), empty=True),
    Case("many_body_spherical", "one bond", spherical(3, 1, 3, 3), small=True),
    Case("many_body_spherical", "odd", spherical(4, 5, 3, 3), small=True),
    Case("many_body_spherical", "wide", spherical(9, 40, 24, 7)),
    Case("many_body_spherical", "nothing", spherical(3, 0, 2, 5), empty=True),
    Case("many_body_three", "one triplet", three(3, 1, 3), small=True),
    Case("many_body_three", "odd", three(4, 7, 3), small=True),
    Case("many_body_three", "unsorted", three(5, 23, 3, ordered=False)),
    Case("many_body_three", "wide", three(9, 101, 48)),
    Case("many_body_three", "nothing", three(3, 0, 2), empty=True),
]
