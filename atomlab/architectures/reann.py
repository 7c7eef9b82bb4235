"""REANN and EquiREANN: squared sums of Gaussian-type orbitals as the density at each atom, with message passing.

Zhang, Xia, Jiang, PRL 127 (2021) 156002 and J. Chem. Phys. 156 (2022) 114801 (REANN); Wu, Xia, Zhang, Jiang, "A Simple
and Efficient Equivariant Message Passing Neural Network Model for Non-Local Potential Energy Surface", eqs. 1-6
(EquiREANN). Where papers and released packages differ, both forms are named options; the defaults are the packages'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph, Needs
from ..kernels import (
    carried_orbitals,
    cosine_envelope,
    edge_lengths,
    embedded_orbitals,
    gather,
    monomials,
    orbital_density,
    orbital_message,
    orbital_waves,
)
from ..potential import Card, Terms
from .element_networks import ACTIVATIONS, ByElement, ElementNetworks, NetworkShape
from .trainable import Trainable, choice, element_numbers

__all__ = ["REANN", "EquiREANN"]


class Surroundings(NamedTuple):
    """What all rounds share of one graph."""

    i: Tensor
    j: Tensor
    angular: Tensor  # (E, C) monomials of the vector
    radial: Tensor  # (E, M) envelope times Gaussians of the neighbour's species
    envelope: Tensor  # (E,)


class REANN(Trainable):
    """REANN: an invariant network on recursively embedded atom densities.

    Parameters
    ----------
    elements: atomic numbers or symbols. cutoff: Å. waves: Gaussians per element (N_φ). degree: highest power L of the
    orbitals, 0 to 3. rounds: message passing T (the packages' `oc_loop`). orbitals: size of the density, by default
    waves (waves + 1) / 2 * (L + 1). hidden, blocks, activation ("relu_like", "tanh_like"), norm, dropout: the readout's
    networks, one per element; message_*: those that update the coefficients. coefficients: "added" (c += g(ρ), the
    packages) or "replaced" (c = g(ρ), eq. 3). neighbours: the coefficients start at 1 / neighbours (the packages: 60;
    a training from scratch takes what its data have, see `crowding`).

    Features are the densities of the last round.
    """

    kind = "reann"
    _own_options: tuple[str, ...] = ()

    def __init__(
        self,
        elements: Sequence[int | str],
        heads: Sequence[str] = ("default",),
        cutoff: float = 5.0,
        waves: int = 8,
        degree: int = 2,
        rounds: int = 1,
        orbitals: int | None = None,
        hidden: Sequence[int] = (128, 128),
        blocks: int = 1,
        activation: str = "relu_like",
        norm: bool = True,
        dropout: float = 0.0,
        message_hidden: Sequence[int] = (128, 128),
        message_blocks: int = 1,
        message_activation: str = "relu_like",
        message_norm: bool = True,
        message_dropout: float = 0.0,
        coefficients: str = "added",
        neighbours: float = 60.0,
        **more: Any,
    ):
        config = {k: v for k, v in locals().items() if k not in ("self", "__class__", "more")} | more
        unknown = set(more) - set(self._own_options)
        if unknown:
            raise InputError(
                f"'{self.kind}' has no such options", got=", ".join(sorted(unknown)), mend="Its docstring lists them"
            )
        for name in ("heads", "hidden", "message_hidden"):
            config[name] = list(config[name])
        config["elements"] = list(element_numbers(elements))
        if orbitals is None:
            config["orbitals"] = waves * (waves + 1) // 2 * (degree + 1)
        _check(config)
        super().__init__(config, self._card(config))
        self.needs = Needs((float(cutoff),))
        self._make(config)

    def _card(self, config: Mapping[str, Any]) -> Card:
        return Card(
            name="REANN",
            elements=config["elements"],
            heads=config["heads"],
            reference="Zhang, Xia, Jiang, PRL 127 (2021) 156002",
            contains={"zbl": "no", "d3": "no"},
        )

    def _make(self, c: Mapping[str, Any]) -> None:
        kinds, waves = len(c["elements"]), c["waves"]
        self.width = nn.Parameter(-(torch.rand(kinds, waves) + 0.2))
        self.centre = nn.Parameter(torch.rand(kinds, waves) * c["cutoff"])
        self.coefficient = nn.Parameter(torch.full((kinds, waves), 1.0 / c["neighbours"]))
        one = nn.init.xavier_uniform_(torch.empty(waves, c["orbitals"]))
        self.contraction = nn.Parameter(one.expand(*self._contractions(c), waves, -1).clone())
        readout = _shape(c, "", c["orbitals"], len(c["heads"]))
        message = _shape(c, "message_", c["orbitals"], waves)
        # a network that replaces the coefficients must not start at 0: the density would stay at a flat point
        start = 1.0 / c["neighbours"] if c["coefficients"] == "replaced" else 0.0
        self.messages = nn.ModuleList(ElementNetworks(c["elements"], message, start) for _ in range(c["rounds"]))
        self.readout = ElementNetworks(c["elements"], readout)

    def _contractions(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        return (config["degree"] + 1,)

    def forward(self, graph: Graph) -> Terms:
        """Energy, atomic energies, densities of the last round (A, orbitals) as features."""
        species = self.species(graph)
        groups = ByElement.of(species, len(self.elements))
        density, _, _ = self.passed(graph, species, groups)[-1]
        values, hidden = self.readout(density, groups)
        head = graph.head.index_select(0, graph.batch)
        energy, atoms = self.total(graph, species, self.by_head(values, head))
        return Terms(energy, atoms, density, hidden)

    def passed(self, graph: Graph, species: Tensor, groups: ByElement) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(density (A, K), coefficients (A, M), orbitals (A, C, M)) of every round."""
        around = self._surroundings(graph, species)
        coefficient = gather(self.coefficient, species)
        rounds: list[tuple[Tensor, Tensor, Tensor]] = []
        for t in range(len(self.messages) + 1):
            if t > 0:
                change, _ = self.messages[t - 1](rounds[-1][0], groups)
                coefficient = coefficient + change if self.config["coefficients"] == "added" else change
            orbitals = self._orbitals(around, coefficient, [past[2] for past in rounds])
            rounds.append((orbital_density(orbitals, self._contraction(t)), coefficient, orbitals))
        return rounds

    def _surroundings(self, graph: Graph, species: Tensor) -> Surroundings:
        cutoff = self.needs.cutoffs[0]
        edges, vectors = graph.edges[cutoff], graph.vectors(cutoff)
        lengths = edge_lengths(vectors)
        envelope = cosine_envelope(lengths, cutoff)
        radial = orbital_waves(lengths, envelope, self.width, self.centre, gather(species, edges.j))
        angular = monomials(vectors, self.config["degree"])
        return Surroundings(edges.i, edges.j, angular, radial, envelope)

    def crowding(self, graph: Graph) -> float:
        """Mean over the atoms of Σ_j f_c(r_ij): the neighbours, each counted by the cutoff function."""
        cutoff = self.needs.cutoffs[0]
        return float(cosine_envelope(edge_lengths(graph.vectors(cutoff)), cutoff).sum()) / len(graph.numbers)

    def _orbitals(self, around: Surroundings, coefficient: Tensor, past: Sequence[Tensor]) -> Tensor:
        """Orbitals (A, C, M) of this round; `past` are those of the rounds before."""
        return embedded_orbitals(around.angular, around.radial, coefficient, around.i, around.j)

    def _contraction(self, t: int) -> Tensor:
        return self.contraction

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """embedding (the orbitals); interactions.0 and on (the message networks); readouts."""
        groups = {"embedding": [self.width, self.centre, self.coefficient, self.contraction]}
        for t, networks in enumerate(self.messages):
            groups[f"interactions.{t}"] = list(networks.parameters())
        groups["readouts"] = list(self.readout.parameters())
        return groups

    def _inherit(self, parent: Trainable, rows: Sequence[int], source: Mapping[int, int]) -> None:
        own, theirs = self.state_dict(), parent.state_dict()
        for name in ("width", "centre", "coefficient"):
            own[name] = theirs[name][list(rows)]
        own["contraction"] = theirs["contraction"]
        origin = {chemical_symbols[z]: chemical_symbols[old] for z, old in source.items()}
        for key in own:
            stem, inside, rest = key.partition(".networks.")
            if inside:
                symbol, _, tail = rest.partition(".")
                own[key] = theirs[f"{stem}.networks.{origin[symbol]}.{tail}"]
        self.load_state_dict(own)


class EquiREANN(REANN):
    """EquiREANN: REANN whose messages carry the neighbours' orbitals too, so that it sees beyond its cutoff's angles.

    Parameters
    ----------
    As REANN's, and message: "released" (as the authors' code: orbitals of all rounds before are summed, and multiplied
    by the new coefficients) or "paper" (eq. 5). contraction: "per_round" (as the authors' code) or "shared" (one for
    all rounds, as in REANN: then both have the same number of parameters).
    """

    kind = "equireann"
    _own_options = ("message", "contraction")

    def __init__(
        self, elements: Sequence[int | str], message: str = "released", contraction: str = "per_round", **config: Any
    ):
        choice("message", message, ("released", "paper"))
        choice("contraction", contraction, ("per_round", "shared"))
        super().__init__(elements, **config, message=message, contraction=contraction)

    def _card(self, config: Mapping[str, Any]) -> Card:
        card = super()._card(config)
        return type(card)(**{**card.as_dict(), "name": "EquiREANN", "reference": "Wu, Xia, Zhang, Jiang (EquiREANN)"})

    def _contractions(self, config: Mapping[str, Any]) -> tuple[int, ...]:
        shared = super()._contractions(config)
        return shared if config["contraction"] == "shared" else (config["rounds"] + 1, *shared)

    def _contraction(self, t: int) -> Tensor:
        return self.contraction if self.config["contraction"] == "shared" else self.contraction[t]

    def _orbitals(self, around: Surroundings, coefficient: Tensor, past: Sequence[Tensor]) -> Tensor:
        if not past:
            return super()._orbitals(around, coefficient, past)
        if self.config["message"] == "paper":
            message = orbital_message(past[-1], around.envelope, around.i, around.j)
            return super()._orbitals(around, coefficient, past) + message
        # "released": every earlier round stays in the edge's orbital; all it needs are sums at the neighbour
        carried = sum(past[1:], past[0])
        return carried_orbitals(
            around.angular, around.radial, coefficient, carried, around.envelope, around.i, around.j
        )


def _shape(config: Mapping[str, Any], prefix: str, inputs: int, outputs: int) -> NetworkShape:
    values = {name: config[prefix + name] for name in ("hidden", "blocks", "activation", "norm", "dropout")}
    return NetworkShape(inputs=inputs, outputs=outputs, **{**values, "hidden": tuple(values["hidden"])})


def _check(config: Mapping[str, Any]) -> None:
    choice("coefficients", config["coefficients"], ("added", "replaced"))
    for prefix in ("", "message_"):
        choice(f"{prefix}activation", config[f"{prefix}activation"], tuple(ACTIVATIONS))
        if not config[f"{prefix}hidden"]:
            raise InputError(f"'{prefix}hidden' needs at least one layer", got=config[f"{prefix}hidden"])
    limits = {"degree": range(4), "rounds": range(9), "waves": range(1, 257)}
    for name, allowed in limits.items():
        if config[name] not in allowed:
            raise InputError(f"'{name}' is out of range", got=config[name], allowed=f"{allowed[0]} to {allowed[-1]}")
