"""What replay needs of heads: a new one beside the base's, constants for the base's, labels by the base."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from ...errors import InputError, notice
from ...fields import reference_key
from ...potential import Potential, Sum
from ...predict import evaluate
from ..choices import Choices
from ..energies import fit_constant

if TYPE_CHECKING:
    from ...data import Dataset

__all__ = ["base_constants", "kept_words", "pseudo_labelled", "with_new_head"]

OFF = 0.1  # eV/atom: from here on the replayed energies are not those that the base has learned


def with_new_head(potential: Potential, name: str, source: int, choices: Choices) -> tuple[Potential, int]:
    """The potential with one more head, which starts as its head `source`; and the new head's index."""
    heads = potential.card.heads
    if name in heads:
        raise InputError("The base has a head of this name already", got=name, mend="Give new_head another name")
    sizes = sum(p.numel() for p in potential.parameters())
    wider = _wider(potential, [*heads, name], {name: heads[source]})
    wider.default_head = len(heads)
    choices.note("heads", list(wider.card.heads), f"{', '.join(wider.card.heads)}: '{name}' is new and starts as "
                 f"'{heads[source]}'; the saved model uses '{name}' unless another is named")  # fmt: skip
    if sum(p.numel() for p in wider.parameters()) == sizes:
        notice(
            "heads-share-all",
            f"The heads of '{potential.card.name}' share the whole network: two levels of theory can differ in E0, "
            "scale and shift only.",
        )
    return wider, len(heads)


def _wider(potential: Potential, heads: list[str], sources: dict[str, str]) -> Potential:
    if isinstance(potential, Sum):
        main, *others = potential.members
        whole = Sum(_wider(main, heads, sources), *others, force=True)
        whole.card = replace(potential.card, heads=tuple(heads))
        return whole
    if not hasattr(potential, "with_heads"):
        raise InputError(
            "This model cannot have a second head", got=potential.card.name, mend="Take the strategy naive or atomft"
        )
    return potential.with_heads(heads, sources)


def base_constants(
    potential: Potential, method: str, base: Potential, seen: Dataset, row: int, choices: Choices
) -> None:  # fmt: skip
    """E0 of the base's head: its own, or corrected by least squares; and how far off the replayed energies are."""
    there = np.isfinite(seen.energies)
    if not there.any():
        choices.note("e0_replay", None, "The base's own: no replayed structure has an energy")
        return
    found = evaluate(base, seen, want=("energy",), head=row).energy
    off = float(np.mean(((found - seen.energies) / seen.sizes)[there]))
    told = f"the base's energies of the replayed structures lie {off:+.4f} eV/atom off their labels on average"
    if method == "residuals":
        energies = fit_constant(potential, seen, row)
        shown = ", ".join(f"{chemical_symbols[z]} {e:.4f} eV" for z, e in energies.items())
        choices.note("e0_replay", "residuals", f"{shown}, corrected by least squares, as set; {told}")
        return
    choices.note("e0_replay", "base", f"The base's own; {told}")
    if abs(off) > OFF:
        notice(
            f"replay-off-{seen.name}",
            f"{told[:1].upper()}{told[1:]}: they are hardly of the level that the base has learned. If only the atomic "
            "energies differ, replay_e0='residuals' corrects them.",
        )


def pseudo_labelled(base: Potential, dataset: Dataset, row: int, stress: bool) -> Dataset:
    """The structures with the labels that the base gives them."""
    from ...data import Dataset as Structures

    want = ("energy", "forces") + ("stress",) * stress
    found = evaluate(base, dataset, want=want, head=row)
    frames = []
    for k, atoms in enumerate(dataset):
        for name in ("energy", "stress"):
            atoms.info.pop(reference_key(name), None)
        atoms.info[reference_key("energy")] = float(found.energy[k])
        atoms.arrays[reference_key("forces")] = found.forces[k]
        if stress and np.isfinite(found.stress[k]).all():
            atoms.info[reference_key("stress")] = found.stress[k]
        frames.append(atoms)
    return Structures(frames, name=f"{dataset.name}, labelled by {base.card.name}")


def kept_words(both: bool, held: Dataset | None, valid: Dataset | None, name: str, weight: float) -> str:
    """Which validation chooses the weights that are kept."""
    if both and held is None:
        raise InputError("keep_by='both' needs held-out replay structures", got="replay_valid=0")
    if not valid:
        return "The last weights are kept: the new data have no validation set"
    if both:
        return f"The weights are kept at which the validation losses of '{name}' and {weight:g} x the base's are lowest"
    return f"The weights are kept at which the validation loss of '{name}' is lowest; the base head's is told beside it"
