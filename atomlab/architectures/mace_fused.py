"""MACE's energy, forces and virial in one pass without autograd, on the CPU: what `MACE.analytic` answers with.

Forward, layer by layer, as in `mace.py`; then the same steps backwards, each by hand. Atoms stand sorted by element, so
that matrices which depend on the element act on whole blocks. Arrays are in blocks of l: rows (atom, m), columns
channels. The bonds are in `mace_bonds.py`, what comes of the weights in `mace_folded.py`, the radial tables in
`mace_tables.py`, and the compiled loops in `kernels/cpu/fused.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
from .mace_bonds import Atoms, Bonds, Part, places
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


# products of edge, component and channel that count as one operation: fewer than they cost, since the steps are called
# from Python, which serves one thread at a time, so that a second one pays later than in one compiled loop
STEP = 2.5


class _Pass:
    """One evaluation. `t` counts layers, `z` the elements present; a gradient is named g and what it belongs to.

    Whatever an atom's own rows are enough for is done by one thread without a stop (`_together`); threads meet only
    where the neighbours' rows come in: once per layer and direction.
    """

    def __init__(self, graph: Graph, atoms: Atoms, weights: Folded, code: Loops, space: Space):
        self.graph, self.atoms, self.weights, self.code, self.space = graph, atoms, weights, code, space
        self.layers: list[Layer] = weights.layers
        self.channels, self.l_max = weights.config["channels"], weights.config["l_edges"]
        self.bonds = Bonds(graph, atoms, weights, code, self.array)
        self.blocks = atoms.products(self.l_max, self.channels)
        self.ends = self.bonds.first[np.append(self.blocks[1], atoms.count)]
        self.places = [places(tuple(layer.paths), self.l_max, self.channels, atoms.count) for layer in self.layers]
        size, before = self.atoms.count * (self.l_max + 1) ** 2, [0, *(layer.l_out for layer in self.layers)]
        width = self.layers[0].hidden * len(atoms.present)
        self.sums = [self.array("sums", size, width)]
        self.sums += [self.array(f"paths{t % 2}", self.places[t][0]) for t in range(1, len(self.layers))]
        self.up = [self.features(f"up{t}", before[t]) for t in range(len(self.layers))]
        self.messages = [self.features(f"message{t}", self.l_max) for t in range(len(self.layers))]
        self.products = [self.features(f"product{t}", layer.l_out) for t, layer in enumerate(self.layers)]
        self.x = [self.features(f"x{t}", layer.l_out) for t, layer in enumerate(self.layers)]

    def array(self, name: str, *shape: int) -> Tensor:
        """An array of that name, kept from pass to pass; what it holds is of no meaning."""
        return self.space.array(name, shape, self.weights.dtype)

    def features(self, name: str, l_max: int) -> Tensor:
        """Room for features l = 0..l_max of all atoms."""
        return self.array(name, self.atoms.count * (l_max + 1) ** 2, self.channels)

    def _together(self, *steps: Callable[[Part], None]) -> None:
        """All steps one after another, each thread on its own atoms."""
        heads = self.blocks[1]

        def run(start: int, stop: int) -> None:
            part = Part(self.atoms, (start, stop), heads)
            for step in steps:
                step(part)

        work = int(len(self.bonds.i) * self.channels * (self.l_max + 1) ** 2 / STEP)
        over_rows(run, len(heads), work=work, ends=self.ends)

    def multiply(self, x: Tensor, matrix: Tensor, out: Tensor, onto: bool = False) -> None:
        width = matrix.shape[1]
        fitting = self.channels if width % self.channels == 0 else self.layers[0].hidden
        multiply(self.code.products.get(fitting), x, matrix, out, onto, alone=True)

    # ------------------------------------------------------------------ forward

    def forward(self) -> tuple[Tensor, list[Callable[[Tensor], Tensor]]]:
        """Energy of each atom (A,) before scale and shift; and the way back through each layer's readout."""
        energy, back = torch.from_numpy(self.bonds.close).clone(), []
        self.head = self._heads()
        for t, layer in enumerate(self.layers):
            radial = [self.bonds.functions(t, n) for n in range(len(layer.paths) if t else 1)]
            self._together(
                partial(self._convolution if t else self._density, t, radial), partial(self._product, t),
                partial(self._update, t),
            )  # fmt: skip
            e, gradient = self.weights.read(t, self.x[t][: self.atoms.count], self.head)
            energy += e
            back.append(gradient)
        return energy, back

    def _density(self, t: int, radial: Sequence[tuple], part: Part) -> None:
        """Messages of the first layer: sums over neighbours kept apart by element, then one matrix for all the rest."""
        sums, layer = self.sums[0], self.layers[0]
        self.code.density.forward(
            *part.range, *self.bonds.edges, *radial[0], self.atoms.kind, self.atoms.count, layer.hidden, sums.shape[1],
            flat(sums),
        )  # fmt: skip
        for l, z, matrix in self._linear(layer):
            self.multiply(part.rows(sums, l, z), matrix.forth, part.rows(self.messages[0], l, z))

    def _linear(self, layer: Layer) -> Iterator[tuple[int, int | None, Matrix]]:
        """(l, element or None for all, matrix) of the linear maps to the messages."""
        for z, by_l in enumerate(layer.linear):
            for l, matrix in enumerate(by_l):
                yield l, None if len(layer.linear) == 1 else z, matrix

    def _mixed(self, t: int, part: Part) -> Iterator[tuple[Tensor, Tensor, Matrix]]:
        """(rows of the sums of all paths, rows of the message, matrix between them)."""
        _, start, _ = self.places[t]
        for l, z, matrix in self._linear(self.layers[t]):
            block = self.sums[t][start[l] : start[l + 1]].view(-1, matrix.forth.shape[0])
            message = part.rows(self.messages[t], l, z)
            first = message.storage_offset() // self.channels - self.atoms.count * l * l
            yield block[first : first + len(message)], message, matrix

    def _convolution(self, t: int, radial: Sequence[tuple], part: Part) -> None:
        layer, sums, up = self.layers[t], flat(self.sums[t]), self._blocks(self.up[t])
        for path, functions, coupling, place in zip(layer.paths, radial, layer.couplings, self.places[t][2]):
            self.code.paths[path].forward(
                *part.range, *self.bonds.edges, *functions, up[path[0]], self.channels, coupling, sums, *place
            )
        for x, y, matrix in self._mixed(t, part):
            self.multiply(x, matrix.forth, y)

    def _block(self, x: Tensor, l: int) -> Tensor:
        return x[self.atoms.count * l * l : self.atoms.count * (l + 1) ** 2]

    def _blocks(self, x: Tensor) -> list[np.ndarray]:
        """All blocks, as loops take them."""
        whole, size, count = flat(x), self.channels * self.atoms.count, len(x) // self.atoms.count
        return [whole[l * l * size : (l + 1) ** 2 * size] for l in range(math.isqrt(count))]

    def _product_args(self, t: int, part: Part) -> tuple:
        layer = self.layers[t]
        return (
            *part.blocks, *self.blocks, *layer.tree, flat(layer.weights), layer.weights.shape[2], self.channels,
            flat(self.messages[t]), self.bonds.factors[t],
        )  # fmt: skip

    def _product(self, t: int, part: Part) -> None:
        self.code.polynomials.forward(*self._product_args(t, part), flat(self.products[t]))

    def _update(self, t: int, part: Part) -> None:
        """The features after the layer, and what the next one makes of them before its convolution."""
        layer, x = self.layers[t], self.x[t]
        for l, matrix in enumerate(layer.product):
            self.multiply(part.rows(self.products[t], l), matrix.forth, part.rows(x, l))
        for l, z, matrix in self._skips(layer):
            if t == 0:
                part.rows(x, l, z).add_(matrix.forth)
            else:
                self.multiply(part.rows(self.x[t - 1], l, z), matrix.forth, part.rows(x, l, z), onto=True)
        if t + 1 < len(self.layers):
            for l, matrix in enumerate(self.layers[t + 1].up):
                self.multiply(part.rows(x, l), matrix.forth, part.rows(self.up[t + 1], l))

    def _skips(self, layer: Layer) -> Iterator[tuple[int, int, Matrix]]:
        for z, matrices in enumerate(layer.skip or ()):
            for l, matrix in enumerate(matrices):
                yield l, z, matrix

    # ------------------------------------------------------------------ backward

    def backward(self, seed: Tensor, readouts: Sequence[Callable[[Tensor], Tensor]]) -> None:
        """Leave the gradients with the bonds. seed (A,): of the energy in each atom's part of it."""
        edges, last = len(self.bonds.i), len(self.layers) - 1
        self.gy, self.gr = self.array("gy", edges, (self.l_max + 1) ** 2), self.array("gr", edges)
        self.gread = [back(seed.to(self.gr.dtype)).contiguous() for back in readouts]
        self.gx = [self.features(f"gx{t}", layer.l_out) for t, layer in enumerate(self.layers[:-1])]
        self.gx.append(self.gread[-1])
        self.gfactors = [np.empty(self.atoms.count, self.bonds.real) for _ in self.layers]
        self.gproduct = self.features("gproduct", max(layer.l_out for layer in self.layers))
        self.gmessage, self.gup = self.features("gmessage", self.l_max), self.features("gup", self.layers[0].l_out)
        self._together(self._cleared, partial(self._product_back, last))
        for t in range(last, 0, -1):
            radial = [self.bonds.functions(t, n, slopes=True) for n in range(len(self.layers[t].paths))]
            self._together(partial(self._convolution_back, t, radial), partial(self._product_back, t - 1))
        gfactors = [None if la.density is None else g for la, g in zip(self.layers, self.gfactors)]
        self.bonds.back(self.gy, self.gr, gfactors, seed.numpy())

    def _cleared(self, part: Part) -> None:
        """The gradients that the loops over these atoms' edges add to."""
        first, last = self.bonds.first[list(part.range)]
        for x in (self.gy, self.gr):
            flat(x[first:last]).fill(0.0)

    def _product_back(self, t: int, part: Part) -> None:
        """From the features after a layer to the sums over neighbours; in the first layer to the bonds."""
        layer = self.layers[t]
        for l, matrix in enumerate(layer.product):
            self.multiply(part.rows(self.gx[t], l), matrix.back, part.rows(self.gproduct, l))
        self.code.polynomials.backward(
            *self._product_args(t, part), flat(self.gproduct), flat(self.gmessage), self.gfactors[t]
        )
        if t > 0:
            for x, y, matrix in self._mixed(t, part):
                first = y.storage_offset() // self.channels
                self.multiply(self.gmessage[first : first + len(y)], matrix.back, x)
            return
        sums = self.sums[0]
        for l, z, matrix in self._linear(layer):
            self.multiply(part.rows(self.gmessage, l, z), matrix.back, part.rows(sums, l, z))
        self.code.density.backward(
            *part.range, *self.bonds.edges, *self.bonds.functions(0), self.atoms.kind, self.atoms.count, layer.hidden,
            sums.shape[1], flat(sums), flat(self.gy), flat(self.gr),
        )  # fmt: skip

    def _convolution_back(self, t: int, radial: Sequence[tuple], part: Part) -> None:
        """The gradient of the features before this layer, through the messages and what skips the product."""
        layer, sums, gx, gy, gr = self.layers[t], flat(self.sums[t]), self.gx[t - 1], flat(self.gy), flat(self.gr)
        for l in range(self.layers[t - 1].l_out + 1):
            flat(part.rows(self.gup, l)).fill(0.0)
        up, gup = self._blocks(self.up[t]), self._blocks(self.gup)
        for path, functions, coupling, place in zip(layer.paths, radial, layer.couplings, self.places[t][2]):
            self.code.paths[path].backward(
                *part.range, *self.bonds.edges, *functions, up[path[0]], self.channels, coupling, sums, *place,
                gup[path[0]], gy, gr,
            )  # fmt: skip
        for l, matrix in enumerate(layer.up):
            self.multiply(part.rows(self.gup, l), matrix.back, part.rows(gx, l))
        for l, z, matrix in self._skips(layer):
            self.multiply(part.rows(self.gx[t], l, z), matrix.back, part.rows(gx, l, z), onto=True)
        part.rows(gx, 0).add_(part.rows(self.gread[t - 1], 0))

    # ------------------------------------------------------------------ results

    def _heads(self) -> Tensor:
        """Each atom's head (A,), in the order of the pass."""
        batch = self.graph.batch if self.atoms.sorted else self.graph.batch[torch.from_numpy(self.atoms.order)]
        return self.graph.head.index_select(0, batch)

    def outputs(self, want: Sequence[str], layout: Sequence[FeatureBlock]) -> Outputs:
        network, readouts = self.forward()
        out = Outputs(*self._total(network.numpy()))
        if "features" in want:
            parts = [self._block(self.x[b.layer], b.l).view(self.atoms.count, -1) for b in layout]
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
