"""D3 dispersion for any model, evaluated by simple-dftd3 (the package `dftd3`).

Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 132 (2010) 154104; damping: J. Comput. Chem. 32 (2011) 1456.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError, nearest, notice
from ..external import External
from ..potential import Card, Potential
from ..units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

__all__ = ["D3"]

DAMPINGS = ("bj", "zero")
HIGHEST_ELEMENT = 103


class D3(External):
    """Dispersion energy, forces and virial after D3.

    Parameters
    ----------
    functional: whose damping parameters are used ('pbe', 'b3lyp', ...). damping: 'bj' (Becke-Johnson) or 'zero'.
    three_body: add the Axilrod-Teller-Muto term (slow). cutoff: real-space cutoff of the pair energy in Å;
    coordination_cutoff: that of the coordination numbers. The defaults are simple-dftd3's 60 and 40 bohr.
    """

    kind = "d3"

    def __init__(
        self,
        functional: str = "pbe",
        damping: str = "bj",
        three_body: bool = False,
        cutoff: float = 60 * ANGSTROM_PER_BOHR,
        coordination_cutoff: float = 40 * ANGSTROM_PER_BOHR,
    ):
        if damping not in DAMPINGS:
            raise InputError("D3 has no such damping", got=damping, allowed=DAMPINGS, mend=nearest(damping, DAMPINGS))
        config = {
            "functional": functional,
            "damping": damping,
            "three_body": three_body,
            "cutoff": cutoff,
            "coordination_cutoff": coordination_cutoff,
        }
        card = Card(
            name=f"D3({damping}) for {functional}",
            elements=tuple(range(1, HIGHEST_ELEMENT + 1)),
            level_of_theory=f"D3({damping}), parameters of {functional}",
            licence="LGPL-3.0-or-later (simple-dftd3)",
            reference="J. Chem. Phys. 132 (2010) 154104",
            contains={"d3": "model"},
            local=False,
        )
        super().__init__(config, card)
        self._library = _interface()
        self._damping = self._load_damping()

    @classmethod
    def for_model(cls, main: Potential, functional: str = "", damping: str = "bj", *more: str) -> D3:
        """As in a model's name: `+d3:FUNCTIONAL`, `+d3:FUNCTIONAL:DAMPING`; PBE, with a notice, if none is named."""
        if more:
            raise InputError("D3 takes a functional and a damping", got=more[0], allowed="+d3:pbe or +d3:pbe:zero")
        if not functional:
            notice(
                f"d3-functional-{main.card.name}",
                f"D3 is added to '{main.card.name}' with PBE's damping parameters, since no functional is named; its "
                f"level of theory is '{main.card.level_of_theory}'. Name one with '+d3:FUNCTIONAL'.",
            )
        return cls(functional or "pbe", damping)

    def __deepcopy__(self, memo: dict[int, Any]) -> D3:
        # the library's objects cannot be copied, and need not be
        other = type(self)(**self.config)
        other.card = self.card
        return other

    def _load_damping(self) -> Any:
        kinds = {"bj": self._library.RationalDampingParam, "zero": self._library.ZeroDampingParam}
        functional = self.config["functional"]
        try:
            return kinds[self.config["damping"]](method=functional, atm=self.config["three_body"])
        except RuntimeError as error:
            raise InputError(
                f"simple-dftd3 has no {self.config['damping']} damping parameters for this functional",
                got=functional,
                mend=f"Give the functional of the model's training labels by its usual name, such as 'pbe' ({error})",
            ) from error

    def evaluate_one(self, numbers, positions, cell, pbc):
        lattice = None
        if pbc.any():
            lattice = _completed(cell, pbc, positions) / ANGSTROM_PER_BOHR
        model = self._library.DispersionModel(
            numbers, positions / ANGSTROM_PER_BOHR, lattice, pbc if pbc.any() else None
        )
        pair, coordination = self.config["cutoff"], self.config["coordination_cutoff"]
        bohr = 1 / ANGSTROM_PER_BOHR
        model.set_realspace_cutoff(disp2=pair * bohr, disp3=coordination * bohr, cn=coordination * bohr)
        found = model.get_dispersion(self._damping, grad=True)
        forces = -found["gradient"] * EV_PER_HARTREE / ANGSTROM_PER_BOHR
        return float(found["energy"]) * EV_PER_HARTREE, forces, -found["virial"] * EV_PER_HARTREE


def _interface() -> Any:
    try:
        from dftd3 import interface
    except ImportError as error:
        raise ImportError("D3 needs the package 'dftd3': pip install 'atomlab[d3]'.") from error
    return interface


def _completed(cell: np.ndarray, pbc: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The cell with vectors in place of missing ones; along these the library repeats nothing."""
    cell = cell.copy()
    missing = [k for k in range(3) if not pbc[k] and np.linalg.norm(cell[k]) < 1e-8]
    if missing:
        _, _, vectors = np.linalg.svd(cell)
        rank = 3 - len(missing)
        for k, direction in zip(missing, vectors[rank:]):
            cell[k] = direction * (np.ptp(positions @ direction) + 10.0)
    return cell
