"""What a fused pass of MACE needs of the weights, made once for the elements present, kept while no weight changes.

Everything that depends on weights alone is multiplied out here: scaled matrices, the first layer (whose features depend
on the sender's element only, so that embedding, last radial layer, linear map and skip become one matrix), and the
polynomials of the symmetric contraction.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..kernels.cpu.fused import Loops, Path, pieces
from ..kernels.cpu.fused_messages import Pattern
from .blocks import NonLinearReadout
from .folding import folded as kept
from .mace_polynomials import polynomials
from .spherical import tensor_paths, wigner_3j

if TYPE_CHECKING:
    from torch import nn

    from .blocks import Interaction, RadialNetwork
    from .mace import MACE

__all__ = ["Folded", "Layer", "Matrix", "folded", "patterns"]


def folded(model: MACE, present: tuple[int, ...]) -> Folded:
    """The model's weights as they are now, for a pass over the elements `present` (rows of its tables)."""
    return kept(model, present, lambda: Folded(model, present))


@functools.cache
def patterns(layers: int, l_nodes: int, l_edges: int) -> tuple[tuple[Path, Pattern], ...]:
    """For each path of the later layers: where its coupling (m3, m1, m2) is not 0."""
    return tuple((path, _pattern(path)) for path in tensor_paths(l_nodes, l_edges) if layers > 1)


@functools.cache
def _pattern(path: Path) -> Pattern:
    places = np.argwhere(np.abs(wigner_3j(*path).transpose(2, 0, 1)) > 1e-10)
    return tuple((m3, m1, m2) for m3, m1, m2 in places.tolist())


class Matrix:
    """A matrix and its transpose, both contiguous: backwards it is applied transposed."""

    def __init__(self, matrix: Tensor, dtype: torch.dtype):
        self.forth = matrix.to(dtype).contiguous()
        self.back = self.forth.t().contiguous()


@dataclass
class Layer:
    """One layer's constants, in the model's type.

    paths; couplings: values at the places of `patterns`, one array per path; radial: matrices of the hidden radial
    layers, and `last`, per path; up, product: per l; linear: per element (or once for all) and l; skip: per element and
    l, or None; tree and weights: as `loops/fused_polynomials.py` takes them; density: weights of the basis functions.
    """

    paths: Sequence[Path]
    couplings: list[np.ndarray]
    radial: list[Tensor]
    last: list[Tensor]
    up: list[Matrix]
    linear: list[list[Matrix]]
    skip: list[list[Matrix]] | None
    product: list[Matrix]
    tree: tuple[np.ndarray, ...]
    weights: Tensor
    density: np.ndarray | None
    l_out: int

    @property
    def hidden(self) -> int:
        """Functions of the radial network before its last matrix."""
        return self.last[0].shape[0]


