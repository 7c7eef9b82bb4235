"""Structures that a potential is probed with, built for the elements that it knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii, reference_states

__all__ = ["cluster", "crystal", "dimer", "probe_elements", "random_cell"]

FAVOURITES = tuple(atomic_numbers[s] for s in ("Si", "Cu", "O", "H", "C", "Ge", "Li", "Mo", "Na", "Cl"))


def probe_elements(elements: Sequence[int], wanted: Sequence[int] | None = None, limit: int = 3) -> list[int]:
    """At most `limit` elements to probe: those wanted, else well-known ones that the model covers."""
    if wanted:
        return [int(z) for z in wanted]
    known = [z for z in FAVOURITES if z in elements]
    return (known + [z for z in elements if z not in known])[:limit]


def nearest_distance(a: int, b: int) -> float:
    """The distance at which two atoms touch: the sum of their covalent radii, in Å."""
    return float(covalent_radii[a] + covalent_radii[b])


def crystal(number: int, rattle: float = 0.0, seed: int = 0) -> Atoms:
    """A cubic cell of the element: diamond where that is its reference state, else fcc at touching distance."""
    state = reference_states[number] or {}
    symbol = chemical_symbols[number]
    if state.get("symmetry") == "diamond":
        a = state["a"]
        points = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
        fractions = np.array(points + [tuple(np.add(p, 0.25)) for p in points])
    else:
        a = nearest_distance(number, number) * np.sqrt(2) * 1.05
        fractions = np.array([(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)])
    atoms = Atoms(f"{symbol}{len(fractions)}", scaled_positions=fractions, cell=[a] * 3, pbc=True)
    if rattle:
        atoms.rattle(rattle, seed=seed)
    return atoms


def dimer(a: int, b: int, distance: float) -> Atoms:
    """Two atoms in empty space."""
    return Atoms([a, b], [[0, 0, 0], [0, 0, distance]])


def cluster(elements: Sequence[int], size: int = 6, seed: int = 0) -> Atoms:
    """A compact molecule-like heap of atoms in empty space, no two closer than they touch."""
    rng = np.random.default_rng(seed)
    numbers = [elements[k % len(elements)] for k in range(size)]
    points: list[np.ndarray] = [np.zeros(3)]
    reach = 1.0
    while len(points) < size:
        point = rng.normal(size=3) * reach
        limits = [1.02 * nearest_distance(numbers[len(points)], z) for z in numbers[: len(points)]]
        if all(np.linalg.norm(point - p) > limit for p, limit in zip(points, limits)):
            points.append(point)
        else:
            reach *= 1.01
    return Atoms(numbers, points)


def random_cell(elements: Sequence[int], size: int = 8, seed: int = 0) -> Atoms:
    """A periodic skewed cell of atoms at random places that do not overlap."""
    rng = np.random.default_rng(seed)
    numbers = [elements[k % len(elements)] for k in range(size)]
    length = (size * (2.2 * np.mean([covalent_radii[z] for z in numbers])) ** 3 * 1.3) ** (1 / 3)
    cell = length * (np.eye(3) + 0.08 * rng.normal(size=(3, 3)))
    fractions = rng.random((size, 3))
    for _ in range(400):
        d = fractions[:, None] - fractions[None]
        d -= np.round(d)
        r = np.linalg.norm(d @ cell, axis=-1) + 1e3 * np.eye(size)
        limit = 0.85 * (covalent_radii[numbers][:, None] + covalent_radii[numbers][None])
        bad = np.argwhere(r < limit)
        if not len(bad):
            break
        fractions[bad[0, 0]] = rng.random(3)
    return Atoms(numbers, scaled_positions=fractions, cell=cell, pbc=True)
