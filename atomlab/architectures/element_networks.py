"""A small residual network per element, applied to the atoms of that element: REANN's `g` and its readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "ByElement", "ElementNetworks", "NetworkShape"]


class ReluLike(nn.Module):
    """alpha * SiLU(beta * x), both learned for each neuron; shapes (1, n)."""

    def __init__(self, size: int, before: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, size))
        self.beta = nn.Parameter(torch.full((1, size), 1.0 / before))

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * nn.functional.silu(self.beta * x)


class TanhLike(nn.Module):
    """alpha * x / sqrt(1 + (beta * x)^2), both learned for each neuron; shapes (1, n)."""

    def __init__(self, size: int, before: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.full((1, size), before**-0.5))
        self.beta = nn.Parameter(torch.full((1, size), 1.0 / before))

    def forward(self, x: Tensor) -> Tensor:
        return self.alpha * x / torch.sqrt(1.0 + (self.beta * x) ** 2)


ACTIVATIONS: dict[str, Callable[[int, int], nn.Module]] = {"relu_like": ReluLike, "tanh_like": TanhLike}


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of one network: inputs, hidden layers, residual blocks, outputs; `norm`: LayerNorm after activations."""

    inputs: int
    hidden: tuple[int, ...]
    blocks: int
    outputs: int
    activation: str
    norm: bool
    dropout: float


class ResidualBlock(nn.Module):
    """For each hidden layer: activation, LayerNorm (optional), dropout (optional), Linear; output + input."""

    def __init__(self, shape: NetworkShape):
        super().__init__()
        before, sizes = [shape.inputs, *shape.hidden], [*shape.hidden, shape.hidden[0]]
        layers: list[nn.Module] = []
        for k in range(len(shape.hidden)):
            layers.append(ACTIVATIONS[shape.activation](sizes[k], before[k]))
            if shape.norm:
                layers.append(nn.LayerNorm(sizes[k]))
            if shape.dropout > 0.0:
                layers.append(nn.Dropout(shape.dropout))
            layers.append(_linear(sizes[k], sizes[k + 1]))
        nn.init.zeros_(layers[-1].weight)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x


class ElementNetwork(nn.Module):
    """Linear, residual blocks, activation, Linear. The last weight starts at 0, its bias at `bias`."""

    def __init__(self, shape: NetworkShape, bias: float):
        super().__init__()
        self.first = nn.Linear(shape.inputs, shape.hidden[0])
        nn.init.xavier_uniform_(self.first.weight)
        self.blocks = nn.Sequential(*(ResidualBlock(shape) for _ in range(shape.blocks)))
        self.activation = ACTIVATIONS[shape.activation](shape.hidden[0], shape.hidden[-1])
        self.last = nn.Linear(shape.hidden[0], shape.outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (A, outputs) and what enters the last layer (A, hidden[0])."""
        hidden = self.activation(self.blocks(self.first(x)))
        return self.last(hidden), hidden


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class ByElement(NamedTuple):
    """The atoms in the order of their elements: order and place (A,), and how many there are of each element."""

    order: Tensor
    place: Tensor
    counts: list[int]

    @classmethod
    def of(cls, species: Tensor, kinds: int) -> ByElement:
        """From the element index of each atom (A,)."""
        order = torch.argsort(species, stable=True)
        place = torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))
        return cls(order, place, torch.bincount(species, minlength=kinds).tolist())


class ElementNetworks(nn.Module):
    """One network per element of the same shape; every atom goes through its element's."""

    def __init__(self, elements: Sequence[int], shape: NetworkShape, bias: float = 0.0):
        super().__init__()
        self.shape = shape
        self.networks = nn.ModuleDict({chemical_symbols[z]: ElementNetwork(shape, bias) for z in elements})

    def forward(self, x: Tensor, atoms: ByElement) -> tuple[Tensor, Tensor]:
        """Outputs (A, outputs), and what enters the last layers (A, elements * hidden[0]), 0 but for its element."""
        parts = x.index_select(0, atoms.order).split(atoms.counts)
        out, hidden, width = [], [], self.shape.hidden[0]
        for k, (network, part) in enumerate(zip(self.networks.values(), parts)):
            if len(part):
                y, h = network(part)
                out.append(y)
                hidden.append(nn.functional.pad(h, (k * width, (len(self.networks) - 1 - k) * width)))
        return torch.cat(out).index_select(0, atoms.place), torch.cat(hidden).index_select(0, atoms.place)
