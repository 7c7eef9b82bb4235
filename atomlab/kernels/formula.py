"""Formulas as graphs: written once, differentiated here, and turned into the lines of a kernel for CPU or GPU.

A formula is a Python function of `Node`s. `gradient` adds the reverse sweep to the graph, also to a graph that is a
gradient already: so the first and second derivatives of a kernel are never written by hand. Equal nodes are one node,
so nothing is computed twice.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "Node",
    "constant",
    "cos",
    "derived",
    "dot",
    "exp",
    "gradient",
    "kinds",
    "leaf",
    "less",
    "lines",
    "log",
    "power",
    "sigmoid",
    "sin",
    "spherical_j",
    "sqrt",
    "tanh",
    "total",
    "where",
]

_same: weakref.WeakValueDictionary[tuple, Node] = weakref.WeakValueDictionary()
_ages = itertools.count()


class Node:
    """One number of a formula: an operation on other nodes, an input's name, or a constant."""

    __slots__ = ("__weakref__", "age", "args", "kind", "value")

    def __init__(self, kind: str, args: tuple[Node, ...], value: Any):
        self.kind, self.args, self.value, self.age = kind, args, value, next(_ages)

    def __add__(self, other):
        other = _node(other)
        if _is(self, 0.0):
            return other
        return self if _is(other, 0.0) else _made("add", self, other)

    def __sub__(self, other):
        other = _node(other)
        if _is(self, 0.0):
            return -other
        return self if _is(other, 0.0) else _made("sub", self, other)

    def __mul__(self, other):
        other = _node(other)
        for a, b in ((self, other), (other, self)):
            if _is(a, 0.0) or _is(b, 1.0):  # an exact zero is a derivative that is not there
                return a
            if _is(a, -1.0):
                return -b
        return _made("mul", self, other)

    def __truediv__(self, other):
        other = _node(other)
        return self if _is(other, 1.0) or _is(self, 0.0) else _made("div", self, other)

    def __neg__(self):
        return self.args[0] if self.kind == "neg" else _made("neg", self)

    def __radd__(self, other):
        return _node(other) + self

    def __rsub__(self, other):
        return _node(other) - self

    def __rmul__(self, other):
        return _node(other) * self

    def __rtruediv__(self, other):
        return _node(other) / self


def leaf(name: str) -> Node:
    """An input that the kernel has loaded under that name."""
    return _interned("leaf", (), name)


def constant(value: float) -> Node:
    return _interned("constant", (), float(value))


def _node(x: Node | float) -> Node:
    return x if isinstance(x, Node) else constant(x)


def _is(x: Node, value: float) -> bool:
    return x.kind == "constant" and x.value == value


def _interned(kind: str, args: tuple[Node, ...], value: Any) -> Node:
    key = (kind, tuple(id(a) for a in args), value)
    found = _same.get(key)
    if found is None:
        found = _same[key] = Node(kind, args, value)
    return found


_FOLD: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b,
    "neg": lambda a: -a,
}  # fmt: skip


def _made(kind: str, *args: Node, value: Any = None) -> Node:
    if kind in _FOLD and all(a.kind == "constant" for a in args):
        return constant(_FOLD[kind](*(a.value for a in args)))
    if kind in ("add", "mul") and args[0].age > args[1].age:
        args = args[::-1]  # a + b is b + a, to the last bit
    return _interned(kind, args, value)


def sin(x: Node) -> Node:
    return _made("sin", x)


def cos(x: Node) -> Node:
    return _made("cos", x)


def exp(x: Node) -> Node:
    return _made("exp", x)


def log(x: Node) -> Node:
    return _made("log", x)


def sqrt(x: Node) -> Node:
    return _made("sqrt", x)


def tanh(x: Node) -> Node:
    return _made("tanh", x)


def sigmoid(x: Node) -> Node:
    return _made("sigmoid", x)


def less(a: Node, b: Node | float) -> Node:
    """The condition a < b; false where one is not a number."""
    return _made("less", a, _node(b))


def where(condition: Node, a: Node | float, b: Node | float) -> Node:
    a, b = _node(a), _node(b)
    return a if a is b else _made("where", condition, a, b)


def spherical_j(x: Node, degree: Node, shift: int, top: int) -> Node:
    """j_l(x) with l = degree + shift <= top + shift; degree is an integer that differs from place to place."""
    return _made("bessel", x, degree, value=(shift, top))


def power(x: Node, p: float) -> Node:
    """x^p: by multiplications where p is a whole number, else for x > 0."""
    if p != int(p):
        return exp(p * log(x))
    n, found = abs(int(p)), constant(1.0)
    while n:
        if n & 1:
            found = found * x
        x, n = x * x, n >> 1
    return 1.0 / found if p < 0 else found


def total(terms: Iterable[Node]) -> Node:
    found = constant(0.0)
    for term in terms:
        found = found + term
    return found


