"""The one type between disk and loss: a batch of structures as tensors. A single structure is a batch of one.

Conventions, the same for every model: i = centre = receiver (sorted), j = neighbour = sender,
d = r_j + shift @ cell - r_i, r < cutoff exactly, `reverse` = index of the edge j -> i of the same bond.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .errors import InputError
from .fields import FIELDS

__all__ = ["Edges", "Graph", "Needs", "Triplets", "collate"]


@dataclass(frozen=True)
class Needs:
    """How a model says what it wants of a graph: edge lists by cutoff, triplets by (edge cutoff, side cutoff), in Å."""

    cutoffs: tuple[float, ...] = ()
    triplets: tuple[tuple[float, float], ...] = ()

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            tuple(sorted({*self.cutoffs, *other.cutoffs})),
            tuple(sorted({*self.triplets, *other.triplets})),
        )

    @property
    def cutoff(self) -> float:
        """The largest cutoff in Å, 0 for a model without neighbours."""
        return max((*self.cutoffs, *(key[0] for key in self.triplets)), default=0.0)


@dataclass(frozen=True)
class Edges:
    """The full directed list of pairs closer than `cutoff` (Å): i, j (E,) int64, shift (E, 3) int64, reverse (E,)."""

    cutoff: float
    i: Tensor
    j: Tensor
    shift: Tensor
    reverse: Tensor


@dataclass(frozen=True)
class Triplets:
    """Ordered pairs (a, b) of different edges with one centre; a, b (T,) index `edges[key[0]]`, sorted by a."""

    a: Tensor
    b: Tensor


@dataclass(frozen=True)
class Graph:
    """A batch of S structures with A atoms in all.

    positions (A, 3) Å; cell (S, 3, 3) Å, zero rows where absent; pbc (S, 3) bool; numbers (A,) int64; batch (A,) int64,
    sorted; head (S,) index into `potential.heads`; labels by the names of `fields.FIELDS`, NaN where missing.
    """

    positions: Tensor
    cell: Tensor
    pbc: Tensor
    numbers: Tensor
    batch: Tensor
    head: Tensor
    edges: Mapping[float, Edges] = field(default_factory=dict)
    triplets: Mapping[tuple[float, float], Triplets] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of structures."""
        return self.cell.shape[0]

    @property
    def counts(self) -> Tensor:
        """Number of atoms of each structure, (S,) int64."""
        return torch.bincount(self.batch, minlength=self.size)

    def vectors(self, cutoff: float) -> Tensor:
        """d = r_j + shift @ cell - r_i of that cutoff's edges, (E, 3) Å, differentiable in positions and cell."""
        e = self.edges[cutoff]
        shift = e.shift.to(self.positions.dtype)
        offset = torch.einsum("ek,ekl->el", shift, self.cell.index_select(0, self.batch.index_select(0, e.i)))
        return self.positions.index_select(0, e.j) - self.positions.index_select(0, e.i) + offset

    def moved(self, positions: Tensor, cell: Tensor | None = None) -> Graph:
        """The same topology with other positions (and cell): MD without copies, autograd leaves, strained copies."""
        return replace(self, positions=positions, cell=self.cell if cell is None else cell)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Graph:
        """On another device, and with positions and cell in another floating type. Labels stay float64."""

        def move(value: Tensor) -> Tensor:
            return value.to(device=device)

        return Graph(
            positions=self.positions.to(device=device, dtype=dtype),
            cell=self.cell.to(device=device, dtype=dtype),
            **{name: move(getattr(self, name)) for name in ("pbc", "numbers", "batch", "head")},
            edges={
                k: Edges(e.cutoff, move(e.i), move(e.j), move(e.shift), move(e.reverse)) for k, e in self.edges.items()
            },
            triplets={k: Triplets(move(t.a), move(t.b)) for k, t in self.triplets.items()},
            labels={k: move(v) for k, v in self.labels.items()},
        )


def collate(graphs: Sequence[Graph]) -> Graph:
    """Several graphs as one batch. They must hold the same edge lists; labels missing in some become NaN there."""
    if not graphs:
        raise InputError("A batch needs at least one structure", got="an empty list")
    if len(graphs) == 1:
        return graphs[0]
    for g in graphs[1:]:
        if set(g.edges) != set(graphs[0].edges) or set(g.triplets) != set(graphs[0].triplets):
            raise InputError(
                "Graphs of one batch must have been built for the same needs",
                got=f"cutoffs {sorted(g.edges)} beside {sorted(graphs[0].edges)}",
                mend="Build all of them with the `needs` of the model that will see them",
            )
    atoms = _starts([len(g.numbers) for g in graphs])
    structures = _starts([g.size for g in graphs])
    whole = {n: torch.cat([getattr(g, n) for g in graphs]) for n in ("positions", "cell", "pbc", "numbers", "head")}
    edges, first = {}, {}
    for key in graphs[0].edges:
        lists = [g.edges[key] for g in graphs]
        first[key] = _starts([len(e.i) for e in lists])
        edges[key] = Edges(
            lists[0].cutoff,
            torch.cat([e.i + s for e, s in zip(lists, atoms)]),
            torch.cat([e.j + s for e, s in zip(lists, atoms)]),
            torch.cat([e.shift for e in lists]),
            torch.cat([e.reverse + s for e, s in zip(lists, first[key])]),
        )
    triplets = {
        key: Triplets(
            *(torch.cat([getattr(g.triplets[key], n) + s for g, s in zip(graphs, first[key[0]])]) for n in "ab")
        )
        for key in graphs[0].triplets
    }
    batch = torch.cat([g.batch + s for g, s in zip(graphs, structures)])
    return Graph(**whole, batch=batch, edges=edges, triplets=triplets, labels=_labels(graphs))


def _starts(lengths: Sequence[int]) -> list[int]:
    starts = [0]
    for n in lengths[:-1]:
        starts.append(starts[-1] + n)
    return starts


def _labels(graphs: Sequence[Graph]) -> dict[str, Tensor]:
    names = {name: label for g in graphs for name, label in g.labels.items()}
    out = {}
    for name, example in names.items():
        per_atom = FIELDS[name].scope == "atom" if name in FIELDS else False
        parts = []
        for g in graphs:
            rows = len(g.numbers) if per_atom else g.size
            missing = example.new_full((rows, *example.shape[1:]), float("nan"))
            parts.append(g.labels.get(name, missing))
        out[name] = torch.cat(parts)
    return out
