"""MACE: equivariant messages, their products up to a given order per atom, and a readout of the scalars.

Batatia, Kovács, Simm, Ortner, Csányi, NeurIPS 2022 (arXiv:2206.07697); the variants are those of the published models
(Batatia et al., arXiv:2401.00096), and so are all names, shapes and normalisations of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph, Needs
from ..kernels import current, edge_lengths, half_edges, pair_sum, spherical_harmonics
from ..potential import Card, Outputs, Potential, Terms
from .basis import RadialEmbedding, Repulsion
from .blocks import Bonds, Interaction, Kinds, Linear, LinearReadout, NonLinearReadout, Product
from .couplings import Given
from .trainable import Trainable, choice, element_numbers

__all__ = ["MACE", "FeatureBlock"]

KINDS = ("agnostic", "residual", "density", "density-residual")


@dataclass(frozen=True)
class FeatureBlock:
    """Columns start:stop of `Terms.features`: what `layer` computed for `l`, in the order (component m, channel)."""

    layer: int
    l: int
    start: int
    stop: int


class MACE(Trainable):
    """Equivariant message passing with many-body products of neighbour densities.

    Parameters
    ----------
    elements: atomic numbers or symbols. heads: names; each has its own readout, E0, scale and shift.
    cutoff: Å. channels: features per component. l_edges: highest l of harmonics and messages (0..3).
    l_nodes: highest l passed from layer to layer (0..2). correlation: factors in a product (1..3), so body order - 1.
    layers: 1 to 12. first_interaction, interaction: agnostic, residual, density or density-residual, for the first
    and the later layers.
    average_neighbours: what messages are divided by (not in the density kinds, which measure it).
    radial_basis: number of Bessel functions; radial_hidden: widths of the radial network; envelope: its exponent p;
    transform: none, agnesi or soft, of the distance before the Bessel functions; envelope_on: basis, or weights.
    zbl: screened nuclear repulsion inside. readout_hidden: units per head of the last readout (of two or more layers).
    scale_shift: False for what mace-torch calls plain MACE: no scale and shift in its files, so they stay 1 and 0.
    trained_bessel: the Bessel frequencies are parameters. activation: constant of the SiLU, the published one.
    seed: of the first weights.

    The defaults are a small model for one element on a laptop: two layers, 16 channels, three-body products, no
    averages of the data set needed, and an isolated atom has exactly E0 + shift.
    """

    kind = "mace"

    def __init__(
        self,
        elements: Sequence[int | str],
        heads: Sequence[str] = ("default",),
        cutoff: float = 4.5,
        channels: int = 16,
        l_edges: int = 2,
        l_nodes: int = 0,
        correlation: int = 2,
        layers: int = 2,
        first_interaction: str = "density",
        interaction: str = "density-residual",
        average_neighbours: float = 1.0,
        radial_basis: int = 8,
        radial_hidden: Sequence[int] = (32, 32),
        envelope: int = 5,
        transform: str = "none",
        envelope_on: str = "basis",
        zbl: bool = False,
        readout_hidden: int = 16,
        scale_shift: bool = True,
        trained_bessel: bool = False,
        activation: float = 1.6791767923989418,
        seed: int = 0,
    ):
        config: dict[str, Any] = dict(locals())
        for name in ("self", "__class__"):
            config.pop(name)
        config = _checked(config)
        card = Card(
            name="mace",
            elements=config["elements"],
            heads=config["heads"],
            contains={"zbl": "model" if zbl else "no", "d3": "unknown"},
            reference="Batatia et al., NeurIPS 2022, arXiv:2206.07697",
        )
        super().__init__(config, card)
        self.needs = Needs(cutoffs=(config["cutoff"],))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._make(config)

    def _make(self, c: dict[str, Any]) -> None:
        heads, layers = len(c["heads"]), c["layers"]
        self.node_embedding = nn.Module()
        self.node_embedding.linear = Linear([(len(c["elements"]), c["channels"])])
        self.radial_embedding = RadialEmbedding(
            c["cutoff"], c["radial_basis"], c["envelope"], c["transform"], c["envelope_on"], c["trained_bessel"]
        )
        if c["zbl"]:
            self.pair_repulsion_fn = Repulsion(c["envelope"])
        self.interactions, self.products, self.readouts = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for t in range(layers):
            last = t == layers - 1
            l_in, l_out = 0 if t == 0 else c["l_nodes"], 0 if last else c["l_nodes"]
            kind = c["first_interaction"] if t == 0 else c["interaction"]
            self.interactions.append(Interaction(kind, l_in, l_out, c))
            self.products.append(Product(l_out, c))
            hidden = last and layers > 1
            self.readouts.append(
                NonLinearReadout(c["channels"], c["readout_hidden"], heads, c["activation"])
                if hidden
                else LinearReadout(c["channels"], heads)
            )

    def forward(self, graph: Graph) -> Terms:
        species = self.species(graph)
        kinds = Kinds.of(species)
        head = graph.head.index_select(0, graph.batch)
        bonds, network = self._bonds(graph)
        x = [self.node_embedding.linear.matrices()[0].index_select(0, species)[:, None]]
        layers, readout = [], []
        for interaction, product, read in zip(self.interactions, self.products, self.readouts):
            message, skip = interaction(x, kinds, bonds)
            x = product(message, skip, kinds)
            hidden, energy = read(x[0][:, 0], head)
            network = network + energy
            layers.append(x)
            readout.append(hidden)
        energy, atoms = self.total(graph, species, network)
        order = [layers[b.layer][b.l].flatten(1) for b in self.feature_layout]
        return Terms(energy, atoms, torch.cat(order, dim=1), torch.cat(readout, dim=1))

    def analytic(self, graph: Graph, want: Sequence[str]) -> Outputs | None:
        """The same numbers from compiled loops without autograd (`mace_fused.py`), where those can be used."""
        if current(graph.positions.device.type) != "numba":
            return None
        from .mace_fused import analytic  # Numba is imported by those who use it

        return analytic(self, graph, want)

    def _bonds(self, graph: Graph) -> tuple[Bonds, Tensor]:
        """The edges' geometry, once for all layers, and the repulsion of each atom in eV (A,)."""
        edges = graph.edges[self.config["cutoff"]]
        half, pair, against = half_edges(edges.reverse)
        some = replace(edges, **{name: getattr(edges, name).index_select(0, half) for name in ("i", "j", "shift")})
        # published harmonics are those of the vector from sender to receiver
        vectors = -replace(graph, edges={some.cutoff: some}).vectors(some.cutoff)
        lengths = edge_lengths(vectors)
        zi, zj = graph.numbers.index_select(0, some.i), graph.numbers.index_select(0, some.j)
        radial, envelope = self.radial_embedding(lengths, zi, zj)
        harmonics = spherical_harmonics(vectors / lengths[:, None], self.config["l_edges"])
        bonds = Bonds(radial, envelope, harmonics, edges.i, edges.j, pair, against)
        if not self.config["zbl"]:
            return bonds, lengths.new_zeros(len(graph.numbers))
        return bonds, pair_sum(0.5 * self.pair_repulsion_fn(lengths, zi, zj), some.i, some.j, len(graph.numbers))

    @property
    def feature_layout(self) -> tuple[FeatureBlock, ...]:
        """What the columns of `Terms.features` are: all layers' invariants first, then l = 1, 2 layer by layer."""
        c, blocks, start = self.config, [], 0
        shapes = [(t, l) for t in range(c["layers"]) for l in range(1 + c["l_nodes"] * (t < c["layers"] - 1))]
        for t, l in sorted(shapes, key=lambda shape: (shape[1] > 0, *shape)):
            stop = start + c["channels"] * (2 * l + 1)
            blocks.append(FeatureBlock(t, l, start, stop))
            start = stop
        return tuple(blocks)

    def describe(self) -> dict[str, Any]:
        given = {
            f"{place}.{name}": [str(buffer.dtype).removeprefix("torch."), *buffer.shape]
            for place, module in self.named_modules()
            if isinstance(module, Given)
            for name, buffer in module.named_buffers(recurse=False)
        }
        return {**super().describe(), "given": given}

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Potential]) -> MACE:
        potential = super().rebuilt(description, make)
        for name, (dtype, *shape) in description.get("given", {}).items():
            place, _, leaf = name.rpartition(".")
            potential.get_submodule(place).expect(leaf, shape, getattr(torch, dtype))
        return potential

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """embedding, interactions.t, products.t and readouts."""
        groups = {"embedding": [*self.node_embedding.parameters(), *self.radial_embedding.parameters()]}
        for t in range(self.config["layers"]):
            groups[f"interactions.{t}"] = list(self.interactions[t].parameters())
            groups[f"products.{t}"] = list(self.products[t].parameters())
        groups["readouts"] = list(self.readouts.parameters())
        return groups

    def restricted(self, elements: Sequence[int | str]) -> MACE:
        """The same model for some of its elements: the same energies, smaller tables."""
        keep = set(element_numbers(elements))
        if keep - set(self.elements):
            raise InputError("A model is restricted to elements that it has", got=sorted(keep), allowed=self.elements)
        rows = [n for n, z in enumerate(self.elements) if z in keep]
        other = self._remade(elements=[self.elements[n] for n in rows])
        with torch.no_grad():
            other._inherit(self, rows, {})
            other.atomic_energies.copy_(self.atomic_energies[:, rows])
            for name in ("scale", "shift"):
                getattr(other, name).copy_(getattr(self, name))
        return other

    def with_heads(self, heads: Sequence[str], sources: Mapping[str, str] | None = None) -> MACE:
        """The same model with these heads; each starts as its source: the head of `sources`, of its name, or the first.

        E0, scale and shift are the source's too; a new head's own come from its data.
        """
        sources = {name: name for name in self.card.heads} | dict(sources or {})
        other = self._remade(heads=[str(head) for head in heads])
        rows = [self.head_index(sources.get(head, self.card.heads[0])) for head in other.card.heads]
        state = self.state_dict()
        for name in ("atomic_energies", "scale", "shift"):
            state[name] = state[name][rows]
        for t, readout in enumerate(self.readouts):
            for key, value in readout.repeated(rows).items():
                state[f"readouts.{t}.{key}"] = value
        other.load_state_dict(state)
        return other

    def _remade(self, **changes: Any) -> MACE:
        """A model of the same configuration but for `changes`, with our card, type and device."""
        other = type(self)(**{**self.config, **changes}).to(device=self.device, dtype=self.dtype)
        other.card = replace(self.card, elements=other.card.elements, heads=other.card.heads)
        return other.train(self.training)

    def _inherit(self, parent: Trainable, rows: Sequence[int], source: Mapping[int, int]) -> None:
        # an element's weights are divided by the root of the number of elements wherever they are used
        ratio = math.sqrt(len(rows) / len(parent.elements))
        state = parent.state_dict()
        for key, value in state.items():
            if key == "node_embedding.linear.weight":
                state[key] = (ratio * value.view(len(parent.elements), -1)[rows]).flatten()
            elif key.endswith("skip_tp.weight"):
                channels = self.config["channels"]
                table = value.view(-1, channels, len(parent.elements), channels)
                state[key] = (ratio * table[:, :, rows]).flatten()
            elif ".contractions." in key and ".weights" in key and value.ndim == 3:
                state[key] = value[rows]
        state["atomic_energies"] = self.atomic_energies
        self.load_state_dict(state)
        self.card = replace(parent.card, elements=self.card.elements)


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as plain data, or the sentence that says what cannot be."""
    config["elements"] = list(element_numbers(config["elements"]))
    config["heads"] = [str(head) for head in config["heads"]]
    config["radial_hidden"] = [int(n) for n in config["radial_hidden"]]
    config["cutoff"] = float(config["cutoff"])
    config["average_neighbours"] = float(config["average_neighbours"])
    choice("first_interaction", config["first_interaction"], KINDS)
    choice("interaction", config["interaction"], KINDS)
    choice("transform", config["transform"], ("none", "agnesi", "soft"))
    choice("envelope_on", config["envelope_on"], ("basis", "weights"))
    ranges = {"l_edges": (0, 3), "l_nodes": (0, min(2, config["l_edges"])), "correlation": (1, 3), "layers": (1, 12)}
    for name in ("channels", "radial_basis", "readout_hidden", "envelope"):
        ranges[name] = (1, 4096)
    for name, (low, high) in ranges.items():
        if not low <= config[name] <= high:
            raise InputError(
                f"The option '{name}' of MACE is out of range", got=config[name], allowed=f"{low} to {high}"
            )
    if not all(1 <= n <= 4096 for n in config["radial_hidden"]) or len(config["radial_hidden"]) > 12:
        raise InputError(
            "The radial network of MACE has 0 to 12 layers of width 1 to 4096", got=config["radial_hidden"]
        )
    for name in ("cutoff", "average_neighbours"):
        if not config[name] > 0:
            raise InputError(f"The option '{name}' of MACE must be positive", got=config[name])
    if not 0 < len(set(config["heads"])) == len(config["heads"]) <= 256:
        raise InputError("A model needs 1 to 256 heads with different names", got=config["heads"][:8])
    return config
