"""MBNN: atomic networks whose outputs are the coefficients of many-body functions.

Equations 2 to 13 of the AtomFT paper. What they leave open (activation, standardised inputs, exponents and degrees of
the 45 functions) is our choice, and every part of it can be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph, Needs
from ..potential import Card, Terms
from .manybody import ManyBody, default_functions, tanh_network
from .ptsd import Descriptors, default_descriptors
from .trainable import Trainable, element_numbers

__all__ = ["MBNN", "ElementNetworks"]


class ElementNetworks(nn.Module):
    """One network per element, of the same hidden sizes; the number of inputs may differ. tanh between the layers."""

    def __init__(self, inputs: Sequence[int], hidden: Sequence[int], outputs: int):
        super().__init__()
        self.inputs, self.outputs = list(inputs), outputs
        self.networks = nn.ModuleList(tanh_network([n, *hidden, outputs]) for n in inputs)

    def forward(self, x: Tensor, species: Tensor) -> Tensor:
        """x (A, largest number of inputs), species (A,) -> (A, outputs)."""
        if len(self.networks) == 1:
            return self.networks[0](x[:, : self.inputs[0]])
        out = x.new_zeros(len(x), self.outputs)
        for k, (network, n) in enumerate(zip(self.networks, self.inputs)):
            mine = torch.nonzero(species == k)[:, 0]
            if len(mine):
                out = out.index_copy(0, mine, network(x.index_select(0, mine)[:, :n]))
        return out


class MBNN(Trainable):
    """Many-body functions of structure with neural coefficients (Kang, Yang, Shang, Liu, 2023), the base of AtomFT.

    Parameters
    ----------
    elements: atomic numbers. heads: names of the heads (they share the network, each has its E0, scale and shift).
    descriptors: rows of `ptsd.default_descriptors`. descriptor_count: {atomic number: how many of them that element's
    network takes}, all by default. hidden: sizes of the atomic networks' hidden layers.
    functions: rows of `manybody.default_functions`, each with its own cutoff in Å. pair_hidden: sizes of the pair
    network. strength: λ of equation 2.
    """

    kind = "mbnn"
    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        elements: Sequence[int],
        heads: Sequence[str] = ("default",),
        descriptors: Sequence[Mapping[str, Any]] | None = None,
        descriptor_count: Mapping[int | str, int] | None = None,
        hidden: Sequence[int] = (64, 64),
        functions: Sequence[Mapping[str, Any]] | None = None,
        pair_hidden: Sequence[int] = (64, 64),
        pair_inputs: int = 64,
        gaussian: float = 0.002,
        strength: float = 0.1,
    ):
        elements = element_numbers(elements)
        rows = [dict(row) for row in (default_descriptors() if descriptors is None else descriptors)]
        terms = [dict(row) for row in (default_functions() if functions is None else functions)]
        counts = {str(z): int(n) for z, n in (descriptor_count or {}).items()}
        config = {
            "elements": list(elements),
            "heads": list(heads),
            "descriptors": rows,
            "descriptor_count": counts,
            "hidden": list(hidden),
            "functions": terms,
            "pair_hidden": list(pair_hidden),
            "pair_inputs": pair_inputs,
            "gaussian": gaussian,
            "strength": strength,
        }
        card = Card(
            name="MBNN",
            elements=elements,
            heads=tuple(heads),
            reference="AtomFT paper, equations 1 to 13",
            contains={"zbl": "no", "d3": "unknown"},
        )
        super().__init__(config, card)
        cutoff = max(row.get("cutoff", 0.0) for row in rows + terms)
        side = max((row["cutoff"] for row in rows + terms if _has_triplets(row)), default=0.0)
        self.needs = Needs((cutoff,), ((cutoff, side),) if side else ())
        self.descriptors = Descriptors(rows, len(elements), cutoff, side)
        self.functions = ManyBody(terms, cutoff, side, strength, (pair_inputs, *pair_hidden), gaussian)
        inputs = [self._inputs(z, counts) for z in elements]
        self.networks = ElementNetworks(inputs, hidden, self.functions.size)
        self.register_buffer("mean", torch.zeros(len(elements), self.descriptors.count))
        self.register_buffer("spread", torch.ones(len(elements), self.descriptors.count))

    def _inputs(self, number: int, counts: Mapping[str, int]) -> int:
        asked = counts.get(str(number), self.descriptors.count)
        if not 0 < asked <= self.descriptors.count:
            raise InputError(
                f"{chemical_symbols[number]} cannot have that many descriptors",
                got=asked,
                allowed=f"1 to {self.descriptors.count}",
                mend="Give more rows in `descriptors`",
            )
        return asked

    def forward(self, graph: Graph, radial: Mapping[str, Any] | None = None) -> Terms:
        """`radial`: what `functions.radial(graph)` gave, where a wrapper has computed it already."""
        species = self.species(graph)
        radial = self.functions.radial(graph) if radial is None else radial
        found = self.descriptors(graph, species, radial["geometry"])
        coefficients = self.networks((found - self.mean[species]) / self.spread[species], species)
        terms = self.functions(radial, coefficients)
        energy, atoms = self.total(graph, species, terms.sum(1))
        return Terms(energy, atoms, features=coefficients, readout=terms)

    def standardise(self, graphs: Iterable[Graph]) -> None:
        """Set mean and spread of every descriptor, per element, from training graphs."""
        count = torch.zeros(len(self.elements), dtype=torch.float64)
        first = torch.zeros(len(self.elements), self.descriptors.count, dtype=torch.float64)
        second = torch.zeros_like(first)
        with torch.no_grad():
            for graph in graphs:
                graph = graph.to(self.device, self.dtype)
                species = self.species(graph)
                x = self.descriptors(graph, species).to("cpu", torch.float64)
                where = species.cpu()
                count.index_add_(0, where, torch.ones(len(where), dtype=torch.float64))
                first.index_add_(0, where, x)
                second.index_add_(0, where, x * x)
            n = count.clamp(min=1)[:, None]
            mean = first / n
            spread = (second / n - mean * mean).clamp(min=0).sqrt()
            # what never varies would be divided by 0: it carries no information and is left in its own scale
            spread = torch.where(spread > 1e-8, spread, torch.ones_like(spread))
            self.mean.copy_(mean)
            self.spread.copy_(spread)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Atomic networks and the pair network."""
        return {"networks": list(self.networks.parameters()), "pair_network": list(self.functions.parameters())}

    def extended(self, elements: Sequence[int], parents: Mapping[int, int]) -> Trainable:
        """Refused: the number of descriptors depends on the number of elements, so the networks' inputs change."""
        raise InputError(
            "An MBNN cannot take over its weights for more elements, since its descriptors count species",
            mend="Train it from scratch, or make it for all elements from the start",
        )


def _has_triplets(row: Mapping[str, Any]) -> bool:
    return row["kind"] in ("S3", "S4", "S5", "S6", "three")
