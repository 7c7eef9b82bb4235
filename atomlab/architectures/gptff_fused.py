"""GPTFF's energy, forces and virial in one pass without autograd, on the CPU: what `GPTFF.analytic` answers with.

The formulas are those of `gptff.py` and `gptff_blocks.py`; what depends on weights alone is made once (`Folded`), what
depends on the lists of neighbours alone once per list (`Lists`). The pass is a chain: operations of `kernels`, and
rules for what stands between them. Layers on the radial basis have no bias of their own: the basis' first function is
published as 0 everywhere, so that 1 stands there instead, and the bias in its row of the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..graph import Edges, Graph, Triplets
from ..kernels import bessel, dense, edge_lengths, gather, pair_dense, segment_sum, triplet_cosines, triplet_messages
from ..kernels.chain import Chain
from ..kernels.cpu.arrays import real
from ..kernels.cpu.parts import Products, Readout, RowsOnto, SelfAttention, Times, Turned
from ..potential import Outputs
from .folding import folded

if TYPE_CHECKING:
    from .gptff import GPTFF
    from .gptff_blocks import AtomAttention
    from .gptff_blocks import Layer as Published

__all__ = ["analytic"]


def analytic(model: GPTFF, graph: Graph, want: Sequence[str]) -> Outputs | None:
    """Energy and what else is wanted; None where autograd must serve: another type or device, or dropout."""
    dtype = real(model.embedding)
    random = model.training and model.config["attention"] and model.config["dropout"] > 0
    if dtype is None or real(graph.positions) != dtype or random:
        return None
    with torch.inference_mode(False):
        weights = folded(model, "pass", lambda: Folded(model))
        return _Pass(model, graph, weights).outputs(want)


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
        self.layers = [Layer(layer) for layer in model.layers]
        radial = [model.first_radial, *(la for b in model.layers for la in (b.edge.radial, b.convolution.radial))]
        self.radial = [Turned(_biased(layer)) for layer in radial]
        sides = [la for b in model.layers for la in (b.three.side_a, b.three.side_b)]
        self.sides = [Turned(_biased(layer)) for layer in sides]
        self.hidden = [Turned(layer.weight, layer.bias) for layer in model.hidden]
        self.last = Turned(model.last.weight, model.last.bias)


def _biased(layer: torch.nn.Linear) -> Tensor:
    """The weight on a basis that has 1 in place of its first function."""
    weight = layer.weight.detach().clone()
    weight[:, 0] = layer.bias
    return weight


class Layer:
    """One layer's weights. on_atoms: of the three-body message, the edge update and the convolution."""

    def __init__(self, layer: Published):
        three, edge, convolution = layer.three, layer.edge, layer.convolution
        w_i, w_j, w_k, w_ij, w_ik = three.features.weight.split(three.widths, dim=1)
        nothing, n = torch.zeros_like(w_i), w_i.shape[1]
        self.three = torch.cat([w_ij, w_ik])
        self.three_bias = torch.cat([three.features.bias, torch.zeros_like(three.features.bias)])
        self.gates = _stacked(three.value, three.gate)
        self.angle = torch.stack([three.angle.weight[:, 0], three.angle.bias])
        weight, self.edge_bias = _stacked(edge.value, edge.gate)
        own, self.edge = weight.split([2 * n, weight.shape[1] - 2 * n], dim=1)
        self.out = edge.out.weight.detach(), edge.out.bias.detach()
        features = convolution.features
        ends, self.convolution = features.weight.detach().split([2 * n, features.weight.shape[1] - 2 * n], dim=1)
        self.convolution, self.convolution_bias = self.convolution.contiguous(), features.bias.detach()
        self.edge = self.edge.contiguous()
        self.message = _stacked(convolution.value, convolution.gate)
        atoms = torch.cat([w_i, nothing, w_j, w_k]), *(torch.cat(w.split(n, dim=1)) for w in (own, ends))
        self.on_atoms = [Turned(weight) for weight in atoms]
        self.attention = None if layer.attention is None else Attention(layer.attention)


class Attention:
    """What `SelfAttention` takes."""

    def __init__(self, block: AtomAttention):
        layers = block.projection, block.out, block.expand, block.contract
        norms = block.norm_in, block.norm_attention, block.norm_feedforward, block.norm_out
        self.heads = block.heads
        self.layers = [Turned(layer.weight, layer.bias) for layer in layers]
        self.norms = [(norm.weight.detach(), norm.bias.detach(), norm.eps) for norm in norms]


def _stacked(*layers: torch.nn.Linear) -> tuple[Tensor, Tensor]:
    return torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])


@dataclass
class Lists:
    """short (B,): edges that are sides of triplets; i, j (B,) their ends; a, b (T,): triplets in numbers of sides."""

    short: Tensor
    i: Tensor
    j: Tensor
    a: Tensor
    b: Tensor

    @classmethod
    def of(cls, edges: Edges, triplets: Triplets) -> Lists:
        """Kept as long as the triplets are, since one graph is often evaluated again."""
        tensors = triplets.a, triplets.b, edges.i, edges.j
        if any(t.is_inference() for t in tensors):
            return cls._made(edges, triplets)
        kept, state = _lists.get(triplets.a), [(t.data_ptr(), t._version) for t in tensors]
        if kept is None or kept[0] != state:
            kept = _lists[triplets.a] = state, cls._made(edges, triplets)
        return kept[1]

    @classmethod
    def _made(cls, edges: Edges, triplets: Triplets) -> Lists:
        # every side of a triplet is the first one of another triplet, and they are sorted by it
        short, a = torch.unique_consecutive(triplets.a, return_inverse=True)
        place = torch.zeros_like(edges.i)
        place[short] = torch.arange(len(short))
        return cls(short, edges.i[short], edges.j[short], a, place[triplets.b])


