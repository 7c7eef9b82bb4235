"""The bonds of a fused pass of MACE: their order, geometry and radial functions, and the forces that they get back.

Atoms stand sorted by element, edges by receiver in that order. A bond is one direction of an edge and its reverse; its
harmonics are those of the vector from sender to receiver, as in the published models.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..graph import Graph
from ..kernels.cpu.arrays import flat
from ..kernels.cpu.fused import Loops, Path, multiply
from ..kernels.cpu.threads import over_rows
from ..units import COULOMB
from .mace_folded import Folded
from .mace_tables import FINER, LOWEST, Table, network, tables

if TYPE_CHECKING:
    from .mace import MACE

__all__ = ["Atoms", "Bonds", "Part", "places"]


class Atoms:
    """The order of a pass: sorted by element. kind (A,): element at each place; starts: where each element begins."""

    def __init__(self, species: np.ndarray):
        present, kind = np.unique(species, return_inverse=True)
        self.species, self.present, self.count = species, tuple(present.tolist()), len(kind)
        self.order = np.argsort(kind, kind="stable")
        self.rank = np.empty_like(self.order)
        self.rank[self.order] = np.arange(self.count)
        self.kind = kind[self.order]
        self.starts = np.searchsorted(self.kind, np.arange(len(present) + 1)).tolist()
        self.sorted = bool((self.order == np.arange(self.count)).all())
        self.blocks: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}

    def products(self, l_max: int, channels: int) -> tuple[np.ndarray, ...]:
        """For products of features: blocks of up to four atoms of an element (element, first, count), and for each
        component of the features its first place and the step from atom to atom."""
        if (l_max, channels) not in self.blocks:
            heads = [np.arange(a, b, 4) for a, b in pairwise(self.starts)]
            counts = [np.minimum(4, b - head) for head, b in zip(heads, self.starts[1:])]
            kinds = np.repeat(np.arange(len(heads)), [len(head) for head in heads])
            l = np.sqrt(np.arange((l_max + 1) ** 2)).astype(np.int64)
            base = (self.count * l * l + np.arange(len(l)) - l * l) * channels
            steps = (2 * l + 1) * channels
            self.blocks[l_max, channels] = kinds, np.concatenate(heads), np.concatenate(counts), base, steps
        return self.blocks[l_max, channels]

    @staticmethod
    def of(model: MACE, graph: Graph) -> Atoms:
        """The order for the graph's elements, remembered: in MD it stays the same."""
        key = graph.numbers.numpy().tobytes(), model.elements
        found = _orders.get(key)
        if found is None:
            found = Atoms(model.species(graph).numpy())
            if len(_orders) >= 64:
                _orders.clear()
            _orders[key] = found
        return found


_orders: dict[tuple, Atoms] = {}


class Part:
    """Atoms start to stop of a pass, blocks of the products from..to: what one thread does between two meetings."""

    def __init__(self, atoms: Atoms, blocks: tuple[int, int], heads: np.ndarray):
        self.atoms, self.blocks = atoms, blocks
        self.range = tuple(int(heads[b]) if b < len(heads) else atoms.count for b in blocks)

    def rows(self, x: Tensor, l: int, z: int | None = None) -> Tensor:
        """These atoms' rows in block l of features (A (l_max + 1)^2, K), those of element z if it is given."""
        (a, b), d = self.range, 2 * l + 1
        if z is not None:
            a, b = max(a, self.atoms.starts[z]), max(min(b, self.atoms.starts[z + 1]), a, self.atoms.starts[z])
        start = self.atoms.count * l * l
        return x[start + a * d : start + b * d]


@functools.lru_cache(64)
def places(paths: tuple[Path, ...], l_max: int, channels: int, atoms: int) -> tuple[int, list[int], list]:
    """Of the sums of all paths, in blocks (A, 2 l3 + 1, paths of l3, K): their size, where each block begins, and for
    each path where it begins and its row."""
    many = [sum(path[2] == l for path in paths) for l in range(l_max + 1)]
    sizes = [atoms * (2 * l + 1) * n * channels for l, n in enumerate(many)]
    start = np.cumsum([0, *sizes]).tolist()
    slot, found = [0] * len(many), []
    for _, _, l3 in paths:
        found.append((start[l3] + slot[l3] * channels, many[l3] * channels))
        slot[l3] += 1
    return start[-1], start, found


