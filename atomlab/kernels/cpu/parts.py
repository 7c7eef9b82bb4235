"""Rules that are no operations of their own: what stands between these in a pass without autograd (`chain.Chain`).

They run once forwards and once backwards, and keep what they need in between. Weights are held by the rule; `Turned`
holds one with its transpose, so that neither direction has to make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from ..autograd import Rule
from . import products
from .arrays import flat, real
from .threads import over_rows

__all__ = ["Products", "Readout", "Times", "Turned"]


class Turned:
    """The matrix W (C, K) of a layer x W^T + b: forth (K, C), back W itself, both contiguous."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self.back = weight.detach().contiguous()
        self.forth = self.back.t().contiguous()
        self._loops: list[ModuleType | None] = [None, None]
        self.bias = None if bias is None else bias.detach()

    def loops(self, back: bool = False) -> ModuleType | None:
        """The compiled products with `forth`, or `back`; None while there are none, or where a library is better."""
        code = self._loops[back]
        if code is None:
            code = self._loops[back] = _loops(self.back if back else self.forth)
        return code

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.forth if self.bias is None else torch.addmm(self.bias, x, self.forth)


def _loops(matrix: Tensor) -> ModuleType | None:
    dtype, columns = real(matrix), matrix.shape[1]
    return (
        None if dtype is None or products.panel(columns, dtype)[0] < products.LEAST else products.loops(dtype, columns)
    )


class Products(Rule):
    """x W^T for several W: as many results as matrices. x (N, K)."""

    def __init__(self, matrices: Sequence[Turned]):
        self.matrices = matrices

    def forward(self, x):
        (x,), out = x, []
        for m in self.matrices:
            y = x.new_empty(len(x), m.forth.shape[1])
            _multiply(m.loops(), x, m.forth, y, False)
            out.append(y)
        return tuple(out)

    def backward(self, g, x, wanted):
        dx = torch.empty_like(x[0])
        for k, (part, m) in enumerate(zip(g, self.matrices)):
            _multiply(m.loops(back=True), part, m.back, dx, k > 0)
        return (dx,)


def _multiply(code: ModuleType | None, x: Tensor, w: Tensor, out: Tensor, onto: bool) -> None:
    """out = x w, or added to it."""
    (rows, inner), columns = x.shape, w.shape[1]
    if code is not None:
        arrays = flat(x), 0, inner, 1, flat(w), 0, onto, flat(out), 0
        over_rows(code.product, rows, inner, columns, *arrays, work=rows * inner * columns)
    elif onto:
        out.addmm_(x, w)
    else:
        torch.mm(x, w, out=out)


class Times(Rule):
    """x y, of one shape."""

    def forward(self, x):
        return (x[0] * x[1],)

    def backward(self, g, x, wanted):
        return g[0] * x[1] if wanted[0] else None, g[0] * x[0] if wanted[1] else None


class Readout(Rule):
    """SiLU layers, and of the last layer's results (N, heads) each row's own: (N,). With `batch` the rows are summed by
    it first, in float64, one sum for each head that is given."""

    def __init__(self, layers: Sequence[Turned], last: Turned, head: Tensor, batch: Tensor | None = None):
        self.layers, self.last, self.head, self.batch = layers, last, head, batch

    def forward(self, x):
        self.before, (y,) = [], x
        if self.batch is not None:
            sums = torch.zeros(len(self.head), y.shape[1], dtype=torch.float64)
            y = sums.index_add_(0, self.batch, y.double()).to(y.dtype)
        for layer in self.layers:
            self.before.append(layer(y))
            y = torch.nn.functional.silu(self.before[-1])
        return (self.last(y).gather(1, self.head[:, None])[:, 0],)

    def backward(self, g, x, wanted):
        g = g[0][:, None] * self.last.back.index_select(0, self.head)
        for layer, z in zip(reversed(self.layers), reversed(self.before)):
            g = torch.ops.aten.silu_backward(g, z) @ layer.back
        return (g if self.batch is None else g.index_select(0, self.batch),)
