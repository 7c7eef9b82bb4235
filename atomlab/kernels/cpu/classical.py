"""Operations that are one formula of each row: energies of the classical potentials, parts of many-body functions."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..formulas import register
from ..rowwise import Input
from .pointwise import call

FEWEST = 3000  # rows from which a kernel pays where torch has a dozen operations; safe_norm has five, where none pays


def many(function: Callable, plain: Callable, rows: int, *given: tuple[Tensor, Input], constants: tuple) -> Tensor:
    """`call` for rows enough."""
    return call(function, plain, rows, *given, constants=constants) if rows >= FEWEST else NotImplemented


register("numba", call, ("pair_inputs", "tanh_powers", "triplet_powers"))
register("numba", many, ("lennard_jones", "morse", "stillinger_weber_three", "stillinger_weber_two", "torsion_cosines"))
