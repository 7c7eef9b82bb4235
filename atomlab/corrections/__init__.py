"""Terms that are added to any potential with `Sum`, which refuses to add one twice: ZBL repulsion, D3 dispersion.

In the name of a model they are words after it: `si-base+zbl`, `mace-mpa-0-medium+d3:pbe`. No torch is imported here.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, nearest

if TYPE_CHECKING:
    from ..potential import Potential

__all__ = ["KINDS", "corrected", "correction", "split"]

_REGISTRY = {"d3": "d3:D3", "zbl": "zbl:ZBL"}
KINDS = tuple(_REGISTRY)
_WORDS = re.compile(r"(?P<name>.+?)(?P<words>(?:\+[a-zA-Z]\w*(?::[^+/]*)?)+)")


def correction(kind: str) -> type[Potential]:
    """The class of a correction, imported when it is asked for."""
    if kind not in _REGISTRY:
        raise InputError("There is no such correction", got=kind, allowed=KINDS, mend=nearest(kind, KINDS))
    module, attribute = _REGISTRY[kind].split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def split(text: str | os.PathLike[str]) -> tuple[str, tuple[str, ...]]:
    """The name or path of a model, and the corrections after it: 'si-base+d3:pbe+zbl' -> 'si-base', ('d3:pbe', 'zbl').

    A file of that very name is itself. Raises InputError for a word that is no correction.
    """
    text = os.fspath(text)
    found = _WORDS.fullmatch(text)
    if found is None or Path(text).exists():
        return text, ()
    words = tuple(found["words"][1:].split("+"))
    for word in words:
        kind = word.split(":")[0]
        if kind not in _REGISTRY:
            raise InputError(
                f"There is no correction '{kind}' to add to a model, and no file '{text}'",
                allowed=[f"+{k}" for k in KINDS],
                mend=nearest(kind, KINDS),
            )
    return found["name"], words


def corrected(main: Potential, words: Sequence[str]) -> Potential:
    """`Sum` of a model and the corrections of `split`; refuses, in words, what the model already contains."""
    from ..potential import Sum

    if not words:
        return main
    extra = []
    for word in words:
        kind, *values = word.split(":")
        extra.append(correction(kind).for_model(main, *values))  # type: ignore[attr-defined]
    return Sum(main, *extra)
