"""Operations recorded one after another and run backwards by hand: gradients of one pass without autograd's graph.

A model's pass for energy and forces alone needs the first derivative of its operations, once, and never with respect to
its weights. Within `with Chain() as chain:` every operation of a compiled backend is noted down as it is computed, at a
fraction of what a node of autograd's graph costs; `chain.gradients` then asks the rules for theirs in the opposite
order. Plain torch code between the operations, and operations that the reference answers, need no care: they are small
graphs of autograd's, from one noted operation to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import Token

import torch
from torch import Tensor

from .autograd import Rule, recorder

__all__ = ["Chain"]

Tensors = tuple[Tensor, ...]


class Chain:
    """One pass. Weights must not require gradients in it (hand detached ones to the operations).

    with Chain() as chain:
        x = chain.start(positions)
        energy = ...                       # any code of operations and torch
    gradient, = chain.gradients(energy, seed, [x])
    """

    def __init__(self) -> None:
        self._steps: list[tuple[Rule | None, Tensors, Tensors, Tensors]] = []
        self._kept: dict[int, Tensor] = {}  # all that was noted, by its id: alive, so that no id comes twice

    def __enter__(self) -> Chain:
        self._modes = ExitStack()
        self._modes.enter_context(torch.inference_mode(False))
        self._modes.enter_context(torch.enable_grad())
        self._token: Token = recorder.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        recorder.reset(self._token)
        self._modes.close()

    def start(self, x: Tensor) -> Tensor:
        """The same numbers as a tensor whose gradient can be asked for."""
        own = (x.clone() if x.is_inference() else x).detach().requires_grad_(True)
        self._kept[id(own)] = own
        return own

    def step(self, rule: Rule, x: Tensors) -> Tensors:
        """The rule's results, noted down where they depend on a start."""
        plain = tuple(t.detach().contiguous() for t in x)
        with torch.no_grad():
            y = rule.forward(plain)
        if any(t.requires_grad for t in x):
            for t in x:
                if t.requires_grad and id(t) not in self._kept:  # made by torch from what was noted before
                    if t.is_leaf:
                        raise TypeError("A weight that requires a gradient has no place in a chain: detach it first.")
                    self._note(None, (), (), (t,))
            self._note(rule, x, plain, tuple(t.requires_grad_(True) for t in y))
        return y

    def _note(self, rule: Rule | None, x: Tensors, plain: Tensors, y: Tensors) -> None:
        self._steps.append((rule, x, plain, y))
        self._kept.update((id(t), t) for t in y)

    def gradients(self, y: Tensor, g: Tensor, starts: Sequence[Tensor]) -> list[Tensor]:
        """Of Σ g·y with respect to each start; zeros where y does not depend on it. Once per chain."""
        sums = _Sums()
        with torch.no_grad():
            if id(y) not in self._kept and y.requires_grad:
                self._note(None, (), (), (y,))
            sums.add(y, g)
            while self._steps:
                rule, x, plain, out = self._steps.pop()
                found = [sums.pop(t) for t in out]
                if all(part is None for part in found):
                    continue
                if rule is None:
                    torch.autograd.backward(out, found, retain_graph=True)
                    continue
                full = tuple(torch.zeros_like(t) if part is None else part for part, t in zip(found, out))
                wanted = tuple(t.requires_grad for t in x)
                for t, part, want in zip(x, rule.backward(full, plain, wanted), wanted):
                    if want and part is not None:
                        sums.add(t, part)
            return [torch.zeros_like(t) if (part := sums.pop(t)) is None else part for t in starts]


class _Sums:
    """Gradients by the tensor that they belong to; what autograd's small graphs bring is in the tensors' own `grad`."""

    def __init__(self) -> None:
        self.by_id: dict[int, Tensor] = {}
        self.mine: set[int] = set()  # sums made here: a rule may return one tensor as two gradients

    def add(self, t: Tensor, part: Tensor) -> None:
        before = self.by_id.get(id(t))
        if before is None:
            self.by_id[id(t)] = part
        elif id(t) in self.mine:
            before += part
        else:
            self.by_id[id(t)] = before + part
            self.mine.add(id(t))

    def pop(self, t: Tensor) -> Tensor | None:
        found = self.by_id.pop(id(t), None)
        brought = t.grad if t.is_leaf else None
        if brought is None:
            return found
        t.grad = None
        return brought if found is None else found + brought
