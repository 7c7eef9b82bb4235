"""Terms of each edge, summed over the edges of each atom (see `kernels/edgewise.py`).

One pass over the edges of each receiver makes all results of a kernel: what belongs to the receiver is summed in
registers, what belongs to the edge is written, what belongs to others is added to their rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule
from ..edgewise import Array, Edgewise, Term
from ..formula import Node, derived, lines
from .arrays import copies, flat, real, sorted_rows
from .compiled import library, template
from .simd import width
from .threads import over_rows, shares

__all__ = ["OfEdges"]

_TEXT = {"add": "add({0}, {1})", "sub": "sub({0}, {1})", "mul": "mul({0}, {1})", "neg": "sub(fill(0.0), {0})"}
HEAD = """

@kernel("void(" + ", ".join(["int64"] * 2 + [I] * 3 + [I] * {indices} + [X] * {arrays}) + ")")
def sums(start, stop, cuts, first, order, {names}):
    for part in range(start, stop):
        for a in range(cuts[part], cuts[part + 1]):
            for lane in range(0, {lanes}, WIDTH):
"""


def _spelled(node: Node, args: list[str]) -> str:
    return f"fill({node.value!r})" if node.kind == "constant" else _TEXT[node.kind].format(*args)


@functools.cache
def _results(made: Term, order: int, needs: tuple[bool, ...]) -> list[tuple[Array, list[Node]]]:
    """What the kernel of an order makes: the array whose shape it has, and its columns."""
    v = [part if need else None for part, need in zip(made.v, needs)]
    own, others = derived(order, made.y, [node for part in made.g for node in part], made.x, v)
    left = iter(own)
    results = [(array, [next(left) for _ in range(array.columns)]) for array in made.outputs if order != 1]
    return results + [(array, part) for array, part, need in zip(made.inputs, others, needs) if need]


@functools.cache
def _source(made: Term, order: int, needs: tuple[bool, ...], dtype: str) -> tuple[str, list[str], list[str]]:
    """The text of the kernel, the indices and the arrays that it reads."""
    results = _results(made, order, needs)
    body, names, needed = lines([node for _, part in results for node in part], _spelled)
    arrays = {f"{letter}{n}": array for letter in "xv" for n, array in enumerate(made.inputs)}
    arrays |= {f"g{n}": array for n, array in enumerate(made.outputs)}
    columns = {name: [c for c in range(array.columns) if f"{name}_{c}" in needed] for name, array in arrays.items()}
    used = [name for name, mine in columns.items() if mine]
    indices = sorted({array.index for array in [*(arrays[n] for n in used), *(r for r, _ in results)]} - {"i", "edge"})

    def at(array: Array, c: int) -> str:
        row = {"i": "a", "edge": "e"}.get(array.index, f"row_{array.index}")
        return f"{row} * {array.columns * made.lanes} + {c * made.lanes} + lane"

    loads = {n: [f"{n}_{c} = load({n}, {at(arrays[n], c)})" for c in columns[n]] for n in used}
    once = [line for name in used if arrays[name].index == "i" for line in loads[name]]
    each = [f"row_{name} = {name}[e]" for name in indices]
    each += [line for name in used if arrays[name].index != "i" for line in loads[name]] + body
    after, left = [], iter(names)
    for n, (array, part) in enumerate(results):
        for c in range(len(part)):
            value, place = next(left), at(array, c)
            if array.index == "i":
                once.append(f"sum{n}_{c} = fill(0)")
                each.append(f"sum{n}_{c} = add(sum{n}_{c}, {value})")
                after.append(f"store(r{n}, {place}, sum{n}_{c})")
            elif array.index == "edge":
                each.append(f"store(r{n}, {place}, {value})")
            else:  # a copy for each thread
                place = f"part * (len(r{n}) // (len(cuts) - 1)) + {place}"
                each.append(f"store(r{n}, {place}, add(load(r{n}, {place}), {value}))")
    taken = [*indices, *(f"r{n}" for n in range(len(results))), *used]
    text = HEAD.format(indices=len(indices), arrays=len(taken) - len(indices), names=", ".join(taken), lanes=made.lanes)
    text += "".join(f"{' ' * 16}{line}\n" for line in once)
    text += f"{' ' * 16}for place in range(first[a], first[a + 1]):\n{' ' * 20}e = order[place]\n"
    text += "".join(f"{' ' * 20}{line}\n" for line in each) + "".join(f"{' ' * 16}{line}\n" for line in after)
    return template("edgewise", REAL=dtype, WIDTH=width(made.lanes, dtype)) + text, indices, used


def _code(made: Term, order: int, needs: tuple[bool, ...], dtype: str) -> ModuleType | None:
    return library(f"edgewise_{dtype}_{order}", _source(made, order, needs, dtype)[0])


class OfEdges(Edgewise):
    """A term in compiled loops. All inputs that may be differentiated are, whichever are asked for."""

    @staticmethod
    def ours(*tensors: Tensor) -> bool:
        return real(tensors[0]) is not None and all(real(t) == real(tensors[0]) for t in tensors)

    def __call__(self, *x: Tensor) -> tuple[Tensor, ...]:
        needs, dtype = tuple(t.requires_grad for t in x), real(x[0])
        orders = (0, 1) if torch.is_grad_enabled() and any(needs) else (0,)
        ready = all(_code(self.made, n, needs if n else (False,) * len(x), dtype) is not None for n in orders)
        return super().__call__(*x) if ready else ()

    def backward(self, g, x, wanted):
        return super().backward(g, x, self.needs)

    def double(self, v, g, x, wanted):
        if _code(self.made, 2, self.needs, real(x[0])) is None:  # it is being compiled, nobody waits
            return Rule.double(self, v, g, x, wanted)
        v = [torch.zeros_like(t) if need and d is None else d for t, d, need in zip(x, v, self.needs)]
        return super().double(v, g, x, wanted)

    def _run(self, order: int, x: Sequence, g: Sequence, v: Sequence, wanted: Sequence[bool]) -> tuple[list, list]:
        made, needs, dtype = self.made, tuple(wanted), real(x[0])
        code, (_, indices, used) = _code(made, order, needs, dtype), _source(made, order, needs, dtype)
        given = {f"x{n}": t for n, t in enumerate(x)} | {f"v{n}": t for n, t in enumerate(v)}
        given |= {f"g{n}": t for n, t in enumerate(g)}
        work = 4 * len(self.indices["i"]) * made.lanes * len(used)
        first, order_of = sorted_rows(self.indices["i"], self.sizes["i"])
        cuts = np.array(shares(self.sizes["i"], work, first))
        shapes = ([] if order == 1 else list(self.shapes)) + [t.shape for t, need in zip(x, needs) if need]
        out = [
            x[0].new_empty(shape) if array.index in ("i", "edge") else copies(x[0].new_empty(shape), len(cuts) - 1)
            for (array, _), shape in zip(_results(made, order, needs), shapes)
        ]
        rows = (self.indices[name].numpy() for name in indices)
        arrays = (cuts, first, order_of, *rows, *map(flat, (*out, *(given[name] for name in used))))
        over_rows(code.sums, len(cuts) - 1, *arrays, work=work)
        found = iter(t if t.shape == shape else t.sum(0) for t, shape in zip(out, shapes))
        own = [] if order == 1 else [next(found) for _ in made.outputs]
        return own, [next(found) if need else None for need in needs]
