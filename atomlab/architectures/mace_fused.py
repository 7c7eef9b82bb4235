"""MACE's energy, forces and virial in one pass without autograd, on the CPU: what `MACE.analytic` answers with.

Forward, layer by layer, as in `mace.py`; then the same steps backwards, each by hand. Atoms stand sorted by element, so
that matrices which depend on the element act on whole blocks. Arrays are in blocks of l: rows (atom, m), columns
channels. The bonds are in `mace_bonds.py`, what comes of the weights in `mace_folded.py`, the radial tables in
`mace_tables.py`, and the compiled loops in `kernels/cpu/fused.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..graph import Graph
from ..kernels.cpu.arrays import flat, real
from ..kernels.cpu.fused import Loops, loops, multiply
from ..kernels.cpu.space import Space, space
from ..kernels.cpu.threads import over_rows
from ..potential import Outputs
from .mace_bonds import Atoms, Bonds
from .mace_folded import Folded, Layer, Matrix, folded, patterns
from .mace_tables import wanted

if TYPE_CHECKING:
    from .mace import MACE, FeatureBlock

__all__ = ["analytic"]


def analytic(model: MACE, graph: Graph, want: Sequence[str]) -> Outputs | None:
    """Energy and what else is wanted; None where autograd must serve, or serves until the loops are compiled."""
    weight = model.node_embedding.linear.weight
    if real(weight) is None or real(graph.positions) is None or graph.positions.dtype != weight.dtype:
        return None
    atoms = Atoms.of(model, graph)
    weights = folded(model, atoms.present)
    # what is kept must not be of inference mode, for it is written to again
    with torch.inference_mode(False), torch.no_grad(), space() as room:
        for table in (True, False) if wanted(weights) else (False,):
            code = weights.code.get(table) or _loops(model, table)
            if code is not None:
                weights.code[table] = code
                run = _Pass(graph, atoms, weights, code, room)
                if run.bonds.radial(table):
                    return run.outputs(want, model.feature_layout)
    return None


def _loops(model: MACE, table: bool) -> Loops | None:
    c = model.config
    hidden = c["radial_hidden"][-1] if c["radial_hidden"] else c["radial_basis"]
    name = str(model.dtype).removeprefix("torch.")
    return loops(name, c["channels"], hidden, c["l_edges"], patterns(c["layers"], c["l_nodes"], c["l_edges"]), table)


class _Pass:
    """One evaluation. `t` counts layers, `z` the elements present; a gradient is named g and what it belongs to."""

    def __init__(self, graph: Graph, atoms: Atoms, weights: Folded, code: Loops, space: Space):
        self.graph, self.atoms, self.weights, self.code, self.space = graph, atoms, weights, code, space
        self.layers: list[Layer] = weights.layers
        self.channels, self.l_max = weights.config["channels"], weights.config["l_edges"]
        self.bonds = Bonds(graph, atoms, weights, code, self.array)
        self.messages: list[Tensor] = []
        self.products: list[Tensor] = []
        self.x: list[Tensor] = []
        self.blocks = atoms.products(self.l_max, self.channels)

    def array(self, name: str, *shape: int) -> Tensor:
        """An array of that name, kept from pass to pass; what it holds is of no meaning."""
        return self.space.array(name, shape, self.weights.dtype)

    def features(self, name: str, l_max: int) -> Tensor:
        """Room for features l = 0..l_max of all atoms."""
        return self.array(name, self.atoms.count * (l_max + 1) ** 2, self.channels)

    def rows(self, x: Tensor, l: int, z: int | None = None) -> Tensor:
        """Block l of features, or the part of it of one element."""
        start, d = self.atoms.count * l * l, 2 * l + 1
        a, b = (0, self.atoms.count) if z is None else self.atoms.starts[z : z + 2]
        return x[start + a * d : start + b * d]

    def multiply(self, x: Tensor, matrix: Tensor, out: Tensor, onto: bool = False) -> None:
        width = matrix.shape[1]
        fitting = self.channels if width % self.channels == 0 else self.layers[0].hidden
        multiply(self.code.products.get(fitting), x, matrix, out, onto)

    # ------------------------------------------------------------------ forward

    def forward(self) -> tuple[Tensor, list[Callable[[Tensor], Tensor]]]:
        """Energy of each atom (A,) before scale and shift; and the way back through each layer's readout."""
        energy, back = torch.from_numpy(self.bonds.close).clone(), []
        self.head = self._heads()
        for t, layer in enumerate(self.layers):
            self.messages.append(self._density(layer) if t == 0 else self._convolution(t, layer))
            self.products.append(self._product(t, layer))
            self.x.append(self._update(t, layer))
            e, gradient = self.weights.read(t, self.rows(self.x[t], 0), self.head)
            energy += e
            back.append(gradient)
        return energy, back

    def _over_edges(self, function: Callable, *args: object, work: int) -> None:
        over_rows(function, self.atoms.count, *args, work=work * len(self.bonds.i), ends=self.bonds.first)

    def _over_paths(self, jobs: Iterable[tuple[Callable, tuple]]) -> None:
        """Each function with its arguments over all edges. Threads share all paths at once where those are in tables;
        else the arguments of one path hold its radial functions only until the next one asks for its own."""
        for some in [list(jobs)] if self.bonds.table else ([job] for job in jobs):

            def run(start: int, stop: int, some: list = some) -> None:
                for function, args in some:
                    function(start, stop, *args)

            self._over_edges(run, work=9 * self.channels * len(some))

    def _density(self, layer: Layer) -> Tensor:
        """Messages of the first layer: sums over neighbours kept apart by element, then one matrix for all the rest."""
        row = layer.hidden * len(self.atoms.present)
        self.sums = self.array("sums", self.atoms.count * (self.l_max + 1) ** 2, row)
        self._over_edges(
            self.code.density.forward, *self.bonds.edges, *self.bonds.functions(0), self.atoms.kind, self.atoms.count,
            layer.hidden, row, flat(self.sums), work=layer.hidden * (self.l_max + 1) ** 2,
        )  # fmt: skip
        message = self.features("message0", self.l_max)
        for l, z, matrix in self._each(layer.linear):
            self.multiply(self.rows(self.sums, l, z), matrix.forth, self.rows(message, l, z))
        return message

    def _each(self, matrices: Sequence[Sequence[Matrix]]) -> Iterator[tuple[int, int | None, Matrix]]:
        """(l, element or None for all, matrix)."""
        for z, by_l in enumerate(matrices):
            for l, matrix in enumerate(by_l):
                yield l, None if len(matrices) == 1 else z, matrix

    def _convolution(self, t: int, layer: Layer) -> Tensor:
        before = self.layers[t - 1].l_out
        up = self.features(f"up{t}", before)
        for l in range(before + 1):
            self.multiply(self.rows(self.x[t - 1], l), layer.up[l].forth, self.rows(up, l))
        sums, places = self._paths(layer)
        self._over_paths(
            (
                self.code.paths[path].forward,
                (*self.bonds.edges, *self.bonds.functions(t, n), flat(self.rows(up, path[0])), self.channels,
                 layer.couplings[n], flat(sums), *places[n]),
            )
            for n, path in enumerate(layer.paths)
        )  # fmt: skip
        message = self.features(f"message{t}", self.l_max)
        for x, y, matrix in self._mixed(layer, sums, message):
            self.multiply(x, matrix.forth, y)
        return message

    def _paths(self, layer: Layer) -> tuple[Tensor, list[tuple[int, int]]]:
        """Room for the sums of all paths, in blocks (A, 2 l3 + 1, paths of l3, K); where each begins, and its row."""
        many = [sum(path[2] == l for path in layer.paths) for l in range(self.l_max + 1)]
        sizes = [self.atoms.count * (2 * l + 1) * n * self.channels for l, n in enumerate(many)]
        start = np.cumsum([0, *sizes]).tolist()
        slot, places = [0] * len(many), []
        for _, _, l3 in layer.paths:
            places.append((start[l3] + slot[l3] * self.channels, many[l3] * self.channels))
            slot[l3] += 1
        return self.array("convolved", start[-1]), places

    def _mixed(self, layer: Layer, sums: Tensor, message: Tensor) -> Iterator[tuple[Tensor, Tensor, Matrix]]:
        """(rows of the sums of all paths, rows of the message, matrix between them)."""
        count, start = self.atoms.count, 0
        for l in range(self.l_max + 1):
            width = layer.linear[0][l].forth.shape[0]
            stop = start + count * (2 * l + 1) * width
            x, d = sums[start:stop].view(-1, width), 2 * l + 1
            start = stop
            for z, matrices in enumerate(layer.linear):
                one = len(layer.linear) == 1
                a, b = (0, count) if one else self.atoms.starts[z : z + 2]
                yield x[a * d : b * d], self.rows(message, l, None if one else z), matrices[l]

    def _products(self, function: Callable, t: int, layer: Layer, *args: object) -> None:
        rows = layer.weights.shape[2]
        over_rows(
            function, len(self.blocks[0]), *self.blocks, *layer.tree, flat(layer.weights), rows, self.channels,
            flat(self.messages[t]), self.bonds.factors[t], *args, work=self.atoms.count * self.channels * rows,
        )  # fmt: skip

    def _product(self, t: int, layer: Layer) -> Tensor:
        out = self.features(f"product{t}", layer.l_out)
        self._products(self.code.polynomials.forward, t, layer, flat(out))
        return out

    def _update(self, t: int, layer: Layer) -> Tensor:
        x = self.features(f"x{t}", layer.l_out)
        for l, matrix in enumerate(layer.product):
            self.multiply(self.rows(self.products[t], l), matrix.forth, self.rows(x, l))
        for l, z, matrix in self._skips(layer):
            if t == 0:
                self.rows(x, l, z).add_(matrix.forth)
            else:
                self.multiply(self.rows(self.x[t - 1], l, z), matrix.forth, self.rows(x, l, z), onto=True)
        return x

    def _skips(self, layer: Layer) -> Iterator[tuple[int, int, Matrix]]:
        for z, matrices in enumerate(layer.skip or ()):
            for l, matrix in enumerate(matrices):
                yield l, z, matrix

    # ------------------------------------------------------------------ backward

    def backward(self, seed: Tensor, readouts: Sequence[Callable[[Tensor], Tensor]]) -> None:
        """Leave the gradients with the bonds. seed (A,): of the energy in each atom's part of it."""
        edges = len(self.bonds.i)
        self.gy, self.gr = self.array("gy", edges, (self.l_max + 1) ** 2).zero_(), self.array("gr", edges).zero_()
        gfactors: list[np.ndarray | None] = [None] * len(self.layers)
        gx = self.features("gx", 0).zero_()
        for t in reversed(range(len(self.layers))):
            layer = self.layers[t]
            self.rows(gx, 0).add_(readouts[t](seed.to(gx.dtype)))
            gmessage, gfactor = self._product_back(t, layer, gx)
            gfactors[t] = None if layer.density is None else gfactor
            if t > 0:
                gx = self._convolution_back(t, layer, gmessage, gx)
        self._density_back(self.layers[0], gmessage)
        self.bonds.back(self.gy, self.gr, gfactors, seed.numpy())

    def _product_back(self, t: int, layer: Layer, gx: Tensor) -> tuple[Tensor, np.ndarray]:
        g, gmessage = self.features("gproduct", layer.l_out), self.features("gmessage", self.l_max)
        for l, matrix in enumerate(layer.product):
            self.multiply(self.rows(gx, l), matrix.back, self.rows(g, l))
        gfactor = np.empty(self.atoms.count, self.bonds.real)
        self._products(self.code.polynomials.backward, t, layer, flat(g), flat(gmessage), gfactor)
        return gmessage, gfactor

    def _convolution_back(self, t: int, layer: Layer, gmessage: Tensor, gx: Tensor) -> Tensor:
        """The gradient of the features before this layer, through the messages and what skips the product."""
        before = self.layers[t - 1].l_out
        up, gup = self.features(f"up{t}", before), self.features("gup", before).zero_()
        sums, places = self._paths(layer)
        for x, y, matrix in self._mixed(layer, sums, gmessage):
            self.multiply(y, matrix.back, x)
        self._over_paths(
            (
                self.code.paths[path].backward,
                (*self.bonds.edges, *self.bonds.functions(t, n, slopes=True), flat(self.rows(up, path[0])),
                 self.channels, layer.couplings[n], flat(sums), *places[n], flat(self.rows(gup, path[0])),
                 flat(self.gy), flat(self.gr)),
            )
            for n, path in enumerate(layer.paths)
        )  # fmt: skip
        out = self.features(f"gx{t % 2}", before)
        for l in range(before + 1):
            self.multiply(self.rows(gup, l), layer.up[l].back, self.rows(out, l))
        for l, z, matrix in self._skips(layer):
            self.multiply(self.rows(gx, l, z), matrix.back, self.rows(out, l, z), onto=True)
        return out

    def _density_back(self, layer: Layer, gmessage: Tensor) -> None:
        for l, z, matrix in self._each(layer.linear):
            self.multiply(self.rows(gmessage, l, z), matrix.back, self.rows(self.sums, l, z))
        self._over_edges(
            self.code.density.backward, *self.bonds.edges, *self.bonds.functions(0), self.atoms.kind, self.atoms.count,
            layer.hidden, self.sums.shape[1], flat(self.sums), flat(self.gy), flat(self.gr),
            work=layer.hidden * (self.l_max + 1) ** 2,
        )  # fmt: skip

    # ------------------------------------------------------------------ results

    def _heads(self) -> Tensor:
        """Each atom's head (A,), in the order of the pass."""
        batch = self.graph.batch if self.atoms.sorted else self.graph.batch[torch.from_numpy(self.atoms.order)]
        return self.graph.head.index_select(0, batch)

    def outputs(self, want: Sequence[str], layout: Sequence[FeatureBlock]) -> Outputs:
        network, readouts = self.forward()
        out = Outputs(*self._total(network.numpy()))
        if "features" in want:
            parts = [self.rows(self.x[b.layer], b.l).view(self.atoms.count, -1) for b in layout]
            out.features = torch.cat(parts, dim=1).index_select(0, torch.from_numpy(self.atoms.rank))
        if {"forces", "virial", "stress"} & set(want):
            self.backward(torch.from_numpy(self.weights.scale[self.head.numpy()]), readouts)
            out.forces, out.virial = self.bonds.forces()
        return out

    def _total(self, network: np.ndarray) -> tuple[Tensor, Tensor]:
        """Energies (S,) and (A,) as `Trainable.total` defines them."""
        atoms, w = self.atoms, self.weights
        head = self.graph.head.numpy()[self.bonds.batch]
        parts = w.scale[head] * network[atoms.rank] + w.shift[head]
        constant = w.e0[head, atoms.species]
        sums = np.zeros((2, self.graph.size))
        np.add.at(sums[0], self.bonds.batch, parts)
        np.add.at(sums[1], self.bonds.batch, constant)
        return torch.from_numpy(sums[0] + sums[1]), torch.from_numpy(parts + constant)
