"""Which structures atomlab-tiny learns from: crystals of 18 elements and of their pairs, disturbed, and a few others.

Every structure is a line of text that `atomlab.simulate.structures` builds (`bulk:NaCl,crystal=rocksalt,a=5.6,...`), or
a heap of random atoms of `atomlab.analysis.health.structures`, which is where the health checks take theirs from (with
other seeds). Nothing is random but by seeds that come from names: adding a prototype changes no other structure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, combinations_with_replacement, permutations

import numpy as np
from ase import Atoms
from ase.collections import g2
from ase.data import atomic_numbers, covalent_radii

from atomlab.analysis.health.structures import cluster, random_cell
from atomlab.simulate.structures import structure, touching

ELEMENTS = tuple("H Li C N O F Na Mg Al Si S Cl Ca Ti Ni Cu Ge Mo".split())
# These form molecules: crystals of them alone (but carbon's) would be so dense that nothing real is like them.
MOLECULAR = frozenset("H C N O F".split())
UNARY = ("fcc", "bcc", "hcp", "diamond", "sc")
BINARY = ("rocksalt", "zincblende", "cesiumchloride")
ORDERED = ("fluorite", "cu3au")  # AB2 and AB3: both orders of a pair
PEROVSKITES = (("Li", "Na", "Mg", "Ca"), ("Ti", "Mo", "Ni", "Al", "Si", "Ge", "Cu", "Mg"), ("O", "F", "Cl", "S", "N"))
FACETS = {"fcc": ("111", "100"), "bcc": ("110",), "hcp": ("0001",), "diamond": ("100",)}
SCALES = tuple(np.round(np.linspace(0.85, 1.35, 11), 3).tolist())  # by which a prototype's volume is looked for
ROOM = 2.5  # Å^3 per atom that a random cell has at least
# cells along a, b, c that give a prototype's rattled structures about 8 atoms
SUPERCELL = {"hcp": "2x2x1", "fluorite": "2x1x1", "cu3au": "2x1x1", "perovskite": "1x1x1"}


@dataclass(frozen=True)
class Item:
    """One structure: how it is built, what kind of disturbance it has, its prototype, and what must stay together."""

    text: str
    kind: str
    family: str
    group: str

    def build(self) -> Atoms:
        """The structure, positions and cell as they will be written (1e-6 Å)."""
        made = _random(self.text) if self.text.startswith(("random ", "cluster ")) else structure(self.text, _no_file)
        made = Atoms(made.numbers, np.round(made.positions, 6), cell=np.round(made.cell.array, 6), pbc=made.pbc)
        made.info.update(config_type=self.kind, family=self.family, group=self.group, made_by=self.text)
        return made


def solid(*elements: str) -> bool:
    """Whether crystals of these are in the set."""
    return set(elements) == {"C"} or not set(elements) <= MOLECULAR


def crystals() -> Iterator[tuple[str, str]]:
    """(formula, prototype) of all crystals."""
    for prototype in UNARY:
        yield from ((element, prototype) for element in ELEMENTS if solid(element))
    for prototype in BINARY:
        yield from (("".join(pair), prototype) for pair in combinations(ELEMENTS, 2) if solid(*pair))
    for a, b in permutations(ELEMENTS, 2):
        if not solid(a, b):
            continue
        yield f"{a}{b}2", "fluorite"
        yield f"{a}{b}3", "cu3au"
    for a in PEROVSKITES[0]:
        yield from ((f"{a}{b}{x}3", "perovskite") for b in PEROVSKITES[1] for x in PEROVSKITES[2] if a != b)


@cache
def _touching(formula: str, prototype: str) -> float:
    return touching(formula, prototype)


def guess(formula: str, prototype: str, scale: float = 1.0, options: str = "") -> str:
    """The text of a primitive cell: `scale` 1 lets its closest pairs touch."""
    a = _touching(formula, prototype) * scale
    return f"bulk:{formula},crystal={prototype},a={a:.4f},cubic=false{options}"


def items(scales: Mapping[str, float]) -> Iterator[Item]:
    """All structures. scales: by 'prototype-formula', the teacher's equilibrium lattice constant by `touching`."""
    for formula, prototype in crystals():
        group = f"{prototype}-{formula}"
        for kind, options in _disturbed(prototype, group):
            yield Item(guess(formula, prototype, scales[group], options), kind, prototype, group)
    yield from _slabs(scales)
    yield from _molecules()
    yield from _dimers()
    yield from _heaps()
    for element in ELEMENTS:
        yield Item(f"atom:{element}", "atom", "atom", f"atom-{element}")


def squeezed(scales: Mapping[str, float]) -> Iterator[Item]:
    """For the second stage: primitive cells and random cells down to 0.58 of their length, where a model that has not
    seen any falls into holes."""
    for formula, prototype in crystals():
        if prototype not in ("fcc", "diamond", "rocksalt", "zincblende"):
            continue
        group = f"{prototype}-{formula}"
        rng = _rng(f"squeezed-{group}")
        for scale in rng.uniform(0.58, 0.82, 5 if prototype in UNARY else 2):
            options = f",scale={scale:.4f},strain=0.01,rattle=0.03,seed={int(rng.integers(10**6))}"
            yield Item(guess(formula, prototype, scales[group], options), "squeezed", prototype, group)
    for k in range(240):
        rng = _rng(f"squeezed-{k}")
        chosen = rng.choice(ELEMENTS, int(rng.integers(1, 4)), replace=False)
        text = f"random {' '.join(chosen)} {int(rng.integers(3, 7))} {rng.uniform(0.58, 0.85):.4f} {5000 + k}"
        made = _random(text)
        if made.get_volume() > ROOM * len(made):
            yield Item(text, "squeezed", "random", f"squeezed-{k}")


