"""From what a file calls things to `REF_energy`, `REF_forces`, `REF_stress`: keys, units, signs and shapes.

The only place where labels are converted. Nothing is guessed about units: they are eV, eV/Å and eV/Å^3 (tension
positive) unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from .. import units as U
from ..errors import InputError, nearest
from ..fields import FIELDS, reference_key

__all__ = ["Convention", "LABELS", "canonical", "volume"]

LABELS = ("energy", "forces", "stress")
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_SIGNS = ("tension", "compression")
_OPTIONS = ("energy", "forces", "stress", "virials", "positions", "stress_sign", "virials_sign", "stress_order")
_LOOKS = ("energ", "forc", "stress", "virial", "toten", "pressure")
_NOT_LABELS = ("positions", "momenta", "velocities", "velo", "initial_magmoms", "scaled_positions", "masses")


@dataclass(frozen=True)
class Convention:
    """What the user says about a file: `keys` {label: key, or None for "don't read"}, `units` as in `atomlab.read`."""

    keys: Mapping[str, str | None] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.keys:
            if name not in FIELDS:
                raise InputError("There is no such label", got=name, allowed=list(FIELDS), mend=nearest(name, FIELDS))
        for name in self.units:
            if name not in _OPTIONS:
                raise InputError(
                    "There is no such unit option", got=name, allowed=_OPTIONS, mend=nearest(name, _OPTIONS)
                )
        for name in ("stress_sign", "virials_sign"):
            if self.units.get(name, _SIGNS[0]) not in _SIGNS:
                raise InputError(
                    f"'{name}' says when a positive pressure-like diagonal is meant",
                    got=self.units[name],
                    allowed=_SIGNS,
                )
        self.order  # noqa: B018  refuse a wrong order now
        for name in ("energy", "forces", "stress", "virials", "positions"):
            self.factor(name)

    def unit(self, name: str) -> str:
        """The unit in which that quantity stands in the file."""
        return self.units.get(name, "Å" if name == "positions" else FIELDS[name].unit)

    def factor(self, name: str) -> float:
        """What a number of the file is multiplied with (the division by the number of atoms is `per_atom`)."""
        text = self.unit(name)
        if name == "energy":
            return _among(text.removesuffix("/atom"), U.ENERGY, name)
        if name == "forces":
            energy, _, length = text.rpartition("/")
            return _among(energy, U.ENERGY, name, text) / _among(length, U.LENGTH, name, text)
        return _among(text, {"stress": U.PRESSURE, "virials": U.ENERGY, "positions": U.LENGTH}[name], name)

    @property
    def per_atom(self) -> bool:
        """Whether the file's energies are divided by the number of atoms."""
        return self.unit("energy").endswith("/atom")

    @property
    def order(self) -> tuple[int, ...]:
        """Where each of xx yy zz yz xz xy stands among six numbers."""
        text = self.units.get("stress_order", " ".join(VOIGT))
        names = ["".join(sorted(part)) for part in text.lower().replace(",", " ").split()]
        if sorted(names) != sorted(VOIGT):
            raise InputError("'stress_order' names the six components once each", got=text, allowed=" ".join(VOIGT))
        return tuple(names.index(v) for v in VOIGT)

    def sign(self, name: str) -> float:
        """+1 if the file's sign is ours (stress: tension positive; virials: compression positive)."""
        ours = "tension" if name == "stress" else "compression"
        return 1.0 if self.units.get(f"{name}_sign", ours) == ours else -1.0


def _among(unit: str, table: Mapping[str, float], name: str, whole: str | None = None) -> float:
    for known, value in table.items():
        if unit.strip().lower() == known.lower():
            return value
    allowed = " or ".join(table) if whole is None else "energy/length, such as eV/Å, Ha/bohr, kcal/mol/Å"
    raise InputError(f"The unit of '{name}' is not known", got=whole or unit, allowed=allowed)


def volume(atoms: Atoms) -> float | None:
    """Volume in Å^3, None where the cell has not three independent vectors."""
    cell = atoms.cell.array
    v = abs(float(np.linalg.det(cell)))
    return v if v > 1e-9 * float(np.prod(np.linalg.norm(cell, axis=1))) and v > 0 else None


def canonical(frames: Sequence[Atoms], convention: Convention, name: str) -> list[str]:
    """Rename and convert the labels of `frames` in place; returns what was done, in sentences.

    After this each frame has no calculator, and those of `REF_energy` (eV), `REF_forces` (n, 3) eV/Å and `REF_stress`
    (6,) eV/Å^3 for which the file has a value.
    """
    found = _inventory(frames)
    convention = _with_units_of(frames, convention, name)
    sentences, chosen = [], {}
    for label in FIELDS:
        key, text = _chosen(label, found, convention, len(frames), name)
        if key is not None:
            chosen[label] = key
            sentences.append(text + _unit_text(label, key, convention))
        elif text:
            sentences.append(text)
    if not chosen:
        _no_labels(frames, found, convention, name)
        sentences.append("No labels were found: the structures can be used for dynamics and maps, not for training.")
    _convert_positions(frames, convention, sentences)
    told = [_convert(atoms, k, chosen, convention, name) for k, atoms in enumerate(frames)]
    if "no volume" in told:
        sentences.append(
            f"The virials of {told.count('no volume')} structures were left out: without three cell vectors there is "
            "no "
            "volume to make a stress of them."
        )
    if "disagree" in told:
        sentences.append(
            f"In {told.count('disagree')} structures the virials are not minus the stress times the volume: the "
            "stress is "
            "used; look at units and signs."
        )
    return sentences


