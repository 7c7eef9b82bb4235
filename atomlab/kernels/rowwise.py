"""Functions of each row by itself, from a formula: what the backends that make kernels of one share.

One Python function of nodes (`formula.py`) makes three kernels: the values, the gradient, and the gradient of that. An
input is an array of rows, or one row that all share (a trained frequency, say).
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from .autograd import Rule
from .formula import Node, kinds, leaf

__all__ = ["Formula", "Input", "Pointwise", "formula_of"]


@dataclass(frozen=True)
class Input:
    """`columns` numbers in each row, or of all rows together (`shared`). Whole numbers have no derivative."""

    columns: int
    shared: bool = False
    whole: bool = False


class Formula:
    """function(*inputs, *constants) -> outputs: lists of nodes, the constants numbers."""

    def __init__(self, function: Callable, inputs: tuple[Input, ...], constants: tuple):
        self.inputs = inputs
        self.x, self.v = self._nodes("x"), self._nodes("v")
        self.y: list[Node] = function(*self.x, *constants)
        self.kinds = kinds(self.y)
        self.g = [leaf(f"g0_{c}") for c in range(len(self.y))]

    def _nodes(self, name: str) -> list[list[Node]]:
        return [[leaf(f"{name}{n}_{c}") for c in range(given.columns)] for n, given in enumerate(self.inputs)]


formula_of = functools.cache(Formula)


class Pointwise(Rule):
    """A formula applied to each of `rows` rows. `held`: the inputs of whole numbers, None for the others.

    needs: for each of the others, whether it may be differentiated. `plain` is the same in torch, of all inputs.
    """

    def __init__(
        self, formula: Formula, rows: int, held: Sequence[Tensor | None], needs: Sequence[bool], plain: Callable
    ):
        self.formula, self.rows, self.held, self.needs, self.plain = formula, rows, held, needs, plain

    def forward(self, x):
        return tuple(self._run(0, x, (), (), (False,) * len(x)))

    def backward(self, g, x, wanted):
        return self._shaped(iter(self._run(1, x, g, (), wanted)), x, wanted)

    def double(self, v, g, x, wanted):
        found = iter(self._run(2, x, g, v, self.needs))
        return (next(found),), self._shaped(found, x, self.needs)

    def reference(self, *x):
        return (self.plain(*self._all(x)).reshape(self.rows, -1),)

    @abstractmethod
    def _run(self, order: int, x: Sequence, g: Sequence, v: Sequence, wanted: Sequence[bool]) -> list[Tensor]:
        """The results of the kernel of that order (see `formula.derived`), gradients of the wanted x alone."""

    def _shaped(self, found: Iterator[Tensor], x: Sequence[Tensor], wanted: Sequence[bool]) -> tuple:
        return tuple(next(found).view(t.shape) if w else None for t, w in zip(x, wanted))

    def _all(self, own: Sequence, held: Sequence | None = None) -> tuple:
        """One entry for each input: `own` for the differentiable ones, `held` for those of whole numbers."""
        left = iter(own)
        fixed = self.held if held is None else held
        return tuple(f if i.whole else next(left) for i, f in zip(self.formula.inputs, fixed))
