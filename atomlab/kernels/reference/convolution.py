"""Equivariant messages along edges: radial weight times spherical harmonics times the sender's features.

Radial weights and harmonics are given once per bond, since its two directions share them up to the sign (-1)^l.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["edge_convolution", "half_edges", "pair_sum"]


@op
def half_edges(reverse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of every bond. `reverse` (E,) is the index of the edge j -> i.

    Returns the edges chosen (H,), H = E / 2; for every edge the row of its bond among them (E,); and whether it runs
    against the chosen direction (E,) bool.
    """
    chosen = torch.arange(len(reverse), device=reverse.device) < reverse
    rank = torch.cumsum(chosen, 0) - 1
    return chosen.nonzero()[:, 0], torch.where(chosen, rank, rank.index_select(0, reverse)), ~chosen


@op
def pair_sum(values: Tensor, i: Tensor, j: Tensor, size: int) -> Tensor:
    """Sum of bond values (H, ...) at both ends i and j (H,): (size, ...)."""
    return values.new_zeros((size, *values.shape[1:])).index_add(0, i, values).index_add(0, j, values)


@op
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
    """A[i, path, m3, k] = Σ over edges of i, m1, m2 of C[path, m1, m2, m3] R[bond, path, k] Y[m2] x[j, m1, k].

    radial (H, P, K) and harmonics (H, M2) per bond, in the direction chosen by `half_edges`; features (A, M1, K) of the
    senders, M = (l + 1)^2; i (E,) sorted receivers, j (E,) senders, pair (E,) row of the bond, against (E,) bool.
    paths: P triples (l1, l2, l3) sorted by l3; couplings: C of each path as a matrix (2 l3 + 1, (2 l2 + 1) (2 l1 + 1)),
    columns (m2, m1); unused where l1 = 0, whose C is 1.
    Returns for l3 = 0, 1, ...: (A, 2 l3 + 1, paths of l3 times K). Batatia et al., NeurIPS 2022, eq. 8.

    The sum over neighbours comes first, as a matrix product per atom on a padded list; the couplings follow on atoms,
    which are far fewer than edges.
    """
    atoms, channels, size = features.shape[0], features.shape[2], harmonics.shape[1]
    bond, state, sender, width = _padded(i, j, pair, against, atoms)
    signs = _signs(size, radial.dtype, radial.device).index_select(0, state)
    y = (harmonics.index_select(0, bond) * signs).view(atoms, width, size).split(_widths(size), dim=2)
    senders = features.index_select(0, sender).split(_widths(features.shape[1]), dim=1)
    # views along an axis, not slices: the derivative of all of them together is one copy
    weights = radial.index_select(0, bond).unbind(1)
    groups: list[list[Tensor]] = [[] for _ in range(1 + max(l3 for _, _, l3 in paths))]
    for weight, (l1, l2, l3), coupling in zip(weights, paths, couplings):
        term = (weight[:, None] * senders[l1]).view(atoms, width, (2 * l1 + 1) * channels)
        summed = torch.bmm(y[l2].transpose(1, 2), term)
        if l1 > 0:
            summed = torch.matmul(coupling, summed.view(atoms, coupling.shape[1], channels))
        groups[l3].append(summed)
    return tuple(group[0] if len(group) == 1 else torch.cat(group, dim=2) for group in groups)


def _widths(size: int) -> list[int]:
    """Components of l = 0, 1, ... among (l_max + 1)^2."""
    return [2 * l + 1 for l in range(math.isqrt(size))]


def _padded(i: Tensor, j: Tensor, pair: Tensor, against: Tensor, atoms: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """A table of neighbours (atoms * width,): bond, state (0 empty, 1 along, 2 against its direction), sender."""
    counts = torch.bincount(i, minlength=atoms)
    width = int(counts.max()) if len(i) else 0
    first = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(i), device=i.device) - first.index_select(0, i)
    table = torch.zeros(3, atoms * width, dtype=torch.int64, device=i.device)
    table.index_copy_(1, i * width + rank, torch.stack([pair, 1 + against.to(torch.int64), j]))
    return table[0], table[1], table[2], width


@cache
def _signs(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, size): 0 for an empty place, 1, and the parity (-1)^l of a bond seen from its other end."""
    parity = [(-1.0) ** math.isqrt(m) for m in range(size)]
    with torch.inference_mode(False):  # it is kept, and may be needed for a derivative later
        return torch.tensor([[0.0] * size, [1.0] * size, parity], dtype=dtype, device=device)