class Folded:
    """All layers, and the constants of the radial basis as `loops/fused_bonds.py` takes them.

    scale, shift (heads,) and e0 (heads, elements) in eV. code, tables: compiled loops and radial tables, once they are
    made.
    """

    def __init__(self, model: MACE, present: tuple[int, ...]):
        self.name, self.config, self.dtype, self.present = model.card.name, model.config, model.dtype, present
        self.code: dict[bool, Loops] = {}
        self.tables: Any = None
        self.scale, self.shift, self.e0 = (
            t.detach().numpy().copy() for t in (model.scale, model.shift, model.atomic_energies)
        )
        rows = torch.tensor(present)
        x = model.node_embedding.linear.matrices()[0].double()[rows]
        self.layers: list[Layer] = []
        for t, (interaction, product) in enumerate(zip(model.interactions, model.products)):
            self.layers.append(self._layer(interaction, product, rows, x if t == 0 else None))
        self._radial(model)
        self.readouts = [_readout(read) for read in model.readouts]

    def _layer(self, interaction: Interaction, product: nn.Module, rows: Tensor, x: Tensor | None) -> Layer:
        channels, blocks = self.config["channels"], interaction.skip_tp
        weight = blocks.weight.double().view(blocks.shape)[:, :, rows].transpose(1, 2)
        element = weight * (1.0 / math.sqrt(blocks.shape[1] * blocks.shape[2]))  # (l, Z, K, K)
        up = [m.double() for m in interaction.linear_up.matrices()]
        norm = 1.0 if interaction.density else interaction.average
        linear = [m.double() / norm for m in interaction.linear.matrices()]
        each, skip = [linear], None
        if interaction.residual:
            skip = [list(element[:, z]) for z in range(len(rows))]
        else:
            each = [[m @ element[l, z] for l, m in enumerate(linear)] for z in range(len(rows))]
        *hidden, last = _scaled(interaction.conv_tp_weights)
        if x is not None:
            # messages of the first layer: (sender's element, hidden function) -> channel
            parts = last.view(len(last), -1, channels)
            sums = [torch.einsum("hk,zk->zhk", parts[:, l], x @ up[0]).flatten(0, 1) for l in range(len(linear))]
            each = [[sums[l] @ m for l, m in enumerate(matrices)] for matrices in each]
            skip = None if skip is None else [[x[z : z + 1] @ m for m in matrices] for z, matrices in enumerate(skip)]
        tree, weights = polynomials(list(product.symmetric_contractions.contractions), rows, self.dtype)
        density = interaction.density_fn.layer0.weight.double() if interaction.density else None
        return Layer(
            interaction.paths,
            [] if x is not None else _couplings(interaction, self.dtype),
            [m.to(self.dtype).contiguous() for m in hidden],
            [m.to(self.dtype).contiguous() for m in last.split(channels, dim=1)],
            self._both(up),
            [self._both(matrices) for matrices in each],
            None if skip is None else [self._both(matrices) for matrices in skip],
            self._both(product.linear.matrices()),
            tree,
            weights,
            None if density is None else density.numpy()[:, 0] / math.sqrt(len(density)),
            interaction.l_out,
        )

    def _both(self, matrices: Sequence[Tensor]) -> list[Matrix]:
        return [Matrix(m, self.dtype) for m in matrices]

    def read(self, t: int, scalars: Tensor, head: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The energy of layer t's readout (A,), in float64, and the function seed (A,) -> gradient in scalars."""
        first, *second = self.readouts[t]
        if not second:
            column = first[:, 0] if first.shape[1] == 1 else first.t()[head]
            return (scalars * column).sum(1).double(), lambda seed: seed[:, None] * column
        heads, constant = len(self.config["heads"]), self.config["activation"]
        out = constant * (second[0][:, 0] if heads == 1 else second[0].t()[head])
        if heads > 1:  # other heads' units are 0
            out = out * torch.nn.functional.one_hot(head, heads).repeat_interleave(out.shape[1] // heads, dim=1)
        z = pieces(scalars, first)

        def back(seed: Tensor) -> Tensor:
            return pieces(torch.ops.aten.silu_backward(seed[:, None] * out, z), first.t())

        return (torch.nn.functional.silu(z) * out).sum(1).double(), back

    def _radial(self, model: MACE) -> None:
        embedding = model.radial_embedding
        self.frequencies = embedding.bessel_fn.bessel_weights.detach().double().numpy().copy()
        self.transform = ("none", "agnesi", "soft").index(embedding.transform)
        constants = [float(embedding.bessel_fn.prefactor), 0.0, 0.0, 0.0]
        kinds = 1
        self.r0 = np.ones(1)
        if self.transform:
            t = embedding.distance_transform
            constants[1:] = [float(t.a), float(t.p), float(t.q)] if self.transform == 1 else [float(t.alpha), 0.0, 0.0]
            kinds = len(self.present)
            radii = t.covalent_radii.double().numpy()[[model.elements[z] for z in self.present]]
            first, second = np.triu_indices(kinds)
            self.r0 = (radii[first] + radii[second]) * (0.5 if self.transform == 1 else 1.0)
        self.constants = np.array(constants)
        # kind of a bond by its two elements: the distance is transformed by their pair
        self.kind_of = np.zeros((len(self.present), len(self.present)), np.int64)
        if self.transform:
            self.kind_of[first, second] = self.kind_of[second, first] = np.arange(len(self.r0))
        found = [layer.density for layer in self.layers if layer.density is not None]
        self.mix = np.array(found).reshape(-1) if found else np.zeros(0)
        self.densities = len(found)
        self.zbl = None
        if self.config["zbl"]:
            z = model.pair_repulsion_fn
            numbers = [*z.c.double().tolist(), 3.2, 0.9423, 0.4028, 0.2016, float(z.a_exp), float(z.a_prefactor)]
            self.zbl = (z.covalent_radii.double().numpy().copy(), np.array(numbers), z.p)


def _readout(read: nn.Module) -> list[Tensor]:
    """The matrices of a readout, one or two."""
    linears = (read.linear_1, read.linear_2) if isinstance(read, NonLinearReadout) else (read.linear,)
    return [linear.matrices()[0].detach() for linear in linears]


def _scaled(network: RadialNetwork) -> list[Tensor]:
    """The radial network's matrices in float64; the constant of an activation goes into the next one."""
    weights = [network.get_submodule(f"layer{n}").weight.double() for n in range(network.depth)]
    return [w * ((network.activation if n else 1.0) / math.sqrt(len(w))) for n, w in enumerate(weights)]


def _couplings(interaction: Interaction, dtype: torch.dtype) -> list[np.ndarray]:
    matrices = interaction.conv_tp.matrices(torch.empty(0, dtype=dtype))
    values = []
    for (l1, l2, l3), matrix in zip(interaction.paths, matrices):
        places = _pattern((l1, l2, l3))
        coupling = matrix.view(2 * l3 + 1, 2 * l2 + 1, 2 * l1 + 1).numpy()
        # a sender's scalars need no coupling: its matrix is the unit matrix
        found = [1.0 if l1 == 0 else coupling[m3, m2, m1] for m3, m1, m2 in places]
        values.append(np.array(found, coupling.dtype))
    return values
