"""Atoms -> Graph: the only place where structures become tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from ase import Atoms

from .errors import InputError
from .fields import FIELDS, reference_key
from .graph import Edges, Graph, Needs, Triplets, collate
from .neighbours import Pairs, pairs, triplets

__all__ = ["build", "check_elements"]

Search = Callable[[np.ndarray, np.ndarray, np.ndarray], Pairs]


def build(atoms: Sequence[Atoms] | Atoms, needs: Needs, head: int = 0, search: Search | None = None) -> Graph:
    """One graph of all structures, float64, with the edge lists and triplets of `needs`.

    Labels are taken from `REF_energy`, `REF_forces`, `REF_stress`; what a structure lacks is NaN. `head` is the index
    into `card.heads`. `search(positions, cell, pbc)` replaces the neighbour search at the largest cutoff (skin lists).
    """
    frames = [atoms] if isinstance(atoms, Atoms) else list(atoms)
    return collate([_one(frame, needs, head, search) for frame in frames])


def check_elements(numbers: np.ndarray, known: Sequence[int], name: str = "the model") -> None:
    """Refuse atomic numbers that a model does not know, by their symbols."""
    from ase.data import chemical_symbols

    unknown = sorted(set(np.unique(numbers).tolist()) - {int(z) for z in known})
    if unknown:
        raise InputError(
            f"{name} does not know the element{'s' if len(unknown) > 1 else ''}",
            got=", ".join(chemical_symbols[z] for z in unknown),
            allowed=", ".join(chemical_symbols[z] for z in sorted(known)),
            mend="Choose a model that covers it, or fine-tune with strategy 'transfer'",
        )


def _one(atoms: Atoms, needs: Needs, head: int, search: Search | None) -> Graph:
    positions, cell, pbc = atoms.positions, np.asarray(atoms.cell.array), np.asarray(atoms.pbc, dtype=bool)
    if len(positions) == 0:
        raise InputError("A structure without atoms cannot be used")
    edges, sides = {}, {}
    cutoffs = sorted({*needs.cutoffs, *(key[0] for key in needs.triplets)}, reverse=True)
    widest = None
    for cutoff in cutoffs:
        if widest is None:
            widest = search(positions, cell, pbc) if search else pairs(positions, cell, pbc, cutoff)
        found = widest if cutoff == cutoffs[0] else widest.within(cutoff)
        edges[cutoff] = Edges(cutoff, *(torch.from_numpy(x) for x in (found.i, found.j, found.shift, found.reverse)))
        sides[cutoff] = found
    threes = {}
    for key in needs.triplets:
        found = sides[key[0]]
        a, b = triplets(found.i, np.einsum("ij,ij->i", found.d, found.d) < key[1] ** 2)
        threes[key] = Triplets(torch.from_numpy(a), torch.from_numpy(b))
    return Graph(
        positions=torch.tensor(positions, dtype=torch.float64),
        cell=torch.tensor(cell, dtype=torch.float64)[None],
        pbc=torch.tensor(pbc)[None],
        numbers=torch.tensor(atoms.numbers, dtype=torch.int64),
        batch=torch.zeros(len(positions), dtype=torch.int64),
        head=torch.tensor([head]),
        edges=edges,
        triplets=threes,
        labels=_labels(atoms),
    )


def _labels(atoms: Atoms) -> dict[str, torch.Tensor]:
    out = {}
    for name in ("energy", "forces", "stress"):
        key, field = reference_key(name), FIELDS[name]
        value = (atoms.info if field.scope == "structure" else atoms.arrays).get(key)
        if value is None:
            continue
        value = np.asarray(value, dtype=np.float64)
        expected = field.shape if field.scope == "structure" else (len(atoms), *field.shape)
        if value.shape != expected:
            raise InputError(f"The label {key} has the wrong shape", got=value.shape, allowed=expected)
        out[name] = torch.tensor(value if field.scope == "atom" else value[None])
    return out
