"""Ziegler-Biersack-Littmark repulsion for any model: what keeps atoms apart where no training data are.

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids, 1985; the smooth end at the sum of
covalent radii is that of MACE-MP-0 (paper's appendix).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ase.data import chemical_symbols, covalent_radii
from torch import Tensor

from ..errors import InputError
from ..graph import Graph, Needs
from ..kernels import edge_lengths, segment_sum, zbl
from ..potential import Card, Potential, Terms

__all__ = ["ZBL"]

HIGHEST_ELEMENT = 96  # the last with a covalent radius in ASE's table


class ZBL(Potential):
    """Screened nuclear repulsion between all pairs closer than the sum of their covalent radii.

    Parameters
    ----------
    elements: atomic numbers that it covers, all by default; fewer give a shorter neighbour list.
    p: order of the polynomial envelope that ends it smoothly. scale: factor on the covalent radii.
    """

    kind = "zbl"
    radii: Tensor
    known: Tensor

    def __init__(self, elements: Sequence[int] = tuple(range(1, HIGHEST_ELEMENT + 1)), p: int = 6, scale: float = 1.0):
        if p < 3 or scale <= 0:
            raise InputError("ZBL needs an envelope of order 3 or more and a positive scale", got=(p, scale))
        elements = tuple(int(z) for z in elements)
        card = Card(
            name="ZBL", elements=elements, contains={"zbl": "model"}, reference="Ziegler, Biersack, Littmark (1985)"
        )
        super().__init__({"elements": list(elements), "p": p, "scale": scale}, card)
        self.register_buffer("radii", torch.tensor(covalent_radii, dtype=torch.float64) * scale, persistent=False)
        known = torch.zeros(len(covalent_radii), dtype=torch.bool)
        known[list(elements)] = True
        self.register_buffer("known", known, persistent=False)
        self.reach = 2 * float(self.radii[list(elements)].max())
        self.needs = Needs(cutoffs=(self.reach,))
        self.register_buffer(
            "c", torch.tensor([0.1818, 0.5099, 0.2802, 0.02817], dtype=torch.float64), persistent=False
        )

    @classmethod
    def for_model(cls, main: Potential, *values: str) -> ZBL:
        """As in a model's name: `+zbl`, for the elements of that model."""
        if values:
            raise InputError("ZBL takes no settings in a model's name", got=values[0], allowed="+zbl")
        known = [z for z in main.card.elements if z <= HIGHEST_ELEMENT]
        return cls(known) if known else cls()

    def forward(self, graph: Graph) -> Terms:
        """Half of each pair's energy at either atom."""
        if not bool(
            self.known.index_select(0, graph.numbers).all()
        ):  # their pairs may reach further than was asked for
            found = {chemical_symbols[int(z)] for z in graph.numbers[~self.known[graph.numbers]]}
            listed = [chemical_symbols[z] for z in self.card.elements]
            raise InputError("This ZBL does not cover some elements", got=", ".join(sorted(found)), allowed=listed)
        edges, dtype = graph.edges[self.reach], graph.positions.dtype
        r = edge_lengths(graph.vectors(self.reach))
        zi, zj = graph.numbers.index_select(0, edges.i), graph.numbers.index_select(0, edges.j)
        reach = (self.radii[zi] + self.radii[zj]).to(dtype)
        exponent, prefactor = r.new_tensor(0.3), r.new_tensor(0.4543)
        pairs = zbl(r, zi, zj, reach, self.c.to(dtype), exponent, prefactor, self.config["p"])
        atoms = segment_sum(0.5 * pairs.to(torch.float64), edges.i, len(graph.numbers))
        return Terms(segment_sum(atoms, graph.batch, graph.size), atoms)
