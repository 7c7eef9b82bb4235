"""Potentials with a formula: Stillinger-Weber, Lennard-Jones, Morse, and ASE's EMT.

They have no trainable parameters and always compute in float64. They are the teachers of the embedded data, and make
every other room testable without a trained model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor

from ..build import check_elements
from ..errors import InputError
from ..external import External
from ..graph import Graph, Needs
from ..kernels import gather, lennard_jones, morse, segment_sum, stillinger_weber_three, stillinger_weber_two
from ..potential import Card, Potential, Terms
from .trainable import element_numbers

__all__ = ["EMT", "LennardJones", "Morse", "StillingerWeber", "SW_PARAMETERS"]


@dataclass(frozen=True)
class SWElement:
    """Stillinger-Weber parameters of one element: epsilon in eV, sigma in Å, lambda without unit, and their source."""

    epsilon: float
    sigma: float
    lam: float
    source: str


# the reduced form of the 1985 paper, the same for both elements
SW_FORM = {"A": 7.049556277, "B": 0.6022245584, "p": 4.0, "q": 0.0, "a": 1.80, "gamma": 1.20, "cos0": -1.0 / 3.0}
SW_PARAMETERS = {
    14: SWElement(2.1683, 2.0951, 21.0, "Stillinger and Weber, PRB 31 (1985) 5262"),
    32: SWElement(1.93, 2.181, 31.0, "Ding and Andersen, PRB 34 (1986) 6987"),
}


def _table(elements: Sequence[int | str]) -> tuple[tuple[int, ...], Tensor]:
    """Atomic numbers, and a tensor (119,) from atomic number to the index among them, -1 for the others."""
    numbers = element_numbers(elements)
    index = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
    index[list(numbers)] = torch.arange(len(numbers))
    return numbers, index


class _Classical(Potential):
    """What the pair and triplet potentials share: tables by species, refusal of unknown elements."""

    _index: Tensor

    def __init__(self, config: Mapping[str, Any], numbers: tuple[int, ...], index: Tensor, card: Card):
        super().__init__(config, card)
        self.numbers = numbers
        self.register_buffer("_index", index, persistent=False)

    def _keep(self, **tables: Tensor) -> None:
        for name, table in tables.items():
            self.register_buffer(name, table.to(torch.float64), persistent=False)

    def species(self, graph: Graph) -> Tensor:
        """Index of each atom's element (A,)."""
        index = self._index.index_select(0, graph.numbers)
        if bool((index < 0).any()):
            found = sorted({chemical_symbols[int(z)] for z in graph.numbers[index < 0]})
            known = [chemical_symbols[z] for z in self.numbers]
            raise InputError(
                f"'{self.card.name}' has no parameters for some elements", got=", ".join(found), allowed=known
            )
        return index

    def terms(self, graph: Graph, bonds: Tensor, centre: Tensor) -> Terms:
        """Energies by bond, counted at their centre atoms, as Terms."""
        atoms = segment_sum(bonds.to(torch.float64), centre, len(graph.numbers))
        return Terms(segment_sum(atoms, graph.batch, graph.size), atoms)


