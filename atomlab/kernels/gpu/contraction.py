"""The symmetric contraction: a polynomial of an atom's features, its terms in a table.

The couplings times the weights are one coefficient for each element, term and channel (a matrix product, torch's). What
remains is linear in the coefficients and a polynomial in the features, so values and gradient have one form, and the
double backward is the derivative of both along (v of the features, v of the coefficients): one kernel serves all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from . import device
from .device import kept, ours, warps, wide
from .rows import Rows, rows_of

__all__ = ["symmetric_contraction"]


@triton.jit
def _product(x, v, columns, entry, a, k, inside, M, K, MANY: tl.constexpr, ALONG: tl.constexpr, zero):
    """Π of the features that an entry of the table names (M for none), and its derivative along v."""
    value = zero + 1.0
    slope = zero
    for d in tl.static_range(MANY):
        column = tl.load(columns + entry * MANY + d)
        place = (a * M + column) * K + k
        there = inside & (k * 0 + column < M)  # all of a block: the interpreter takes no mask made of one number
        factor = tl.load(x + place, mask=there, other=1.0)
        if ALONG:
            slope = slope * factor + value * tl.load(v + place, mask=there, other=0.0)
        value = value * factor
    return value, slope


@triton.jit
def _polynomial(
    out, x, coefficients, side, vx, vc, species, first, terms, sides, columns, T, K, M, SIDES,
    MANY: tl.constexpr, SIDE: tl.constexpr, ALONG_X: tl.constexpr, ALONG_C: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[a, r, k] = Σ over the entries of r: side[a, s, k] coefficients[z, t, k] Π x[a, column, k], or its slope."""
    a = tl.program_id(0).to(tl.int64)
    r = tl.program_id(1)
    k = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    inside = k < K
    z = tl.load(species + a)
    zero = tl.zeros([BLOCK], dtype=x.dtype.element_ty)
    total = zero
    for entry in range(tl.load(first + r), tl.load(first + r + 1)):
        value, slope = _product(x, vx, columns, entry, a, k, inside, M, K, MANY, ALONG_X, zero)
        place = (z * T + tl.load(terms + entry)) * K + k
        part = zero
        if ALONG_X:
            part += tl.load(coefficients + place, mask=inside, other=0.0) * slope
        if ALONG_C:
            part += tl.load(vc + place, mask=inside, other=0.0) * value
        if not ALONG_X and not ALONG_C:
            part += tl.load(coefficients + place, mask=inside, other=0.0) * value
        if SIDE:
            part *= tl.load(side + (a * SIDES + tl.load(sides + entry)) * K + k, mask=inside, other=0.0)
        total += part
    tl.store(out + (a * tl.num_programs(1) + r) * K + k, total, mask=inside)


