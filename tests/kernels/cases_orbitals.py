"""Gaussian orbitals: on edges, summed at atoms, carried to neighbours, squared."""

from __future__ import annotations

import torch

from atomlab import kernels

from .cases import Case, Problem, edges_of, indices, random

__all__ = ["CASES"]


def waves(edges: int, kinds: int, number: int):
    def make(dtype: torch.dtype) -> Problem:
        species = indices(kinds, edges, ordered=False)
        inputs = [random(*shape, dtype=dtype, seed=n) for n, shape in enumerate([(edges,)] * 2 + [(kinds, number)] * 2)]
        return lambda r, h, w, c: kernels.orbital_waves(r, h, -(w**2), c, species), tuple(inputs)

    return make


def powers(edges: int, degree: int):
    def make(dtype: torch.dtype) -> Problem:
        return lambda vectors: kernels.monomials(vectors, degree), (random(edges, 3, dtype=dtype),)

    return make


def sums(atoms: int, bonds: int, components: int, number: int):
    def make(dtype: torch.dtype) -> Problem:
        i, j, _ = edges_of(atoms, bonds)
        shapes = (2 * bonds, components), (2 * bonds, number), (atoms, number)
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.embedded_orbitals(*x, i, j), inputs

    return make


def carried(atoms: int, bonds: int, components: int, number: int):
    def make(dtype: torch.dtype) -> Problem:
        i, j, _ = edges_of(atoms, bonds)
        of_edges = (2 * bonds, components), (2 * bonds, number)
        shapes = *of_edges, (atoms, number), (atoms, components, number), (2 * bonds,)
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.carried_orbitals(*x, i, j), inputs

    return make


def messages(atoms: int, bonds: int, components: int, number: int):
    def make(dtype: torch.dtype) -> Problem:
        i, j, _ = edges_of(atoms, bonds)
        inputs = random(atoms, components, number, dtype=dtype), random(2 * bonds, dtype=dtype, seed=1)
        return lambda *x: kernels.orbital_message(*x, i, j), inputs

    return make


def densities(atoms: int, degree: int, inner: int, columns: int):
    def make(dtype: torch.dtype) -> Problem:
        shapes = (atoms, (1, 4, 10, 20)[degree], inner), (degree + 1, inner, columns)
        return kernels.orbital_density, tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))

    return make


CASES = [
    Case("orbital_waves", "one edge", waves(1, 1, 1), small=True),
    Case("orbital_waves", "odd", waves(5, 2, 3), small=True),
    Case("orbital_waves", "wide", waves(37, 3, 24)),
    Case("orbital_waves", "nothing", waves(0, 2, 3), empty=True),
    Case("monomials", "one edge", powers(1, 1), small=True),
    Case("monomials", "odd", powers(5, 2), small=True),
    Case("monomials", "third degree", powers(37, 3)),
    Case("monomials", "nothing", powers(0, 2), empty=True),
    Case("embedded_orbitals", "one bond", sums(3, 1, 1, 1), small=True),
    Case("embedded_orbitals", "odd", sums(4, 5, 4, 3), small=True),
    Case("embedded_orbitals", "wide", sums(9, 40, 10, 24)),
    Case("embedded_orbitals", "all components", sums(7, 20, 20, 8)),
    Case("embedded_orbitals", "nothing", sums(3, 0, 4, 2), empty=True),
    Case("carried_orbitals", "one bond", carried(3, 1, 1, 1), small=True),
    Case("carried_orbitals", "odd", carried(4, 5, 4, 3), small=True),
    Case("carried_orbitals", "wide", carried(9, 40, 10, 24)),
    Case("carried_orbitals", "nothing", carried(3, 0, 4, 2), empty=True),
    Case("orbital_message", "one bond", messages(3, 1, 1, 1), small=True),
    Case("orbital_message", "odd", messages(4, 5, 4, 3), small=True),
    Case("orbital_message", "wide", messages(9, 40, 10, 24)),
    Case("orbital_message", "nothing", messages(3, 0, 4, 2), empty=True),
    Case("orbital_density", "one atom", densities(1, 0, 1, 1), small=True),
    Case("orbital_density", "odd", densities(3, 1, 2, 3), small=True),
    Case("orbital_density", "wide", densities(7, 2, 8, 108)),
    Case("orbital_density", "all components", densities(5, 3, 24, 16)),
    Case("orbital_density", "nothing", densities(0, 2, 4, 2), empty=True),
]
