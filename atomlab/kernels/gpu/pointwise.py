"""Functions of each row by itself (see `kernels/rowwise.py`): radial functions, harmonics, angles, pair energies.

Rows lie along a block; the few numbers of a row are variables of the kernel. The gradient of an input that all rows
share is the sum over the rows, first within each block, then of the blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import triton
from torch import Tensor

from ..autograd import apply
from ..formula import derived, lines
from ..rowwise import Formula, Input, Pointwise, formula_of
from . import device

__all__ = ["Input", "call"]

BLOCK = 128
HEAD = """
import triton
import triton.language as tl

from atomlab.kernels.gpu.mathematics import root, sigmoid, spherical_j, tanh


@triton.jit(do_not_specialize=["rows"])
def kernel({pointers}, rows, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = row < rows
"""


@functools.cache
def _kernel(formula: Formula, order: int, there: Sequence[bool], wanted: Sequence[bool], real: str) -> Any:
    """The kernel of an order (see `derived`) and the arrays it reads. there: which v are; wanted: which x are asked."""
    v = [part if has else None for part, has in zip(formula.v, there)]
    own, others = derived(order, formula.y, formula.g, formula.x, v)
    results = [(Input(len(own)), own)] if own else []
    results += [(i, s) for i, s, w in zip(formula.inputs, others, wanted) if w]
    return _text(results, formula, there, real)


def _text(results: list, formula: Formula, there: Sequence[bool], real: str) -> Any:
    body, names, needed = lines([node for _, part in results for node in part], device.spelled)
    arrays = [(f"x{n}", i) for n, i in enumerate(formula.inputs)] + [("g0", Input(len(formula.y)))]
    arrays += [(f"v{n}", i) for n, (i, has) in enumerate(zip(formula.inputs, there)) if has]
    text, used = [], []
    for name, given in arrays:
        mine = [c for c in range(given.columns) if f"{name}_{c}" in needed]
        if mine:
            used.append(name)
        for c in mine:
            place = f"{c}" if given.shared else f"row * {given.columns} + {c}, mask=inside, other=1"
            text.append(f"{name}_{c} = tl.load({name} + {place}){f'.to({real})' if given.whole else ''}")
    text += body
    left = iter(names)
    for n, (given, part) in enumerate(results):
        for c, _ in enumerate(part):
            value = f"tl.full([BLOCK], 0.0, {real}) + {next(left)}"
            if given.shared:
                sums = f"tl.sum(tl.where(inside, {value}, 0.0), axis=0)"
                text.append(f"tl.store(r{n} + tl.program_id(0).to(tl.int64) * {given.columns} + {c}, {sums})")
            else:
                text.append(f"tl.store(r{n} + row * {given.columns} + {c}, {value}, mask=inside)")
    pointers = ", ".join([f"r{n}" for n in range(len(results))] + used)
    return device.compiled(HEAD.format(pointers=pointers) + "\n".join(f"    {line}" for line in text) + "\n"), used


class OfRows(Pointwise):
    """A formula in Triton."""

    def _run(self, order: int, x: Sequence, g: Sequence, v: Sequence, wanted: Sequence[bool]) -> list[Tensor]:
        like, inputs = x[0], self.formula.inputs
        wanted = tuple(bool(w) for w in self._all(wanted, (False,) * len(inputs)))
        directions = self._all(v, (None,) * len(inputs)) if v else (None,) * len(inputs)
        there = tuple(d is not None for d in directions)
        kernel, used = _kernel(self.formula, order, there, wanted, device.REALS[like.dtype])
        given = {f"x{n}": t for n, t in enumerate(self._all(x))}
        given |= {"g0": g[0] if g else None, **{f"v{n}": t for n, t in enumerate(directions)}}
        kinds = [] if order == 1 else [Input(len(self.formula.y))]
        kinds += [i for i, w in zip(inputs, wanted) if w]
        many = triton.cdiv(self.rows, BLOCK)
        out = [like.new_empty(many if kind.shared else self.rows, kind.columns) for kind in kinds]
        device.launch(kernel, (many,), *out, *(given[name] for name in used), self.rows, BLOCK=BLOCK)
        return [t.sum(0) if kind.shared else t for t, kind in zip(out, kinds)]


def call(function: Callable, plain: Callable, rows: int, *given: tuple[Tensor, Input], constants: tuple = ()) -> Tensor:
    """function(*inputs, *constants) of each row, (rows, columns); `plain` is the torch function of the same tensors.

    NotImplemented where the tensors are not for these kernels, or there is no row.
    """
    real = [t for t, i in given if not i.whole]
    if rows == 0 or not device.ours(*real):
        return NotImplemented
    formula = formula_of(function, tuple(i for _, i in given), constants)
    held = [t.contiguous() if i.whole else None for t, i in given]
    rule = OfRows(formula, rows, held, [t.requires_grad for t in real], plain)
    return apply(rule, *real)[0]
