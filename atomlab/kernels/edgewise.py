"""Terms of each edge, summed over the edges of each atom, bond or sender: what the backends that make kernels share.

A term is a polynomial in rows of arrays; an index says which row an edge takes of each. Its derivative with respect to
an array is a sum over the edges that take the same row: a sum of the same kind over another index.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .autograd import Rule, apply
from .formula import Node, leaf

__all__ = ["Array", "Edgewise", "Term", "term"]


@dataclass(frozen=True)
class Array:
    """An array whose row is taken by an index; "edge" is the edge's own row. A row holds `columns` vectors over the
    channels, (columns, K), or plain numbers (not `wide`). `held`: constant."""

    index: str
    columns: int
    wide: bool = True
    held: bool = False


class Term:
    """function(*inputs, *constants) -> the columns of the outputs, one after the other; `lanes` channels."""

    def __init__(
        self, function: Callable, inputs: tuple[Array, ...], outputs: tuple[Array, ...], lanes: int, constants
    ):
        self.inputs, self.outputs, self.lanes = inputs, outputs, lanes
        self.x, self.v, self.g = (
            _nodes(name, arrays) for name, arrays in (("x", inputs), ("v", inputs), ("g", outputs))
        )
        self.y: list[Node] = function(*self.x, *constants)


term = functools.cache(Term)


def _nodes(name: str, arrays: Sequence[Array]) -> list[list[Node]]:
    return [[leaf(f"{name}{n}_{c}") for c in range(array.columns)] for n, array in enumerate(arrays)]


class Edgewise(Rule):
    """A term summed over edges. `indices`: (E,) for each name but "edge"; `sizes`: rows for each name.

    held: the constant arrays, in their order; shapes: of the outputs; plain: the same in torch, of the others.
    """

    def __init__(
        self,
        made: Term,
        indices: Mapping[str, Tensor],
        sizes: Mapping[str, int],
        shapes: Sequence[Sequence[int]],
        plain: Callable[..., Sequence[Tensor]],
        held: Sequence[Tensor] = (),
    ):
        self.made, self.indices, self.sizes, self.shapes = made, indices, sizes, shapes
        self.plain, self.held, self.needs = plain, held, ()

    @staticmethod
    @abstractmethod
    def ours(*tensors: Tensor) -> bool:
        """Whether these kernels take the tensors."""

    def __call__(self, *x: Tensor) -> tuple[Tensor, ...]:
        """The outputs for the arrays that are not held; nothing where the kernels are not ready."""
        self.needs = tuple(t.requires_grad for t in x)
        return apply(self, *x)

    def forward(self, x):
        return tuple(self._run(0, x, (), (), (False,) * len(x))[0])

    def backward(self, g, x, wanted):
        return tuple(self._run(1, x, g, (), wanted)[1])

    def double(self, v, g, x, wanted):
        own, others = self._run(2, x, g, v, self.needs)
        return tuple(own), tuple(others)

    def reference(self, *x):
        return tuple(self.plain(*x))

    @abstractmethod
    def _run(self, order: int, x: Sequence, g: Sequence, v: Sequence, wanted: Sequence[bool]) -> tuple[list, list]:
        """What a kernel of that order returns (see `formula.derived`): of the outputs, and of the inputs x."""

    def _spread(self, own: Sequence, other: Any) -> tuple:
        """One entry for each input, `other` for those that are held."""
        left = iter(own)
        return tuple(other if array.held else next(left) for array in self.made.inputs)
