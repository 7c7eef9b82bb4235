"""Low-rank adapters: a frozen matrix W becomes W + (α / r) A B, and is an ordinary matrix again when it is saved.

Hu et al., LoRA, arXiv:2106.09685. A starts at random, B at 0, so that a model with fresh adapters is the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["LowRank", "adapted", "attach", "merged", "shapes_of"]


class LowRank(nn.Module):
    """What is added to one weight: for each matrix in it (rows, columns) the product of two thin ones."""

    def __init__(self, weight: Tensor, shapes: Sequence[tuple[int, int]], rank: int, alpha: float):
        super().__init__()
        self.factor = alpha / rank
        size = float(weight.detach().square().mean().sqrt())
        # of the weight's own size; a weight that starts at 0 (a last layer) has none
        spread = [size or 1 / math.sqrt(n) for n, _ in shapes]
        self.a = nn.ParameterList(weight.new_empty(n, rank).normal_(0, s) for (n, _), s in zip(shapes, spread))
        self.b = nn.ParameterList(weight.new_zeros(rank, m) for _, m in shapes)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its addition, in its own shape."""
        parts = [(a @ b).flatten() for a, b in zip(self.a, self.b)]
        return weight + self.factor * (parts[0] if len(parts) == 1 else torch.cat(parts)).view_as(weight)


def shapes_of(module: nn.Module) -> list[tuple[int, int]]:
    """Shapes of the matrices in a linear layer's `weight`; empty for other modules.

    A flat weight (MACE's) says in `module.blocks` which matrices it holds; else a weight with two axes is one matrix.
    """
    weight = module._parameters.get("weight")
    if weight is None or isinstance(module, nn.Embedding):
        return []
    if weight.ndim == 1 and hasattr(module, "blocks"):
        return list(module.blocks)
    return [(weight.shape[0], weight.shape[1])] if weight.ndim == 2 else []


def attach(
    model: nn.Module, rank: int, alpha: float, wanted: Callable[[nn.Parameter], bool], seed: int = 0
) -> tuple[list[str], list[str]]:
    """Give the linear layers adapters, in place: names of the layers that got one, and of those too small for one.

    wanted: whether a layer with this weight is meant. A layer is too small if its adapter would have as many numbers.
    """
    got, small = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in list(model.named_modules()):
            shapes = shapes_of(module)
            if not shapes or not wanted(module.weight):
                continue
            if rank * sum(n + m for n, m in shapes) >= module.weight.numel():
                small.append(name)
                continue
            adapter = LowRank(module.weight, shapes, rank, alpha)
            parametrize.register_parametrization(module, "weight", adapter)
            got.append(name)
    return got, small


def adapted(model: nn.Module) -> bool:
    """Whether a model has adapters."""
    return any(isinstance(module, LowRank) for module in model.modules())


def merged(model: nn.Module) -> nn.Module:
    """The model itself if it has no adapters, else a copy in which they have become part of their weights."""
    if not adapted(model):
        return model
    copy = deepcopy(model)
    for module in list(copy.modules()):
        if parametrize.is_parametrized(module, "weight"):
            weight = module.weight.detach()
            # not torch's remove_parametrizations: it strips the class, which the original shares with its copy
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module._modules["parametrizations"]
            module.register_parameter("weight", nn.Parameter(weight))
    return copy
