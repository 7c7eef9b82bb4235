"""Functions of each row by itself (see `kernels/rowwise.py`): pair and triplet energies, powers, angles.

The lines of a kernel are made from the formula; vectors hold the same number of several rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor

from ..autograd import apply
from ..formula import Node, derived, lines
from ..rowwise import Formula, Input, Pointwise, formula_of
from .arrays import flat, real
from .compiled import library, template
from .mathematics import STAMP
from .simd import WIDEST
from .threads import over_rows

__all__ = ["call"]

_TEXT = {
    "add": "add({0}, {1})", "sub": "sub({0}, {1})", "mul": "mul({0}, {1})", "div": "div({0}, {1})",
    "neg": "sub(fill(0.0), {0})", "sqrt": "root({0})",
    "sin": "sine({0})", "cos": "cosine({0})", "exp": "exp({0})", "sigmoid": "sigmoid({0})",
    "tanh": "sub(fill(1.0), div(fill(2.0), add(fill(1.0), exp(mul(fill(2.0), {0})))))",
    "less": "({0}, {1})", "where": "pick({0}[0], {0}[1], {1}, {2})",
}  # fmt: skip
WRITTEN = {*_TEXT, "constant", "leaf"}


def _spelled(node: Node, args: list[str]) -> str:
    return f"fill({node.value!r})" if node.kind == "constant" else _TEXT[node.kind].format(*args)


@functools.cache
def _source(formula: Formula, order: int, needs: tuple[bool, ...], dtype: str) -> tuple[str, list[str], int]:
    """The text of the kernel of an order (see `derived`), the arrays it reads, and how many lines it has."""
    v = [part if need else None for part, need in zip(formula.v, needs)]
    own, others = derived(order, formula.y, formula.g, formula.x, v)
    results = [own] if own else []
    results += [slopes for slopes, need in zip(others, needs) if need]
    body, names, needed = lines([node for part in results for node in part], _spelled)
    given = {f"x{n}": i for n, i in enumerate(formula.inputs)} | {"g0": Input(len(formula.y))}
    given |= {f"v{n}": i for n, i in enumerate(formula.inputs)}
    before, loads, used = [], [], []
    for name, array in given.items():
        mine = [c for c in range(array.columns) if f"{name}_{c}" in needed]
        used += [name] if mine else []
        if array.shared:
            before += [f"{name}_{c} = fill({name}[{c}])" for c in mine]
        else:
            loads += [f"{name}_{c} = load({name}, {c} * rows + row)" for c in mine]
    places = [(n, c) for n, part in enumerate(results) for c in range(len(part))]
    stores = [f"store(r{n}, {c} * rows + row, {name})" for (n, c), name in zip(places, names)]
    arrays = [f"r{n}" for n in range(len(results))] + used
    text = [
        f'@kernel("void(int64, int64, int64, " + ", ".join([X] * {len(arrays)}) + ")")',
        f"def each(start, stop, rows, {', '.join(arrays)}):",
        *(f"    {line}" for line in before),
        "    for place in range(start, stop, WIDTH):",
        "        row = max(0, min(place, stop - WIDTH))",
        *(f"        {line}" for line in [*loads, *body, *stores]),
    ]
    head = template("rowwise", REAL=dtype, WIDTH=WIDEST[dtype], STAMP=STAMP)
    return head + "\n\n" + "\n".join(text) + "\n", used, len(loads) + len(body) + len(stores)


def _code(formula: Formula, order: int, needs: tuple[bool, ...], dtype: str) -> ModuleType | None:
    needs = needs if order else (False,) * len(needs)
    return library(f"rowwise_{dtype}_{order}", _source(formula, order, needs, dtype)[0])


def _turned(t: Tensor, rows: int) -> Tensor:
    """Column after column; what all rows share, or is one column, is that already."""
    return t if t.numel() <= rows else t.view(rows, -1).t().contiguous()


class OfRows(Pointwise):
    """A formula in compiled loops. All inputs that may be differentiated are, whichever are asked for."""

    def double(self, v, g, x, wanted):
        if _code(self.formula, 2, tuple(self.needs), real(x[0])) is None:  # it is being compiled, nobody waits
            return super(Pointwise, self).double(v, g, x, wanted)
        v = [torch.zeros_like(t) if need and d is None else d for t, d, need in zip(x, v, self.needs)]
        return super().double(v, g, x, wanted)

    def backward(self, g, x, wanted):
        return super().backward(g, x, self.needs)

    def _run(self, order: int, x: Sequence, g: Sequence, v: Sequence, wanted: Sequence[bool]) -> list[Tensor]:
        needs, dtype = tuple(wanted), real(x[0])
        code, (_, used, work) = _code(self.formula, order, needs, dtype), _source(self.formula, order, needs, dtype)
        given = {f"x{n}": t for n, t in enumerate(x)} | {"g0": g[0] if g else None}
        given |= {f"v{n}": t for n, t in enumerate(v)}
        turned = [_turned(given[name], self.rows) for name in used]
        sizes = [] if order == 1 else [len(self.formula.y)]
        sizes += [i.columns for i, need in zip(self.formula.inputs, needs) if need]
        out = [x[0].new_empty(columns, self.rows) for columns in sizes]
        arrays = (self.rows, *map(flat, (*out, *turned)))
        over_rows(code.each, self.rows, *arrays, work=work * self.rows)
        return [t.t() for t in out]


def call(function: Callable, plain: Callable, rows: int, *given: tuple[Tensor, Input], constants: tuple = ()) -> Tensor:
    """function(*inputs, *constants) of each row, (rows, columns); `plain` is the torch function of the same tensors.

    NotImplemented where the tensors or the formula are not for these kernels, or there are fewer rows than lanes.
    """
    dtype, x = real(given[0][0]), [t for t, _ in given]
    if dtype is None or rows < WIDEST[dtype] or any(real(t) != dtype for t in x):
        return NotImplemented
    if any(i.whole or i.columns == 0 or (i.shared and t.requires_grad) for t, i in given):
        return NotImplemented
    formula, needs = formula_of(function, tuple(i for _, i in given), constants), tuple(t.requires_grad for t in x)
    if not formula.y or not formula.kinds <= WRITTEN:
        return NotImplemented
    orders = (0, 1) if torch.is_grad_enabled() and any(needs) else (0,)
    if any(_code(formula, order, needs, dtype) is None for order in orders):
        return NotImplemented
    return apply(OfRows(formula, rows, [None] * len(x), needs, plain), *x)[0]