_lists: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


# ---------------------------------------------------------------------- the pass


class _Pass:
    def __init__(self, model: GPTFF, graph: Graph, weights: Folded):
        self.model, self.graph, self.weights = model, graph, weights
        self.edges = graph.edges[model.edge_key]
        self.lists = Lists.of(self.edges, graph.triplets[model.needs.triplets[0]])
        self.ends = torch.bincount(graph.batch, minlength=graph.size).cumsum(0).tolist()

    def outputs(self, want: Sequence[str]) -> Outputs:
        """What `potential.outputs` would derive."""
        with torch.no_grad():
            vectors = self.graph.vectors(self.model.edge_key)
        with Chain() as chain:
            self.chain = chain
            vectors = chain.start(vectors)
            x = self._atoms(vectors)
            network = self._read(x)
            with torch.no_grad():
                out = self._energies(network.detach())
                out.features = x.detach() if "features" in want else None
                if {"forces", "virial", "stress"} & set(want):
                    scale = self.model.scale[self.head].to(network.dtype)
                    (gradient,) = chain.gradients(network, scale, [vectors])
                    out.forces, out.virial = self._forces(vectors.detach(), gradient)
        return out

    def _atoms(self, vectors: Tensor) -> Tensor:
        """The atoms' vectors after the last layer, (A, n)."""
        graph, weights, edges = self.graph, self.weights, self.edges
        radial, self.side, self.cosine = self._geometry(vectors)
        self.radial = iter(self.chain.step(Products(weights.radial), (radial,)))
        self.sides = iter(self.chain.step(Products(weights.sides), (self.side,)))
        x = weights.embedding.index_select(0, graph.numbers)
        nodes = weights.first_nodes(x)
        edge = pair_dense(radial, weights.first, weights.first_bias, nodes, edges.i, edges.j)
        (edge,) = self.chain.step(Times(), (edge, next(self.radial)))
        for layer in weights.layers:
            x, edge = self._layer(layer, x, edge)
        return x

    def _geometry(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Radial basis of the edges (E, N) and of the sides (B, N), cosines (T,)."""
        config, lists = self.model.config, self.lists
        lengths = edge_lengths(vectors)
        short = gather(lengths, lists.short)
        cosine = triplet_cosines(gather(vectors, lists.short), short, lists.a, lists.b).clamp(-1.0, 1.0) * (1.0 - 1e-6)
        radial = _sines(lengths, config["cutoff"], config["radial"])
        return radial, _sines(short, config["triplet_cutoff"], config["radial"]), cosine

    def _layer(self, layer: Layer, x: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        step, lists, i, j = self.chain.step, self.lists, self.edges.i, self.edges.j
        three, ends, around = step(Products(layer.on_atoms), (x,))
        own = gather(edge, lists.short)
        pairs = pair_dense(own, layer.three, layer.three_bias, three, lists.i, lists.j)
        side_a, side_b = next(self.sides), next(self.sides)
        message = triplet_messages(pairs, side_b, self.cosine, *layer.gates, layer.angle, lists.a, lists.b)
        (edge,) = step(RowsOnto(lists.short), (edge, message, side_a))
        y = pair_dense(edge, layer.edge, layer.edge_bias, ends, i, j, "gate")
        edge = dense(y, *layer.out, after="silu", times=next(self.radial), plus=edge)
        y = pair_dense(edge, layer.convolution, layer.convolution_bias, around, i, j, "silu")
        message = dense(y, *layer.message, after="gate", times=next(self.radial))
        x = x + segment_sum(message, i, len(x))
        if layer.attention is not None:
            a = layer.attention
            (x,) = step(SelfAttention(a.layers, a.norms, a.heads, self.ends), (x,))
        return x, edge

    def _read(self, x: Tensor) -> Tensor:
        """The network's energies before scale and shift: of the atoms, or of the structures."""
        graph, weights = self.graph, self.weights
        self.head = graph.head
        if self.model.by_atom:
            self.head = graph.head.index_select(0, graph.batch)
        else:
            x = segment_sum(x.to(torch.float64), graph.batch, graph.size).to(x.dtype)
        return self.chain.step(Readout(weights.hidden, weights.last, self.head), (x,))[0]

    def _energies(self, network: Tensor) -> Outputs:
        model, graph = self.model, self.graph
        species = model.species(graph)
        if model.by_atom:
            return Outputs(*model.total(graph, species, network))
        constant, _ = model.total(graph, species, network.new_zeros(len(graph.numbers)))
        return Outputs(model.scale[graph.head] * network.to(torch.float64) + constant)

    def _forces(self, vectors: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Forces (A, 3) in eV/Å and virial (S, 3, 3) in eV of the gradient in the edges' vectors (E, 3)."""
        graph, atoms = self.graph, len(self.graph.positions)
        forces = segment_sum(gradient, self.edges.i, atoms) - segment_sum(gradient, self.edges.j, atoms)
        strain = (vectors[:, :, None] * gradient[:, None, :]).view(-1, 9)
        virial = segment_sum(strain, graph.batch.index_select(0, self.edges.i), graph.size).view(-1, 3, 3)
        return forces, -0.5 * (virial + virial.transpose(1, 2))


def _sines(lengths: Tensor, cutoff: float, number: int) -> Tensor:
    """The published basis with 1 in place of its first function, which is 0."""
    n = torch.arange(number, dtype=lengths.dtype)
    basis = bessel(lengths, n * (math.pi / cutoff), lengths.new_tensor(math.sqrt(2.0 / cutoff)))
    with torch.no_grad():
        basis.data[:, 0] = 1.0
    return basis
