"""DimeNet++'s energy, forces and virial in one pass without autograd, on the CPU: `DimeNetPP.analytic`.

All that a message does by itself, from where it was heard to where it is sent on, is one part of a program
(`kernels/cpu/programs.py`); between two parts each atom's messages hear each other over the angles. Then the same
backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..graph import Graph
from ..kernels.cpu import radial, waves
from ..kernels.cpu.arrays import flat, real, sorted_rows
from ..kernels.cpu.programs import Program, Value, loops
from ..kernels.cpu.space import space
from ..kernels.cpu.threads import over_rows
from ..potential import Outputs
from .folding import folded

if TYPE_CHECKING:
    from .dimenetpp import DimeNetPP
    from .dimenetpp_blocks import Interaction, Output, Residual

__all__ = ["analytic"]

NOTHING = np.empty(0, np.int64)


def analytic(model: DimeNetPP, graph: Graph, want: Sequence[str]) -> Outputs | None:
    """Energy and what else is wanted; None where autograd must serve, or serves until the loops are compiled."""
    dtype = real(graph.positions)
    if dtype is None or graph.positions.dtype != model.dtype or real(model.frequencies) is None:
        return None
    network = folded(model, "fused", lambda: Network(model))
    code = Code.of(dtype, network.heard[0].width)
    if code is None:
        return None
    # what is kept must not be of inference mode, for it is written to again
    with torch.inference_mode(False), torch.no_grad(), space() as room:
        run = _Pass(model, network, code, graph)
        run.memory = room.array("memory", (network.program.size(run.edges, run.atoms),), model.dtype)
        return run.outputs(want)


@dataclass
class Code:
    """The compiled loops."""

    programs: ModuleType
    waves: ModuleType
    parts: ModuleType
    radial: ModuleType
    zonal: ModuleType

    @classmethod
    def of(cls, dtype: str, channels: int) -> Code | None:
        """None while one of them is being compiled."""
        found = (
            loops(dtype), waves.loops("waves", dtype), waves.loops("harmonics_zonal", dtype), radial.loops(dtype),
            waves.zonal_loops(dtype, channels),
        )  # fmt: skip
        return None if None in found else cls(*found)  # type: ignore[arg-type]


class Network:
    """The model's layers as a program: a part before each time that messages are heard, one behind, one on atoms.

    Of each interaction: filters, the two layers on the basis of an angle as one array (L, N, C); sent and heard, what
    goes into the sum over angles and what comes of it.
    """

    def __init__(self, model: DimeNetPP):
        self.program = program = Program(model.dtype)
        self.radial = program.value(model.config["radial"])
        self.filters: list[np.ndarray] = []
        self.sent: list[Value] = []
        self.heard: list[Value] = []
        message, sums = self._first(model), []
        for interaction, readout in zip([*model.interactions, None], model.readouts):
            seen = program.layer(self.radial, readout.radial.weight, times=message)
            sums.append(program.summed(seen))
            if interaction is not None:
                message = self._interaction(interaction, message)
        program.cut()
        self.hidden: list[Value] = []
        energy = None
        for readout, x in zip(model.readouts, sums):
            energy = self._readout(readout, x, energy)
        self.energy: Value = energy
        program.finish(self.radial, *self.heard)
        self.scales = [1.0 if readout.scale is None else float(readout.scale) for readout in model.readouts]

    def _first(self, model: DimeNetPP) -> Value:
        embedding = model.embedding
        x = self.program.layer(self.radial, embedding.radial.weight, embedding.radial.bias, curved=embedding.activated)
        features = embedding.table.shape[1]
        parts = embedding.dense.weight.split([features, features, x.size], dim=1)
        ends = torch.stack([embedding.table @ part.t() for part in parts[:2]], dim=1)
        return self.program.layer(x, parts[2], embedding.dense.bias, curved=True, table=ends)

    def _interaction(self, block: Interaction, message: Value) -> Value:
        """As `dimenetpp_blocks.Interaction`."""
        program = self.program
        first, second = (layer.weight for layer in block.radial)
        filtered = program.layer(self.radial, second @ first)
        arriving = program.layer(message, block.incoming.weight, block.incoming.bias, curved=True, times=filtered)
        self.sent.append(program.layer(arriving, block.down.weight, curved=True, kept=True))
        program.cut()
        self.heard.append(program.value(block.up.weight.shape[1]))
        first, second = (layer.weight for layer in block.spherical)
        wide = second.new_zeros(first.shape[1], self.heard[-1].width)
        wide[:, : len(second)] = (second @ first).t()
        self.filters.append(flat(wide))
        own = program.layer(message, block.own.weight, block.own.bias, curved=True)
        y = program.layer(program.permuted(self.heard[-1]), block.up.weight, curved=True, plus=own)
        for residual in block.before:
            y = self._residual(residual, y)
        y = program.layer(y, block.dense.weight, block.dense.bias, curved=True, plus=message)
        for residual in block.after:
            y = self._residual(residual, y)
        return y

    def _residual(self, block: Residual, y: Value) -> Value:
        x = self.program.layer(y, block.first.weight, block.first.bias, curved=True)
        return self.program.layer(x, block.second.weight, block.second.bias, curved=True, plus=y)

    def _readout(self, block: Output, x: Value, energy: Value | None) -> Value:
        """The energies of all heads (A, heads), this block's added."""
        layers = list(block.dense)
        y = self.program.layer(x, block.up.weight, kept=not layers)
        for n, layer in enumerate(layers, 1):
            y = self.program.layer(y, layer.weight, layer.bias, curved=True, kept=n == len(layers))
        self.hidden.append(y)
        last = block.last.weight if block.scale is None else block.last.weight * block.scale
        return self.program.layer(y, last, plus=energy, kept=True)