class StillingerWeber(_Classical):
    """Stillinger-Weber for Si, Ge and their mixtures.

    E = sum over bonds of v2(r) + sum over centres and pairs of their bonds of v3(ra, rb, theta); the two are the
    operations `stillinger_weber_two` and `stillinger_weber_three`. Pairs of unlike elements take the geometric mean of
    epsilon and of lambda and the arithmetic mean of sigma; a triplet's strength is the geometric mean of its two bonds'
    lambda epsilon.

    Parameters
    ----------
    elements: atomic numbers or symbols. parameters: {symbol: {"epsilon": eV, "sigma": Å, "lambda": number}} replaces or
    adds elements; A, B, p, q, a, gamma and cos(theta0) are those of 1985.
    """

    kind = "stillinger-weber"

    def __init__(
        self, elements: Sequence[int | str] = (14,), parameters: Mapping[str, Mapping[str, float]] | None = None
    ):
        numbers, index = _table(elements)
        chosen = [_sw_element(z, parameters or {}) for z in numbers]
        card = Card(
            name="sw-" + "-".join(chemical_symbols[z].lower() for z in numbers),
            elements=numbers,
            level_of_theory="Stillinger-Weber",
            licence="MIT",
            reference="; ".join(dict.fromkeys(c.source for c in chosen)),
            description="Two- and three-body potential of tetrahedral semiconductors"
            + (", unlike pairs by mixing rules" if len(numbers) > 1 else ""),
            contains={"zbl": "no", "d3": "no"},
        )
        config = {"elements": list(numbers), "parameters": {k: dict(v) for k, v in (parameters or {}).items()} or None}
        super().__init__(config, numbers, index, card)
        epsilon, sigma, lam = (
            torch.tensor([getattr(c, n) for c in chosen], dtype=torch.float64) for n in ("epsilon", "sigma", "lam")
        )
        epsilon, lam = torch.outer(epsilon, epsilon).sqrt(), torch.outer(lam, lam).sqrt()
        sigma = 0.5 * (sigma[:, None] + sigma[None, :])
        self._keep(epsilon=epsilon, sigma=sigma, root_strength=(lam * epsilon).sqrt())
        cutoff = float(SW_FORM["a"] * sigma.max())
        self.needs = Needs((cutoff,), ((cutoff, cutoff),))

    def forward(self, graph: Graph) -> Terms:
        cutoff, f = self.needs.cutoffs[0], SW_FORM
        edges, species = graph.edges[cutoff], self.species(graph)
        si, sj = gather(species, edges.i), gather(species, edges.j)
        sigma, root = self.sigma[si, sj], self.root_strength[si, sj]
        d = graph.vectors(cutoff)
        r = d.norm(dim=1)
        # a bond is two edges, a pair of bonds two triplets: half of each
        bonds = 0.5 * stillinger_weber_two(r, self.epsilon[si, sj], sigma, f["A"], f["B"], f["p"], f["q"], f["a"])
        t = graph.triplets[(cutoff, cutoff)]
        ra, rb = gather(r, t.a), gather(r, t.b)
        cosine = (gather(d, t.a) * gather(d, t.b)).sum(1) / (ra * rb)
        three = 0.5 * stillinger_weber_three(
            ra, rb, cosine, root[t.a] * root[t.b], sigma[t.a], sigma[t.b], f["gamma"], f["a"], f["cos0"]
        )
        return self.terms(graph, bonds + segment_sum(three, t.a, len(bonds)), edges.i)


def _sw_element(z: int, parameters: Mapping[str, Mapping[str, float]]) -> SWElement:
    symbol = chemical_symbols[z]
    if symbol in parameters:
        given, names = parameters[symbol], ("epsilon", "sigma", "lambda")
        if sorted(given) != sorted(names):
            raise InputError(f"Stillinger-Weber parameters of {symbol}", got=sorted(given), allowed=names)
        return SWElement(float(given["epsilon"]), float(given["sigma"]), float(given["lambda"]), "given by the user")
    if z not in SW_PARAMETERS:
        known = [chemical_symbols[k] for k in SW_PARAMETERS]
        raise InputError(
            "There are no Stillinger-Weber parameters for this element", got=symbol, allowed=known,
            mend=f"Give them: parameters={{'{symbol}': {{'epsilon': ..., 'sigma': ..., 'lambda': ...}}}}",
        )  # fmt: skip
    return SW_PARAMETERS[z]


class _PairPotential(_Classical):
    """A pair potential whose parameters are given by element and mixed for unlike pairs."""

    def __init__(self, elements, cutoff: float, parameters: Mapping[str, Sequence[float] | float], card: Card):
        numbers, index = _table(elements)
        tables = {}
        for name, value in parameters.items():
            values = [float(v) for v in (value if isinstance(value, Sequence) else [value] * len(numbers))]
            if len(values) != len(numbers) or min(values) <= 0:
                raise InputError(
                    f"'{name}' of {card.name} is one positive number, or one for each element", got=value,
                    mend=f"Give {len(numbers)} numbers",
                )  # fmt: skip
            tables[name] = values
        if not cutoff > 0:
            raise InputError("The cutoff must be longer than 0 Å", got=cutoff)
        config = {"elements": list(numbers), **tables, "cutoff": float(cutoff)}
        super().__init__(config, numbers, index, replace(card, elements=numbers))
        self._keep(**{name: torch.tensor(values) for name, values in _mixed(tables).items()})
        self.needs = Needs((float(cutoff),))

    def pair(self, r: Tensor, si: Tensor, sj: Tensor) -> Tensor:
        """Energy of a bond (E,) in eV."""
        raise TypeError(f"{type(self).__name__} does not say what a pair's energy is: write `pair(r, si, sj)`")

    def forward(self, graph: Graph) -> Terms:
        cutoff = self.needs.cutoffs[0]
        edges, species = graph.edges[cutoff], self.species(graph)
        r = graph.vectors(cutoff).norm(dim=1)
        return self.terms(graph, 0.5 * self.pair(r, gather(species, edges.i), gather(species, edges.j)), edges.i)


