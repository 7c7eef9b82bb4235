"""A transformer's encoder layer between two layer norms, over the atoms of each structure, in compiled loops.

A part of a pass without autograd (`chain.Chain`), as GPTFF has it: with x' = norm(x), u = x' + out(attention(x')),
y = norm(u), z = norm(y + contract(gelu(expand(y)))), the result is norm(z) + x'.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule
from . import products
from .arrays import flat
from .compiled import library
from .exponential import STAMP
from .simd import width
from .space import Space
from .threads import over_rows

__all__ = ["Encoder", "EncoderWeights", "Structures", "loops"]


def loops(dtype: str, nodes: int, heads: int, wide: int) -> ModuleType | None:
    """The compiled loops for that many features, heads and hidden features; None while there are none, or never."""
    both = math.gcd(nodes // heads, wide)
    panel = products.panel(both, dtype)[0]
    if panel < products.LEAST:
        return None
    return library(f"encoder_{dtype}_{panel}_{width(both, dtype)}", _text(dtype, both))


@functools.cache
def _text(dtype: str, both: int) -> str:
    return products.behind(products.text(dtype, both), "encoder", WIDTH=width(both, dtype), STAMP=STAMP)


class Structures:
    """first (S + 1,): where each structure's atoms begin; place: where each softmax of structure and head does."""

    def __init__(self, counts: np.ndarray, heads: int, panel: int):
        self.first = np.concatenate([[0], np.cumsum(counts)])
        sizes = np.repeat(counts * (-(-counts // panel) * panel), heads)
        self.place = np.concatenate([[0], np.cumsum(sizes)])
        self.work = int(self.place[-1])


@dataclass
class EncoderWeights:
    """Matrices with biases of projection, out, expand, contract (`forth`), the matrices transposed (`back`), and
    (weight, bias, eps) of the norms of x, u, y + ..., z; all flat arrays."""

    heads: int
    wide: int
    forth: list[tuple[np.ndarray, np.ndarray]]
    back: list[np.ndarray]
    norms: list[tuple[np.ndarray, np.ndarray, float]]


class Encoder(Rule):
    """x (A, N) -> (A, N). name: of its arrays in the pass's room."""

    def __init__(self, code: ModuleType, structures: Structures, weights: EncoderWeights, room: Space, name: str):
        self.code, self.structures, self.weights, self.room, self.name = code, structures, weights, room, name

    def _array(self, name: str, like: Tensor, size: int) -> np.ndarray:
        return self.room.numbers(name, size, like.dtype)

    def _rows(self, function, rows: int, n: int, *arguments) -> None:
        over_rows(function, rows, n, *arguments, work=rows * n * n)

    def forward(self, x):
        (rows, n), (x,), weights, name = x[0].shape, x, self.weights, self.name
        (qkv, out, expand, contract), norms, wide = weights.forth, weights.norms, weights.wide
        self.units = [self._array(f"{name} unit {k}", x, rows * n) for k in range(4)]
        self.rates = [self._array(f"{name} rate {k}", x, rows) for k in range(4)]
        self.qkv = self._array(f"{name} qkv", x, 3 * rows * n)
        self.softmax = self._array(f"{name} softmax", x, self.structures.work)
        self.hidden, result = torch.empty(rows, wide, dtype=x.dtype), torch.empty_like(x)
        first, attended, y, room = (self._array(f"encoder {k}", x, rows * n) for k in range(4))
        hidden, kept = flat(self.hidden), list(zip(self.units, self.rates))
        self._rows(self.code.enter, rows, n, flat(x), *norms[0], *qkv, *kept[0], first, self.qkv)
        self._attend(self.code.attend, n, self.qkv, self.softmax, attended)
        self._rows(
            self.code.middle, rows, n, wide, first, attended, *out, *norms[1], *kept[1], *expand, y, hidden, room
        )  # fmt: skip
        active = flat(torch.nn.functional.gelu(self.hidden))
        self._rows(
            self.code.leave, rows, n, wide, first, y, active, *contract, *norms[2], *kept[2], *norms[3], *kept[3], room,
            flat(result),
        )  # fmt: skip
        return (result,)

    def _attend(self, function, n, *arrays):
        s, heads = self.structures, self.weights.heads
        over_rows(function, len(s.place) - 1, n, heads, s.first, s.place, *arrays, work=s.work * n, ends=s.place)

    def backward(self, g, x, wanted):
        (rows, n), (x,), g, weights = x[0].shape, x, flat(g[0]), self.weights
        (qkv, out, expand, contract), wide = weights.back, weights.wide
        norms = [(w, unit, rate) for (w, _, _), unit, rate in zip(weights.norms, self.units, self.rates)]
        dy, d_attended, dqkv = (self._array(f"encoder {k}", x, size * rows) for k, size in enumerate((n, n, 3 * n)))
        d_hidden, dx = torch.empty_like(self.hidden), torch.empty_like(x)
        self._rows(self.code.leave_back, rows, n, wide, g, *norms[3], *norms[2], contract, dy, flat(d_hidden))
        d_hidden = flat(torch.ops.aten.gelu_backward(d_hidden, self.hidden))
        self._rows(self.code.middle_back, rows, n, wide, d_hidden, expand, *norms[1], out, dy, d_attended)
        self._attend(self.code.attend_back, n, self.qkv, self.softmax, d_attended, dqkv)
        self._rows(self.code.enter_back, rows, n, g, dy, dqkv, qkv, *norms[0], flat(dx))
        return (dx,)