def _with_units_of(frames: Sequence[Atoms], convention: Convention, name: str) -> Convention:
    """Units that the file itself names (`energy_unit=eV`), unless the user names others."""
    units = dict(convention.units)
    for label in ("energy", "forces", "stress", "virials"):
        said = {str(atoms.info[f"{label}_unit"]) for atoms in frames if f"{label}_unit" in atoms.info}
        if label in units or not said:
            continue
        if len(said) > 1:
            raise InputError(
                f"{name} names several units for '{label}'", got=", ".join(sorted(said)), mend="Split the file"
            )
        units[label] = said.pop()
    return Convention(convention.keys, units)


def _inventory(frames: Sequence[Atoms]) -> dict[tuple[str, str], int]:
    """(scope, key) -> in how many frames."""
    found: dict[tuple[str, str], int] = {}
    for atoms in frames:
        for scope, keys in (("structure", atoms.info), ("atom", atoms.arrays)):
            for key in keys:
                found[scope, key] = found.get((scope, key), 0) + 1
    return found


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


def _no_labels(frames: Sequence[Atoms], found: Mapping, convention: Convention, name: str) -> None:
    """Refuse a file whose labels probably stand under keys that we don't know."""
    if convention.keys:
        return
    first = frames[0]
    suspects = [key for scope, key in found if any(look in key.lower() for look in _LOOKS)]
    for key, values in first.arrays.items():
        if values.ndim == 2 and values.shape[1] == 3 and values.dtype.kind == "f" and key not in _NOT_LABELS:
            suspects.append(key)
    if not suspects:
        return
    info = sorted({k for s, k in found if s == "structure"})
    arrays = sorted({k for s, k in found if s == "atom"} - {"numbers", "positions"})
    raise InputError(
        f"{name} has no labels under the usual names, but others that may be labels: "
        + ", ".join(sorted(set(suspects))),
        got=f"per structure: {', '.join(info) or 'nothing'}; per atom: {', '.join(arrays) or 'nothing'}",
        mend=f"Say which is which, for example keys={{'energy': '{suspects[0]}'}}, or keys={{'energy': None}} to read "
        "none",
    )


def _convert_positions(frames: Sequence[Atoms], convention: Convention, sentences: list[str]) -> None:
    factor = convention.factor("positions")
    if factor == 1.0:
        return
    for atoms in frames:
        atoms.set_cell(atoms.cell.array * factor)
        atoms.positions *= factor
    sentences.append(f"positions and cells: converted from {convention.unit('positions')} to Å.")


def _convert(atoms: Atoms, k: int, chosen: Mapping[str, str], convention: Convention, name: str) -> str:
    """One frame; says "no volume" or "disagree" of its virials, or nothing."""
    atoms.calc = None
    where = f"{name}, frame {k}"
    raw: dict[str, Any] = {}
    for label in FIELDS:
        store = atoms.info if FIELDS[label].scope == "structure" else atoms.arrays
        value = store.pop(chosen[label], None) if label in chosen else None
        # a label that is not to be read must not stay behind under our own name
        store.pop(reference_key(label), None)
        if value is not None:
            raw[label] = value
    if "energy" in raw:
        value = _numbers(raw["energy"], (1,), where, "energy").item() * convention.factor("energy")
        atoms.info[reference_key("energy")] = value * (len(atoms) if convention.per_atom else 1)
    if "forces" in raw:
        forces = _numbers(raw["forces"], (len(atoms), 3), where, "forces")
        atoms.arrays[reference_key("forces")] = forces * convention.factor("forces")
    v = volume(atoms)
    from_virials = -_tensor(raw["virials"], "virials", convention, where) / v if "virials" in raw and v else None
    stress = _tensor(raw["stress"], "stress", convention, where) if "stress" in raw else from_virials
    if stress is None:
        return "no volume" if "virials" in raw else ""
    atoms.info[reference_key("stress")] = stress
    if from_virials is None:
        return ""
    return "disagree" if np.abs(stress - from_virials).max() > 0.01 * np.abs(stress).max() + 1e-6 else ""


def _numbers(value: Any, shape: tuple[int, ...], where: str, label: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where}: the {label} must be numbers", got=repr(value)[:80]) from None
    if array.shape != shape and not (shape == (1,) and array.size == 1):
        raise InputError(f"{where}: the {label} have the wrong shape", got=array.shape, allowed=[shape])
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(np.atleast_1d(array)))[0].tolist()
        raise InputError(
            f"{where}: the {label} hold a value that is not a finite number"
            + (f" (atom {bad[0]})" if shape != (1,) else ""),
            mend="Leave that structure out, or take the label away where it is not known",
        )
    return array


def _tensor(value: Any, label: str, convention: Convention, where: str) -> np.ndarray:
    """Six components xx yy zz yz xz xy of a stress or virial given as 6 or 9 numbers or a 3x3 table."""
    array = np.asarray(value, dtype=object)
    size = array.size
    if size not in (6, 9) or array.shape not in ((6,), (9,), (3, 3)):
        raise InputError(f"{where}: a {label} has 6 numbers, 9 numbers, or 3x3", got=f"shape {array.shape}")
    flat = _numbers(array.ravel().tolist(), (size,), where, label)
    if size == 9:
        full = flat.reshape(3, 3)
        wrong = np.abs(full - full.T).max()
        if wrong > 1e-3 * np.abs(full).max() and wrong > 1e-6:
            raise InputError(
                f"{where}: the {label} is not symmetric", got=full.round(6).tolist(),
                allowed="a 3x3 table symmetric to 1e-3 of its largest component",
                mend="It may be another quantity, or its nine numbers in another order",
            )  # fmt: skip
        full = 0.5 * (full + full.T)
        six = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    else:
        six = flat[list(convention.order)]
    return six * convention.factor(label) * convention.sign(label)
