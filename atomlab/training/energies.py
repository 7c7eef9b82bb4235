"""The energies' constants: E0 and shift come from the new data in every strategy, never from inherited rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase.data import chemical_symbols

from ..data import statistics
from ..errors import InputError
from ..potential import Potential, Sum
from ..predict import evaluate
from .choices import Choices

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
    if "energy" not in train.labels:
        choices.note("e0", None, "No structure has an energy: the atomic energies stay what they are")
        return
    _fold_shift(model, head)
    found = evaluate(potential, train, want=("energy",), head=head).energy if trained else None
    energies, reasons, how = _choose(train, method, found, model, head)
    model.set_atomic_energies(energies, head=head)
    shown = ", ".join(f"{chemical_symbols[z]} {e:.4f} eV" for z, e in energies.items())
    text = " ".join(reason.removeprefix("E0: ") for reason in reasons)
    choices.note("e0", {chemical_symbols[z]: e for z, e in energies.items()}, f"{shown}, {text[:1].lower()}{text[1:]}")
    if how == "isolated":
        _set_shift(potential, model, train, head, choices, trained)


def fit_constant(potential: Potential, train: Dataset, head: int) -> dict[int, float]:
    """After a training on forces alone: E0 by least squares on what the model leaves of the energies (for one element
    this is the mean energy shift of the transfer paper). Without energies in the data nothing is fitted."""
    model = main_member(potential)
    if not hasattr(model, "set_atomic_energies") or "energy" not in train.labels:
        return {}
    found = evaluate(potential, train, want=("energy",), head=head).energy
    energies, _ = _residuals(train, found, model, head)
    model.set_atomic_energies(energies, head=head)
    return energies


def _choose(
    train: Dataset, method: str | Mapping[str, float], found: np.ndarray | None, model: Potential, head: int
) -> tuple[dict[int, float], list[str], str]:
    """E0 by atomic number, sentences that say why, and the method taken. `found`: energies of a trained base."""
    if isinstance(method, Mapping):
        given: dict[int | str, float] = dict(method.items())
        return statistics.atomic_energies(train, given)[0], ["as set."], "given"
    if method in ("auto", "isolated"):
        try:
            return *statistics.atomic_energies(train, "isolated"), "isolated"
        except InputError:
            if method == "isolated":
                raise
        method = "least-squares" if found is None else "residuals"
    if method == "least-squares":
        return *statistics.atomic_energies(train, method), method
    if found is None:
        raise InputError("E0 by residuals need a base model", got="random weights", allowed="isolated, least-squares")
    return *_residuals(train, found, model, head), method


def _residuals(train: Dataset, found: np.ndarray, model: Potential, head: int) -> tuple[dict[int, float], list[str]]:
    table = dict(zip(model.card.elements, model.atomic_energies[head].tolist()))
    left, reasons = statistics.atomic_energies(train, "residuals", found)
    return {z: table[z] + e for z, e in left.items()}, reasons


@torch.no_grad()
def _fold_shift(model: Potential, head: int) -> None:
    """Move the inherited shift into E0: elements that the new data lack keep their energies to the bit that counts."""
    if hasattr(model, "shift"):
        model.atomic_energies[head] += model.shift[head]
        model.shift[head] = 0.0


@torch.no_grad()
def _set_shift(
    potential: Potential, model: Potential, train: Dataset, head: int, choices: Choices, trained: bool
) -> None:
    """With E0 of isolated atoms the binding energy is left: its mean is the shift, and the network learns the rest."""
    if not hasattr(model, "shift"):
        return
    if trained:
        energies = evaluate(potential, train, want=("energy",), head=head).energy
    else:
        table = dict(zip(model.card.elements, model.atomic_energies[head].tolist()))
        energies = train.composition_matrix() @ np.array([table[z] for z in train.elements])
    bound = np.isfinite(train.energies) & (train.sizes > 1)
    if bound.any():
        value = float((train.energies - energies)[bound].sum() / train.sizes[bound].sum())
        model.shift[head] = value
        choices.note("shift", value, f"{value:.4f} eV/atom, the mean energy that is left of the new data")
