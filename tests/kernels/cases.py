"""The table of what every backend must agree on with the reference: one line per operation and shape.

A case makes its own inputs: `make(dtype)` returns the function of its differentiable tensors, and those tensors. To
bring an operation under the comparison, add cases here; `test_backends.py` does the rest, for every backend that has
it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from atomlab import kernels
from atomlab.architectures.spherical import coupling_basis, reduced_basis, tensor_paths, wigner_3j

Problem = tuple[Callable[..., Tensor | tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """`op`: the operation that the function calls, once. `empty`: a backend may leave this one to the reference.

    `small`: few enough numbers for gradcheck (finite differences of every input). `slow`: only with --slow. `tiny`: for
    kernels in an interpreter, which does these alone.
    """

    op: str
    name: str
    make: Callable[[torch.dtype], Problem]
    small: bool = False
    empty: bool = False
    slow: bool = False
    tiny: bool = False

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Normal numbers: the same in both types, since they are drawn in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def indices(size: int, many: int, seed: int = 0, ordered: bool = True) -> Tensor:
    """`many` numbers below `size`."""
    drawn = torch.randint(size, (many,), generator=torch.Generator().manual_seed(seed))
    return drawn.sort().values if ordered else drawn


def segments(rows: int, size: int, *columns: int, ordered: bool = True) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        index = indices(max(size - 1, 1), rows, ordered=ordered)  # the last row has nobody
        return lambda x: kernels.segment_sum(x, index, size), (random(rows, *columns, dtype=dtype),)

    return make


def gathers(atoms: int, rows: int, *columns: int, ordered: bool = True) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        index = indices(atoms, rows, ordered=ordered)
        return lambda x: kernels.gather(x, index), (random(atoms, *columns, dtype=dtype),)

    return make


def networks(rows: int, *sizes: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        shapes = ((rows, sizes[0]), *itertools.pairwise(sizes))
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda x, *weights: kernels.radial_network(x, weights, 1.7), inputs

    return make


def linears(atoms: int, elements: int, m: int, inner: int, columns: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        species = indices(elements, atoms, ordered=False) if elements > 1 else None
        inputs = random(atoms, m, inner, dtype=dtype), random(elements, inner, columns, dtype=dtype, seed=1)
        return lambda x, weight: kernels.element_linear(x, weight, species), inputs

    return make


def edges_of(atoms: int, bonds: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Receivers (sorted), senders and reverse of both directions of random bonds; the last atom has none."""
    ends = torch.stack([indices(max(atoms - 1, 1), bonds, seed + n, ordered=False) for n in (1, 2)])
    both = torch.cat([ends, ends.flip(0)], dim=1)
    order = torch.argsort(both[0], stable=True)
    reverse = torch.empty_like(order)
    reverse[order] = torch.arange(2 * bonds)  # of both, by its place when sorted
    return both[0][order], both[1][order], reverse[(order + bonds) % max(2 * bonds, 1)]


def convolutions(atoms: int, bonds: int, l_nodes: int, l_max: int, channels: int) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        i, j, reverse = edges_of(atoms, bonds)
        _, pair, against = kernels.half_edges(reverse)
        paths = tensor_paths(l_nodes, l_max)
        matrices = [_coupling(*path).to(dtype) for path in paths]

        def function(radial: Tensor, harmonics: Tensor, features: Tensor) -> tuple[Tensor, ...]:
            return kernels.edge_convolution(radial, harmonics, features, i, j, pair, against, paths, matrices)

        shapes = ((bonds, len(paths), channels), (bonds, (l_max + 1) ** 2), (atoms, (l_nodes + 1) ** 2, channels))
        return function, tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))

    return make


def _coupling(l1: int, l2: int, l3: int) -> Tensor:
    return torch.tensor(math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3).transpose(2, 1, 0).reshape(2 * l3 + 1, -1))


