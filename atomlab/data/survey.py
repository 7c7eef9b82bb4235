"""Which key of a file is which label: decided after all of its frames were seen, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ase import Atoms

from ..errors import InputError, nearest
from ..fields import FIELDS
from .labels import Convention, convert_frame

__all__ = ["Decided", "Survey", "canonical"]

_LOOKS = ("energ", "forc", "stress", "virial", "toten", "pressure")
_NOT_LABELS = ("positions", "momenta", "velocities", "velo", "initial_magmoms", "scaled_positions", "masses")


def canonical(frames: Sequence[Atoms], convention: Convention, name: str) -> list[str]:
    """Rename and convert the labels of `frames` in place; returns what was done, in sentences.

    After this each frame has no calculator, and those of `REF_energy` (eV), `REF_forces` (n, 3) eV/Å and `REF_stress`
    (6,) eV/Å^3 for which the file has a value.
    """
    survey = Survey()
    for atoms in frames:
        survey.see(atoms)
    decided = survey.decide(convention, name)
    for k, atoms in enumerate(frames):
        decided.convert(atoms, k)
    return decided.sentences()


@dataclass
class Survey:
    """What the frames of a file hold, seen one at a time: which keys in how many, and the units that they name."""

    total: int = 0
    found: dict[tuple[str, str], int] = field(default_factory=dict)  # (scope, key) -> in how many frames
    units: dict[str, set[str]] = field(default_factory=dict)
    suspects: set[str] = field(default_factory=set)  # arrays of the first frame that may be forces

    def see(self, atoms: Atoms) -> None:
        """Take in one frame."""
        if not self.total:
            self.suspects = {
                key for key, values in atoms.arrays.items()
                if values.ndim == 2 and values.shape[1] == 3 and values.dtype.kind == "f" and key not in _NOT_LABELS
            }  # fmt: skip
        self.total += 1
        for scope, keys in (("structure", atoms.info), ("atom", atoms.arrays)):
            for key in keys:
                self.found[scope, key] = self.found.get((scope, key), 0) + 1
        for label in FIELDS:
            if f"{label}_unit" in atoms.info:
                self.units.setdefault(label, set()).add(str(atoms.info[f"{label}_unit"]))

    def decide(self, convention: Convention, name: str) -> Decided:
        """Which key is read as which label."""
        convention = _with_units(self.units, convention, name)
        said, chosen = [], {}
        for label in FIELDS:
            key, text = _chosen(label, self.found, convention, self.total, name)
            if key is not None:
                chosen[label] = key
                said.append(text + _unit_text(label, key, convention))
            elif text:
                said.append(text)
        if not chosen:
            _no_labels(self, convention, name)
            said.append("No labels were found: the structures can be used for dynamics and maps, not for training.")
        if convention.factor("positions") != 1.0:
            said.append(f"positions and cells: converted from {convention.unit('positions')} to Å.")
        return Decided(convention, chosen, name, said)


@dataclass
class Decided:
    """Which key of a file is read as which label, in which unit; and what was said while converting."""

    convention: Convention
    chosen: dict[str, str]
    name: str
    said: list[str]
    told: dict[str, int] = field(default_factory=dict)

    def convert(self, atoms: Atoms, k: int) -> None:
        """Frame k, in place."""
        factor = self.convention.factor("positions")
        if factor != 1.0:
            atoms.set_cell(atoms.cell.array * factor)
            atoms.positions *= factor
        word = convert_frame(atoms, k, self.chosen, self.convention, self.name)
        self.told[word] = self.told.get(word, 0) + 1

    def sentences(self) -> list[str]:
        """What was done."""
        more = []
        if count := self.told.get("no volume"):
            more.append(
                f"The virials of {count} structures were left out: without three cell vectors there is no volume to "
                "make a stress of them."
            )
        if count := self.told.get("disagree"):
            more.append(
                f"In {count} structures the virials are not minus the stress times the volume: the stress is used; "
                "look at units and signs."
            )
        return [*self.said, *more]


def _with_units(named: Mapping[str, set[str]], convention: Convention, name: str) -> Convention:
    """Units that the file itself names (`energy_unit=eV`), unless the user names others."""
    units = dict(convention.units)
    for label in ("energy", "forces", "stress", "virials"):
        said = named.get(label, set())
        if label in units or not said:
            continue
        if len(said) > 1:
            raise InputError(
                f"{name} names several units for '{label}'", got=", ".join(sorted(said)), mend="Split the file"
            )
        units[label] = next(iter(said))
    return Convention(convention.keys, units)


def _chosen(label: str, found: Mapping, convention: Convention, total: int, name: str) -> tuple[str | None, str]:
    scope, given = FIELDS[label].scope, label in convention.keys
    if given:
        key = convention.keys[label]
        if key is None:
            return None, f"{label}: not read, as you asked."
        if (scope, key) not in found:
            _refuse_key(label, key, scope, found, name)
        others: list[str] = []
    else:
        present = [alias for alias in FIELDS[label].aliases if (scope, alias) in found]
        if not present:
            return None, ""
        key, others = present[0], present[1:]
    n = found[scope, key]
    text = f"{label}: read from '{key}'" + ("" if n == total else f", missing in {total - n} of {total} structures")
    if others:
        text += f" (not used: {', '.join(repr(o) for o in others)})"
    return key, text


def _refuse_key(label: str, key: str, scope: str, found: Mapping, name: str) -> None:
    here = sorted({k for s, k in found if s == scope} - {"numbers", "positions"})
    raise InputError(
        f"{name} has no key '{key}' to read the {label} from",
        got=f"keys per {scope}: {', '.join(here) or 'none'}", mend=nearest(key, here),
    )  # fmt: skip


def _unit_text(label: str, key: str, convention: Convention) -> str:
    unit, ours = convention.unit(label), FIELDS[label].unit
    if key.startswith("REF_") and label not in convention.units:
        text = f", in {ours}"
    else:
        text = f", taken as {unit}" + ("" if label in convention.units else " (the default)")
    if label in ("stress", "virials"):
        ours_sign = "tension" if label == "stress" else "compression"
        text += f", positive under {convention.units.get(f'{label}_sign', ours_sign)}"
    return text + "."


def _no_labels(survey: Survey, convention: Convention, name: str) -> None:
    """Refuse a file whose labels probably stand under keys that we don't know."""
    if convention.keys:
        return
    suspects = {key for _, key in survey.found if any(look in key.lower() for look in _LOOKS)} | survey.suspects
    if not suspects:
        return
    info = sorted({k for s, k in survey.found if s == "structure"})
    arrays = sorted({k for s, k in survey.found if s == "atom"} - {"numbers", "positions"})
    first = next((key for _, key in survey.found if key in suspects), "")
    raise InputError(
        f"{name} has no labels under the usual names, but others that may be labels: " + ", ".join(sorted(suspects)),
        got=f"per structure: {', '.join(info) or 'nothing'}; per atom: {', '.join(arrays) or 'nothing'}",
        mend=f"Say which is which, for example keys={{'energy': '{first}'}}, or keys={{'energy': None}} to read none",
    )
