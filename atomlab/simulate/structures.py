"""Structures to start from, by one line of text: a file, a frame of a data set, or built in.

relaxed.extxyz            a file; its last frame, or relaxed.extxyz#3
sw-ge#12                  a frame of a data set
bulk:Ge,size=2x2x2        a crystal; crystal=diamond, a=5.66 (Å), cubic=false
slab:Si,facet=111         a surface; size=2x2x4 (the last is layers), vacuum=10 (Å each side), a=5.43
molecule:H2O              from the G2 set; vacuum=5 puts it into a periodic box with 5 Å to each side
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ase import Atoms

from ..errors import InputError, nearest

__all__ = ["repeated", "structure"]

_BUILT_IN = ("bulk", "slab", "molecule")


def structure(text: str, read: Callable[[str], Any]) -> Atoms:
    """The structure that `text` names. `read(path)` gives the frames of a file or of a data set."""
    kind, colon, rest = text.partition(":")
    if colon and re.fullmatch(r"[a-z]{2,}", kind) and "/" not in text and "\\" not in text:
        if kind not in _BUILT_IN:
            raise InputError(
                "There is no such kind of structure", got=kind, allowed=_BUILT_IN, mend=nearest(kind, _BUILT_IN)
            )
        name, *options = rest.split(",")
        return _MAKERS[kind](name.strip(), _options(kind, options))
    source, hash_, index = text.rpartition("#")
    frames = read(source if hash_ else text)
    if hash_ and not re.fullmatch(r"-?\d+", index):
        raise InputError("After '#' stands the number of a frame", got=index)
    number = int(index) if hash_ else -1
    if not -len(frames) <= number < len(frames):
        raise InputError("There is no such frame", got=number, allowed=f"0 to {len(frames) - 1} in {source or text}")
    return frames[number].copy()


_KNOWN: dict[str, dict[str, Callable[[str], Any]]] = {
    "bulk": {"crystal": str, "a": float, "c": float, "cubic": lambda t: _yes(t), "size": lambda t: _size(t)},
    "slab": {"crystal": str, "facet": str, "a": float, "vacuum": float, "size": lambda t: _size(t)},
    "molecule": {"vacuum": float},
}


def _options(kind: str, texts: list[str]) -> dict[str, Any]:
    known, out = _KNOWN[kind], {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or name not in known:
            raise InputError(f"{kind} knows no such option", got=text, allowed=known, mend=nearest(name, known))
        try:
            out[name] = known[name](value)
        except ValueError as error:
            raise InputError(f"The option '{name}' of {kind} cannot be read", got=value) from error
    return out


def _size(text: str) -> tuple[int, int, int]:
    parts = [int(p) for p in text.split("x")]
    if len(parts) != 3 or min(parts) < 1:
        raise ValueError("three numbers from 1 on, as in 2x2x2")
    return parts[0], parts[1], parts[2]


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no"):
        raise ValueError("true or false")
    return text.lower() in ("true", "yes")


def repeated(atoms: Atoms, text: str) -> Atoms:
    """`atoms` repeated along its cell vectors: 2x2x1."""
    try:
        size = _size(text)
    except ValueError as error:
        raise InputError("A supercell is written as 2x2x1", got=text) from error
    missing = [axis for axis, n in zip("abc", size) if n > 1 and not atoms.cell.lengths()["abc".index(axis)] > 0]
    if missing:
        raise InputError(f"The structure has no cell vector {missing[0]} along which it could be repeated", got=text)
    return atoms if size == (1, 1, 1) else atoms.repeat(size)


def _bulk(name: str, options: Mapping[str, Any]) -> Atoms:
    from ase.build import bulk

    keywords = {key: options[key] for key in ("a", "c") if key in options}
    if options.get("cubic", True) and _has_cubic(name, options):
        keywords["cubic"] = True
    made = _tried("bulk", name, lambda: bulk(name, options.get("crystal"), **keywords))
    return made.repeat(options.get("size", (1, 1, 1)))


def _has_cubic(name: str, options: Mapping[str, Any]) -> bool:
    """Whether the crystal has a conventional cubic cell (hcp has none)."""
    from ase.data import atomic_numbers, reference_states

    crystal = options.get("crystal")
    if crystal is None and name in atomic_numbers:
        crystal = (reference_states[atomic_numbers[name]] or {}).get("symmetry")
    return crystal in ("fcc", "bcc", "sc", "diamond", "zincblende", "rocksalt", "fluorite", "cesiumchloride")


def _slab(name: str, options: Mapping[str, Any]) -> Atoms:
    import ase.build
    from ase.data import atomic_numbers, reference_states

    state = reference_states[atomic_numbers[name]] if name in atomic_numbers else None
    crystal = options.get("crystal") or (state or {}).get("symmetry")
    facet = options.get("facet", "111" if crystal in ("diamond", "fcc") else "110" if crystal == "bcc" else "0001")
    maker = getattr(ase.build, f"{crystal}{facet}", None)
    if maker is None:
        raise InputError(
            "There is no builder for this surface", got=f"{name}, {crystal}, facet {facet}",
            allowed="fcc 100 110 111 211, bcc 100 110 111, hcp 0001 10m10, diamond 100 111",
            mend="Build it with ASE and give it as a file",
        )  # fmt: skip
    size, vacuum = options.get("size", (2, 2, 4)), options.get("vacuum", 10.0)
    made = _tried("slab", name, lambda: maker(name, size=size, a=options.get("a"), vacuum=vacuum))
    made.pbc = (True, True, False)
    return made


def _molecule(name: str, options: Mapping[str, Any]) -> Atoms:
    from ase.build import molecule
    from ase.collections import g2

    if name not in g2.names:
        raise InputError("This molecule is not built in", got=name, mend=nearest(name, g2.names) or "Give it as a file")
    made = molecule(name)
    if "vacuum" in options:
        made.center(vacuum=options["vacuum"])
        made.pbc = True
    return made


def _tried(kind: str, name: str, make: Callable[[], Atoms]) -> Atoms:
    try:
        return make()
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        raise InputError(
            f"{kind}:{name} cannot be built: {error}", mend="Give crystal= and a=, or the structure as a file"
        ) from error


_MAKERS: dict[str, Callable[[str, Mapping[str, Any]], Atoms]] = {"bulk": _bulk, "slab": _slab, "molecule": _molecule}
