"""Layers of networks on many rows: linear, on pairs of atoms, activated, gated."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from atomlab import kernels

from .cases import Case, Problem, indices, random

__all__ = ["CASES"]


def linear(rows: int, inner: int, columns: int, after: str = "", beside: str = "b"):
    """beside: which of b(ias), t(imes), p(lus) there are."""

    def make(dtype: torch.dtype) -> Problem:
        out = (rows, columns // 2 if after == "gate" else columns)
        shapes = [(rows, inner), (columns, inner), *({"b": (columns,), "t": out, "p": out}[name] for name in beside)]
        names = [{"b": "bias", "t": "times", "p": "plus"}[name] for name in beside]
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.dense(*x[:2], after=after, **dict(zip(names, x[2:]))), inputs

    return make


def pairs(rows: int, atoms: int, inner: int, columns: int, after: str = ""):
    def make(dtype: torch.dtype) -> Problem:
        i, j = indices(atoms - 1, rows), indices(atoms - 1, rows, seed=1, ordered=False)  # the last atom is alone
        shapes = [(rows, inner), (columns, inner), (columns,), (atoms, 2 * columns)]
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.pair_dense(*x, i, j, after=after), inputs

    return make


def activation(rows: int, columns: int, times: bool = True, plus: bool = True):
    def make(dtype: torch.dtype) -> Problem:
        inputs = tuple(2 * random(rows, columns, dtype=dtype, seed=n) for n in range(1 + times + plus))

        def function(*x):
            return kernels.activated(x[0], times=x[1] if times else None, plus=x[-1] if plus else None)

        return function, inputs

    return make


def gate(rows: int, columns: int, times: bool = True):
    def make(dtype: torch.dtype) -> Problem:
        widths = [2 * columns, columns][: 1 + times]
        return kernels.gated, tuple(2 * random(rows, n, dtype=dtype, seed=n) for n in widths)

    return make


def three_body(centres: Sequence[int], size: int, lone: int = 0):
    """Centres with so many edges each, all ordered pairs of which are triplets; `lone` further edges without."""

    def make(dtype: torch.dtype) -> Problem:
        start, found = 0, []
        for many in centres:
            edges = range(start, start + many)
            found += [(a, b) for a in edges for b in edges if a != b]
            start += many
        a, b = torch.tensor(found).T.contiguous() if found else torch.zeros(2, 0, dtype=torch.int64)
        edges = start + lone
        shapes = [(edges, 2 * size), (edges, size), (len(a),), (2 * size, size), (2 * size,), (2, size)]
        inputs = tuple(random(*shape, dtype=dtype, seed=n) for n, shape in enumerate(shapes))
        return lambda *x: kernels.triplet_messages(*x, a, b), inputs

    return make


CASES = [
    Case("triplet_messages", "one pair", three_body([2], 8), small=True),
    Case("triplet_messages", "odd", three_body([1, 3, 0, 2], 8, lone=1), small=True),
    Case("triplet_messages", "wide", three_body([5, 1, 9], 64)),
    Case("triplet_messages", "no triplets", three_body([1, 1], 8), empty=True),
    Case("dense", "one row", linear(1, 8, 8), small=True),
    Case("dense", "odd rows, few inputs", linear(13, 6, 32), small=True),
    Case("dense", "no bias", linear(37, 64, 16, beside="")),
    Case("dense", "wide", linear(37, 128, 64)),
    Case("dense", "few columns", linear(13, 8, 3), empty=True),
    Case("dense", "nothing", linear(0, 8, 8), empty=True),
    Case("dense", "and SiLU", linear(5, 8, 8, "silu", ""), small=True),
    Case("dense", "and SiLU with all", linear(5, 8, 8, "silu", "btp"), small=True),
    Case("dense", "and gate", linear(5, 8, 16, "gate", "b"), small=True),
    Case("dense", "and gate with factor", linear(5, 8, 16, "gate", "t"), small=True),
    Case("dense", "and gate, wide", linear(37, 64, 128, "gate", "bt")),
    Case("dense", "and SiLU, wide", linear(37, 32, 64, "silu", "bp")),
    Case("pair_dense", "and SiLU", pairs(5, 3, 8, 8, "silu"), small=True),
    Case("pair_dense", "and gate", pairs(5, 3, 8, 16, "gate"), small=True),
    Case("pair_dense", "one edge", pairs(1, 3, 8, 8), small=True),
    Case("pair_dense", "odd rows", pairs(13, 5, 8, 16), small=True),
    Case("pair_dense", "wide", pairs(101, 9, 64, 128)),
    Case("pair_dense", "nothing", pairs(0, 3, 8, 8), empty=True),
    Case("activated", "alone", activation(5, 3, times=False, plus=False), small=True),
    Case("activated", "times", activation(7, 8, plus=False), small=True),
    Case("activated", "plus", activation(7, 8, times=False), small=True),
    Case("activated", "times and plus", activation(5, 3), small=True),
    Case("activated", "wide", activation(37, 64)),
    Case("activated", "nothing", activation(0, 8), empty=True),
    Case("gated", "alone", gate(5, 3, times=False), small=True),
    Case("gated", "times", gate(7, 4), small=True),
    Case("gated", "wide", gate(37, 64)),
    Case("gated", "nothing", gate(0, 8), empty=True),
]
