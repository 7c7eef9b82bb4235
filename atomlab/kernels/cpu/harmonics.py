"""Spherical harmonics and lengths of bonds, with both derivatives, in one pass over the bonds each."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.angular import edge_lengths as lengths_reference
from ..reference.harmonics import _step
from ..reference.harmonics import spherical_harmonics as harmonics_reference
from .arrays import flat, real
from .compiled import library, template
from .threads import over_rows


@functools.cache
def _text(dtype: str) -> str:
    return template("harmonics", REAL=dtype)


@functools.cache
def terms(l_max: int) -> tuple[np.ndarray, np.ndarray]:
    """Terms (left, right, out) and their values of all steps up to l_max, as `loops/harmonics.py` takes them."""
    rows, values = [], []
    for l in range(1, l_max + 1):
        step = math.sqrt(3.0) * np.eye(3) if l == 1 else _step(l, torch.float64, torch.device("cpu")).numpy()
        table = step.reshape(2 * l - 1, 3, 2 * l + 1)
        for left, right, out in np.argwhere(table).tolist():
            rows.append(((l - 1) ** 2 + left, right, l * l + out))
            values.append(table[left, right, out])
    return np.array(rows, np.int64).reshape(-1, 3), np.array(values, np.float64)


class _OfVectors(Rule):
    """y (H,) or (H, M) of vectors (H, 3)."""

    def __init__(self, name: str, code: ModuleType, tables: tuple, columns: tuple[int, ...], reference: Callable):
        self.code, self.name, self.tables, self.columns, self._reference = code, name, tables, columns, reference

    def forward(self, x):
        y = x[0].new_empty(len(x[0]), *self.columns)
        self._run("", *x, y)
        return (y,)

    def backward(self, g, x, wanted):
        out = torch.empty_like(x[0])
        self._run("_backward", g[0], *x, out)
        return (out,)

    def double(self, v, g, x, wanted):
        dg, dx = torch.empty_like(g[0]), torch.empty_like(x[0])
        self._run("_double", v[0], g[0], *x, dg, dx, results=2)
        return (dg,), (dx,)

    def _run(self, which: str, *tensors: Tensor, results: int = 1) -> None:
        arrays = [flat(t) for t in tensors]
        rows = len(tensors[-1])
        given, out = arrays[:-results], arrays[-results:]
        work = rows * (50 if self.name == "lengths" else 1000)  # scalar loops
        over_rows(getattr(self.code, self.name + which), rows, *given, *self.tables, *out, work=work)

    def reference(self, *x):
        return (self._reference(*x),)


def _code(x: Tensor) -> ModuleType | None:
    dtype = real(x)
    return None if dtype is None or x.numel() == 0 else library(f"harmonics_{dtype}", _text(dtype))


@implements("numba", "spherical_harmonics")
def spherical_harmonics(unit: Tensor, l_max: int) -> Tensor:
    code, size = _code(unit), (l_max + 1) ** 2
    if code is None or l_max == 0:  # 1 everywhere
        return NotImplemented

    def reference(x):
        return harmonics_reference.__wrapped__(x, l_max)

    return apply(_OfVectors("harmonics", code, (*terms(l_max), size), (size,), reference), unit)[0]


@implements("numba", "edge_lengths")
def edge_lengths(vectors: Tensor) -> Tensor:
    code = _code(vectors)
    if code is None:
        return NotImplemented
    return apply(_OfVectors("lengths", code, (), (), lengths_reference.__wrapped__), vectors)[0]