@triton.jit
def _coefficients(
    out, x, side, vx, first, order, sides, columns, T, K, M, SIDES,
    MANY: tl.constexpr, ALONG_X: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[z, t, k] = Σ over the atoms a of element z: side[a, s, k] Π x[a, column, k], or its derivative."""
    row = tl.program_id(0).to(tl.int64)
    z = row // T
    t = row % T
    k = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = k < K
    zero = tl.zeros([BLOCK], dtype=x.dtype.element_ty)
    total = zero
    s = tl.load(sides + t)
    for place in range(tl.load(first + z), tl.load(first + z + 1)):
        a = tl.load(order + place)
        value, slope = _product(x, vx, columns, t, a, k, inside, M, K, MANY, ALONG_X, zero)
        if ALONG_X:
            value = slope
        total += value * tl.load(side + (a * SIDES + s) * K + k, mask=inside, other=0.0)
    tl.store(out + row * K + k, total, mask=inside)


class _Table:
    """The terms (t) with any coupling: `rows` of basis.view(n (2 L + 1), R), out component and columns of each; and the
    entries of the derivative: for each column of x the terms it is in, with what else is in them."""

    def __init__(self, index: Sequence[Tensor], basis: Tensor, components: int):
        n, m, _ = basis.shape
        self.many, place = max(tuples.shape[1] for tuples in index), basis.device
        padded = [torch.nn.functional.pad(t, (0, self.many - t.shape[1]), value=components) for t in index]
        rows = (basis != 0).any(2).t().reshape(-1).nonzero()[:, 0].cpu()  # by out component
        self.rows = (rows % n * m + rows // n).to(place)
        self.terms = torch.arange(len(rows), device=place)
        self.sides = (rows // n).to(place)
        self.columns = torch.cat(padded).cpu()[rows % n].to(place).contiguous()
        self.first = Rows(self.sides, m).first
        factors = self.columns.t().reshape(-1)  # entries (d, t): the term without its d-th factor
        others = [self.columns[:, [e for e in range(self.many) if e != d]] for d in range(self.many)]
        lists = Rows(factors, components + 1)
        self.slope_first, entry = lists.first, lists.order
        self.slope_terms = self.terms.repeat(self.many)[entry]
        self.slope_sides = self.sides.repeat(self.many)[entry]
        self.slope_columns = torch.cat(others)[entry].contiguous()
        self.held = tuple(index)  # their ids are the key under which this is kept


class Contraction(Rule):
    """The polynomial: features x (A, M, K), coefficients (Z, T, K) -> (A, 2 L + 1, K)."""

    def __init__(self, table: _Table, species: Tensor, needs: tuple[bool, bool]):
        self.table, self.species, self.needs = table, species, needs

    def forward(self, x):
        return (self._values(x, (None, None)),)

    def backward(self, g, x, wanted):
        slopes = self._slopes(g[0], x, (None, None)) if wanted[0] else None
        return slopes, self._sums(g[0], x, None) if wanted[1] else None

    def double(self, v, g, x, wanted):
        slopes = self._slopes(g[0], x, v) if self.needs[0] else None
        sums = self._sums(g[0], x, v[0]) if self.needs[1] and v[0] is not None else None
        return (self._values(x, v),), (slopes, sums)

    def reference(self, x, coefficients):
        t = self.table
        one = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        terms = coefficients.index_select(0, self.species)
        for d in range(t.many):
            terms = terms * one.index_select(1, t.columns[:, d])
        return (x.new_zeros(len(x), len(t.first) - 1, x.shape[2]).index_add(1, t.sides, terms),)

    def _values(self, x, v):
        t = self.table
        return self._polynomial(None, x, v, t.first, t.terms, t.sides, t.columns, t.many)

    def _slopes(self, g, x, v):
        t = self.table
        return self._polynomial(g, x, v, t.slope_first, t.slope_terms, t.slope_sides, t.slope_columns, t.many - 1)

    def _polynomial(self, side, x, v, first, terms, sides, columns, many) -> Tensor:
        x, coefficients = x
        atoms, components, channels = x.shape
        rows = len(first) - 1 if side is None else components
        out, block = x.new_empty(atoms, rows, channels), wide(channels)
        constants = {"MANY": many, "SIDE": side is not None, "ALONG_X": v[0] is not None, "ALONG_C": v[1] is not None}
        side, vx, vc = (x if t is None else t for t in (side, *v))
        arguments = (coefficients, side, vx, vc, self.species, first, terms, sides, columns)
        sizes = (coefficients.shape[1], channels, components, side.shape[1])
        grid = (atoms, rows, triton.cdiv(channels, block))
        device.launch(_polynomial, grid, out, x, *arguments, *sizes, **constants, BLOCK=block, warps=warps(block))
        return out

    def _sums(self, g, x, vx) -> Tensor:
        x, coefficients = x
        t, channels, block = self.table, x.shape[2], wide(x.shape[2])
        lists, out = rows_of(self.species, len(coefficients)), torch.empty_like(coefficients)
        arguments = (g, x if vx is None else vx, lists.first, lists.order, t.sides, t.columns)
        sizes = (coefficients.shape[1], channels, x.shape[1], g.shape[1])
        grid = (out.shape[0] * out.shape[1], triton.cdiv(channels, block))
        constants = {"MANY": t.many, "ALONG_X": vx is not None, "BLOCK": block, "warps": warps(block)}
        device.launch(_coefficients, grid, out, x, *arguments, *sizes, **constants)
        return out


@implements("triton", "symmetric_contraction")
def symmetric_contraction(
    x: Tensor, weights: Tensor, species: Tensor, index: Sequence[Tensor], basis: Tensor
) -> Tensor:
    if 0 in (x.numel(), weights.numel(), basis.numel()) or basis.requires_grad or not ours(x, weights, basis):
        return NotImplemented
    components = x.shape[1]
    key = ("terms", components, tuple(id(t) for t in index))
    table = kept(basis, key, lambda basis: _Table(index, basis, components))
    if weights.shape[0] == 1:
        species = kept(species, "zeros", torch.zeros_like)
    coefficients = basis.flatten(0, 1).index_select(0, table.rows) @ weights
    return apply(Contraction(table, species, (x.requires_grad, coefficients.requires_grad)), x, coefficients)[0]
