"""Products of an atom's features as sparse polynomials, with both derivatives.

The weights are folded with the couplings into the coefficients of each element's polynomials by a matrix product, which
torch differentiates; the polynomials are done here.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.contraction import symmetric_contraction as reference
from .arrays import flat, real, sorted_rows
from .compiled import library, template
from .simd import width
from .threads import over_rows

ATOMS = 4
_tables: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


@functools.cache
def _loops(dtype: str, wide: int) -> str:
    return template("contraction", {"A": ATOMS}, REAL=dtype, WIDTH=wide, ATOMS=ATOMS)


def loops(channels: int, dtype: str) -> ModuleType | None:
    """The compiled loops; None while there are none."""
    wide = width(channels, dtype)
    return library(f"contraction_{dtype}_{wide}", _loops(dtype, wide))


def tables(index: Sequence[Tensor], basis: Tensor) -> tuple[Tensor, tuple[np.ndarray, ...]]:
    """The couplings of the terms that are not 0, (N, R), and the terms as `loops/contraction.py` takes them.

    Kept as long as the basis is.
    """
    kept = _tables.get(basis)
    if kept is None:
        with torch.inference_mode(False):
            there, terms = _terms(index, basis)
            kept = _tables[basis] = (basis.detach()[there[0], there[1]].clone(), terms)
    return kept


def _terms(index: Sequence[Tensor], basis: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[np.ndarray, ...]]:
    monomials = [tuple(sorted(row)) for tuples in index for row in tuples.tolist()]
    m, n = (basis != 0).any(2).t().nonzero(as_tuple=True)
    rows: dict[tuple, int] = {}
    for row, (mine, k) in enumerate(zip(m.tolist(), n.tolist())):
        rows[mine, *monomials[k]] = row
    first, ones, twos, threes = [0], [], [], []
    for mine in range(basis.shape[1]):
        tree: dict[int, dict[int, list[int]]] = {}
        for _, a, *rest in sorted(key for key in rows if key[0] == mine):
            branch = tree.setdefault(a, {})
            if rest:
                branch.setdefault(rest[0], []).extend(rest[1:])
        for a, branch in tree.items():
            begin = len(twos)
            for b, leaves in branch.items():
                start = len(threes)
                threes += [(c, rows[mine, a, b, c]) for c in leaves]
                twos.append((b, rows.get((mine, a, b), -1), start, len(threes)))
            ones.append((a, rows.get((mine, a), -1), begin, len(twos)))
        first.append(len(ones))
    four, two = (np.array(rows, np.int64).reshape(-1, 4) for rows in (ones, twos))
    return (n, m), (np.array(first), four, two, np.array(threes, np.int64).reshape(-1, 2))


class Contraction(Rule):
    """x: features (A, X, K) and coefficients (Z, N, K)."""

    def __init__(self, code: ModuleType, wide: int, species: Tensor, given: tuple):
        self.code, self.wide, self.species, self.given = code, wide, species, given
        self.couplings, self.terms = tables(*given)
        self.outputs = given[1].shape[1]

    def forward(self, x):
        out = x[0].new_empty(len(x[0]), self.outputs, x[0].shape[2])
        self._run(self.code.forward, x, *map(flat, x), flat(out))
        return (out,)

    def backward(self, g, x, wanted):
        features, coefficients = (torch.empty_like(t) for t in x)
        arrays = (flat(g[0]), *map(flat, x), wanted[1], flat(features), flat(coefficients))
        self._run(self.code.backward, x, *arrays)
        return features, coefficients if wanted[1] else None

    def double(self, v, g, x, wanted):
        out, features, coefficients = (torch.empty_like(t) for t in (*g, *x))
        along = torch.zeros_like(x[0]) if v[0] is None else v[0]
        arrays = (flat(along), flat(x[1] if v[1] is None else v[1]), flat(g[0]), *map(flat, x), v[1] is not None)
        self._run(self.code.double, x, *arrays, flat(out), flat(features), flat(coefficients))
        return (out,), (features, coefficients)

    def _run(self, function, x, *arrays):
        features, coefficients = x
        starts, order = sorted_rows(self.species, len(coefficients))
        sizes = (features.shape[1], coefficients.shape[1], features.shape[2])
        work = 2 * len(features) * coefficients.shape[1] * features.shape[2]
        over_rows(function, sizes[2] // self.wide, starts, order, *self.terms, *sizes, *arrays, work=work)

    def reference(self, *x):
        return (_polynomials(*x, self.species, *self.given),)


def _polynomials(x: Tensor, coefficients: Tensor, species: Tensor, index: Sequence[Tensor], basis: Tensor) -> Tensor:
    """The contraction in torch, from the folded coefficients: each of them is a path of its own."""
    m, n = (basis != 0).any(2).t().nonzero(as_tuple=True)
    single = basis.new_zeros(*basis.shape[:2], len(n))
    single[n, m, torch.arange(len(n))] = 1.0
    return reference.__wrapped__(x, coefficients, species, index, single)


@implements("numba", "symmetric_contraction")
def symmetric_contraction(
    x: Tensor, weights: Tensor, species: Tensor, index: Sequence[Tensor], basis: Tensor
) -> Tensor:
    dtype = real(x)
    if dtype is None or x.numel() == 0 or max(tuples.shape[1] for tuples in index) > 3:
        return NotImplemented
    code = loops(x.shape[2], dtype)
    if code is None:
        return NotImplemented
    if len(weights) == 1:
        species = torch.zeros_like(species)
    rule = Contraction(code, width(x.shape[2], dtype), species, (index, basis))
    return apply(rule, x, rule.couplings @ weights)[0]
