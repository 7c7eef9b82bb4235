"""Derivatives of operations that a backend computes by hand.

A backend writes a `Rule`: the operation, its gradient, and the gradient of that (training on forces needs it). From the
third order on the reference's own derivatives serve, so an operation is closed under differentiation on every backend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

__all__ = ["Rule", "apply", "recorder"]

Tensors = tuple[Tensor, ...]
Partly = tuple[Tensor | None, ...]
# the `chain.Chain` of a pass, which takes the place of autograd's graph within it
recorder: ContextVar[Any] = ContextVar("recorder", default=None)


class Rule(ABC):
    """One operation with its constants (indices, paths, tables) held by the rule; x are its differentiable tensors.

    All tensors that a rule is handed are detached and contiguous; it returns fresh ones.
    """

    @abstractmethod
    def forward(self, x: Tensors) -> Tensors:
        """The results y."""

    @abstractmethod
    def backward(self, g: Tensors, x: Tensors, wanted: Sequence[bool]) -> Partly:
        """The gradient of Σ g·y with respect to each x; None where it is not wanted."""

    def double(self, v: Partly, g: Tensors, x: Tensors, wanted: Sequence[bool]) -> tuple[Partly, Partly]:
        """The gradients of Σ v·backward(g, x) with respect to g and to x; v is None where nothing flows back.

        Where a rule does not write its own, this is taken from the reference.
        """
        return _from_reference(self, v, g, x, wanted)

    def reference(self, *x: Tensor) -> Tensors:
        """The same operation in torch, differentiable to any order. A rule that is only a part of another has none."""
        raise TypeError(f"{type(self).__name__} is a part of another rule, whose reference stands for both.")


def apply(rule: Rule, *x: Tensor) -> Tensors:
    """The rule's results, differentiable to any order in x."""
    chain = recorder.get()
    if chain is not None:
        return chain.step(rule, x)
    if torch.is_grad_enabled() and any(t.requires_grad for t in x):
        # of a leaf the engine does not tell whether its gradient is asked for (see `_wanted`), of a view it does
        return _Forward.apply(rule, *(t.view_as(t) if t.is_leaf and t.requires_grad else t for t in x))
    return rule.forward(_plain(x))


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rule: Rule, *x: Tensor) -> Tensors:
        ctx.rule = rule
        ctx.save_for_backward(*x)
        y = rule.forward(_plain(x))
        ctx.shapes = [(t.shape, t.dtype, t.device) for t in y]
        ctx.set_materialize_grads(False)
        return y

    @staticmethod
    def backward(ctx: Any, *g: Tensor | None) -> tuple:
        if all(part is None for part in g):
            return (None,) * len(ctx.needs_input_grad)
        full = [
            torch.zeros(shape, dtype=dtype, device=device) if part is None else part
            for part, (shape, dtype, device) in zip(g, ctx.shapes)
        ]
        if not torch.is_grad_enabled():  # nobody will differentiate this
            return (None, *ctx.rule.backward(_plain(full), _plain(ctx.saved_tensors), _wanted(ctx)))
        return (None, *_Backward.apply(ctx.rule, len(full), _wanted(ctx), *full, *ctx.saved_tensors))


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rule: Rule, many: int, wanted: Sequence[bool], *gx: Tensor) -> tuple:
        ctx.rule, ctx.many, ctx.wanted = rule, many, wanted
        ctx.save_for_backward(*gx)
        ctx.set_materialize_grads(False)
        plain = _plain(gx)
        return rule.backward(plain[:many], plain[many:], wanted)

    @staticmethod
    def backward(ctx: Any, *v: Tensor | None) -> tuple:
        if all(part is None for part in v):
            return (None,) * len(ctx.needs_input_grad)
        there = tuple(part is not None for part in v)
        given = [part for part in v if part is not None]
        out = _Double.apply(ctx.rule, ctx.many, ctx.wanted, there, *given, *ctx.saved_tensors)
        return (None, None, None, *out)


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rule: Rule, many: int, wanted: Sequence[bool], there: Sequence[bool], *vgx: Tensor) -> tuple:
        ctx.rule, ctx.many, ctx.wanted, ctx.there = rule, many, wanted, there
        ctx.save_for_backward(*vgx)
        v, g, x = _split(_plain(vgx), there, many)
        dg, dx = rule.double(v, g, x, wanted)
        return (*dg, *dx)

    @staticmethod
    def backward(ctx: Any, *w: Tensor | None) -> tuple:
        deeper = torch.is_grad_enabled()
        needs = ctx.needs_input_grad[4:]
        with torch.enable_grad():
            own = tuple(_own(t, need, deeper) for t, need in zip(ctx.saved_tensors, needs))
            v, g, x = _split(own, ctx.there, ctx.many)
            dg, dx = _from_reference(ctx.rule, v, g, x, ctx.wanted, create_graph=True)
            pairs = [(y, t) for y, t in zip((*dg, *dx), w) if y is not None and t is not None]
            grads = iter(_grad(pairs, [t for t in own if t.requires_grad], deeper))
        return (None, None, None, None, *(next(grads, None) if t.requires_grad else None for t in own))


