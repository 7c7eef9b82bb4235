"""From what a file calls things to `REF_energy`, `REF_forces`, `REF_stress`: keys, units, signs and shapes.

The only place where labels are converted. Nothing is guessed about units: they are eV, eV/Å and eV/Å^3 (tension
positive) unless the user says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from .. import units as U
from ..errors import InputError, nearest
from ..fields import FIELDS, reference_key

__all__ = ["Convention", "LABELS", "convert_frame", "volume"]

LABELS = ("energy", "forces", "stress")
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
_SIGNS = ("tension", "compression")
_OPTIONS = ("energy", "forces", "stress", "virials", "positions", "stress_sign", "virials_sign", "stress_order")


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


def convert_frame(atoms: Atoms, k: int, chosen: Mapping[str, str], convention: Convention, name: str) -> str:
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
