"""Terms of each edge, summed over the edges of each atom, bond or sender (see `kernels/edgewise.py`).

One program works on one row of the result and runs through the edges of that row: no atomics, and one order of
summation. Channels lie along the block; numbers without channels (harmonics, signs) are scalars of the program.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import triton
from torch import Tensor

from ..edgewise import Array, Edgewise, Term
from ..formula import Node, derived, lines
from . import device
from .rows import rows_of

__all__ = ["OfEdges"]

HEAD = """
import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def kernel({arguments}, rows, BLOCK: tl.constexpr):
    a = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < {lanes}
"""
LOOP = "for place in range(tl.load(first + a), tl.load(first + a + 1)):"


def _place(array: Array, name: str, row: str, column: int, lanes: int) -> str:
    """The pointer to one column of a row."""
    if not array.wide:
        return f"{name} + {row} * {array.columns} + {column}"
    return f"{name} + {row} * {array.columns * lanes} + {column * lanes} + lane"


@functools.cache
def _kernel(made: Term, order: int, target: str, there: Sequence[bool], wanted: Sequence[bool], real: str) -> Any:
    """The kernel that makes the results whose row is taken by `target`, and the names of its arguments."""
    v = [part if has else None for part, has in zip(made.v, there)]
    own, others = derived(order, made.y, [node for part in made.g for node in part], made.x, v)
    results, left = [], iter(own)
    if order != 1:
        results += [(array, [next(left) for _ in range(array.columns)]) for array in made.outputs]
    results += [(array, part) for array, part, w in zip(made.inputs, others, wanted) if w]
    results = [(array, part) for array, part in results if array.index == target]
    body, names, needed = lines([node for _, part in results for node in part], device.spelled)
    arrays = {f"{letter}{n}": array for letter in "xv" for n, array in enumerate(made.inputs)}
    arrays |= {f"g{n}": array for n, array in enumerate(made.outputs)}
    once, each, used, indices = [], [], [], []
    for name, array in arrays.items():
        columns = [c for c in range(array.columns) if f"{name}_{c}" in needed]
        if not columns:
            continue
        used.append(name)
        if array.index not in (target, "edge", *indices):
            indices.append(array.index)
        row = "a" if array.index == target else array.index
        mask = ", mask=inside, other=0.0" if array.wide else ""
        loads = [f"{name}_{c} = tl.load({_place(array, name, row, c, made.lanes)}{mask})" for c in columns]
        (once if array.index == target else each).extend(loads)
    each = [f"{name} = tl.load(index_{name} + edge)" for name in indices] + each + body
    each += [f"sum{n} += {name}" for n, name in enumerate(names)]
    text = [f"sum{n} = tl.zeros([BLOCK], {real})" for n in range(len(names))] + once
    text += (
        ["edge = a", *each]
        if target == "edge"
        else [LOOP, "    edge = tl.load(order + place)", *(f"    {line}" for line in each)]
    )
    text += _stores(results, made.lanes)
    lists = [] if target == "edge" else ["first", "order"]
    arguments = [f"r{n}" for n in range(len(results))] + used + [f"index_{name}" for name in indices] + lists
    source = HEAD.format(arguments=", ".join(arguments), lanes=made.lanes) + "".join(f"    {line}\n" for line in text)
    return device.compiled(source), arguments[len(results) :]


def _stores(results: list[tuple[Array, list[Node]]], lanes: int) -> list[str]:
    text, count = [], 0
    for n, (array, part) in enumerate(results):
        for c, _ in enumerate(part):
            if array.wide:
                text.append(f"tl.store({_place(array, f'r{n}', 'a', c, lanes)}, sum{count}, mask=inside)")
            else:  # of this block of channels
                row = "(tl.program_id(1).to(tl.int64) * rows + a)"
                value = f"tl.sum(tl.where(inside, sum{count}, 0.0), axis=0)"
                text.append(f"tl.store({_place(array, f'r{n}', row, c, lanes)}, {value})")
            count += 1
    return text


class OfEdges(Edgewise):
    """A term in Triton."""

    @staticmethod
    def ours(*tensors: Tensor) -> bool:
        return device.ours(*tensors)

    def _run(self, order: int, x: Sequence, g: Sequence, v: Sequence, wanted: Sequence[bool]) -> tuple[list, list]:
        made, left = self.made, iter(x)
        held = iter(self.held)
        inputs = [next(held) if array.held else next(left) for array in made.inputs]
        asked = self._spread(wanted, False)
        directions = self._spread(v or (None,) * len(x), None)
        given = {f"x{n}": t for n, t in enumerate(inputs)} | {f"v{n}": t for n, t in enumerate(directions)}
        given |= {f"g{n}": t for n, t in enumerate(g)} | {f"index_{k}": t for k, t in self.indices.items()}
        results: list[tuple[Array, Sequence[int]]] = []
        if order != 1:
            results += zip(made.outputs, self.shapes)
        results += [(array, t.shape) for array, t, w in zip(made.inputs, inputs, asked) if w]
        there = tuple(d is not None for d in directions)
        found: dict[int, Tensor] = {}
        for target in dict.fromkeys(array.index for array, _ in results):
            mine = [n for n, (array, _) in enumerate(results) if array.index == target]
            key = (made, order, target, there, asked, device.REALS[x[0].dtype])
            found |= zip(mine, self._launch(key, given, [results[n] for n in mine], x[0]))
        tensors = iter(found[n] for n in range(len(results)))
        own = [next(tensors) for _ in made.outputs] if order != 1 else []
        others = [next(tensors) if w else None for array, w in zip(made.inputs, asked)]
        return own, [t for t, array in zip(others, made.inputs) if not array.held]

    def _launch(self, key: tuple, given: dict[str, Tensor], results: list, like: Tensor) -> list[Tensor]:
        made, target = key[0], key[2]
        kernel, arguments = _kernel(*key)
        if target != "edge":
            lists = rows_of(self.indices[target], self.sizes[target])
            given = {**given, "first": lists.first, "order": lists.order}
        rows, block = self.sizes[target], device.wide(made.lanes)
        parts = triton.cdiv(made.lanes, block)
        out = [like.new_empty(shape if array.wide else (parts, *shape)) for array, shape in results]
        constants = {"BLOCK": block, "warps": device.warps(block)}
        device.launch(kernel, (rows, parts), *out, *(given[name] for name in arguments), rows, **constants)
        return [t if array.wide else t.sum(0) if parts > 1 else t[0] for t, (array, _) in zip(out, results)]
