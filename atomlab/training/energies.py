"""The energies' constants: E0 and shift come from the new data in every strategy, never from inherited rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols

from ..data import statistics
from ..errors import InputError
from ..fields import reference_key
from ..potential import Potential, Sum
from ..predict import evaluate
from .plan import Choices

if TYPE_CHECKING:
    from ..data import Dataset

__all__ = ["fit_constant", "set_energies", "symbols"]


def symbols(numbers: np.ndarray) -> str:
    """A composition such as 'Si2 O4, 6 atoms'."""
    kinds, counts = np.unique(numbers, return_counts=True)
    return " ".join(f"{chemical_symbols[z]}{n}" for z, n in zip(kinds, counts)) + f", {len(numbers)} atoms"


def main_member(potential: Potential) -> Potential:
    """The potential that holds the constants: of a sum, its main member's."""
    return main_member(potential.members[0]) if isinstance(potential, Sum) else potential


def set_energies(
    potential: Potential, train: Dataset, method: str | Mapping[str, float], head: int, choices: Choices, trained: bool
) -> None:
    """Give `potential` E0 and shift of one head from the training set.

    method: 'isolated', 'least-squares', 'residuals', {symbol: eV}, or 'auto': isolated atoms if the set has one of each
    element, else least squares on the residuals of a model that is already `trained`, or on the energies.
    """
    model = main_member(potential)
    if not hasattr(model, "set_atomic_energies"):
        choices.note("e0", None, f"'{potential.card.name}' has no table of atomic energies to set")
        return
    if not any(reference_key("energy") in atoms.info for atoms in train):
        choices.note("e0", None, "No structure has an energy: the atomic energies stay what they are")
        return
    network = _network(potential, train, head) if trained else np.zeros(len(train))
    energies, why = _choose(train, method, network, trained)
    _fold_shift(model, head)
    model.set_atomic_energies(energies, head=head)
    _note_e0(choices, energies, why)
    if method == "isolated" or "isolated" in why:
        _set_shift(model, train, energies, network, head, choices)


def fit_constant(potential: Potential, train: Dataset, head: int) -> dict[int, float]:
    """After a training on forces alone: E0 by least squares on what the network leaves of the energies (for one element
    this is the mean energy shift of the transfer paper). Without energies in the data nothing is fitted."""
    model = main_member(potential)
    if not hasattr(model, "set_atomic_energies") or not any(reference_key("energy") in a.info for a in train):
        return {}
    energies, _ = statistics.atomic_energies(
        train, method="residuals", base_energies=_network(potential, train, head, shift=True)
    )
    model.set_atomic_energies(energies, head=head)
    return energies


def _choose(
    train: Dataset, method: str | Mapping[str, float], network: np.ndarray, trained: bool
) -> tuple[dict[int, float], str]:
    """E0 by atomic number, and why these."""
    if isinstance(method, Mapping):
        given = {_number(symbol): float(energy) for symbol, energy in method.items()}
        energies, _ = statistics.atomic_energies(train, method=given)
        return dict(energies), "as set"
    if method in ("auto", "isolated"):
        try:
            energies, why = statistics.atomic_energies(train, method="isolated")
            return dict(energies), "from the isolated atoms in the training set"
        except InputError:
            if method == "isolated":
                raise
    if method == "residuals" and not trained:
        raise InputError("E0 by residuals needs a base model", got="random weights", allowed="isolated, least-squares")
    if method == "least-squares" or not trained:
        energies, why = statistics.atomic_energies(train, method="least-squares")
        return dict(energies), _sentence("by least squares on the energies of the training set", why)
    energies, why = statistics.atomic_energies(train, method="residuals", base_energies=network)
    return dict(energies), _sentence("by least squares on what the base model leaves of the energies", why)


def _sentence(how: str, why: Any) -> str:
    extra = "; ".join(str(w) for w in (why.values() if isinstance(why, Mapping) else why or ()))
    return f"{how} ({extra.rstrip('.')})" if extra else how


def _number(symbol: str) -> int:
    if symbol not in atomic_numbers:
        raise InputError("There is no such element", got=symbol)
    return atomic_numbers[symbol]


def _network(potential: Potential, train: Dataset, head: int, shift: bool = False) -> np.ndarray:
    """Energies (S,) in eV without E0, and without shift unless it is asked for."""
    found = evaluate(potential, train, want=("energy",), head=head)
    model = main_member(potential)
    table = dict(zip(model.card.elements, model.atomic_energies[head].tolist()))
    level = float(model.shift[head]) if hasattr(model, "shift") and not shift else 0.0
    return found.energy - np.array([sum(table[int(z)] + level for z in numbers) for numbers in found.numbers])


@torch.no_grad()
def _fold_shift(model: Potential, head: int) -> None:
    """Move the inherited shift into E0: elements that the new data lack keep their energies to the bit that counts."""
    if hasattr(model, "shift"):
        model.atomic_energies[head] += model.shift[head]
        model.shift[head] = 0.0


@torch.no_grad()
def _set_shift(
    model: Potential, train: Dataset, energies: Mapping[int, float], network: np.ndarray, head: int, choices: Choices
) -> None:
    if not hasattr(model, "shift"):
        return
    left, sizes = [], []
    for atoms, inside in zip(train, network):
        energy = atoms.info.get(reference_key("energy"), np.nan)
        if len(atoms) > 1 and np.isfinite(energy):
            left.append(energy - inside - sum(energies[int(z)] for z in atoms.numbers))
            sizes.append(len(atoms))
    if left:
        model.shift[head] = float(np.sum(left) / np.sum(sizes))
        choices.note(
            "shift",
            float(model.shift[head]),
            f"{float(model.shift[head]):.4f} eV/atom, the mean binding energy of the new data",
        )


def _note_e0(choices: Choices, energies: Mapping[int, float], why: str) -> None:
    values = {chemical_symbols[z]: float(e) for z, e in energies.items()}
    shown = ", ".join(f"{s} {e:.4f} eV" for s, e in values.items())
    choices.note("e0", values, f"{shown}, {why}")