class Bonds:
    """count bonds; edges: what every loop over edges takes, the row pointer `first` before all.

    close (A,) eV: repulsion at each atom; factors: what each layer's messages are multiplied by, per atom.
    """

    def __init__(self, graph: Graph, atoms: Atoms, folded: Folded, code: Loops, array: Callable[..., Tensor]):
        self.graph, self.atoms, self.folded, self.code, self.array = graph, atoms, folded, code, array
        self.l_max = folded.config["l_edges"]
        listed = graph.edges[folded.config["cutoff"]]
        self.i, self.j, reverse, shift = (_plain(t) for t in (listed.i, listed.j, listed.reverse, listed.shift))
        self.batch, edges = _plain(graph.batch), len(self.i)
        self.count = edges // 2
        self.real = np.dtype(str(folded.dtype).removeprefix("torch."))
        self.first, self.sender, pair = (np.empty(n, np.int64) for n in (atoms.count + 1, edges, edges))
        self.ends, self.chosen = np.empty((2, self.count), np.int64), np.empty(self.count, np.int64)
        sign = np.empty(edges, self.real)
        code.bonds.order_edges(
            self.i, self.j, reverse, atoms.order, atoms.rank, self.first, self.sender, pair, sign, *self.ends,
            self.chosen,
        )  # fmt: skip
        self.vector, self.length = np.empty(3 * self.count), np.empty(self.count)
        self._over(
            code.bonds.measure, self.chosen, self.i, self.j, shift, self.batch, _plain(graph.positions.double()),
            _plain(graph.cell.double()), self.vector, self.length,
        )  # fmt: skip
        y = flat(array("y", self.count, (self.l_max + 1) ** 2))
        self._over(code.bonds.harmonics, self.vector, self.length, self.l_max, y)
        self.edges = self.first, self.sender, pair, sign, y, (self.l_max + 1) ** 2
        self.kind = np.zeros(self.count, np.int64)
        if folded.transform:
            ends = atoms.kind[self.sender[self.ends]]
            self.kind = folded.kind_of[ends[0], ends[1]]

    def _over(self, function: Callable, *args: object) -> None:
        over_rows(function, self.count, *args, work=200 * self.count)  # scalar loops, 7 to 40 ns each

    def radial(self, table: bool) -> bool:
        """Radial functions, densities and repulsion; False where they are to be read from tables, but cannot be.

        There may be no tables of the required accuracy, and atoms may be closer than they reach.
        """
        self.table: Table | None = None
        if table:
            too_close = self.count > 0 and self.length.min() < LOWEST
            self.table = None if too_close else tables(self.folded, self.code)
            if self.table is None:
                return False
        n, code = self.folded.densities, self.code.bonds
        if self.table:
            self.where, self.local = np.empty(self.count, np.int64), np.empty(self.count, self.real)
            self.density, self.slope = np.empty((2, max(n, 1) * self.count))
            self._over(
                code.look_up, self.length, self.kind, self.table.intervals, LOWEST, self.table.high, FINER,
                self.table.densities, n, self.where, self.local, self.density, self.slope,
            )  # fmt: skip
        else:
            self.where, self.local = np.arange(self.count), np.empty(0, self.real)
            found = network(self.folded, self.code, self.length, self.kind, self.array)
            self.hidden, self.density, self.slope = found
        self.repulsion = np.zeros(2 * self.count)
        if self.folded.zbl:
            radii, numbers, p = self.folded.zbl
            self._over(
                code.repel, self.chosen, self.i, self.j, _plain(self.graph.numbers), self.length, radii, numbers, p,
                COULOMB, self.repulsion,
            )  # fmt: skip
        self._at_atoms()
        return True

    def _at_atoms(self) -> None:
        count, n, code = self.atoms.count, self.folded.densities, self.code.bonds
        sums, ends = np.zeros((n + 1) * count), self.ends.reshape(-1)
        self.close = sums[:count]
        code.add_ends(self.sender, ends, self.count, n, 1.0, self.density, sums[count:])
        if self.folded.zbl:
            code.add_ends(self.sender, ends, self.count, 1, 0.5, self.repulsion, self.close)
        each = iter(1.0 / (1.0 + sums[count:].reshape(n, count)))
        one = np.ones(count, self.real)
        self.factors = [one if la.density is None else next(each).astype(self.real) for la in self.folded.layers]

    def functions(self, t: int, path: int = 0, slopes: bool = False) -> tuple:
        """Radial functions for the loops over edges: where, local, table, slopes, stride, offset, slope_stride.

        slopes: those in r are needed too, as they are on the way back.
        """
        if self.table:
            values = self.table.layers[t][path]
            return self.where, self.local, values, values, self.table.strides[t], 0, 0
        hidden = self.hidden[t]
        width = hidden.shape[1]
        if t == 0:
            parts = flat(hidden[: self.count]), flat(hidden[self.count :])
            return self.where, self.local, *parts, width, 0, width
        last = self.folded.layers[t].last[path]
        width = last.shape[1]
        values, slope = (self.array(f"{name}{t}_{path}", self.count, width) for name in ("radial", "slopes"))
        if slopes:
            multiply(self.code.products[width], hidden[self.count :], last, slope)
        else:
            multiply(self.code.products[width], hidden[: self.count], last, values)
        return self.where, self.local, flat(values), flat(slope), width, 0, width

    def back(self, gy: Tensor, gr: Tensor, gfactors: Sequence[np.ndarray | None], seed: np.ndarray) -> None:
        """Gradients of the bonds' vectors from those of harmonics and radial places (E, M), (E,), as each edge saw
        them, those of the layers' factors (A,), and the weight of the repulsion at each atom (A,)."""
        grad, n = np.zeros((4, self.count)), 0
        a, b = self.sender[self.ends]
        for factor, g in zip(self.factors, gfactors):
            if g is not None:
                by = -g.astype(np.float64) * factor.astype(np.float64) ** 2
                grad[3] += self.slope[n * self.count : (n + 1) * self.count] * (by[a] + by[b])
                n += 1
        if self.folded.zbl:
            grad[3] += self.repulsion[self.count :] * seed[a]
        self.grad = grad.reshape(-1)
        self._over(
            self.code.bonds.bond_gradients, self.ends.reshape(-1), self.vector, self.length, self.l_max, flat(gy),
            flat(gr), self.table.rate if self.table else 1.0, self.grad,
        )  # fmt: skip

    def forces(self) -> tuple[Tensor, Tensor]:
        """Forces (A, 3) in eV/Å and virial (S, 3, 3) in eV, after `back`, in the model's type and the graph's order."""
        forces, virial = np.zeros(3 * self.atoms.count), np.zeros(9 * self.graph.size)
        self.code.bonds.collect(self.chosen, self.i, self.j, self.batch, self.vector, self.grad, forces, virial)
        both = torch.from_numpy(forces).view(-1, 3), torch.from_numpy(virial).view(-1, 3, 3)
        return both[0].to(self.folded.dtype), both[1].to(self.folded.dtype)


def _plain(t: Tensor) -> np.ndarray:
    return flat(t.contiguous())
