"""Which structures atomlab-tiny learns from: crystals of 18 elements and of their pairs, disturbed; molecules; heaps.

Every structure is a line of text that `atomlab.simulate.structures` builds (`bulk:NaCl,crystal=rocksalt,a=5.6,...`), or
one of four kinds that are built here: heaps of random atoms of `atomlab.analysis.health.structures` (`random`,
`cluster`), which is where the health checks take theirs from (with other seeds), lattices whose sites random elements
share (`alloy`), and molecules whose elements are swapped for others (`swapped`). Nothing is random but by seeds that
come from names: adding a prototype changes no other structure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations, combinations_with_replacement, permutations

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from ase.data import atomic_numbers, covalent_radii

from atomlab.analysis.health.structures import cluster, random_cell
from atomlab.simulate.structures import disturbed, structure, touching

ELEMENTS = tuple("H Li C N O F Na Mg Al Si S Cl Ca Ti Ni Cu Ge Mo".split())
# These form molecules: crystals of them alone (but carbon's) would be so dense that nothing real is like them.
MOLECULAR = frozenset("H C N O F".split())
UNARY = ("fcc", "bcc", "hcp", "diamond", "sc")
BINARY = ("rocksalt", "zincblende", "cesiumchloride", "wurtzite")
ORDERED = ("fluorite", "cu3au")  # AB2 and AB3: both orders of a pair
PEROVSKITES = (
    ("Li", "Na", "Mg", "Ca", "Al", "Ni", "Cu", "Ge"),
    ("Li", "Mg", "Al", "Si", "Ca", "Ti", "Ni", "Cu", "Ge", "Mo"),
    ("H", "C", "N", "O", "F", "S", "Cl"),
)
COVALENT = ("H", "C", "N", "O", "F", "Si", "S", "Cl")  # for heaps and swapped molecules like those that exist
HEAPS, COVALENT_HEAPS, ALLOYS = 6000, 1500, 3000  # how many are drawn
FACETS = {"fcc": ("111", "100"), "bcc": ("110",), "hcp": ("0001",), "diamond": ("100",)}
SCALES = tuple(np.round(np.linspace(0.85, 1.35, 11), 3).tolist())  # by which a prototype's volume is looked for
ROOM = 2.5  # Å^3 per atom that random cells and alloys have at least
# cells along a, b, c that give a prototype's rattled structures about 8 atoms
SUPERCELL = {"hcp": "2x2x1", "wurtzite": "2x1x1", "fluorite": "2x1x1", "cu3au": "2x1x1", "perovskite": "1x1x1"}
SITES = {"fcc": "2x2x1", "bcc": "2x2x1", "sc": "2x2x1", "hcp": "2x1x1", "diamond": "2x1x1"}  # 4 sites of an alloy


@dataclass(frozen=True)
class Item:
    """One structure: how it is built, what kind of disturbance it has, its prototype, and what must stay together."""

    text: str
    kind: str
    family: str
    group: str

    @property
    def too_dense(self) -> bool:
        """Whether it is a random cell or an alloy with hardly any room, where the teacher's graph would have no end."""
        made = self.build() if self.text.startswith(("random ", "alloy ")) else None
        return made is not None and made.get_volume() <= ROOM * len(made)

    def build(self) -> Atoms:
        """The structure, positions and cell as they will be written (1e-6 Å)."""
        own = _BUILT_HERE.get(self.text.split()[0])
        made = own(self.text) if own else structure(self.text, _no_file)
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
        name = f"{prototype}-{formula}"
        for k, (kind, options) in enumerate(_disturbed(prototype, name)):
            group = f"{name}-{k}" if prototype in UNARY else name
            yield Item(guess(formula, prototype, scales[name], options), kind, prototype, group)
    yield from _squeezed(scales)
    yield from _slabs(scales)
    yield from _molecules()
    yield from _swaps()
    yield from _dimers()
    yield from _heaps()
    yield from _alloys()
    for element in ELEMENTS:
        yield Item(f"atom:{element}", "atom", "atom", f"atom-{element}")


