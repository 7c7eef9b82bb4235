"""Every operation with the fewest numbers that still show a mistake: for kernels in an interpreter, which is slow.

Odd channel counts, rows nobody names, atoms without neighbours, indices that are not sorted.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from atomlab import kernels

from .cases import Case, Problem, contractions, convolutions, gathers, random, segments
from .cases_layers import activation, gate, pairs, three_body
from .cases_rows import OPERATIONS as OF_FORMULAS
from .cases_rows import drawn
from .cases_waves import zonal

# of one kind at each end of every operation that sums over edges
I = torch.tensor([0, 0, 1, 1, 3, 3, 3])
J = torch.tensor([1, 3, 0, 2, 0, 1, 3])
K = torch.tensor([3, 1, 1, 0, 2, 1, 0])


def normal(*shape: int) -> Callable[[torch.dtype, int], Tensor]:
    return lambda dtype, seed: random(*shape, dtype=dtype, seed=seed)


def between(low: float, high: float, *shape: int) -> Callable[[torch.dtype, int], Tensor]:
    def make(dtype: torch.dtype, seed: int) -> Tensor:
        drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (low + (high - low) * drawn).to(dtype)

    return make


def of(function: Callable, *makers: Callable[[torch.dtype, int], Tensor]) -> Callable[[torch.dtype], Problem]:
    """The function of tensors that these makers draw."""
    return lambda dtype: (function, tuple(make(dtype, 11 + n) for n, make in enumerate(makers)))


def pair_sums(x: Tensor) -> Tensor:
    return kernels.pair_sum(x, I, J, 5)


def bessels(x: Tensor) -> Tensor:
    return kernels.spherical_bessel(x, torch.arange(7, device=x.device))


def shares(r: Tensor, reach: Tensor, c: Tensor, exponent: Tensor, prefactor: Tensor) -> Tensor:
    z = torch.tensor([1, 6, 8, 14, 29], device=r.device)
    return kernels.zbl(r, z, z.flip(0), reach, c, exponent, prefactor, 6)


R, WIDE = between(1.0, 2.5, 5), between(1.5, 2.5, 5)
ONE, FOUR = between(0.8, 1.2), between(3.5, 4.5)

OF_ROWS = {
    "bessel": (kernels.bessel, R, between(0.5, 3.0, 3), ONE),
    "polynomial_envelope": (lambda x: kernels.polynomial_envelope(x, 5), between(0.3, 1.3, 2, 3)),
    "agnesi_transform": (kernels.agnesi_transform, R, WIDE, ONE, FOUR, ONE),
    "soft_transform": (kernels.soft_transform, R, WIDE, ONE),
    "zbl": (shares, between(0.3, 1.5, 5), WIDE, between(0.2, 0.6, 4), ONE, ONE),
    "edge_lengths": (kernels.edge_lengths, normal(5, 3)),
    "triplet_cosines": (lambda d, r: kernels.triplet_cosines(d, r, I, K), normal(5, 3), WIDE),
    "spherical_bessel": (bessels, between(0.5, 9.0, 4, 7)),
    "zonal_harmonics": (lambda c: kernels.zonal_harmonics(c, 4), between(-1.0, 1.0, 2, 3)),
    "cosine_envelope": (lambda r: kernels.cosine_envelope(r, 4.0), R),
    "gaussian_waves": (lambda *x: kernels.gaussian_waves(*x, I[:5]), R, between(-1.0, -0.2, 4, 3), normal(4, 3)),
    "monomials": (lambda d: kernels.monomials(d, 3), normal(5, 3)),
    "safe_norm": (kernels.safe_norm, normal(2, 3, 5)),
}  # fmt: skip

OF_EDGES = {
    "pair_sum": (pair_sums, normal(7, 2, 3)),
    "many_body_two": (lambda c, r: kernels.many_body_two(c, r, I, J), normal(4, 3), normal(7, 3)),
    "many_body_three": (lambda c, w: kernels.many_body_three(c, w, I, J, K), normal(4, 3), normal(7, 3)),
    "many_body_spherical": (
        lambda c, r, y: kernels.many_body_spherical(c, r, y, I, J), normal(4, 3), normal(7, 3), normal(7, 5, 3),
    ),
    "orbital_sum": (lambda y, r: kernels.orbital_sum(y, r, I, 5), normal(7, 4), normal(7, 3)),
    "orbital_message": (lambda o, w: kernels.orbital_message(o, w, I, J), normal(4, 4, 3), normal(7)),
}  # fmt: skip


OPS = OF_ROWS | OF_EDGES


def _harmonics(l_max: int) -> Callable[[Tensor], Tensor]:
    return lambda unit: kernels.spherical_harmonics(unit, l_max)


def _tiny(op: str, name: str, make: Callable[[torch.dtype], Problem], small: bool = False, empty: bool = False) -> Case:
    return Case(op, f"tiny {name}", make, small, empty, tiny=True)


CASES = [
    *(_tiny(op, "alone", of(*made), small=op == "zonal_harmonics") for op, made in OPS.items()),
    *(_tiny("spherical_harmonics", f"l {l}", of(_harmonics(l), normal(5, 3))) for l in (1, 2, 3)),
    *(_tiny(op, "alone", drawn(op, 5), small=op == "torsion_cosines") for op in OF_FORMULAS if op not in OPS),
    _tiny("lennard_jones", "one epsilon", of(lambda *x: kernels.lennard_jones(*x, 4.0), WIDE, ONE, R)),
    _tiny("segment_sum", "alone", segments(13, 5, 3, ordered=False)),
    _tiny("segment_sum", "long lists", segments(700, 3, 2)),
    _tiny("segment_sum", "nothing", segments(0, 4, 3), empty=True),
    _tiny("gather", "alone", gathers(5, 9, 131, ordered=False)),
    _tiny("gather", "nothing", gathers(4, 0, 3), empty=True),
    _tiny("edge_convolution", "alone", convolutions(3, 4, 1, 2, 3)),
    _tiny("edge_convolution", "wide", convolutions(2, 2, 1, 1, 131)),
    _tiny("edge_convolution", "one path", convolutions(3, 2, 0, 0, 1)),
    _tiny("edge_convolution", "nothing", convolutions(3, 0, 1, 2, 2), empty=True),
    _tiny("symmetric_contraction", "alone", contractions(3, 2, 1, 1, 2, 3)),
    _tiny("symmetric_contraction", "third order", contractions(2, 3, 1, 0, 3, 5)),
    _tiny("symmetric_contraction", "one element", contractions(3, 1, 1, 1, 1, 2)),
    _tiny("symmetric_contraction", "nothing", contractions(0, 2, 1, 0, 2, 3), empty=True),
    _tiny("activated", "all", activation(3, 3)),
    _tiny("activated", "alone", activation(3, 3, times=False, plus=False)),
    _tiny("gated", "times", gate(3, 3)),
    _tiny("gated", "alone", gate(3, 3, times=False)),
    _tiny("pair_dense", "alone", pairs(7, 3, 4, 3)),
    _tiny("triplet_messages", "alone", three_body([1, 2, 0], 3)),
    _tiny("zonal_messages", "alone", zonal(7, 4, 2, 2, 3)),
    _tiny("monomials", "nothing", of(lambda d: kernels.monomials(d, 2), normal(0, 3)), empty=True),
]
