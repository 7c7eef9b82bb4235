"""The parts of MACE. Features are lists over l of tensors (A, 2 l + 1, K); names and shapes of weights as published.

Weights are flat, as in the published files: for each block (fan-in, fan-out), row-major, one block after another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..kernels import edge_convolution, element_linear, radial_network, segment_sum
from .couplings import Contraction, Couplings
from .spherical import tensor_paths

__all__ = ["Bonds", "Interaction", "Kinds", "Linear", "LinearReadout", "NonLinearReadout", "Product"]

Features = list[Tensor]


@dataclass(frozen=True)
class Bonds:
    """What all layers share about the edges; H bonds, each seen from both ends as one of E edges.

    radial (H, N), envelope (H,), harmonics (H, M); receiver i and sender j (E,), pair (E,) row of the bond,
    against (E,) bool: the edge runs against the direction of the bond's harmonics.
    """

    radial: Tensor
    envelope: Tensor
    harmonics: Tensor
    i: Tensor
    j: Tensor
    pair: Tensor
    against: Tensor


@dataclass(frozen=True)
class Kinds:
    """Which elements there are: numbers of the model's table (Z,), and each atom's place among them (A,).

    Only their weights are touched: a model of 89 elements costs no more than one of those that are there.
    """

    present: Tensor
    of_atom: Tensor

    @classmethod
    def of(cls, species: Tensor) -> Kinds:
        return cls(*torch.unique(species, return_inverse=True))


class Linear(nn.Module):
    """One matrix per block, each divided by sqrt(fan-in)."""

    def __init__(self, blocks: Sequence[tuple[int, int]]):
        super().__init__()
        self.blocks = list(blocks)
        self.weight = nn.Parameter(torch.randn(sum(n * m for n, m in blocks)))

    def matrices(self) -> list[Tensor]:
        """The scaled matrices (fan-in, fan-out)."""
        fan_in = {n for n, _ in self.blocks}
        weight = self.weight if len(fan_in) > 1 else self.weight * (1.0 / math.sqrt(*fan_in))
        parts = weight.split([n * m for n, m in self.blocks])
        if len(fan_in) > 1:
            parts = [part * (1.0 / math.sqrt(n)) for part, (n, _) in zip(parts, self.blocks)]
        return [part.view(n, m) for part, (n, m) in zip(parts, self.blocks)]

    def forward(self, x: Sequence[Tensor]) -> Features:
        return [element_linear(part, matrix[None]) for part, matrix in zip(x, self.matrices())]


class ElementLinear(nn.Module):
    """One matrix per l and element: weights (l, K, elements, K), divided by sqrt(K * elements)."""

    def __init__(self, blocks: int, channels: int, elements: int):
        super().__init__()
        self.shape = (blocks, channels, elements, channels)
        self.weight = nn.Parameter(torch.randn(blocks * channels * elements * channels))

    def forward(self, x: Sequence[Tensor], kinds: Kinds) -> Features:
        weight = self.weight.view(self.shape).index_select(2, kinds.present).transpose(1, 2)
        scale = 1.0 / math.sqrt(self.shape[1] * self.shape[2])
        return [element_linear(part, scale * matrix, kinds.of_atom) for part, matrix in zip(x, weight.unbind())]


class _Layer(nn.Module):
    def __init__(self, fan_in: int, fan_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out))


class RadialNetwork(nn.Module):
    """Perceptron without biases: x W / sqrt(fan-in), then c * SiLU, nothing after the last layer."""

    def __init__(self, sizes: Sequence[int], activation: float):
        super().__init__()
        self.activation, self.depth = activation, len(sizes) - 1
        for n, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            self.add_module(f"layer{n}", _Layer(fan_in, fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """(H, N) -> (H, last size)."""
        weights = [self.get_submodule(f"layer{n}").weight for n in range(self.depth)]
        return radial_network(x, weights, self.activation)


class Interaction(nn.Module):
    """Messages from the neighbours: (x, kinds) -> (message (A, (l_edges + 1)^2, K), skip).

    kind agnostic and density: the element acts on the message, no skip; residual and density-residual: the element acts
    on the incoming features, which skip the product. density kinds divide by 1 + Σ tanh(d²) of the neighbours, the
    others by their average number.
    """

    def __init__(self, kind: str, l_in: int, l_out: int, config: dict):
        super().__init__()
        channels, l_max, elements = config["channels"], config["l_edges"], len(config["elements"])
        self.residual, self.density = kind.endswith("residual"), kind.startswith("density")
        self.channels, self.l_out = channels, l_out
        self.average, self.weighted = config["average_neighbours"], config["envelope_on"] == "weights"
        self.paths = tensor_paths(l_in, l_max)
        self.linear_up = Linear([(channels, channels)] * (l_in + 1))
        sizes = [config["radial_basis"], *config["radial_hidden"], len(self.paths) * channels]
        self.conv_tp_weights = RadialNetwork(sizes, config["activation"])
        fan_in = [channels * sum(path[2] == l for path in self.paths) for l in range(l_max + 1)]
        self.linear = Linear([(n, channels) for n in fan_in])
        blocks = min(l_in, l_out) + 1 if self.residual else l_max + 1
        self.skip_tp = ElementLinear(blocks, channels, elements)
        if self.density:
            self.density_fn = RadialNetwork([config["radial_basis"], 1], config["activation"])
        self.conv_tp = Couplings(self.paths)

    def forward(self, x: Features, kinds: Kinds, bonds: Bonds) -> tuple[Tensor, Features | None]:
        skip = self.skip_tp(x, kinds) if self.residual else None
        up = self.linear_up(x)
        radial = self.conv_tp_weights(bonds.radial)
        if self.weighted:
            radial = radial * bonds.envelope[:, None]
        features = up[0] if len(up) == 1 else torch.cat(up, dim=1)
        summed = edge_convolution(
            radial.view(-1, len(self.paths), self.channels),
            bonds.harmonics,
            features,
            bonds.i,
            bonds.j,
            bonds.pair,
            bonds.against,
            self.paths,
            self.conv_tp.matrices(radial),
        )
        message = self.linear(summed)
        if not self.residual:
            message = self.skip_tp(message, kinds)
        return torch.cat(message, dim=1) * self._norm(bonds, len(kinds.of_atom)), skip

    def _norm(self, bonds: Bonds, atoms: int) -> Tensor | float:
        if not self.density:
            return 1.0 / self.average
        density = torch.tanh(self.density_fn(bonds.radial)[:, 0].square())
        if self.weighted:
            density = density * bonds.envelope
        per_atom = segment_sum(density.index_select(0, bonds.pair), bonds.i, atoms)
        return (1.0 / (1.0 + per_atom))[:, None, None]


class Product(nn.Module):
    """Symmetric contraction, linear map, and what skipped it: (message, skip, kinds) -> features of l = 0..l_out."""

    def __init__(self, l_out: int, config: dict):
        super().__init__()
        channels, order, elements = config["channels"], config["correlation"], len(config["elements"])
        self.symmetric_contractions = nn.Module()
        self.symmetric_contractions.contractions = nn.ModuleList(
            Contraction(config["l_edges"], l, order, elements, channels) for l in range(l_out + 1)
        )
        self.linear = Linear([(channels, channels)] * (l_out + 1))

    def forward(self, message: Tensor, skip: Features | None, kinds: Kinds) -> Features:
        out = self.linear(
            [contract(message, kinds.present, kinds.of_atom) for contract in self.symmetric_contractions.contractions]
        )
        return [part + skip[l] if skip and l < len(skip) else part for l, part in enumerate(out)]


class LinearReadout(nn.Module):
    """Scalars (A, K) -> (input of the last linear layer, energy (A,) of each atom's head)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.linear = Linear([(channels, heads)])

    def forward(self, scalars: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
        return scalars, _column(scalars @ self.linear.matrices()[0], head)

    def repeated(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The weights for heads that start as the heads `rows` of this one."""
        return {"linear.weight": self.linear.weight.detach().view(-1, self.heads)[:, list(rows)].flatten()}


class NonLinearReadout(nn.Module):
    """The same with one hidden layer of `hidden` units per head; other heads' units are 0."""

    def __init__(self, channels: int, hidden: int, heads: int, activation: float):
        super().__init__()
        self.hidden, self.heads, self.activation = hidden, heads, activation
        self.linear_1 = Linear([(channels, heads * hidden)])
        self.linear_2 = Linear([(heads * hidden, heads)])

    def forward(self, scalars: Tensor, head: Tensor) -> tuple[Tensor, Tensor]:
        units = self.activation * nn.functional.silu(scalars @ self.linear_1.matrices()[0])
        if self.heads > 1:
            mine = nn.functional.one_hot(head, self.heads).to(units.dtype)
            units = (units.view(-1, self.heads, self.hidden) * mine[:, :, None]).flatten(1)
        return units, _column(units @ self.linear_2.matrices()[0], head)

    def repeated(self, rows: Sequence[int]) -> dict[str, Tensor]:
        """The weights for heads that start as the heads `rows` of this one."""
        rows = list(rows)
        first = self.linear_1.weight.detach().view(-1, self.heads, self.hidden)[:, rows]
        second = self.linear_2.weight.detach().view(self.heads, self.hidden, self.heads)[rows][:, :, rows]
        # the last map is divided by the root of all heads' units, though only one head's are not 0
        ratio = math.sqrt(len(rows) / self.heads)
        return {"linear_1.weight": first.flatten(), "linear_2.weight": (ratio * second).flatten()}


def _column(values: Tensor, head: Tensor) -> Tensor:
    return values[:, 0] if values.shape[1] == 1 else values.gather(1, head[:, None])[:, 0]
