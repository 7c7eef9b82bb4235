"""Structures to start from, by one line of text: a file, a frame of a data set, or built in.

relaxed.extxyz            a file; its last frame, or relaxed.extxyz#3
sw-ge#12                  a frame of a data set
bulk:Ge,size=2x2x2        a crystal; crystal=diamond, a=5.66 (Å), cubic=false
bulk:CaTiO3,crystal=perovskite,a=3.9      also cu3au (Au first: the corner of the cube), and all that ASE's `bulk` knows
slab:Si,facet=111         a surface; size=2x2x4 (the last is layers), vacuum=10 (Å each side), a=5.43
molecule:H2O              from the G2 set; vacuum=5 puts it into a periodic box with 5 Å to each side
dimer:SiO,distance=1.6    two atoms; distance in Å, by default the sum of their covalent radii
atom:Si                   one atom in empty space

All but `atom` and `dimer` can be disturbed, in this order: scale=0.95 (all lengths), strain=0.03 (each of the six
components drawn evenly from ±0.03; only bulk), vacancies=1 (atoms taken out), rattle=0.1 (Å, standard deviation
of each coordinate); seed=7 draws others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ase import Atoms

from ..errors import InputError, nearest

__all__ = ["disturbed", "repeated", "structure", "touching"]

_BUILT_IN = ("bulk", "slab", "molecule", "dimer", "atom")
# cubic prototypes that ASE's `bulk` lacks: places in the order of the formula's atoms
_CUBIC = {
    "perovskite": ((0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)),
    "cu3au": ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)),
}


def structure(text: str, read: Callable[[str], Any]) -> Atoms:
    """The structure that `text` names. `read(path)` gives the frames of a file or of a data set."""
    kind, colon, rest = text.partition(":")
    if colon and re.fullmatch(r"[a-z]{2,}", kind) and "/" not in text and "\\" not in text:
        if kind not in _BUILT_IN:
            raise InputError(
                "There is no such kind of structure", got=kind, allowed=_BUILT_IN, mend=nearest(kind, _BUILT_IN)
            )
        name, *texts = rest.split(",")
        options = _options(kind, texts)
        made = _MAKERS[kind](name.strip(), options)
        how = {key: options[key] for key in _DISTURB if key in options}
        return disturbed(made, **how) if how else made
    source, hash_, index = text.rpartition("#")
    frames = read(source if hash_ else text)
    if hash_ and not re.fullmatch(r"-?\d+", index):
        raise InputError("After '#' stands the number of a frame", got=index)
    number = int(index) if hash_ else -1
    if not -len(frames) <= number < len(frames):
        raise InputError("There is no such frame", got=number, allowed=f"0 to {len(frames) - 1} in {source or text}")
    return frames[number].copy()


_DISTURB: dict[str, Callable[[str], Any]] = {
    "scale": float, "strain": float, "vacancies": int, "rattle": float, "seed": int,
}  # fmt: skip
_NO_CELL = {key: read for key, read in _DISTURB.items() if key != "strain"}
_KNOWN: dict[str, dict[str, Callable[[str], Any]]] = {
    "bulk": {
        "crystal": str, "a": float, "c": float, "cubic": lambda t: _yes(t), "size": lambda t: _size(t), **_DISTURB,
    },
    "slab": {
        "crystal": str, "facet": str, "a": float, "c": float, "vacuum": float, "size": lambda t: _size(t), **_NO_CELL,
    },
    "molecule": {"vacuum": float, **_NO_CELL},
    "dimer": {"distance": float},
    "atom": {},
}  # fmt: skip


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


def disturbed(
    atoms: Atoms, scale: float = 1.0, strain: float = 0.0, vacancies: int = 0, rattle: float = 0.0, seed: int = 0
) -> Atoms:
    """A copy that is scaled (all lengths), strained, has lost atoms, and is rattled, in this order.

    strain: each of the six components is drawn evenly from ±strain. vacancies: atoms taken out. rattle: standard
    deviation of each coordinate in Å. The random numbers are those of `seed`.
    """
    if scale <= 0 or not 0 <= strain < 1 or rattle < 0 or seed < 0:
        got = f"scale={scale}, strain={strain}, rattle={rattle}, seed={seed}"
        raise InputError("A disturbance needs scale > 0, 0 <= strain < 1, rattle >= 0 and seed >= 0", got=got)
    if not 0 <= vacancies < len(atoms):
        raise InputError("There are not so many atoms to take out", got=vacancies, allowed=f"0 to {len(atoms) - 1}")
    made, rng = atoms.copy(), np.random.default_rng(seed)
    xx, yy, zz, yz, xz, xy = rng.uniform(-strain, strain, 6)
    change = scale * (np.eye(3) + np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))
    made.set_cell(made.cell.array @ change)
    made.positions = made.positions @ change
    del made[rng.permutation(len(made))[:vacancies].tolist()]
    made.positions += rng.normal(scale=rattle, size=made.positions.shape)
    return made


def touching(name: str, crystal: str) -> float:
    """The lattice constant a (Å) at which the closest pairs of a crystal touch: are the sum of their covalent radii
    apart. A first guess where nothing better is known."""
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    made = _bulk(name, {"crystal": crystal, "a": 4.0, "cubic": False})
    i, j, d = neighbor_list("ijd", made, 6.0)
    radii = covalent_radii[made.numbers]
    return 4.0 * float(((radii[i] + radii[j]) / d).max())


def _bulk(name: str, options: Mapping[str, Any]) -> Atoms:
    from ase.build import bulk

    if options.get("crystal") in _CUBIC:
        return _cubic(name, options)
    keywords = {key: options[key] for key in ("a", "c") if key in options}
    if options.get("cubic", True) and _has_cubic(name, options):
        keywords["cubic"] = True
    made = _tried("bulk", name, lambda: bulk(name, options.get("crystal"), **keywords))
    return made.repeat(options.get("size", (1, 1, 1)))


def _cubic(name: str, options: Mapping[str, Any]) -> Atoms:
    """One of the cubic prototypes of our own."""
    from ase.symbols import string2symbols

    crystal, places = options["crystal"], _CUBIC[options["crystal"]]
    symbols = _tried("bulk", name, lambda: string2symbols(name))
    if "a" not in options or len(symbols) != len(places):
        got = f"{name} with {len(symbols)} atoms" + ("" if "a" in options else ", no a")
        mend = "Write it as in bulk:CaTiO3,crystal=perovskite,a=3.9"
        raise InputError(
            f"A cell of {crystal} needs {len(places)} atoms in its formula, and a in Å", got=got, mend=mend
        )
    made = Atoms(symbols, scaled_positions=places, cell=[options["a"]] * 3, pbc=True)
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
    lattice = {key: options.get(key) for key in ("a", "c") if key == "a" or key in options}
    made = _tried("slab", name, lambda: maker(name, size=size, vacuum=vacuum, **lattice))
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


def _dimer(name: str, options: Mapping[str, Any]) -> Atoms:
    from ase.data import covalent_radii
    from ase.symbols import string2symbols

    symbols = _tried("dimer", name, lambda: string2symbols(name))
    if len(symbols) != 2:
        raise InputError("A dimer has two atoms", got=name, allowed="such as dimer:SiO or dimer:Si2")
    made = Atoms(symbols, [[0, 0, 0], [0, 0, 1]])
    made.positions[1, 2] = options.get("distance", covalent_radii[made.numbers].sum())
    if not made.positions[1, 2] > 0:
        raise InputError("The distance of a dimer is more than 0 Å", got=options["distance"])
    return made


def _atom(name: str, options: Mapping[str, Any]) -> Atoms:
    made = _tried("atom", name, lambda: Atoms(name))
    if len(made) != 1:
        raise InputError("An atom is one element", got=name, allowed="such as atom:Si")
    return made


def _tried(kind: str, name: str, make: Callable[[], Atoms]) -> Atoms:
    try:
        return make()
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        mend = "Give crystal= and a=, or the structure as a file" if kind in ("bulk", "slab") else "Look at its name"
        raise InputError(f"{kind}:{name} cannot be built: {error}", mend=mend) from error


_MAKERS: dict[str, Callable[[str, Mapping[str, Any]], Atoms]] = {
    "bulk": _bulk, "slab": _slab, "molecule": _molecule, "dimer": _dimer, "atom": _atom,
}  # fmt: skip