def _disturbed(prototype: str, group: str) -> Iterator[tuple[str, str]]:
    """Kinds of disturbance of one crystal, with their options."""
    rng = _rng(group)
    size = SUPERCELL.get(prototype, "2x2x2" if prototype in UNARY else "2x2x1")
    if prototype in UNARY:
        kinds = ["strained"] * 4 + ["compressed"] * 3 + ["expanded"] * 2 + ["rattled"] * 5 + ["vacancy"] * 2
    elif prototype in BINARY:
        kinds = ["strained", "compressed", "rattled", "rattled", *rng.choice(["vacancy", "expanded"], 1)]
    elif prototype in ORDERED:
        kinds = ["rattled", *rng.choice(["strained", "compressed", "expanded"], 1)]
    else:
        kinds = ["strained", "rattled", *rng.choice(["compressed", "expanded"], 1)]
    for kind in kinds:
        seed = int(rng.integers(10**6))
        scale, rattle = rng.uniform(0.96, 1.06), rng.uniform(0.04, 0.35)
        yield (
            kind,
            {
                "strained": f",scale={scale:.4f},strain=0.06,seed={seed}",
                "compressed": f",scale={rng.uniform(0.78, 0.95):.4f},strain=0.03,rattle=0.04,seed={seed}",
                "expanded": f",scale={rng.uniform(1.06, 1.3):.4f},strain=0.03,rattle=0.04,seed={seed}",
                "rattled": f",size={size},scale={scale:.4f},strain=0.03,rattle={rattle:.3f},seed={seed}",
                "vacancy": f",size={size},scale={scale:.4f},vacancies=1,rattle=0.08,seed={seed}",
            }[kind],
        )


def _slabs(scales: Mapping[str, float]) -> Iterator[Item]:
    for prototype, facets in FACETS.items():
        for element in filter(solid, ELEMENTS):
            group = f"{prototype}-{element}"
            a = _touching(element, prototype) * scales[group]
            for facet in facets:
                rng = _rng(f"slab-{facet}-{group}")
                for layers in (4, 4, 6):
                    options = f"facet={facet},a={a:.4f},size=1x1x{layers},vacuum=7,rattle={rng.uniform(0.01, 0.25):.3f}"
                    text = f"slab:{element},crystal={prototype},{options},seed={int(rng.integers(10**6))}"
                    yield Item(text, "slab", prototype, group)


def _molecules() -> Iterator[Item]:
    from ase.build import molecule

    for name in g2.names:
        if len(made := molecule(name)) < 2 or not set(made.symbols) <= set(ELEMENTS):
            continue
        rng = _rng(f"molecule-{name}")
        for _ in range(6):
            scale, rattle = rng.uniform(0.9, 1.15), rng.uniform(0.0, 0.15)
            text = f"molecule:{name},scale={scale:.4f},rattle={rattle:.3f},seed={int(rng.integers(10**6))}"
            yield Item(text, "molecule", "molecule", f"molecule-{made.get_chemical_formula()}")


def _dimers() -> Iterator[Item]:
    for pair in combinations_with_replacement(ELEMENTS, 2):
        touch = sum(covalent_radii[atomic_numbers[element]] for element in pair)
        name = "".join(pair)
        near = np.linspace(0.5, 1.0, 6) + _rng(f"dimer-{name}").uniform(-0.03, 0.03, 6)
        for r in [*(near * touch), *np.linspace(1.2 * touch, max(5.0, 1.4 * touch), 4)]:
            if r < 5.5:
                yield Item(f"dimer:{name},distance={r:.4f}", "dimer", "dimer", f"dimer-{name}")


def _heaps() -> Iterator[Item]:
    """Cells and clusters of random atoms: 1 to 4 elements at random."""
    for k in range(900):
        kind = "cluster" if k % 3 == 2 else "random"
        rng = _rng(f"{kind}-{k}")
        chosen = rng.choice(ELEMENTS, int(rng.integers(1, 5)), replace=False)
        text = f"{kind} {' '.join(chosen)} {int(rng.integers(4, 11))} {rng.uniform(0.85, 1.2):.4f} {1000 + k}"
        made = _random(text)
        if kind == "cluster" or made.get_volume() > ROOM * len(made):
            yield Item(text, kind, kind, f"{kind}-{k}")


def _random(text: str) -> Atoms:
    kind, *elements, size, scale, seed = text.split()
    numbers = [atomic_numbers[element] for element in elements]
    made = (random_cell if kind == "random" else cluster)(numbers, int(size), int(seed))
    made.set_cell(made.cell.array * float(scale))
    made.positions *= float(scale)
    return made


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _no_file(path: str) -> list[Atoms]:
    raise FileNotFoundError(path)
