"""The edge convolution: each path's coupling coefficients stand in the kernel's text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..dispatch import implements
from ..edgewise import Array, term
from ..formula import total
from .device import kept, ours, specified
from .edgewise import OfEdges


def _message(radial, harmonics, features, sign, paths, tables):
    """The columns of the outputs, for l3 = 0, 1, ...: m3, and for each m3 the paths of that l3."""
    y = [value * sign[0] if math.isqrt(m) % 2 else value for m, value in enumerate(harmonics)]
    found = []
    for l3 in range(1 + max(l3 for _, _, l3 in paths)):
        mine = [n for n, path in enumerate(paths) if path[2] == l3]
        for m3 in range(2 * l3 + 1):
            found += [radial[n] * _coupled(y, features, *paths[n][:2], tables[n][m3]) for n in mine]
    return found


def _coupled(y, features, l1, l2, row):
    terms = [(c, *divmod(n, 2 * l1 + 1)) for n, c in enumerate(row) if c]
    return total(c * y[l2 * l2 + m2] * features[l1 * l1 + m1] for c, m2, m1 in terms)


@implements("triton", "edge_convolution")
def edge_convolution(
    radial: Tensor,
    harmonics: Tensor,
    features: Tensor,
    i: Tensor,
    j: Tensor,
    pair: Tensor,
    against: Tensor,
    paths: Sequence[tuple[int, int, int]],
    couplings: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    if 0 in (len(i), radial.numel(), features.numel()) or not ours(radial, harmonics, features):
        return NotImplemented
    paths = tuple((l1, l2, l3) for l1, l2, l3 in paths)
    tables = tuple(_table(path, coupling) for path, coupling in zip(paths, couplings))
    atoms, channels = features.shape[0], features.shape[2]
    top = max(l3 for _, _, l3 in paths)
    many = [sum(path[2] == l3 for path in paths) for l3 in range(top + 1)]
    inputs = (
        Array("bond", len(paths)),
        Array("bond", harmonics.shape[1], wide=False),
        Array("j", features.shape[1]),
        Array("edge", 1, wide=False, held=True),
    )
    outputs = tuple(Array("i", (2 * l + 1) * n) for l, n in enumerate(many) if n)
    made = term(_message, inputs, outputs, channels, (paths, tables))
    indices = {"i": i, "j": j, "bond": pair}
    sizes = {"i": atoms, "j": atoms, "bond": len(radial), "edge": len(i)}
    shapes = [(atoms, 2 * l + 1, n * channels) for l, n in enumerate(many) if n]
    sign = kept(against, radial.dtype, lambda against: torch.where(against, -1.0, 1.0).to(radial.dtype))

    def plain(*x: Tensor) -> tuple[Tensor, ...]:
        return specified("edge_convolution")(*x, i, j, pair, against, paths, couplings)

    return OfEdges(made, indices, sizes, shapes, plain, (sign,))(radial, harmonics, features)


def _table(path: tuple[int, ...], coupling: Tensor) -> tuple[tuple[float, ...], ...]:
    if path[0] == 0:
        return tuple(tuple(float(m2 == m3) for m2 in range(2 * path[1] + 1)) for m3 in range(2 * path[2] + 1))
    return kept(coupling, "table", lambda coupling: tuple(map(tuple, coupling.tolist())))