def contractions(
    atoms: int, elements: int, l_max: int, l_out: int, order: int, channels: int
) -> Callable[[torch.dtype], Problem]:
    def make(dtype: torch.dtype) -> Problem:
        parts = [reduced_basis(coupling_basis(l_max, l_out, n), l_out, 1e-12) for n in range(1, order + 1)]
        rows, ranks = ([0, *itertools.accumulate(len(part[k]) for part in parts)] for k in (0, 2))
        basis = torch.zeros(rows[-1], 2 * l_out + 1, ranks[-1], dtype=dtype)
        for n, (_, b, _) in enumerate(parts):
            basis[rows[n] : rows[n + 1], :, ranks[n] : ranks[n + 1]] = torch.tensor(b)
        index, species = [torch.tensor(tuples) for tuples, _, _ in parts], indices(elements, atoms, ordered=False)

        def function(x: Tensor, weights: Tensor) -> Tensor:
            return kernels.symmetric_contraction(x, weights, species, index, basis)

        shapes = ((atoms, (l_max + 1) ** 2, channels), (elements, ranks[-1], channels))
        return function, tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))

    return make


CASES = [
    Case("segment_sum", "one row", segments(1, 1, 1), small=True),
    Case("segment_sum", "scalars", segments(13, 5), small=True),
    Case("segment_sum", "odd", segments(13, 5, 3), small=True),
    Case("segment_sum", "unsorted", segments(37, 8, 2, 5, ordered=False)),
    Case("segment_sum", "wide", segments(37, 8, 48)),
    Case("segment_sum", "nothing", segments(0, 4, 3), empty=True),
    Case("segment_sum", "large", segments(100_000, 3_000, 7)),
    Case("gather", "odd", gathers(5, 13, 3), small=True),
    Case("gather", "unsorted", gathers(8, 37, 2, 5, ordered=False)),
    Case("gather", "nothing", gathers(4, 0, 3), empty=True),
    Case("gather", "large", gathers(3_000, 100_000, 7)),
    Case("edge_convolution", "one bond", convolutions(3, 1, 0, 1, 1), small=True),
    Case("edge_convolution", "odd", convolutions(4, 5, 1, 2, 3), small=True),
    Case("edge_convolution", "scalars", convolutions(5, 17, 0, 0, 5)),
    Case("edge_convolution", "all paths", convolutions(7, 20, 2, 3, 3)),
    Case("edge_convolution", "wide", convolutions(9, 60, 1, 3, 48)),
    Case("edge_convolution", "nothing", convolutions(3, 0, 1, 2, 2), empty=True),
    Case("symmetric_contraction", "one atom", contractions(1, 1, 1, 0, 2, 1), small=True),
    Case("symmetric_contraction", "odd", contractions(5, 3, 1, 1, 3, 3), small=True),
    Case("symmetric_contraction", "first order", contractions(6, 1, 2, 1, 1, 5)),
    Case("symmetric_contraction", "all", contractions(11, 2, 3, 1, 3, 3)),
    Case("symmetric_contraction", "wide", contractions(9, 2, 2, 2, 3, 48)),
    Case("symmetric_contraction", "nothing", contractions(0, 2, 1, 0, 2, 3), empty=True),
    Case("element_linear", "one matrix", linears(3, 1, 2, 8, 16), small=True),
    Case("element_linear", "one row", linears(1, 1, 1, 64, 8)),
    Case("element_linear", "elements", linears(7, 3, 3, 16, 24)),
    Case("element_linear", "odd", linears(7, 3, 3, 5, 3), empty=True),
    Case("element_linear", "nothing", linears(0, 1, 3, 8, 8), empty=True),
    Case("radial_network", "one layer", networks(5, 3, 1), small=True),
    Case("radial_network", "odd", networks(5, 3, 5, 7, 2), small=True),
    Case("radial_network", "wide", networks(33, 8, 32, 16, 40)),
    Case("radial_network", "nothing", networks(0, 3, 4, 2), empty=True),
    Case("edge_convolution", "large", convolutions(2_000, 50_000, 0, 1, 1)),
]

from . import (  # noqa: E402 (made of what stands above)
    cases_layers,
    cases_orbitals,
    cases_radial,
    cases_rows,
    cases_sums,
    cases_tiny,
    cases_waves,
)

for _cases in (cases_layers, cases_orbitals, cases_radial, cases_rows, cases_sums, cases_tiny, cases_waves):
    CASES += _cases.CASES
