"""The models by name. A class is imported when it is asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError, nearest

if TYPE_CHECKING:
    from ..potential import Potential

__all__ = ["architecture", "create", "models"]

_REGISTRY = {
    "mace": "mace:MACE",
    "stillinger-weber": "classical:StillingerWeber",
    "lennard-jones": "classical:LennardJones",
    "morse": "classical:Morse",
    "emt": "classical:EMT",
    "mbnn": "mbnn:MBNN",
    "atomft": "atomft:AtomFT",
    "gptff": "gptff:GPTFF",
    "reann": "reann:REANN",
    "equireann": "reann:EquiREANN",
    "dimenetpp": "dimenetpp:DimeNetPP",
}


def architecture(name: str) -> type[Potential]:
    """The class of that name."""
    if name not in _REGISTRY:
        raise InputError(
            "There is no such architecture", got=name, allowed=sorted(_REGISTRY), mend=nearest(name, _REGISTRY)
        )
    module, attribute = _REGISTRY[name].split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def create(name: str, **config: Any) -> Potential:
    """A new potential of the architecture `name`. `elements` may be atomic numbers or symbols."""
    if isinstance(config.get("elements"), Sequence):
        from ase.data import atomic_numbers

        config["elements"] = [atomic_numbers[e] if isinstance(e, str) else int(e) for e in config["elements"]]
    made = architecture(name)
    known = _options(made)
    unknown = [option for option in config if option not in known]
    if unknown:
        raise InputError(f"'{name}' has no option '{unknown[0]}'", allowed=known, mend=nearest(unknown[0], known))
    return made(**config)


def _options(made: type[Potential]) -> list[str]:
    """Names of the options of a class, and of its bases where it hands the rest on to them."""
    names: list[str] = []
    for cls in made.__mro__:
        if "__init__" not in vars(cls):
            continue
        if not getattr(cls, "kind", ""):
            break  # what all models share takes no options of a user
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return names


def models() -> dict[str, str]:
    """Every architecture with the first line of what it says about itself."""
    return {name: (architecture(name).__doc__ or "").strip().splitlines()[0] for name in _REGISTRY}
