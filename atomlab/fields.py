"""The table of every labelled quantity: its name, what it belongs to, its shape, unit, sign and meaning.

`stress` and `virials` are two rows, since they differ in sign and by the volume: virials = -stress * volume.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIELDS", "Field", "PREFIX", "reference_key"]

PREFIX = "REF_"


@dataclass(frozen=True)
class Field:
    """One labelled quantity. `scope` is 'structure' or 'atom'; `shape` is that of one structure's or atom's value."""

    name: str
    scope: str
    shape: tuple[int, ...]
    unit: str
    meaning: str
    aliases: tuple[str, ...] = ()


_ROWS = (
    Field("energy", "structure", (), "eV", "potential energy of the structure",
          ("REF_energy", "energy", "dft_energy", "DFT_energy", "E", "total_energy", "free_energy", "Energy")),
    Field("forces", "atom", (3,), "eV/Å", "minus the gradient of the energy in the positions",
          ("REF_forces", "forces", "force", "dft_forces", "DFT_forces", "F", "Forces")),
    Field("stress", "structure", (6,), "eV/Å^3", "dE/dstrain / volume, Voigt order xx yy zz yz xz xy, tension positive",
          ("REF_stress", "stress", "dft_stress", "DFT_stress", "Stress")),
    Field("virials", "structure", (3, 3), "eV", "-dE/dstrain: minus the stress times the volume",
          ("REF_virials", "REF_virial", "virials", "virial", "dft_virial", "dft_virials")),
)  # fmt: skip

FIELDS: dict[str, Field] = {field.name: field for field in _ROWS}


def reference_key(name: str) -> str:
    """The key under which a label of that name stands in `atoms.info` or `atoms.arrays`: `REF_energy` for `energy`."""
    return PREFIX + FIELDS[name].name