class _Pass:
    """One evaluation. A gradient is named g and what it belongs to; that of a program's value stands in its place."""

    memory: Tensor

    def __init__(self, model: DimeNetPP, network: Network, code: Code, graph: Graph):
        self.model, self.network, self.code, self.graph = model, network, code, graph
        self.list = graph.edges[model.needs.cutoffs[0]]
        self.edges, self.atoms = len(self.list.i), len(graph.numbers)
        self.species = model.species(graph)
        self.first, self.order = sorted_rows(self.list.i, self.atoms)
        self.index = [t.contiguous().numpy() for t in (self.list.i, self.list.j, self.list.reverse, self.species)]

    def of(self, value: Value) -> Tensor:
        """A value of the program, or its gradient."""
        return self.network.program.of(value, self.memory, self.edges, self.atoms)

    def outputs(self, want: Sequence[str]) -> Outputs:
        self._basis()
        self._forward()
        network = self.network
        values = self.of(network.energy)[:, : network.energy.size]
        head = self.graph.head.index_select(0, self.graph.batch)
        out = Outputs(*self.model.total(self.graph, self.species, self.model.by_head(values, head)))
        if "features" in want:
            parts = [scale * self.of(y)[:, : y.size] for y, scale in zip(network.hidden, network.scales)]
            out.features = torch.cat(parts, dim=1)
        if {"forces", "virial", "stress"} & set(want):
            seed = self.of(network.energy).zero_()
            seed[torch.arange(self.atoms), head] = self.model.scale[head].to(seed.dtype)
            self._backward()
            self._forces(out, "forces" in want, bool({"virial", "stress"} & set(want)))
        return out

    # ------------------------------------------------------------------ the functions of edges

    def _basis(self) -> None:
        """Distances, directions, and the functions of both."""
        c, cutoff = self.model.config, self.list.cutoff
        self.vectors = self.graph.vectors(cutoff)
        self.lengths = self.vectors.square().sum(1).sqrt()
        self.x, self.unit = self.lengths / cutoff, self.vectors / self.lengths[:, None]
        envelope, rise = self._function(self.code.radial.envelope, (), c["envelope"])
        frequencies = self.model.frequencies.detach()
        angles = self.x[:, None] * frequencies
        bessel, slope = self._function(
            self.code.radial.bessel, frequencies.shape, *map(flat, (frequencies, angles.sin(), angles.cos())),
            float(self.model._radial_factor(self.x)),
        )  # fmt: skip
        torch.mul(envelope[:, None], bessel, out=self.of(self.network.radial).zero_()[:, : len(frequencies)])
        self.radial_slope = envelope[:, None] * slope + rise[:, None] * bessel
        if c["spherical_envelope"] == "divided":
            envelope = envelope / self.x
            rise = (rise - envelope) / self.x
        tables = self.model.tables(self.x)
        self.waves, self.waves_slope = waves.waves_slopes(self.code.waves, self.x, envelope, rise, *tables)
        self.harmonics = waves.ZonalParts(self.code.parts, c["spherical"] - 1)
        (self.parts,) = self.harmonics.forward((self.unit,))

    def _function(self, function, columns: tuple[int, ...], *arguments: object) -> tuple[Tensor, Tensor]:
        """A function of x (E,), or several, and its derivative."""
        y, slope, bend = (self.x.new_empty(self.edges, *columns) for _ in range(3))
        over_rows(function, self.edges, flat(self.x), *arguments, *map(flat, (y, slope, bend)), work=50 * self.edges)
        return y, slope

    def _basis_back(self) -> Tensor:
        """The gradient of the edges' vectors (E, 3)."""
        gradial = self.of(self.network.radial)[:, : self.network.radial.size]
        gx = (gradial * self.radial_slope).sum(1) + (self.gwaves * self.waves_slope).sum((1, 2))
        (gunit,) = self.harmonics.backward((self.gparts,), (self.unit,), (True,))
        along = gx / self.list.cutoff - (gunit * self.unit).sum(1) / self.lengths
        return along[:, None] * self.unit + gunit / self.lengths[:, None]

    # ------------------------------------------------------------------ the network

    def _run(self, function, part: np.ndarray, ends: np.ndarray) -> None:
        memory, weights = flat(self.memory), self.network.program.weights
        work = len(part) * 64 * int(ends[-1])
        over_rows(function, self.atoms, ends, *self.index, part, weights, memory, work=work, ends=ends)

    def _hear(self, function, k: int, *results: object) -> None:
        """What each message hears in interaction k, or backwards."""
        sent = self.of(self.network.sent[k])
        arrays = self.first, self.order, flat(self.waves), self.network.filters[k], flat(sent), flat(self.parts)
        sizes = (*self.waves.shape[1:], sent.shape[1])
        work = 4 * sent.numel() * self.parts.shape[1]
        over_rows(function, self.atoms, *arrays, *sizes, *results, work=work, ends=self.first)

    def _forward(self) -> None:
        network, program, code = self.network, self.network.program, self.code.programs
        *parts, last = program.parts(self.edges, self.atoms)
        for k, part in enumerate(parts):
            if k:
                self._hear(self.code.zonal.sums, k - 1, flat(self.of(network.heard[k - 1])))
            self._run(code.forward, part, self.first)
        self._run(code.forward, last, np.arange(self.atoms + 1))

    def _backward(self) -> None:
        network, program, code = self.network, self.network.program, self.code.programs
        *parts, last = program.parts(self.edges, self.atoms)
        self.gwaves, self.gparts = torch.zeros_like(self.waves), torch.zeros_like(self.parts)
        # nobody asks for the gradient of the filters
        results = flat(self.gwaves), np.empty(0, flat(self.memory).dtype)
        self._run(code.backward, last, np.arange(self.atoms + 1))
        for k in range(len(parts) - 1, -1, -1):
            self._run(code.backward, parts[k], self.first)
            if k:
                # the gradient of what was sent takes the place of what was sent
                heard, sent = (flat(self.of(values[k - 1])) for values in (network.heard, network.sent))
                self._hear(self.code.zonal.sums_backward, k - 1, NOTHING, heard, *results, sent, flat(self.gparts))

    def _forces(self, out: Outputs, forces: bool, virial: bool) -> None:
        gvectors = self._basis_back()
        if forces:
            both = gvectors - gvectors.index_select(0, self.list.reverse)
            out.forces = torch.zeros_like(self.graph.positions).index_add_(0, self.list.i, both)
        if virial:
            outer = self.vectors[:, :, None] * gvectors[:, None, :]
            of = self.graph.batch.index_select(0, self.list.i)
            sums = outer.new_zeros(self.graph.size, 3, 3).index_add_(0, of, outer)
            out.virial = -0.5 * (sums + sums.transpose(1, 2))
