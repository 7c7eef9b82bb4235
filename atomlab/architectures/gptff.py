"""GPTFF: a graph network over bonds and triplets, in its second version with attention over all atoms of a structure.

Xie, Lu, Meng, Liu, Science Bulletin 69 (2024) 3525. The paper draws the network; the formulas here are those of its
published weights. Two facts about it are no errors of this code: the released readout sums the atoms before a
non-linear network, so the energy is not extensive, and the energy jumps where a bond crosses a cutoff, since layers
that should fade there have biases. `remarks` measures both for a structure at hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ase import Atoms
from torch import Tensor, nn
from torch.nn.functional import silu

from ..errors import InputError
from ..graph import Graph, Needs
from ..kernels import bessel, current, edge_lengths, gather, segment_sum, triplet_cosines
from ..potential import Card, Outputs, Terms
from .gptff_blocks import AtomAttention, Bonds, Layer, Shape, on_pairs, on_rows
from .remarks import cutoff_remark, size_remark
from .trainable import Trainable, choice, element_numbers

__all__ = ["GPTFF", "READOUTS"]

READOUTS = ("sum_then_network", "network_then_sum")
ROWS = 95  # the published embedding table: one row per atomic number, 0 to 94


class GPTFF(Trainable):
    """GPTFF v1 and v2: bonds, triplets and (attention=True) all atoms of a structure; 64 features, 3 layers.

    Parameters
    ----------
    elements: atomic numbers below 95. cutoff, triplet_cutoff: Å, both inclusive as published. layers, nodes, edges,
    radial: the sizes. attention: v2's transformer (attention_heads, feedforward, dropout in training).
    readout: "sum_then_network" as in the released code (not extensive, no atomic energies), or "network_then_sum" as in
    the paper's text.

    Features are the atoms' vectors after the last layer; with attention they depend on the whole structure.
    """

    kind = "gptff"

    def __init__(
        self,
        elements: Sequence[int],
        heads: Sequence[str] = ("default",),
        cutoff: float = 5.0,
        triplet_cutoff: float = 3.5,
        layers: int = 3,
        nodes: int = 64,
        edges: int = 64,
        radial: int = 16,
        attention: bool = False,
        attention_heads: int = 2,
        feedforward: int = 256,
        dropout: float = 0.1,
        readout: str = "sum_then_network",
    ):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        config.update(elements=list(element_numbers(elements, below=ROWS)), heads=list(heads))
        if attention and nodes % attention_heads:
            raise InputError("The attention heads must divide the node features", got=f"{attention_heads} of {nodes}")
        if not 0 < triplet_cutoff <= cutoff:
            raise InputError("'triplet_cutoff' is out of range", got=triplet_cutoff, allowed=f"up to {cutoff:g} Å")
        by_atom = choice("readout", readout, READOUTS) == "network_then_sum"
        card = Card(
            name="GPTFF",
            elements=config["elements"],
            heads=tuple(heads),
            reference="Xie, Lu, Meng, Liu, Science Bulletin 69 (2024) 3525",
            contains={"zbl": "no", "d3": "no"},
            extensive=by_atom,
            local=by_atom and not attention,
        )
        super().__init__(config, card)
        # the published lists hold r <= cutoff, graphs hold r < cutoff: the next number makes them the same
        self.edge_key, side = math.nextafter(cutoff, math.inf), math.nextafter(triplet_cutoff, math.inf)
        self.needs = Needs((self.edge_key,), ((self.edge_key, side),))
        self.by_atom = by_atom
        self._make(Shape(nodes, edges, radial))

    def _make(self, shape: Shape) -> None:
        c, n = self.config, shape.nodes
        self.embedding = nn.Parameter(torch.randn(ROWS, n))
        self.bond = nn.Linear(shape.radial, shape.edges)
        self.first_edge = nn.Linear(2 * n + shape.edges, shape.edges)
        self.first_radial = nn.Linear(shape.radial, shape.edges)
        self.layers = nn.ModuleList()
        for _ in range(c["layers"]):
            sizes = (n, c["attention_heads"], c["feedforward"], c["dropout"])
            self.layers.append(Layer(shape, AtomAttention(*sizes) if c["attention"] else None))
        self.hidden = nn.ModuleList([nn.Linear(n, n), nn.Linear(n, n)])
        self.last = nn.Linear(n, len(c["heads"]))

    def forward(self, graph: Graph) -> Terms:
        """Energy; atomic energies with the readout "network_then_sum" only; features (A, nodes)."""
        species = self.species(graph)
        bonds = self._bonds(graph)
        x = self._embedded(graph.numbers)
        first = self.first_edge
        edge = on_pairs(first.weight, first.bias, x, on_rows(self.bond, bonds.radial), bonds)
        edge = edge * on_rows(self.first_radial, bonds.radial)
        for layer in self.layers:
            x, edge = layer(x, edge, bonds)
        if self.by_atom:
            hidden = self._hidden(x)
            energy, atoms = self.total(graph, species, self.by_head(self.last(hidden), graph.head[graph.batch]))
            return Terms(energy, atoms, x, hidden)
        pooled = segment_sum(x.to(torch.float64), graph.batch, graph.size).to(x.dtype)
        hidden = self._hidden(pooled)
        network = self.by_head(self.last(hidden), graph.head).to(torch.float64)
        constant, _ = self.total(graph, species, torch.zeros_like(x[:, 0]))
        return Terms(self.scale[graph.head] * network + constant, None, x, hidden)

    def analytic(self, graph: Graph, want: Sequence[str]) -> Outputs | None:
        """The same numbers without autograd (`gptff_fused.py`), where compiled loops can be used."""
        if current(graph.positions.device.type) != "numba":
            return None
        from .gptff_fused import analytic  # Numba is imported by those who use it

        return analytic(self, graph, want)

    def _embedded(self, numbers: Tensor) -> Tensor:
        """Rows of the table, those longer than 1 shortened to 1 (PyTorch's `max_norm`, here without writing to it)."""
        norm = self.embedding.norm(dim=1, keepdim=True)
        return gather(self.embedding * torch.where(norm > 1.0, 1.0 / (norm + 1e-7), torch.ones_like(norm)), numbers)

    def _bonds(self, graph: Graph) -> Bonds:
        edges, triplets = graph.edges[self.edge_key], graph.triplets[self.needs.triplets[0]]
        vectors = graph.vectors(self.edge_key)
        lengths = edge_lengths(vectors)
        # every side of a triplet is the first one of another triplet, and they are sorted by it
        short, a = torch.unique_consecutive(triplets.a, return_inverse=True)
        place = torch.zeros_like(edges.i).index_copy(0, short, torch.arange(len(short), device=short.device))
        b = gather(place, triplets.b)
        lengths_short = gather(lengths, short)
        cosine = triplet_cosines(gather(vectors, short), lengths_short, a, b).clamp(-1.0, 1.0) * (1.0 - 1e-6)
        return Bonds(
            i=edges.i,
            j=edges.j,
            radial=_sines(lengths, self.config["cutoff"], self.config["radial"]),
            short=short,
            side=_sines(lengths_short, self.config["triplet_cutoff"], self.config["radial"]),
            a=a,
            b=b,
            cosine=cosine,
            batch=graph.batch,
            size=graph.size,
        )

    def _hidden(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = silu(layer(x))
        return x

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """embedding; interactions.0 and on; readouts."""
        first = [*self.bond.parameters(), *self.first_edge.parameters(), *self.first_radial.parameters()]
        groups = {"embedding": [self.embedding, *first]}
        for k, layer in enumerate(self.layers):
            groups[f"interactions.{k}"] = [p for name, p in layer.named_parameters() if ".unused." not in name]
        groups["readouts"] = [*self.hidden.parameters(), *self.last.parameters()]
        return groups

    def remarks(self, atoms: Atoms) -> list[tuple[str, str]]:
        """What a user must know before trusting this model on this structure, measured on it."""
        found = [size_remark(self, atoms)] if not self.card.extensive else []
        cutoffs = {"a bond": self.config["cutoff"], "the side of an angle": self.config["triplet_cutoff"]}
        return [*found, cutoff_remark(self, atoms, cutoffs)]

    def _inherit(self, parent: Trainable, rows: Sequence[int], source: Mapping[int, int]) -> None:
        constants = ("atomic_energies", "scale", "shift")
        weights: dict[str, Any] = {k: v for k, v in parent.state_dict().items() if k not in constants}
        self.load_state_dict(weights, strict=False)
        for number, origin in source.items():
            self.embedding[number] = parent.embedding[origin]


def _sines(lengths: Tensor, cutoff: float, number: int) -> Tensor:
    """sqrt(2 / cutoff) sin(n π r / cutoff) / r, n = 0..number-1; n = 0 is zero, and published all the same."""
    n = torch.arange(number, dtype=lengths.dtype, device=lengths.device)
    return bessel(lengths, n * (math.pi / cutoff), lengths.new_tensor(math.sqrt(2.0 / cutoff)))
