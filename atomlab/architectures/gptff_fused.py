"""GPTFF's energy, forces and virial in one pass without autograd, on the CPU: what `GPTFF.analytic` answers with.

The formulas are those of `gptff.py` and `gptff_blocks.py`; what depends on weights alone is made once (`Folded`).
The pass is a chain of rules from radial bases and cosines to the energy, and back. Layers on the radial basis have no
bias of their own: the basis' first function is published as 0 everywhere, so that 1 stands there instead, and the bias
in its row of the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..graph import Graph
from ..kernels import pair_dense
from ..kernels.chain import Chain
from ..kernels.cpu import angles, bonds_and_triplets, encoder
from ..kernels.cpu.angles import Angles
from ..kernels.cpu.arrays import flat, real
from ..kernels.cpu.bonds_and_triplets import BondsAndTriplets, Lists, Weights
from ..kernels.cpu.encoder import Encoder, EncoderWeights, Structures
from ..kernels.cpu.parts import Products, Readout, Times, Turned
from ..kernels.cpu.space import Space, space
from ..potential import Outputs
from .folding import folded

if TYPE_CHECKING:
    from .gptff import GPTFF
    from .gptff_blocks import AtomAttention
    from .gptff_blocks import Layer as Published

__all__ = ["analytic"]


def analytic(model: GPTFF, graph: Graph, want: Sequence[str]) -> Outputs | None:
    """Energy and what else is wanted; None where autograd must serve, or serves until the loops are compiled."""
    dtype = real(model.embedding)
    random = model.training and model.config["attention"] and model.config["dropout"] > 0
    if dtype is None or real(graph.positions) != dtype or random:
        return None
    c = model.config
    code, layer = angles.loops(dtype), bonds_and_triplets.loops(dtype, c["nodes"], c["edges"], c["radial"])
    attention = encoder.loops(dtype, c["nodes"], c["attention_heads"], c["feedforward"]) if c["attention"] else None
    if code is None or layer is None or (c["attention"] and attention is None):
        return None
    with torch.inference_mode(False), space() as room:
        weights = folded(model, "pass", lambda: Folded(model))
        return _Pass(model, graph, weights, Code(code, layer, attention), room).outputs(want)


class Code(NamedTuple):
    """The compiled loops of a pass."""

    angles: ModuleType
    layer: ModuleType
    encoder: ModuleType | None


# ---------------------------------------------------------------------- what is made once


class Folded:
    """The weights: embedding (95, n), matrices on the radial bases of edges and of sides, the layers, the readout."""

    def __init__(self, model: GPTFF):
        n = model.config["nodes"]
        norm = model.embedding.norm(dim=1, keepdim=True)
        self.embedding = model.embedding * torch.where(norm > 1.0, 1.0 / (norm + 1e-7), torch.ones_like(norm))
        w_i, w_j, w_bond = model.first_edge.weight.split([n, n, model.config["edges"]], dim=1)
        # a layer on what a layer without activation gave is one layer
        self.first = w_bond @ _biased(model.bond)
        self.first_bias = model.first_edge.bias.detach()
        self.first_nodes = Turned(torch.cat([w_i, w_j]))
        self.layers = [_layer(layer) for layer in model.layers]
        self.attention = [None if la.attention is None else _encoder(la.attention) for la in model.layers]
        self.first_radial = Turned(_biased(model.first_radial))
        sides = [la for b in model.layers for la in (b.three.side_a, b.three.side_b)]
        self.sides = [Turned(_biased(layer)) for layer in sides]
        self.hidden = [Turned(layer.weight, layer.bias) for layer in model.hidden]
        self.last = Turned(model.last.weight, model.last.bias)


def _biased(layer: torch.nn.Linear) -> Tensor:
    """The weight on a basis that has 1 in place of its first function."""
    weight = layer.weight.detach().clone()
    weight[:, 0] = layer.bias
    return weight


def _layer(layer: Published) -> Weights:
    """What the loops take of a layer; layers on pairs of atoms in parts that act on atoms and on edges."""
    three, edge, convolution = layer.three, layer.edge, layer.convolution
    w_i, w_j, w_k, w_ij, w_ik = three.features.weight.split(three.widths, dim=1)
    n, nothing = w_i.shape[1], torch.zeros_like(w_i)
    edge_weight, edge_bias = _stacked(edge.value, edge.gate)
    on_edge, on_convolution = (
        w.split([n, n, w.shape[1] - 2 * n], dim=1) for w in (edge_weight, convolution.features.weight)
    )
    matrices = [
        (torch.cat([w_ij, w_ik]), torch.cat([three.features.bias, torch.zeros_like(three.features.bias)])),
        _stacked(three.value, three.gate),
        (on_edge[2], edge_bias),
        (edge.out.weight, edge.out.bias),
        (on_convolution[2], convolution.features.bias),
        _stacked(convolution.value, convolution.gate),
    ]  # fmt: skip
    forth = [array for weight, bias in matrices for array in (_flat(weight.t()), _flat(bias))]
    radial = [_biased(edge.radial), _biased(convolution.radial)]
    forth.insert(4, _flat(torch.stack([three.angle.weight[:, 0], three.angle.bias])))
    on_atoms = [torch.cat([w_i, nothing, w_j, w_k]), *(torch.cat(w[:2]) for w in (on_edge, on_convolution))]
    return Weights(
        n,
        w_ij.shape[0],
        radial[0].shape[1],
        (*forth, *(_flat(weight.t()) for weight in radial)),
        (*(_flat(weight) for weight, _ in matrices), *map(_flat, radial)),
        tuple(_flat(weight.t()) for weight in on_atoms),
        tuple(_flat(weight) for weight in on_atoms),
    )


def _flat(weight: Tensor) -> np.ndarray:
    """A copy: what is kept of a pass follows the weights by their versions, not by their memory."""
    return flat(weight.detach().clone(memory_format=torch.contiguous_format))


def _encoder(block: AtomAttention) -> EncoderWeights:
    layers = block.projection, block.out, block.expand, block.contract
    norms = block.norm_in, block.norm_attention, block.norm_feedforward, block.norm_out
    return EncoderWeights(
        block.heads,
        block.expand.out_features,
        [(_flat(layer.weight.t()), _flat(layer.bias)) for layer in layers],
        [_flat(layer.weight) for layer in layers],
        [(_flat(norm.weight), _flat(norm.bias), norm.eps) for norm in norms],
    )


def _stacked(*layers: torch.nn.Linear) -> tuple[Tensor, Tensor]:
    return torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])


# ---------------------------------------------------------------------- the pass


class _Pass:
    def __init__(self, model: GPTFF, graph: Graph, weights: Folded, code: Code, room: Space):
        self.model, self.graph, self.weights, self.code, self.room = model, graph, weights, code, room
        self.edges = graph.edges[model.edge_key]
        triplets = graph.triplets[model.needs.triplets[0]]
        self.lists = Lists(self.edges.i, self.edges.j, triplets.a, triplets.b, len(graph.numbers))
        self.structures: Structures | None = None
        self.head = graph.head.index_select(0, graph.batch) if model.by_atom else graph.head

    def outputs(self, want: Sequence[str]) -> Outputs:
        """What `potential.outputs` would derive."""
        model, graph, c = self.model, self.graph, self.model.config
        geometry = Angles(self.code.angles, self.lists, self.room, (c["cutoff"], c["triplet_cutoff"]), c["radial"])
        geometry.measure(self.edges.shift, graph.batch, graph.positions, graph.cell)
        with Chain() as chain:
            self.chain = chain
            starts = [chain.start(t) for t in (geometry.radial, geometry.side, geometry.cosine)]
            x = self._atoms(*starts)
            network = self._read(x)
            with torch.no_grad():
                out = self._energies(network.detach())
                out.features = x.detach() if "features" in want else None
                if {"forces", "virial", "stress"} & set(want):
                    scale = model.scale[self.head].to(network.dtype)
                    out.forces, out.virial = geometry.forces(*chain.gradients(network, scale, starts))
        return out

    def _atoms(self, basis: Tensor, side: Tensor, cosine: Tensor) -> Tensor:
        """The atoms' vectors after the last layer, (A, n)."""
        graph, weights, edges = self.graph, self.weights, self.edges
        (radial,) = self.chain.step(Products([weights.first_radial]), (basis,))
        sides = iter(self.chain.step(Products(weights.sides), (side,)))
        x = weights.embedding.index_select(0, graph.numbers)
        nodes = weights.first_nodes(x)
        edge = pair_dense(basis, weights.first, weights.first_bias, nodes, edges.i, edges.j)
        (edge,) = self.chain.step(Times(), (edge, radial))
        for t, (layer, attention) in enumerate(zip(weights.layers, weights.attention)):
            rule = BondsAndTriplets(self.code.layer, self.lists, layer, self.room, f"layer {t}")
            x, edge = self.chain.step(rule, (x, edge, basis, next(sides), next(sides), cosine))
            if attention is not None:
                (x,) = self.chain.step(self._encoder(attention, t), (x,))
        return x

    def _encoder(self, weights: EncoderWeights, t: int) -> Encoder:
        code = self.code.encoder
        assert code is not None
        if self.structures is None:
            self.structures = Structures(self.graph.counts.numpy(), weights.heads, code.PANEL)
        return Encoder(code, self.structures, weights, self.room, f"encoder {t}")

    def _read(self, x: Tensor) -> Tensor:
        """The network's energies before scale and shift: of the atoms, or of the structures."""
        batch = None if self.model.by_atom else self.graph.batch
        return self.chain.step(Readout(self.weights.hidden, self.weights.last, self.head, batch), (x,))[0]

    def _energies(self, network: Tensor) -> Outputs:
        model, graph = self.model, self.graph
        species = model.species(graph)
        if model.by_atom:
            return Outputs(*model.total(graph, species, network))
        constant, _ = model.total(graph, species, network.new_zeros(len(graph.numbers)))
        return Outputs(model.scale[graph.head] * network.to(torch.float64) + constant)
