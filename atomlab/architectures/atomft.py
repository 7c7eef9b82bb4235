"""AtomFT: a frozen base plus a bounded correction per atom, learned from few structures.

Section 2.3 and equation 14 of its paper:  E = E_base + α Σ_i tanh(O_i).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph
from ..kernels import segment_sum
from ..potential import Card, Potential, Terms
from .manybody import ManyBody, default_functions, tanh_network
from .mbnn import MBNN, ElementNetworks

__all__ = ["AtomFT"]


class AtomFT(Potential):
    """A bounded correction on a frozen base: |E_FT| <= alpha per atom for every input.

    Parameters
    ----------
    base: any potential with per-atom `features`. alpha: bound in eV per atom (the paper: 0.1 to 0.4).
    blocks: number of interaction blocks NI. readout: hidden sizes of the readout network.
    functions: rows of many-body functions for a base that has none (an MBNN brings its own, with trained radial
    parts that are computed once for base and correction). The correction is 0 before training.
    """

    kind = "atomft"

    def __init__(
        self,
        base: Potential,
        alpha: float = 0.2,
        blocks: int = 1,
        readout: Sequence[int] = (80, 80),
        functions: Sequence[Mapping[str, Any]] | None = None,
        features: int | None = None,
    ):
        if alpha <= 0 or blocks < 0:
            raise InputError("AtomFT needs a positive alpha and no negative number of blocks", got=(alpha, blocks))
        shared = isinstance(base, MBNN)
        if shared and functions is not None:
            raise InputError("An MBNN brings its own many-body functions", mend="Leave `functions` away")
        width = features or _feature_width(base)
        rows = None if shared else [dict(r) for r in functions or _reaching(base.cutoff)]
        config = {
            "alpha": alpha,
            "blocks": blocks,
            "readout": list(readout),
            "functions": rows,
            "features": width,
        }
        super().__init__(config, replace(base.card, name=f"AtomFT on {base.card.name}"))
        self.base, self.alpha, self.default_head = base.requires_grad_(False).eval(), alpha, base.default_head
        self.needs = base.needs
        self.own: ManyBody | None = None
        if rows is not None:
            self.own = _own_functions(rows)
            self.needs = self.needs | self.own.needs
        n, kinds = self.functions.size, len(base.card.elements)
        self.project = nn.Identity() if width == n else nn.Linear(width, n)
        self.linear = nn.ModuleList(ElementNetworks([n] * kinds, (80,), n) for _ in range(blocks))
        self.atomic = nn.ModuleList(ElementNetworks([n] * kinds, (80, 80), n) for _ in range(blocks))
        self.readout = tanh_network([n, *readout, 1])
        nn.init.zeros_(self.readout[-1].weight)
        nn.init.zeros_(self.readout[-1].bias)
        index = torch.zeros(119, dtype=torch.int64)
        index[list(base.card.elements)] = torch.arange(kinds)
        self.register_buffer("element_index", index, persistent=False)
        self.to(dtype=base.dtype, device=base.device)

    @property
    def functions(self) -> ManyBody:
        """The many-body functions: the base's own, or ours."""
        return self.base.functions if self.own is None else self.own

    def train(self, mode: bool = True) -> AtomFT:
        """Training mode for the correction; the base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def describe(self) -> dict[str, Any]:
        """As any potential's, with the base inside."""
        return {**super().describe(), "base": self.base.describe()}

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Potential]) -> AtomFT:
        """The potential that `describe` told of."""
        config = dict(description["config"])
        potential = cls(make(description["base"]), **config)
        potential.card = Card(**description["card"])
        return potential

    def forward(self, graph: Graph) -> Terms:
        """Base and correction in one pass; features and readout are the correction's."""
        radial = self.functions.radial(graph)
        t = self.base(graph, radial=radial) if self.own is None else self.base(graph)
        species = self.element_index.index_select(0, graph.numbers)
        # the base's invariants come first; what turns with the structure must not enter an energy
        features = self.project(t.features[:, : self.config["features"]])
        for linear, atomic in zip(self.linear, self.atomic):
            features = features + atomic(self.functions(radial, linear(features, species)), species)
        hidden = self.readout[:-1](features)
        correction = (self.alpha * torch.tanh(self.readout[-1](hidden)[:, 0])).to(torch.float64)
        energy = t.energy + segment_sum(correction, graph.batch, graph.size)
        return Terms(energy, None if t.atoms is None else t.atoms + correction, features, hidden)

    def correction(self, graph: Graph) -> Tensor:
        """E_FT of each atom (A,) in eV."""
        whole, base = self(graph), self.base(graph)
        if whole.atoms is None or base.atoms is None:
            raise InputError("The base's energy is not a sum over atoms, so its correction per atom is not known")
        return whole.atoms - base.atoms

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parts of the correction. The base is not among them."""
        groups = {"project": list(self.project.parameters())}
        if self.own is not None:
            groups["pair_network"] = list(self.own.parameters())
        for k in range(len(self.linear)):
            groups[f"blocks.{k}"] = [*self.linear[k].parameters(), *self.atomic[k].parameters()]
        groups["readout"] = list(self.readout.parameters())
        return {name: group for name, group in groups.items() if group}


def _own_functions(rows: Sequence[Mapping[str, Any]]) -> ManyBody:
    cutoff = max(row["cutoff"] for row in rows if "cutoff" in row)
    side = max((row["cutoff"] for row in rows if row["kind"] == "three"), default=0.0)
    return ManyBody(rows, cutoff, side, 0.1, (64, 64, 64), 0.002)


def _reaching(cutoff: float) -> list[dict[str, Any]]:
    """The default functions within the base's cutoff."""
    return default_functions(cutoff, min(4.0, cutoff)) if cutoff else default_functions()


def _feature_width(base: Potential) -> int:
    """Number of the base's invariant per-atom features, found by asking it about one atom."""
    from ase import Atoms

    from ..build import build

    graph = build(Atoms([base.card.elements[0]]), base.needs).to(base.device, base.dtype)
    with torch.no_grad():
        features = base(graph).features
    if features is None:
        raise InputError(
            "AtomFT needs a base with per-atom features, and this one has none",
            got=base.card.name,
            allowed="MBNN, MACE, GPTFF, REANN, EquiREANN, DimeNet++",
        )
    layout = getattr(base.parts()[0], "feature_layout", None)
    return sum(b.stop - b.start for b in layout if b.l == 0) if layout else features.shape[1]
