"""The input of a model's last linear layer, for all structures of a set, with its gradients: what LLPR is made of."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..fields import reference_key
from .descriptors import graphs

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

    from ..graph import Graph
    from ..potential import Potential

__all__ = ["Rows", "check_linear", "derivatives", "hash_of", "readout", "rows_of"]

LINEAR = 1e-7  # of the spread of the energies, in float64: a wide hidden layer fits anything to 1e-3


@dataclass
class Rows:
    """f (S, P), predicted energy and label (S,) eV (NaN = none), atoms (S,), and a hash of each structure."""

    f: np.ndarray
    energy: np.ndarray
    label: np.ndarray
    atoms: np.ndarray
    hashes: list[str]


def rows_of(potential: Potential, frames: Any, each: Callable[[int, int], None] | None = None) -> Rows:
    """Features summed over each structure, with energies and labels. each(done, total) is called after every batch."""
    import torch

    from ..potential import outputs

    parts: list[tuple[np.ndarray, np.ndarray]] = []
    label, atoms, hashes = [], [], []
    for batch, graph in graphs(potential, frames):
        with torch.no_grad():
            f = _summed(readout(potential, graph), graph)
        parts.append((f.cpu().numpy(), outputs(potential, graph, ("energy",)).energy.cpu().numpy()))
        for a in batch:
            label.append(a.info.get(reference_key("energy"), np.nan))
            atoms.append(len(a))
            hashes.append(hash_of(a))
        if each is not None:
            each(len(atoms), len(frames))
    f, energy = (np.concatenate(columns) for columns in zip(*parts))
    return Rows(f, energy, np.array(label, dtype=float), np.array(atoms, dtype=float), hashes)


def readout(potential: Potential, graph: Graph) -> Tensor:
    """Input of the main model's last layer, float64: (A, P), or (S, P) where it sums over atoms before."""
    main = potential.parts()[0]
    f = main(graph).readout
    if f is None:
        raise InputError(
            f"'{potential.card.name}' does not give the input of its last layer, so it has no uncertainty of this kind",
            mend="Use a model with a linear last layer, such as MACE",
        )
    return f.double()


def _summed(f: Tensor, graph: Graph) -> Tensor:
    from ..kernels import segment_sum

    return segment_sum(f, graph.batch, graph.size) if len(f) == len(graph.numbers) else f


def derivatives(potential: Potential, graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """df/dr (A, 3, P) in 1/Å and df/dstrain (S, 3, 3, P), of the features of whole structures: P backward passes."""
    import torch

    positions = graph.positions.detach().requires_grad_(True)
    strain = torch.zeros_like(graph.cell, requires_grad=True)
    deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + 0.5 * (strain + strain.transpose(1, 2))
    moved = torch.einsum("ak,akl->al", positions, deformation.index_select(0, graph.batch))
    f = _summed(readout(potential, graph.moved(moved, graph.cell.detach() @ deformation)), graph)
    columns = [
        torch.autograd.grad(
            f[:, k].sum(), [positions, strain], retain_graph=True, materialize_grads=True, allow_unused=True
        )
        for k in range(f.shape[1])
    ]
    dr, ds = (torch.stack(parts, -1).double().cpu().numpy() for parts in zip(*columns))
    return dr, ds


def hash_of(atoms: Atoms) -> str:
    """SHA-256 of the elements, positions and cell of a structure, to 1e-6 Å; not of its labels."""
    sha = hashlib.sha256(np.ascontiguousarray(atoms.numbers).tobytes())
    for part in (atoms.positions, atoms.cell.array):
        sha.update((np.round(part, 6) + 0.0).tobytes())
    return sha.hexdigest()


def check_linear(potential: Potential, frames: Any) -> None:
    """Refuse a model whose energy is not linear in its readout features.

    Seen from energies of stretched, rattled structures, in which no short-range repulsion acts: three times as many as
    there are features, of atoms where the energy is a sum over them.
    """
    exact, rng = copy.deepcopy(potential).double(), np.random.default_rng(0)
    frames = [frames[k] for k in range(min(len(frames), 50))]
    kinds = np.unique(np.concatenate([a.numbers for a in frames]))
    tables: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    wanted = 1
    while sum(len(t[0]) for t in tables) < wanted:
        atoms, stretch = frames[len(tables) % len(frames)].copy(), rng.uniform(1.3, 1.5)
        atoms.positions *= stretch
        atoms.set_cell(atoms.cell.array * stretch)
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        tables.append(_probe(exact, atoms, kinds))
        wanted = 3 * (len(kinds) + tables[0][2].shape[1])
    energy, counts, f = (np.concatenate(part) for part in zip(*tables))
    network = energy - counts @ np.linalg.lstsq(counts, energy, rcond=None)[0]
    both = np.hstack([counts, f])
    wrong = energy - both @ np.linalg.lstsq(both, energy, rcond=None)[0]
    if np.abs(wrong).max() > LINEAR * max(network.std(), 1e-9):
        raise InputError(
            f"The energy of '{potential.card.name}' is not linear in the features before its last layer",
            mend="Use a model with a linear last layer, such as MACE",
        )


def _probe(potential: Potential, atoms: Atoms, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies (R,), element counts (R, kinds) and features (R, P): of the atoms, or of the structure."""
    import torch

    ((_, graph),) = graphs(potential, [atoms])
    with torch.no_grad():
        terms, f = potential.parts()[0](graph), readout(potential, graph)
    counts = (atoms.numbers[:, None] == kinds).astype(float)
    if terms.atoms is not None and len(f) == len(atoms):
        return terms.atoms.cpu().numpy(), counts, f.cpu().numpy()
    return terms.energy.cpu().numpy(), counts.sum(0, keepdims=True), _summed(f, graph).cpu().numpy()