def dot(a: Iterable[Node], b: Iterable[Node]) -> Node:
    """Σ a b."""
    return total(x * y for x, y in zip(a, b))


def _bessel_slope(g: Node, y: Node, x: Node, degree: Node) -> tuple[Node, Node]:
    # j_l' = l / x j_l - j_(l+1): both terms have the order of the derivative where x is small, so nothing cancels
    shift, top = y.value
    return g * ((degree + float(shift)) / x * y - spherical_j(x, degree, shift + 1, top)), constant(0.0)


_SLOPES: dict[str, Callable[..., tuple]] = {
    "add": lambda g, y, a, b: (g, g),
    "sub": lambda g, y, a, b: (g, -g),
    "mul": lambda g, y, a, b: (g * b, g * a),
    "div": lambda g, y, a, b: (g / b, -(g * y / b)),
    "neg": lambda g, y, a: (-g,),
    "sin": lambda g, y, a: (g * cos(a),),
    "cos": lambda g, y, a: (-(g * sin(a)),),
    "exp": lambda g, y, a: (g * y,),
    "log": lambda g, y, a: (g / a,),
    "sqrt": lambda g, y, a: (0.5 * g / y,),
    "tanh": lambda g, y, a: (g * (1.0 - y * y),),
    "sigmoid": lambda g, y, a: (g * y * (1.0 - y),),
    "where": lambda g, y, c, a, b: (constant(0.0), where(c, g, 0.0), where(c, 0.0, g)),
    "less": lambda g, y, a, b: (constant(0.0), constant(0.0)),
    "bessel": _bessel_slope,
}


def gradient(outputs: Sequence[Node], seeds: Sequence[Node], inputs: Sequence[Node]) -> list[Node]:
    """Of Σ seeds·outputs with respect to each input; the seeds are held fixed."""
    slopes: dict[Node, Node] = {}
    for y, seed in zip(outputs, seeds):
        slopes[y] = slopes[y] + seed if y in slopes else seed
    for node in reversed(_ordered(outputs)):
        g = slopes.get(node)
        if g is None or node.kind not in _SLOPES:
            continue
        for arg, part in zip(node.args, _SLOPES[node.kind](g, node, *node.args)):
            slopes[arg] = slopes[arg] + part if arg in slopes else part
    return [slopes.get(x, constant(0.0)) for x in inputs]


def derived(
    order: int, y: Sequence[Node], g: Sequence[Node], x: Sequence[Sequence[Node]], v: Sequence[Sequence[Node] | None]
) -> tuple[list[Node], list[list[Node]]]:
    """What a kernel of that order returns: 0 the values y; 1 the gradient of Σ g·y with respect to each input x;
    2 the gradients of Σ v·(that gradient) with respect to g and to each x, v None where nothing flows back."""
    if order == 0:
        return list(y), []
    flat = [node for part in x for node in part]
    slopes = _parted(gradient(y, g, flat), x)
    if order == 1:
        return [], slopes
    pairs = [(s, d) for part, ds in zip(slopes, v) if ds is not None for s, d in zip(part, ds)]
    second = gradient([s for s, _ in pairs], [d for _, d in pairs], [*g, *flat])
    return second[: len(g)], _parted(second[len(g) :], x)


def _parted(flat: list[Node], like: Sequence[Sequence[Node]]) -> list[list[Node]]:
    left = iter(flat)
    return [[next(left) for _ in part] for part in like]


def _ordered(outputs: Sequence[Node]) -> list[Node]:
    """Every node below the outputs, those it depends on first."""
    found: dict[Node, None] = {}
    stack = [(y, False) for y in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if node in found:
            continue
        if ready:
            found[node] = None
        else:
            stack.append((node, True))
            stack.extend((a, False) for a in reversed(node.args) if a not in found)
    return list(found)


def lines(outputs: Sequence[Node], spelled: Callable[[Node, list[str]], str]) -> tuple[list[str], list[str], set[str]]:
    """The lines of code, the name (or number) of each output, and the names of the inputs that they need.

    spelled: how a language writes a node whose arguments have these names. Constants stand in the expressions.
    """
    names: dict[Node, str] = {}
    text: list[str] = []
    needed: set[str] = set()
    for node in _ordered(outputs):
        if node.kind == "constant":
            names[node] = spelled(node, [])
        elif node.kind == "leaf":
            names[node] = str(node.value)
            needed.add(str(node.value))
        else:
            args = [names[a] for a in node.args]
            names[node] = f"t{len(text)}"
            text.append(f"{names[node]} = {spelled(node, args)}")
    return text, [names[y] for y in outputs], needed


def kinds(outputs: Sequence[Node]) -> set[str]:
    """The kinds of all nodes below the outputs."""
    return {node.kind for node in _ordered(outputs)}