def _wanted(ctx: Any) -> tuple[bool, ...]:
    """Which gradients the pass that runs now asks for: forces need none of the parameters that require them."""
    asked = getattr(torch._C, "_will_engine_execute_node", None)
    nodes = [node for node, _ in ctx.next_functions]  # of the tensors, the last of the arguments
    needs = ctx.needs_input_grad[-len(nodes) :]
    if asked is None:
        return tuple(needs)
    return tuple(need and node is not None and _executed(asked, node) for need, node in zip(needs, nodes))


def _executed(asked: Any, node: Any) -> bool:
    try:
        return asked(node)
    except RuntimeError:  # torch cannot say of a leaf whose gradient is asked for by name: then it is wanted
        return True


def _own(t: Tensor, need: bool, deeper: bool) -> Tensor:
    """The same numbers as a place of their own in the graph, so that a derivative with respect to them ends there."""
    return t.view_as(t) if need and deeper else t.detach().requires_grad_(need)


def _from_reference(
    rule: Rule, v: Partly, g: Tensors, x: Tensors, wanted: Sequence[bool], create_graph: bool = False
) -> tuple[Partly, Partly]:
    """What `Rule.double` returns, from the derivatives of the reference."""
    with torch.enable_grad():
        g, x = (tuple(t if t.requires_grad else t.detach().requires_grad_(True) for t in part) for part in (g, x))
        inputs = [t for t, need in zip(x, wanted) if need]
        first = iter(_grad(list(zip(rule.reference(*x), g)), inputs, create_graph=True))
        second = [(next(first) if need else None, part) for need, part in zip(wanted, v)]
        grads = _grad([(y, part) for y, part in second if y is not None and part is not None], [*g, *x], create_graph)
    return tuple(grads[: len(g)]), tuple(grads[len(g) :])


def _grad(pairs: Sequence[tuple[Tensor, Tensor]], x: Sequence[Tensor], create_graph: bool) -> list[Tensor | None]:
    """The gradient of the sum of y·g over the pairs (y, g)."""
    pairs = [(y, g) for y, g in pairs if y.requires_grad]
    if not pairs or not x:
        return [None] * len(x)
    ys, gs = zip(*pairs)
    return list(torch.autograd.grad(ys, x, gs, create_graph=create_graph, allow_unused=True))


def _plain(tensors: Sequence[Tensor]) -> Tensors:
    return tuple(t.detach().contiguous() for t in tensors)


def _split(tensors: Tensors, there: Sequence[bool], many: int) -> tuple[Partly, Tensors, Tensors]:
    count = sum(there)
    given = iter(tensors[:count])
    v = tuple(next(given) if is_there else None for is_there in there)
    return v, tensors[count : count + many], tensors[count + many :]