def _mixed(tables: Mapping[str, Sequence[float]]) -> dict[str, list[list[float]]]:
    """Unlike pairs: energies and exponents by the geometric mean, lengths by the arithmetic one (Lorentz-Berthelot)."""
    lengths = ("sigma", "r0")
    return {
        name: [[0.5 * (x + y) if name in lengths else (x * y) ** 0.5 for y in values] for x in values]
        for name, values in tables.items()
    }


class LennardJones(_PairPotential):
    """Lennard-Jones, force-shifted to `cutoff` (Å).

    epsilon (eV) and sigma (Å): one number or one per element; argon by default (Rahman, Phys. Rev. 136 (1964) A405:
    119.8 K, 3.405 Å).
    """

    kind = "lennard-jones"

    def __init__(self, elements=(18,), epsilon=0.010324, sigma=3.405, cutoff: float = 8.5):
        card = Card(
            name="lennard-jones", level_of_theory="Lennard-Jones", licence="MIT", contains={"zbl": "no", "d3": "no"}
        )
        super().__init__(elements, cutoff, {"epsilon": epsilon, "sigma": sigma}, card)

    def pair(self, r: Tensor, si: Tensor, sj: Tensor) -> Tensor:
        return lennard_jones(r, self.epsilon[si, sj], self.sigma[si, sj], self.needs.cutoffs[0])


class Morse(_PairPotential):
    """Morse, force-shifted to `cutoff` (Å).

    depth (eV), alpha (1/Å), r0 (Å): one number or one per element; copper by default (Girifalco and Weizer,
    Phys. Rev. 114 (1959) 687: 0.3429 eV, 1.3588 1/Å, 2.866 Å).
    """

    kind = "morse"

    def __init__(self, elements=(29,), depth=0.3429, alpha=1.3588, r0=2.866, cutoff: float = 7.0):
        card = Card(name="morse", level_of_theory="Morse", licence="MIT", contains={"zbl": "no", "d3": "no"})
        super().__init__(elements, cutoff, {"depth": depth, "alpha": alpha, "r0": r0}, card)

    def pair(self, r: Tensor, si: Tensor, sj: Tensor) -> Tensor:
        return morse(r, self.depth[si, sj], self.alpha[si, sj], self.r0[si, sj], self.needs.cutoffs[0])


_METALS = (13, 28, 29, 46, 47, 78, 79)


class EMT(External):
    """Effective medium theory for Al, Ni, Cu, Pd, Ag, Pt and Au, evaluated by ASE.

    Jacobsen, Stoltze and Nørskov, Surf. Sci. 366 (1996) 394. Energy, forces and virial without autograd; a second
    derivative is refused in words.
    """

    kind = "emt"

    def __init__(self) -> None:
        card = Card(
            name="emt", elements=_METALS, level_of_theory="effective medium theory", licence="LGPL-2.1 (ASE)",
            reference="Jacobsen, Stoltze and Nørskov, Surf. Sci. 366 (1996) 394", contains={"zbl": "no", "d3": "no"},
        )  # fmt: skip
        super().__init__({}, card)

    def evaluate_one(
        self, numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy (eV), forces (n, 3) eV/Å and virial (3, 3) eV of one structure."""
        from ase.calculators.emt import EMT as AseEMT

        check_elements(numbers, _METALS, "EMT")
        atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
        # ASE divides the virial by a volume: any will do, as it is multiplied again
        atoms.cell = atoms.cell.complete()
        atoms.calc = AseEMT()
        virial = -atoms.get_stress(voigt=False) * atoms.get_volume()
        return atoms.get_potential_energy(), atoms.get_forces(), virial
