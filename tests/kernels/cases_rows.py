"""Operations that are one formula of each row: classical potentials, powers with a cutoff, norms, dihedral angles."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from atomlab import kernels

from .cases import Case, Problem, random

__all__ = ["CASES", "OPERATIONS", "drawn"]

Maker = Callable[[int, torch.dtype, int], Tensor]


def between(low: float, high: float) -> Maker:
    def make(rows: int, dtype: torch.dtype, seed: int) -> Tensor:
        drawn = torch.rand(rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (low + (high - low) * drawn).to(dtype)

    return make


def normal(*columns: int) -> Maker:
    return lambda rows, dtype, seed: random(rows, *columns, dtype=dtype, seed=seed)


R, WIDE, NUMBER = between(1.0, 2.5), between(1.5, 2.5), between(-1.0, 1.0)
POWERS = ((-2, 2.0), (0, 2.0), (3, 1.7), (1, 2.4))
# two of equal powers, one without its third side, one with all that there is
ANGLES = ((1, 1, 1, 1.0, -1.0, 4, 2.4), (0, 0, None, 1.0, 1.0, 1, 2.4), (-2, 1, -1, 2.0, 0.5, 3, 2.2))

OPERATIONS: dict[str, tuple[Callable, ...]] = {
    "stillinger_weber_two": (lambda *x: kernels.stillinger_weber_two(*x, 7.0, 0.6, 4.0, 0.0, 1.8), R, R, WIDE),
    "stillinger_weber_three": (
        lambda *x: kernels.stillinger_weber_three(*x, 1.2, 1.8, -1 / 3), R, R, NUMBER, R, WIDE, WIDE,
    ),
    "lennard_jones": (lambda *x: kernels.lennard_jones(*x, 4.0), WIDE, R, R),
    "morse": (lambda *x: kernels.morse(*x, 4.0), R, R, WIDE, R),
    "tanh_powers": (lambda r: kernels.tanh_powers(r, POWERS), R),
    "triplet_powers": (lambda *x: kernels.triplet_powers(*x, ANGLES), normal(3), normal(3)),
    "pair_inputs": (lambda r: kernels.pair_inputs(r, (0.5, 1.2, 1.7, 2.6), 0.3), R),
    "safe_norm": (kernels.safe_norm, normal(5)),
    "torsion_cosines": (kernels.torsion_cosines, normal(3), normal(3), normal(3)),
}  # fmt: skip


def drawn(name: str, rows: int) -> Callable[[torch.dtype], Problem]:
    function, *makers = OPERATIONS[name]
    return lambda dtype: (function, tuple(make(rows, dtype, 11 + n) for n, make in enumerate(makers)))


CASES = [
    Case(name, what, drawn(name, rows), small=rows == 17, empty=rows < 2)
    for name in OPERATIONS
    for what, rows in (("one row", 1), ("odd", 17), ("many", 333), ("nothing", 0))
]
