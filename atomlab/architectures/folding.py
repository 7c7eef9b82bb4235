"""What a pass without autograd makes of a model's weights, kept as long as no weight changes and no longer than it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

__all__ = ["KEPT", "folded"]

KEPT = 8  # things remembered per model
Made = TypeVar("Made")
_models: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()
_lock = threading.RLock()


@dataclass
class _Known:
    """Of one model: its modules and their tables of tensors, the tensors' state, and what was made of it."""

    children: list
    tables: list[dict]
    state: list
    held: list[Tensor]  # an address tells a tensor only as long as it lives
    made: OrderedDict[Hashable, object]


def folded(model: nn.Module, key: Hashable, make: Callable[[], Made]) -> Made:
    """What `make` gives of the model's weights as they are now; `key` tells apart what is made of one model."""
    with _lock:
        known = _models.get(model)
        if known is None or known.children != _children(model, known.children) or known.state != _state(known.tables):
            known = _models[model] = _known(model)
        if key not in known.made:
            with torch.inference_mode(False), torch.no_grad():
                known.made[key] = make()
            while len(known.made) > KEPT:
                known.made.popitem(last=False)
        known.made.move_to_end(key)
        return known.made[key]  # type: ignore[return-value]


def _known(model: nn.Module) -> _Known:
    children = _children(model, [])
    tables = [table for m in (model, *children) for table in (m._parameters, m._buffers)]
    held = [t.detach() for table in tables for t in table.values() if t is not None]
    return _Known(children, tables, _state(tables), held, OrderedDict())


def _children(model: nn.Module, seen: Sequence[nn.Module]) -> list[nn.Module]:
    """All modules inside; `seen`: those that were there, whose own children are looked up without a search."""
    if seen:
        return [c for m in (model, *seen) for c in m._modules.values() if c is not None]
    found: list[nn.Module] = [model]
    for module in found:  # grows as it goes
        found += [c for c in module._modules.values() if c is not None]
    return found[1:]


def _state(tables: Sequence[dict]) -> list:
    """Address and version of every parameter and buffer; a tensor of inference mode has no version."""
    tensors = [t for table in tables for t in table.values() if t is not None]
    try:
        return [(t.data_ptr(), t._version) for t in tensors]
    except RuntimeError:
        return [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors]
