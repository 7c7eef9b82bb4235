"""The compiled loops of a fused pass, all asked for at once so that they are compiled one after another."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from .arrays import flat
from .compiled import library, template
from .fused_messages import COEFFICIENTS, Pattern, density_source, path_source
from .perceptron import loops as activations
from .products import LEAST, panel
from .products import loops as products
from .simd import width
from .threads import over_rows

__all__ = ["COEFFICIENTS", "Loops", "Path", "activate", "loops", "multiply", "pieces"]

Path = tuple[int, int, int]
# Multiplications below which a call of a matrix library costs less than one of a compiled loop. NumPy's does so few in
# the thread that calls; torch's wakes up others even then, which go on waiting on cores that our loops want
SMALL = 200_000


@dataclass(frozen=True)
class Loops:
    """The modules of one shape of model: see `loops/fused_bonds.py`, `loops/fused_polynomials.py`, `fused_messages.py`.

    products: multiplies matrices whose columns are a multiple of its panel; None where a matrix library is better.
    activations: of the radial network, in vectors of `wide` numbers; None where tables stand for it.
    """

    bonds: ModuleType
    polynomials: ModuleType
    density: ModuleType
    paths: dict[Path, ModuleType]
    products: dict[int, ModuleType | None]
    activations: ModuleType | None
    wide: int


def loops(
    real: str, channels: int, hidden: int, l_max: int, patterns: Sequence[tuple[Path, Pattern]], table: bool
) -> Loops | None:
    """The loops for `channels` features and `hidden` radial functions of the first layer; None while they are made.

    patterns: for each path of the later layers where its coupling is not 0. table: radial functions are tabulated.
    """
    wide, first = width(channels, real), width(hidden, real)
    how = "table" if table else "given"
    bonds = library(f"bonds_{real}", _template("fused_bonds", REAL=real))
    density = library(f"density{l_max}_{how}_{real}_{first}", _density(l_max, real, first, table))
    polynomials = library(f"polynomials_{real}_{wide}", _template("fused_polynomials", REAL=real, WIDTH=wide))
    paths = {
        path: library("path{}{}{}_{}_{}_{}".format(*path, how, real, wide), _path(path, pattern, real, wide, table))
        for path, pattern in patterns
    }
    matrices = {n: None if panel(n, real)[0] < LEAST else products(real, n) for n in {channels, hidden}}
    silu = None if table else activations(hidden, real)
    if bonds is None or density is None or polynomials is None or (silu is None and not table):
        return None
    if any(code is None and panel(n, real)[0] >= LEAST for n, code in matrices.items()):
        return None
    ready = {path: code for path, code in paths.items() if code is not None}
    return Loops(bonds, polynomials, density, ready, matrices, silu, first) if len(ready) == len(paths) else None


def multiply(
    code: ModuleType | None, x: Tensor, w: Tensor, out: Tensor, onto: bool = False, alone: bool = False
) -> None:
    """out = x w, or added to it; all contiguous. code: of `Loops.products`, for the columns of w. alone: in the thread
    that calls."""
    rows, (inner, columns) = x.shape[0], w.shape
    work = rows * inner * columns
    if code is not None and work >= SMALL:
        arrays = (flat(x), 0, inner, 1, flat(w), 0, onto, flat(out), 0)
        over_rows(code.product, rows, inner, columns, *arrays, work=0 if alone else work)
    elif work < SMALL and onto:
        np.add(out.numpy(), x.numpy() @ w.numpy(), out=out.numpy())
    elif work < SMALL:
        np.matmul(x.numpy(), w.numpy(), out=out.numpy())
    elif onto:
        out.addmm_(x, w)
    else:
        torch.mm(x, w, out=out)


def pieces(x: Tensor, w: Tensor) -> Tensor:
    """x w for a narrow w, in the thread that calls."""
    out, step = np.empty((x.shape[0], w.shape[1]), x.numpy().dtype), max(1, SMALL // max(w.numel(), 1))
    for a in range(0, x.shape[0], step):
        np.matmul(x.numpy()[a : a + step], w.numpy(), out=out[a : a + step])
    return torch.from_numpy(out)


def activate(code: ModuleType | None, wide: int, both: Tensor) -> None:
    """SiLU of values (H, N) and the slopes that it makes of theirs, in place; both (2 H, N) holds one after the other.

    code: `Loops.activations` for vectors of `wide` numbers; without it torch does it.
    """
    value, slope = both.tensor_split(2)
    if code is None:
        torch.ops.aten.silu_backward.grad_input(slope, value, grad_input=slope)
        torch.ops.aten.silu.out(value, out=value)
    else:
        x, g, blocks = flat(value), flat(slope), value.numel() // wide
        over_rows(code.slope, blocks, x, g, g, work=20 * value.numel())
        over_rows(code.activate, blocks, x, x, work=20 * value.numel())


@functools.cache
def _template(name: str, **constants: object) -> str:
    return template(name, None, **constants)


_path = functools.cache(path_source)
_density = functools.cache(density_source)
