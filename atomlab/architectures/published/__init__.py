"""Models of other programs: one file per family, each with `read(path)`, `from_upstream` and `upstream_state`."""

from __future__ import annotations

import importlib
import pickletools
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError

if TYPE_CHECKING:
    from ...potential import Potential
    from .catalogue import Published

__all__ = ["described", "read"]

_FAMILIES = ("mace", "gptff", "reann", "equireann", "dimenetpp")


def read(path: str | Path, **options: Any) -> Potential:
    """The model in a file of mace-torch, GPTFF, REANN or DimeNet++ (.model, .pth, .pt, .npz), found by what is inside.

    Nothing in the file is run. `options` go to the reader of the family. Raises InputError for anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("There is no such file", got=str(path))
    family = "mace" if _is_mace_module(path) else _family(path)
    reader = importlib.import_module(f"{__name__}.{'reann' if family == 'equireann' else family}")
    return reader.read(path, **options)


def described(potential: Potential, entry: Published) -> Potential:
    """The model with a card that tells what its file cannot, from the catalogue.

    That is licence, level of theory, reference, and whether dispersion is in its training labels.
    """
    said = {what: where for what, where in potential.card.contains.items() if where != "unknown"}
    potential.card = replace(
        potential.card,
        name=entry.name,
        licence=entry.licence,
        level_of_theory=entry.level_of_theory,
        reference=entry.reference,
        description=entry.description,
        contains={**entry.contains, **said},
    )
    return potential


def _is_mace_module(path: Path) -> bool:
    """Whether the file pickles a program of mace-torch; its names are listed, not followed."""
    if not zipfile.is_zipfile(path):
        # a `.model` cut short is no zip any more: its reader says so
        return path.suffix == ".model"
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            codes = pickletools.genops(archive.read(names[0])) if names else ()
            return any(code.name == "GLOBAL" and argument.startswith("mace.") for code, argument, _ in codes)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return path.suffix == ".model"


def _family(path: Path) -> str:
    from .files import family_of, read_data, what_is

    data = read_data(path)
    found = family_of(data)
    if found in _FAMILIES:
        return found
    raise InputError(
        "The file is of no program that AtomLab reads", got=f"{path.name}: {what_is(data)}", allowed=_FAMILIES
    )