def _squeezed(scales: Mapping[str, float]) -> Iterator[Item]:
    """Primitive cells and random cells down to 0.58 of their length: a model that has not seen any falls into holes."""
    for formula, prototype in crystals():
        if prototype not in ("fcc", "diamond", "rocksalt", "zincblende"):
            continue
        name = f"{prototype}-{formula}"
        rng = _rng(f"squeezed-{name}")
        for k, scale in enumerate(rng.uniform(0.58, 0.82, 5 if prototype in UNARY else 2)):
            options = f",scale={scale:.4f},strain=0.01,rattle=0.03,seed={int(rng.integers(10**6))}"
            group = f"{name}-squeezed-{k}" if prototype in UNARY else name
            yield Item(guess(formula, prototype, scales[name], options), "squeezed", prototype, group)
    for k in range(240):
        rng = _rng(f"squeezed-{k}")
        chosen = rng.choice(ELEMENTS, int(rng.integers(1, 4)), replace=False)
        text = f"random {' '.join(chosen)} {int(rng.integers(3, 7))} {rng.uniform(0.58, 0.85):.4f} {5000 + k}"
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
            name = f"{prototype}-{element}"
            a = _touching(element, prototype) * scales[name]
            for facet in facets:
                rng = _rng(f"slab-{facet}-{name}")
                for k, layers in enumerate((4, 4, 6)):
                    options = f"facet={facet},a={a:.4f},size=1x1x{layers},vacuum=7,rattle={rng.uniform(0.01, 0.25):.3f}"
                    text = f"slab:{element},crystal={prototype},{options},seed={int(rng.integers(10**6))}"
                    yield Item(text, "slab", "slab", f"slab-{facet}-{name}-{k}")


def _g2() -> Iterator[tuple[str, Atoms]]:
    """Names and atoms of the molecules of the G2 set that have more than one atom and no other element."""
    for name in g2.names:
        if len(made := molecule(name)) > 1 and set(made.symbols) <= set(ELEMENTS):
            yield name, made


def _molecules() -> Iterator[Item]:
    for name, made in _g2():
        few, far = _rng(f"molecule-{name}"), _rng(f"molecule-{name}-far")
        drawn = [(few, 0.9, 1.15, 0.0, 0.15)] * 6 + [(far, 0.85, 1.2, 0.05, 0.25)] * 4
        for rng, low, high, least, most in drawn:
            scale, rattle = rng.uniform(low, high), rng.uniform(least, most)
            text = f"molecule:{name},scale={scale:.4f},rattle={rattle:.3f},seed={int(rng.integers(10**6))}"
            yield Item(text, "molecule", "molecule", f"molecule-{made.get_chemical_formula()}")


def _swaps() -> Iterator[Item]:
    """Molecules of the G2 set with one or two of their elements swapped for others; grouped by what comes out."""
    for name, made in _g2():
        rng, symbols = _rng(f"swapped-{name}"), sorted(set(made.symbols))
        for _ in range(12):
            gone = rng.choice(symbols, int(rng.integers(1, min(len(symbols), 2) + 1)), replace=False)
            new = {old: str(rng.choice([e for e in COVALENT if e != old])) for old in gone}
            swaps = " ".join(f"{old}:{to}" for old, to in new.items())
            formula = Atoms([new.get(e, e) for e in made.symbols]).get_chemical_formula()
            scale, rattle = rng.uniform(0.9, 1.15), rng.uniform(0.0, 0.2)
            text = f"swapped {name} {swaps} {scale:.4f} {rattle:.3f} {int(rng.integers(10**6))}"
            yield Item(text, "swapped", "molecule", f"molecule-{formula}")


def _dimers() -> Iterator[Item]:
    for pair in combinations_with_replacement(ELEMENTS, 2):
        touch = sum(covalent_radii[atomic_numbers[element]] for element in pair)
        name = "".join(pair)
        near = np.linspace(0.5, 1.0, 6) + _rng(f"dimer-{name}").uniform(-0.03, 0.03, 6)
        more = _rng(f"dimer-{name}-more").uniform(0.5, 1.7, 8)
        distances = [*(near * touch), *np.linspace(1.2 * touch, max(5.0, 1.4 * touch), 4), *(more * touch)]
        for k, r in enumerate(distances):
            if r < 5.5:
                yield Item(f"dimer:{name},distance={r:.4f}", "dimer", "dimer", f"dimer-{name}-{k}")


