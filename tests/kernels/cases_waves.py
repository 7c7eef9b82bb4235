"""Spherical waves and the sums over pairs of edges."""

from __future__ import annotations

import torch

from atomlab import kernels

from .cases import Case, Problem, indices, random

__all__ = ["CASES"]


def waves(rows: int, degrees: int, number: int, least: float = 0.05):
    """Arguments on both sides of each degree."""

    def make(dtype: torch.dtype) -> Problem:
        x = torch.linspace(least, 0.98, rows, dtype=torch.float64).to(dtype)
        zeros = (torch.arange(number)[None] + 1.0 + 0.5 * torch.arange(degrees)[:, None]).to(dtype) * 3.1
        factors = 1 + random(degrees, number, dtype=dtype, seed=1).abs()
        return lambda x, envelope: kernels.spherical_waves(x, envelope, zeros, factors), (x, random(rows, dtype=dtype))

    return make


def zonal(rows: int, atoms: int, degrees: int, number: int, channels: int):
    def make(dtype: torch.dtype) -> Problem:
        i = indices(max(atoms - 1, 1), rows)  # the last atom is alone
        shapes = [(rows, degrees, number), (channels, degrees, number), (rows, channels), (rows, degrees**2)]
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.zonal_messages(*x, i, atoms), inputs

    return make


def harmonics(rows: int, l_max: int):
    def make(dtype: torch.dtype) -> Problem:
        return lambda unit: kernels.zonal_parts(unit, l_max), (random(rows, 3, dtype=dtype),)

    return make


CASES = [
    Case("zonal_parts", "one direction", harmonics(1, 1), small=True),
    Case("zonal_parts", "odd", harmonics(5, 3), small=True),
    Case("zonal_parts", "all degrees", harmonics(37, 6)),
    Case("zonal_parts", "nothing", harmonics(0, 2), empty=True),
    Case("spherical_waves", "one edge", waves(1, 1, 1, 0.5), small=True),
    Case("spherical_waves", "odd", waves(5, 3, 2, 0.2), small=True),
    Case("spherical_waves", "all degrees", waves(37, 7, 6, 0.2)),
    Case("spherical_waves", "nothing", waves(0, 3, 2), empty=True),
    Case("zonal_messages", "one edge", zonal(1, 1, 2, 1, 1), small=True),
    Case("zonal_messages", "odd", zonal(7, 4, 2, 2, 3), small=True),
    Case("zonal_messages", "wide", zonal(41, 6, 7, 6, 16)),
    Case("zonal_messages", "several vectors", zonal(23, 4, 3, 2, 48)),
    Case("zonal_messages", "nothing", zonal(0, 3, 2, 2, 4), empty=True),
]
