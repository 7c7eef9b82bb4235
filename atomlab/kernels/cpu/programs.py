"""Networks that act on each row by itself, written down as programs for the compiled loops of `loops/programs.py`.

A layer that is called by itself costs more than what it computes, and its rows leave the cache before the next layer
comes. A program takes a block of rows through all layers up to the place where other rows are needed, and all the way
back; the weights are constants in it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from .arrays import flat
from .compiled import library
from .exponential import STAMP
from .products import behind, product_text
from .simd import WIDEST

__all__ = ["ATOMS", "EDGES", "Program", "Value", "loops", "padded"]

EDGES, ATOMS = 0, 1
LAYER, PERMUTED, SUMMED = range(3)


@functools.cache
def _text(dtype: str) -> str:
    lanes = WIDEST[dtype]
    both = product_text(dtype, lanes, "product") + product_text(dtype, 2 * lanes, "product_wide")
    return behind(both, "programs", WIDTH=lanes, STAMP=STAMP)


def loops(dtype: str) -> ModuleType | None:
    """The compiled loops, for every width; None while there are none."""
    return library(f"programs_{dtype}", _text(dtype))


def padded(size: int, dtype: torch.dtype) -> int:
    """The columns that stand for `size` of them: whole vectors. What is beyond stays 0."""
    lanes = WIDEST[str(dtype).removeprefix("torch.")]
    return -(-size // lanes) * lanes


@dataclass(eq=False)
class Value:
    """A matrix that a program knows: a row of `size` numbers, `width` with what pads them, for each edge or atom.

    place: numbers of all matrices before it, per row. kept: it shares its place with no other. last: the last step that
    uses it.
    """

    rows: int
    size: int
    width: int
    kept: bool
    place: int = -1
    last: int = -1


@dataclass
class _Step:
    kind: int
    x: Value
    out: Value
    times: Value | None = None
    plus: Value | None = None
    slope: Value | None = None
    before: Value | None = None  # f(z), which the gradient of `times` needs
    weights: tuple[int, ...] = (0, 0, 0, -1)  # where the matrix begins, its transpose, the bias, the table
    curved: bool = False
    onto: list[bool] = field(default_factory=lambda: [False] * 3)  # x, times, plus have a gradient already

    @property
    def inputs(self) -> tuple[Value | None, ...]:
        return self.x, self.times, self.plus

    @property
    def outputs(self) -> tuple[Value | None, ...]:
        return self.out, self.slope, self.before


class Program:
    """Steps, in parts that `cut` divides: what happens between two parts is the caller's.

    Values and gradients are in one array `memory`; a gradient stands where its value stood.
    """

    def __init__(self, dtype: torch.dtype):
        self.dtype, self.steps, self.cuts = dtype, list[_Step](), [0]
        self._weights: list[Tensor] = [torch.zeros(0, dtype=dtype)]
        self._length = 0
        self._at: tuple[tuple[int, int], list[np.ndarray]] | None = None

    # ------------------------------------------------------------------ writing it

    def value(self, size: int, rows: int = EDGES, kept: bool = True) -> Value:
        """A matrix; if the caller fills it or reads it, it must be kept."""
        return Value(rows, size, padded(size, self.dtype), kept)

    def layer(
        self,
        x: Value,
        weight: Tensor,
        bias: Tensor | None = None,
        curved: bool = False,
        times: Value | None = None,
        plus: Value | None = None,
        table: Tensor | None = None,
        kept: bool = False,
    ) -> Value:
        """plus + times f(x W^T + b), f the SiLU if `curved`: weight (C, K), bias (C,), as `kernels.dense`.

        table (Z, 2, C): what the elements of an edge's ends bring to it, the centre's first.
        """
        columns = len(weight)
        out, wide = self.value(columns, x.rows, kept), padded(columns, self.dtype)
        matrix = weight.new_zeros(wide, x.width)
        matrix[:columns, : x.size] = weight
        step = _Step(LAYER, x, out, times, plus, curved=curved)
        step.weights = (
            self._constant(matrix.t()),
            self._constant(matrix),
            self._constant(_wider(weight.new_zeros(columns) if bias is None else bias, wide)),
            -1 if table is None else self._constant(_wider(table, wide)),
        )
        if curved or times is not None:
            step.slope = self.value(columns, x.rows)
        if times is not None:
            step.before = self.value(columns, x.rows)
        self.steps.append(step)
        return out

    def permuted(self, x: Value) -> Value:
        """The row of the edge back, for each edge."""
        return self._moved(PERMUTED, x, self.value(x.size, EDGES, kept=False))

    def summed(self, x: Value) -> Value:
        """Edges' rows summed at their centres: rows of atoms."""
        return self._moved(SUMMED, x, self.value(x.size, ATOMS))

    def cut(self) -> None:
        """The next step is of another part."""
        self.cuts.append(len(self.steps))

    def _moved(self, kind: int, x: Value, out: Value) -> Value:
        self.steps.append(_Step(kind, x, out))
        return out

    def _constant(self, values: Tensor) -> int:
        at = self._length
        self._weights.append(values.to(self.dtype).flatten())
        self._length += values.numel()
        return at

    def finish(self, *given: Value) -> None:
        """No step follows. given: the values that the caller fills."""
        self.cut()
        self.weights = flat(torch.cat(self._weights))
        for n, step in enumerate(self.steps):
            for x in step.inputs:
                if x is not None:
                    x.last = n
        self.widths = self._places(given)
        reached: set[Value] = set()
        for step in reversed(self.steps):
            for n in (1, 2, 0):  # as they are written: what stands beside a layer before what goes through it
                x = step.inputs[n]
                step.onto[n] = x in reached
                reached |= {x} if x is not None else set()

    def _places(self, given: Sequence[Value]) -> list[int]:
        """Give every value its place, one after another where the former is needed no more; the numbers per row.

        What is free for values is free for gradients: they come in the opposite order.
        """
        free: dict[tuple[int, int], list[int]] = {}
        taken = [0, 0]

        def place(value: Value) -> None:
            spare = free.get((value.rows, value.width))
            if spare and not value.kept:
                value.place = spare.pop()
            else:
                value.place = taken[value.rows]
                taken[value.rows] += value.width

        for value in given:
            place(value)
        for n, step in enumerate(self.steps):
            for value in step.outputs:
                if value is not None:
                    place(value)
            for value in dict.fromkeys(x for x in step.inputs if x is not None and x.last == n and not x.kept):
                free.setdefault((value.rows, value.width), []).append(value.place)
        return taken

    # ------------------------------------------------------------------ running it

    def size(self, edges: int, atoms: int) -> int:
        """Numbers that `memory` holds."""
        return self.widths[EDGES] * edges + self.widths[ATOMS] * atoms

    def of(self, value: Value, memory: Tensor, edges: int, atoms: int) -> Tensor:
        """The matrix of that value, with its padding."""
        rows = (edges, atoms)[value.rows]
        start = self._address(value, edges, atoms)
        return memory[start : start + rows * value.width].view(rows, value.width)

    def parts(self, edges: int, atoms: int) -> list[np.ndarray]:
        """The steps of each part, for that many edges and atoms, as the loops take them."""
        if self._at is None or self._at[0] != (edges, atoms):
            table = np.array([list(self._row(step, edges, atoms)) for step in self.steps], np.int64)
            self._at = (edges, atoms), [table[a:b].flatten() for a, b in zip(self.cuts, self.cuts[1:])]
        return self._at[1]

    def _address(self, value: Value | None, edges: int, atoms: int) -> int:
        if value is None:
            return -1
        return self.widths[EDGES] * edges + value.place * atoms if value.rows == ATOMS else value.place * edges

    def _row(self, step: _Step, edges: int, atoms: int) -> Iterator[int]:
        yield step.kind
        for value in (step.x, step.out, step.times, step.plus, step.slope, step.before):
            yield self._address(value, edges, atoms)
        yield from (step.x.width, step.x.size, step.out.width, *step.weights, step.curved, *step.onto)


def _wider(values: Tensor, columns: int) -> Tensor:
    """With zeros behind the last dimension."""
    out = values.new_zeros(*values.shape[:-1], columns)
    out[..., : values.shape[-1]] = values
    return out