def _heaps() -> Iterator[Item]:
    """Cells and clusters of random atoms: 1 to 4 elements at random, or 2 to 4 of those that form molecules."""
    for k in range(HEAPS):
        kind = "cluster" if k % 3 == 2 else "random"
        rng = _rng(f"{kind}-{k}")
        chosen = rng.choice(ELEMENTS, int(rng.integers(1, 5)), replace=False)
        text = f"{kind} {' '.join(chosen)} {int(rng.integers(4, 11))} {rng.uniform(0.85, 1.2):.4f} {1000 + k}"
        yield Item(text, kind, kind, f"{kind}-{k}")
    for k in range(COVALENT_HEAPS):
        kind, rng = "random" if k % 3 == 2 else "cluster", _rng(f"covalent-{k}")
        chosen = rng.choice(COVALENT, int(rng.integers(2, 5)), replace=False)
        text = f"{kind} {' '.join(chosen)} {int(rng.integers(4, 10))} {rng.uniform(0.85, 1.2):.4f} {100000 + k}"
        yield Item(text, kind, kind, f"covalent-{k}")


def _alloys() -> Iterator[Item]:
    for k in range(ALLOYS):
        rng = _rng(f"alloy-{k}")
        chosen = rng.choice(ELEMENTS, int(rng.integers(2, 5)), replace=False)
        prototype, scale, rattle = rng.choice(list(SITES)), rng.uniform(0.85, 1.2), rng.uniform(0.02, 0.3)
        if solid(*chosen):
            text = f"alloy {prototype} {' '.join(chosen)} {scale:.4f} {rattle:.3f} {200000 + k}"
            yield Item(text, "alloy", "alloy", f"alloy-{k}")


def _heap(text: str) -> Atoms:
    kind, *elements, size, scale, seed = text.split()
    numbers = [atomic_numbers[element] for element in elements]
    made = (random_cell if kind == "random" else cluster)(numbers, int(size), int(seed))
    made.set_cell(made.cell.array * float(scale))
    made.positions *= float(scale)
    return made


def _alloy(text: str) -> Atoms:
    """A lattice whose 4 sites the elements share at random; with `scale` 1 average atoms touch."""
    _, prototype, *elements, scale, rattle, seed = text.split()
    made = structure(f"bulk:{elements[0]},crystal={prototype},a=4,cubic=false,size={SITES[prototype]}", _no_file)
    rng = np.random.default_rng(int(seed))
    made.symbols = rng.permutation([*elements, *rng.choice(elements, len(made) - len(elements))]).tolist()
    d = made.get_all_distances(mic=True)
    grown = float(scale) * 2 * covalent_radii[made.numbers].mean() / d[d > 0.1].min()
    return disturbed(made, scale=grown, strain=0.05, rattle=float(rattle), seed=int(seed))


def _swapped(text: str) -> Atoms:
    """A molecule with other elements in the old ones' places, grown as its bonds do on average."""
    _, name, *swaps, scale, rattle, seed = text.split()
    made, new = molecule(name), dict(swap.split(":") for swap in swaps)
    before = covalent_radii[made.numbers]
    bonded = made.get_all_distances() < 1.4 * (before[:, None] + before)
    np.fill_diagonal(bonded, False)
    made.symbols = [new.get(symbol, symbol) for symbol in made.symbols]
    after = covalent_radii[made.numbers]
    grown = ((after[:, None] + after) / (before[:, None] + before))[bonded].mean()
    return disturbed(made, scale=float(scale) * float(grown), rattle=float(rattle), seed=int(seed))


_BUILT_HERE = {"random": _heap, "cluster": _heap, "alloy": _alloy, "swapped": _swapped}


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _no_file(path: str) -> list[Atoms]:
    raise FileNotFoundError(path)
