"""DimeNet++, periodic: directed messages with distances and angles, in chemtrain's own form and in the common one.

Gasteiger, Giri, Margraf, Günnemann, arXiv:2011.14115. The quarter-size network with periodic boundaries is that of
Röcken and Zavadlav's transfer learning across elements; its code differs from the common one (torch_geometric's) in
five places, each an option here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph, Needs
from ..kernels import bessel, current, edge_lengths, polynomial_envelope, spherical_waves, zonal_parts
from ..potential import Card, Outputs, Terms
from ..units import LENGTH
from .dimenetpp_blocks import DirectedGraph, Embedding, Interaction, Output, Sizes, bessel_zeros, start_orthogonal
from .trainable import Trainable, choice, element_numbers

__all__ = ["DimeNetPP", "FORMS"]

# what the two published programs do where they differ; `None` in a call means "as the form"
FORMS: dict[str, dict[str, Any]] = {
    "paper": {
        "atom_features": 0.5,  # of `hidden`
        "embedding_radial": "linear",
        "radial_basis": "normalised",
        "spherical_envelope": "plain",
        "angle": "bond",
    },
    "common": {
        "atom_features": 1.0,
        "embedding_radial": "activated",
        "radial_basis": "bare",
        "spherical_envelope": "divided",
        "angle": "turn",
    },
}
CHOICES = {
    "embedding_radial": ("linear", "activated"),
    "radial_basis": ("normalised", "bare"),
    "spherical_envelope": ("plain", "divided"),
    "angle": ("bond", "turn"),
}


class DimeNetPP(Trainable):
    """DimeNet++: messages on directed bonds, updated over angles (quarter size by default).

    Parameters
    ----------
    elements: atomic numbers or symbols. cutoff: Å, strictly. hidden: width of the messages; outputs (2 hidden) and
    triplet (hidden / 2) follow it. blocks: interactions; before_skip, after_skip, output_layers, basis, radial,
    spherical, envelope: as in the paper. output_scale: a learned factor per output block that starts at 0.
    form: "paper" (chemtrain's) or "common" (torch_geometric's): gives the values of what is None among
      atom_features: width of the element table;
      embedding_radial: "linear" (no bias) or "activated" (bias and SiLU);
      radial_basis: "normalised", sqrt(2/r_c) u(x) sin(f x)/r, or "bare", u(x) sin(f x)/x;
      spherical_envelope: "plain" u(x) or "divided" u(x)/x;
      angle: at j, "bond" between the bonds to i and k, or "turn", 180 degrees minus it.
    length_unit: of the normalised radial basis, which has the dimension length^-1.5; weights belong to one unit.

    Features are what enters the last layers, of all output blocks.
    """

    kind = "dimenetpp"

    def __init__(
        self,
        elements: Sequence[int | str],
        heads: Sequence[str] = ("default",),
        cutoff: float = 5.0,
        hidden: int = 32,
        outputs: int | None = None,
        triplet: int | None = None,
        basis: int = 8,
        blocks: int = 4,
        before_skip: int = 1,
        after_skip: int = 2,
        output_layers: int = 3,
        radial: int = 6,
        spherical: int = 7,
        envelope: int = 6,
        output_scale: bool = False,
        form: str = "paper",
        atom_features: int | None = None,
        embedding_radial: str | None = None,
        radial_basis: str | None = None,
        spherical_envelope: str | None = None,
        angle: str | None = None,
        length_unit: str = "nm",
    ):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        config.update(elements=list(element_numbers(elements)), heads=list(heads))
        config = _resolved(config)
        card = Card(
            name="DimeNet++",
            elements=config["elements"],
            heads=config["heads"],
            reference="Gasteiger et al., arXiv:2011.14115",
            contains={"zbl": "no", "d3": "no"},
        )
        super().__init__(config, card)
        self.needs = Needs((float(cutoff),))
        self._make(config)

    def _make(self, c: Mapping[str, Any]) -> None:
        sizes = Sizes(c["hidden"], c["triplet"], c["basis"], c["radial"], c["spherical"])
        self.frequencies = nn.Parameter(torch.arange(1, c["radial"] + 1) * math.pi)
        activated = c["embedding_radial"] == "activated"
        self.embedding = Embedding(len(c["elements"]), c["atom_features"], sizes, activated)
        self.interactions = nn.ModuleList(
            Interaction(sizes, c["before_skip"], c["after_skip"]) for _ in range(c["blocks"])
        )
        self.readouts = nn.ModuleList(
            Output(sizes, c["outputs"], c["output_layers"], len(c["heads"]), c["output_scale"])
            for _ in range(c["blocks"] + 1)
        )
        # the two programs start with different widths of the same distribution
        start_orthogonal([self], variance=1.0 if c["form"] == "paper" else 2.0)

    def forward(self, graph: Graph) -> Terms:
        """Energy, atomic energies, features (A, (blocks + 1) outputs)."""
        species = self.species(graph)
        directed = self.directed(graph)
        message = self.embedding(species, directed)
        found = [self.readouts[0](message, directed, len(species))]
        for interaction, readout in zip(self.interactions, list(self.readouts)[1:]):
            message = interaction(message, directed)
            found.append(readout(message, directed, len(species)))
        head = graph.head.index_select(0, graph.batch)
        network = torch.stack([self.by_head(values, head).to(torch.float64) for values, _ in found]).sum(0)
        energy, atoms = self.total(graph, species, network)
        features = torch.cat([hidden for _, hidden in found], dim=1)
        return Terms(energy, atoms, features, features)

    def analytic(self, graph: Graph, want: Sequence[str]) -> Outputs | None:
        """The same numbers from compiled loops without autograd (`dimenetpp_fused.py`), where those can be used."""
        if current(graph.positions.device.type) != "numba":
            return None
        from .dimenetpp_fused import analytic  # Numba is imported by those who use it

        return analytic(self, graph, want)

    def directed(self, graph: Graph) -> DirectedGraph:
        """The graph with its basis functions. A triplet k -> j -> i is two edges with the centre j: to k and to i."""
        c, cutoff = self.config, self.needs.cutoffs[0]
        edges, vectors = graph.edges[cutoff], graph.vectors(cutoff)
        lengths = edge_lengths(vectors)
        x = lengths / cutoff
        envelope = polynomial_envelope(x, c["envelope"])
        radial = envelope[:, None] * bessel(x, self.frequencies, self._radial_factor(x))
        waves = self._waves(x, envelope / x if c["spherical_envelope"] == "divided" else envelope)
        parts = zonal_parts(vectors / lengths[:, None], c["spherical"] - 1)
        return DirectedGraph(edges.i, edges.j, edges.reverse, len(graph.numbers), radial, waves, parts)

    def _radial_factor(self, like: Tensor) -> Tensor:
        if self.config["radial_basis"] == "bare":
            return like.new_ones(())
        cutoff = self.config["cutoff"] / LENGTH[self.config["length_unit"]]
        return like.new_tensor(math.sqrt(2.0) * cutoff**-1.5)

    def _waves(self, x: Tensor, envelope: Tensor) -> Tensor:
        """Envelope times N_ln j_l(z_ln x): (E, L, N)."""
        return spherical_waves(x, envelope, *self.tables(x))

    def tables(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Zeros z_ln and factors N_ln of the spherical Bessel functions, (L, N) each, of the type of `like`."""
        zeros, factors = (like.new_tensor(t) for t in bessel_zeros(self.config["spherical"], self.config["radial"]))
        if self.config["angle"] == "turn":
            # P_l of 180 degrees minus the angle is (-1)^l P_l
            factors[1::2] *= -1.0
        return zeros, factors

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """embedding; interactions.0 and on; readouts."""
        groups = {"embedding": [self.frequencies, *self.embedding.parameters()]}
        for k, interaction in enumerate(self.interactions):
            groups[f"interactions.{k}"] = list(interaction.parameters())
        groups["readouts"] = list(self.readouts.parameters())
        return groups

    def _inherit(self, parent: Trainable, rows: Sequence[int], source: Mapping[int, int]) -> None:
        own, theirs = self.state_dict(), parent.state_dict()
        constants = ("atomic_energies", "scale", "shift")
        own |= {key: value for key, value in theirs.items() if key not in constants}
        own["embedding.table"] = theirs["embedding.table"][list(rows)]
        self.load_state_dict(own)


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    form = FORMS[choice("form", config["form"], tuple(FORMS))]
    config = {k: form[k] if v is None and k in form else v for k, v in config.items()}
    for name, allowed in CHOICES.items():
        choice(name, config[name], allowed)
    choice("length_unit", config["length_unit"], tuple(LENGTH))
    hidden = config["hidden"]
    if isinstance(config["atom_features"], float):
        config["atom_features"] = int(config["atom_features"] * hidden)
    config["outputs"] = 2 * hidden if config["outputs"] is None else config["outputs"]
    config["triplet"] = hidden // 2 if config["triplet"] is None else config["triplet"]
    for name in ("hidden", "blocks", "atom_features", "outputs", "triplet", "basis", "radial", "spherical", "envelope"):
        if int(config[name]) < 1:
            raise InputError(f"'{name}' must be at least 1", got=config[name])
    return config
