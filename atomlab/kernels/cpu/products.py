"""Linear layers on many rows: matrix products whose derivatives are matrix products. Parts of `layers`."""

from __future__ import annotations

import functools
import math
from types import ModuleType

import llvmlite.binding as llvm
import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule
from .arrays import flat, real
from .compiled import library, template
from .segments import SegmentSum
from .threads import over_rows

LEAST = 8  # columns at a time below which a matrix library is faster
NOTHING = np.zeros(0, np.int64)


@functools.cache
def _registers() -> int:
    """Registers' worth of columns that stay for each row: processors with short vectors have few registers too."""
    return 4 if llvm.get_host_cpu_features().get("avx512f", False) else 1


def panel(columns: int, dtype: str) -> tuple[int, int]:
    """How many columns are done at once, and rows."""
    lanes = 16 if dtype == "float32" else 8
    wide = math.gcd(columns, _registers() * lanes)
    return wide, 4 if wide >= 4 * lanes or _registers() == 1 else 8


@functools.cache
def text(dtype: str, columns: int) -> str:
    """Source of the products whose numbers of columns are multiples of `columns`."""
    wide, rows = panel(columns, dtype)
    return template("products", each={"R": rows}, REAL=dtype, PANEL=wide, ROWS=rows)


@functools.cache
def product_text(dtype: str, columns: int, name: str = "product") -> str:
    """Source of `product` alone, under that name."""
    head, product, *_ = text(dtype, columns).split("@kernel(")
    return f"{head}@kernel({product}".replace("def product(", f"def {name}(")


def behind(before: str, name: str, **constants: object) -> str:
    """The template `name` behind the source of those that it imports from."""
    lines = template(name, None, **constants).splitlines(keepends=True)
    return before + "".join(line for line in lines if not line.startswith("from atomlab.kernels.cpu.loops."))


def loops(dtype: str, columns: int) -> ModuleType | None:
    """The compiled products for that number of columns; None while there are none."""
    return library(f"products_{dtype}_{panel(columns, dtype)[0]}", text(dtype, columns))


class Dense(Rule):
    """x W^T + b; x, weight, and bias where there is one."""

    def __init__(self, code: ModuleType, back: ModuleType, biased: bool):
        self.code, self.back, self.biased = code, back, biased

    def forward(self, x):
        return (self._dense(*x),)

    def backward(self, g, x, wanted):
        dx = self._product(g[0], x[1]) if wanted[0] else None
        dw = self._outer(g[0], x[0]) if wanted[1] else None
        return (dx, dw, g[0].sum(0) if wanted[2] else None) if self.biased else (dx, dw)

    def double(self, v, g, x, wanted):
        vx, vw, *vb = v
        parts = [] if vx is None else [self._dense(vx, x[1])]
        parts += [] if vw is None else [self._dense(x[0], vw)]
        dg = _added(parts, g[0])
        dg = dg if not vb or vb[0] is None else dg + vb[0]
        dx = None if vw is None else self._product(g[0], vw)
        dw = None if vx is None else self._outer(g[0], vx)
        return (dg,), (dx, dw, *(None for _ in vb))

    def arrays(self, x, weight, bias=None):
        """What `dense_rows` takes, without its result."""
        bias = x.new_zeros(len(weight)) if bias is None else bias
        return flat(x), flat(weight.t().contiguous()), flat(bias), flat(x.new_empty(0)), NOTHING, NOTHING

    def _dense(self, *x):
        (rows, inner), columns = x[0].shape, len(x[1])
        out = x[0].new_empty((rows, columns))
        over_rows(
            self.code.dense_rows, rows, inner, columns, *self.arrays(*x), flat(out), work=inner * rows * columns
        )  # fmt: skip
        return out

    def _product(self, g, weight):
        """g W (N, K)."""
        (rows, inner), columns = g.shape, weight.shape[1]
        if self.back is None:
            return g @ weight
        out = g.new_empty((rows, columns))
        arrays = (flat(g), 0, inner, 1, flat(weight), 0, False, flat(out), 0)
        over_rows(self.back.product, rows, inner, columns, *arrays, work=inner * rows * columns)
        return out

    def _outer(self, g, x):
        """g^T x (C, K)."""
        (rows, width), columns = g.shape, x.shape[1]
        if self.back is None:
            return g.t() @ x
        out = g.new_empty((width, columns))
        arrays = (flat(g), flat(x), False, flat(out))
        over_rows(self.back.outer, width, rows, width, columns, *arrays, work=rows * width * columns)
        return out


class PairDense(Dense):
    """x W^T + b + nodes[i, :C] + nodes[j, C:]; x, weight, bias, nodes."""

    def __init__(self, code: ModuleType, back: ModuleType, sums: ModuleType, i: Tensor, j: Tensor, size: int):
        super().__init__(code, back, True)
        self.i, self.j = i, j
        self.ends = [SegmentSum(sums, index, size) for index in (i, j)]

    def arrays(self, x, weight, bias=None, nodes=None):
        found = super().arrays(x, weight, bias)
        return found if nodes is None else (*found[:3], flat(nodes), self.i.numpy(), self.j.numpy())

    def backward(self, g, x, wanted):
        nodes = torch.cat([end.forward(g)[0] for end in self.ends], dim=1) if wanted[3] else None
        return (*super().backward(g, x, wanted), nodes)

    def double(self, v, g, x, wanted):
        (dg,), dx = super().double(v[:3], g, x[:3], wanted)
        if v[3] is not None:
            own, other = v[3].chunk(2, dim=1)
            dg = dg + own.index_select(0, self.i) + other.index_select(0, self.j)
        return (dg,), (*dx, None)


def _added(parts, like):
    return sum(parts[1:], parts[0]) if parts else torch.zeros_like(like)


def both(x: Tensor, weight: Tensor) -> tuple[ModuleType, ModuleType] | None:
    """The loops for the product and for its derivatives: None where a matrix library is better, or while compiling."""
    dtype = real(x)
    if dtype is None or real(weight) != dtype or x.numel() == 0 or x.dim() != 2:
        return None
    columns, inner = weight.shape
    if panel(columns, dtype)[0] < LEAST:
        return None
    code = loops(dtype, columns)
    if panel(inner, dtype)[0] < LEAST:
        return None if code is None else (code, None)
    back = loops(dtype, inner)
    return None if code is None or back is None else (code, back)
