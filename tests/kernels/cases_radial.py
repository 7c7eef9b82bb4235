"""Functions of bonds alone: of their lengths, with constants that are not trained, and of their directions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from atomlab import kernels

from .cases import Case, Problem, indices, random


def distances(function: Callable[[Tensor], Tensor], count: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        drawn = torch.rand(count, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        return function, ((0.4 + 5.0 * drawn).to(dtype),)

    return make


def like(x: Tensor, *values: float) -> Tensor:
    return x.new_tensor(values if len(values) > 1 else values[0])


def radii(x: Tensor) -> Tensor:
    drawn = torch.rand(len(x), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return (0.7 + 3.0 * drawn).to(x.dtype)


def bessel(x: Tensor) -> Tensor:
    return kernels.bessel(x, like(x, 0.6, 1.3, 1.9, 2.7, 3.1), like(x, 0.7))


def repulsion(x: Tensor) -> Tensor:
    z = 1 + torch.arange(len(x)) % 90
    reach = radii(x) + 1.0
    c = like(x, 0.1818, 0.5099, 0.2802, 0.02817)
    return kernels.zbl(x, z, z.flip(0), reach, c, like(x, 0.3), like(x, 0.4543), 5)


def agnesi(x: Tensor) -> Tensor:
    return kernels.agnesi_transform(x, radii(x), like(x, 1.0805), like(x, 4.5791), like(x, 0.9183))


def soft(x: Tensor) -> Tensor:
    return kernels.soft_transform(x, radii(x), like(x, 4.0))


FUNCTIONS = {
    "bessel": bessel,
    "zbl": repulsion,
    "agnesi_transform": agnesi,
    "soft_transform": soft,
}


def pair_sums(atoms: int, bonds: int, *columns: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        i, j = (indices(atoms, bonds, seed, ordered=False) for seed in (1, 2))
        return lambda x: kernels.pair_sum(x, i, j, atoms + 1), (random(bonds, *columns, dtype=dtype),)

    return make


def vectors(function: Callable[[Tensor], Tensor], bonds: int) -> Callable[[torch.dtype], Problem]:
    return lambda dtype: (function, (random(bonds, 3, dtype=dtype),))


def harmonics(l_max: int, bonds: int) -> Callable[[torch.dtype], Problem]:
    return vectors(lambda x: kernels.spherical_harmonics(x, l_max), bonds)


CASES = [
    *(Case("spherical_harmonics", f"l = {l}", harmonics(l, 5), small=True) for l in (1, 2, 3)),
    Case("spherical_harmonics", "nothing", harmonics(2, 0), empty=True),
    Case("spherical_harmonics", "large", harmonics(3, 50_000)),
    Case("edge_lengths", "one", vectors(kernels.edge_lengths, 1), small=True),
    Case("edge_lengths", "odd", vectors(kernels.edge_lengths, 13), small=True),
    Case("edge_lengths", "nothing", vectors(kernels.edge_lengths, 0), empty=True),
    *(Case(name, "one", distances(f, 1)) for name, f in FUNCTIONS.items()),
    *(Case(name, "odd", distances(f, 13), small=True) for name, f in FUNCTIONS.items()),
    *(Case(name, "nothing", distances(f, 0), empty=True) for name, f in FUNCTIONS.items() if name != "zbl"),
    Case("bessel", "large", distances(bessel, 50_000)),
    *(
        Case("polynomial_envelope", f"p = {p}", distances(lambda x, p=p: kernels.polynomial_envelope(x / 4.0, p), 13))
        for p in (1, 2, 5, 6)
    ),
    Case("pair_sum", "one", pair_sums(1, 1), small=True),
    Case("pair_sum", "odd", pair_sums(5, 13, 3), small=True),
    Case("pair_sum", "nothing", pair_sums(3, 0, 2), empty=True),
]
