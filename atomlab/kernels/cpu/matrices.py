"""Products of matrices with many rows: by the loops of `products`, or by torch where they are too narrow for these.

Some matrix libraries leave half of what a processor can do; at 3584 x 64 x 64 these loops ran at twice MKL's speed on a
processor with AVX-512 of another maker.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.contraction import element_linear as reference
from .arrays import flat, real, sorted_rows
from .products import LEAST, loops, panel
from .threads import over_rows

__all__ = ["inner_product", "outer_product", "turned"]

FEWEST = 2_000_000  # multiplications below which the way to the loops costs more than they save


def _code(columns: int, dtype: str | None):
    return loops(dtype, columns) if dtype is not None and panel(columns, dtype)[0] >= LEAST else None


def inner_product(a: Tensor, b: Tensor, plus: Tensor | None = None) -> Tensor:
    """a b for a (R, K) and b (K, N), both contiguous; added to `plus` (in place) where there is one."""
    (rows, inner), columns = a.shape, b.shape[1]
    code = _code(columns, real(a))
    if code is None or a.numel() == 0:
        return a @ b if plus is None else plus.addmm_(a, b)
    out = a.new_empty(rows, columns) if plus is None else plus
    arrays = (flat(a), 0, inner, 1, flat(b), 0, plus is not None, flat(out), 0)
    over_rows(code.product, rows, inner, columns, *arrays, work=rows * inner * columns)
    return out


def outer_product(a: Tensor, b: Tensor, plus: Tensor | None = None) -> Tensor:
    """a^T b for a (R, K) and b (R, N), both contiguous; added to `plus` (in place) where there is one."""
    (rows, width), columns = a.shape, b.shape[1]
    code = _code(columns, real(a))
    if code is None or a.numel() == 0:
        return a.t() @ b if plus is None else plus.addmm_(a.t(), b)
    out = a.new_empty(width, columns) if plus is None else plus
    arrays = (flat(a), flat(b), plus is not None, flat(out))
    over_rows(code.outer, width, rows, width, columns, *arrays, work=rows * width * columns)
    return out


def turned(a: Tensor) -> Tensor:
    """The transposed matrix as a matrix of its own."""
    return torch.empty(a.shape[::-1], dtype=a.dtype, device=a.device).copy_(a.t())


class ElementLinear(Rule):
    """x: features (A, m, K) and a matrix per element (Z, K, N)."""

    def __init__(self, species: Tensor | None, many: int):
        self.species, self.rows = species, None
        if many > 1 and species is not None:
            first, order = sorted_rows(species, many)
            self.rows = [torch.from_numpy(order[a:b]) for a, b in pairwise(first.tolist())]

    def forward(self, x):
        return (self._times(*x),)

    def backward(self, g, x, wanted):
        return self._times(g[0], _turned(x[1])) if wanted[0] else None, self._outer(x[0], g[0]) if wanted[1] else None

    def double(self, v, g, x, wanted):
        vx, vw = v
        dg = None if vx is None else self._times(vx, x[1])
        dg = dg if vw is None else self._times(x[0], vw, dg)
        dx = None if vw is None else self._times(g[0], _turned(vw))
        return (dg,), (dx, None if vx is None else self._outer(vx, g[0]))

    def _times(self, x: Tensor, weight: Tensor, plus: Tensor | None = None) -> Tensor:
        """Each atom's rows times its element's matrix."""
        shape = (*x.shape[:2], weight.shape[2])
        if self.rows is None:
            plus = None if plus is None else plus.view(-1, shape[2])
            return inner_product(x.flatten(0, 1), weight[0], plus).view(shape)
        out = x.new_empty(shape)
        for rows, matrix in zip(self.rows, weight):
            out[rows] = inner_product(x[rows].flatten(0, 1), matrix).view(-1, *shape[1:])
        return out if plus is None else plus.add_(out)

    def _outer(self, x: Tensor, g: Tensor) -> Tensor:
        """Σ x^T g over the rows of each element."""
        if self.rows is None:
            return outer_product(x.flatten(0, 1), g.flatten(0, 1))[None]
        return torch.stack([outer_product(x[rows].flatten(0, 1), g[rows].flatten(0, 1)) for rows in self.rows])

    def reference(self, *x):
        return (reference.__wrapped__(*x, self.species),)


def _turned(weight: Tensor) -> Tensor:
    return weight.transpose(1, 2).contiguous()


@implements("numba", "element_linear")
def element_linear(x: Tensor, weight: Tensor, species: Tensor | None = None) -> Tensor:
    dtype, (_, inner, columns) = real(x), weight.shape
    if dtype is None or x.numel() == 0 or x.numel() * columns < FEWEST:
        return NotImplemented
    if (
        min(panel(size, dtype)[0] for size in (inner, columns)) < LEAST
        or loops(dtype, inner) is None
        or loops(dtype, columns) is None
    ):
        return NotImplemented
    return apply(ElementLinear(species, len(weight)), x, weight)[0]
