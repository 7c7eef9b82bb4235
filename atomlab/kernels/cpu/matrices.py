"""Products of matrices with many rows: by the loops of `products`, or by torch where they are too narrow for these.

Some matrix libraries leave half of what a processor can do; at 3584 x 64 x 64 these loops ran at twice MKL's speed on a
processor with AVX-512 of another maker.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .arrays import flat, real
from .products import LEAST, loops, panel
from .threads import over_rows

__all__ = ["inner_product", "outer_product", "turned"]

CHUNK = 512  # rows that stay in the cache while the columns of the other matrix pass


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
    for r in range(0, rows, CHUNK):
        many, onto = min(CHUNK, rows - r), plus is not None or r > 0
        arrays = (flat(a), r * width, 1, width, flat(b), r * columns, onto, flat(out), 0)
        over_rows(code.product, width, many, columns, *arrays, work=many * width * columns)
    return out


def turned(a: Tensor) -> Tensor:
    """The transposed matrix as a matrix of its own."""
    return torch.empty(a.shape[::-1], dtype=a.dtype, device=a.device).copy_(a.t())
