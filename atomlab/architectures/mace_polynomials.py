"""The symmetric contractions of a layer as polynomials in an atom's features, their weights contracted once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..kernels.cpu.simd import width
from .couplings import Contraction

__all__ = ["polynomials"]


def polynomials(
    contractions: Sequence[Contraction], rows: Tensor, dtype: torch.dtype
) -> tuple[tuple[np.ndarray, ...], Tensor]:
    """The tree of all components' polynomials, and their weights (Z, K / W, rows, W)."""
    like, levels, values, start = torch.empty(0, dtype=dtype), _Tree(), [], 0
    for contraction in contractions:
        index, basis, fold = contraction._tables(like)
        given = torch.cat([*reversed(list(contraction.weights)), contraction.weights_max], dim=1)[rows].double()
        coefficients = torch.einsum("nmr,zrk->zmnk", basis.double(), fold.double() @ given)
        values.append(coefficients.flatten(1, 2))
        tuples = [tuple(row) for part in index for row in part.tolist()]
        for m in range(basis.shape[1]):
            size = basis[:, m].abs().amax(1)
            used = (size > (1e-14 if dtype == torch.float64 else 1e-7) * size.max()).tolist()
            levels.add({key: start + n for n, key in enumerate(tuples) if used[n]})
            start += len(tuples)
    table = torch.cat([*values, torch.zeros_like(values[0][:, :1])], dim=1)
    channels = table.shape[2]
    wide = width(channels, str(dtype).removeprefix("torch."))
    taken = table.index_select(1, torch.tensor([n if n >= 0 else start for n in levels.taken]))
    weights = taken.view(len(rows), -1, channels // wide, wide).transpose(1, 2).to(dtype).contiguous()
    return levels.arrays(4 * wide), weights


class _Tree:
    """Polynomials by their leading factors: three levels of branches, each with the range of its own branches."""

    def __init__(self) -> None:
        self.a_first, self.b_first, self.c_first = [0], [0], [0]
        self.a, self.b, self.c, self.taken = [], [], [], []

    def add(self, rows: dict[tuple[int, ...], int]) -> None:
        """One polynomial: the row of each monomial. Monomials that lead to others but lack a row take row -1: 0."""
        tree: dict[int, dict[int, list[int]]] = {}
        for key in sorted(rows):
            branch = tree.setdefault(key[0], {})
            if len(key) > 1:
                branch.setdefault(key[1], []).extend(key[2:])
        for a, branch in tree.items():
            self.a.append(a)
            self.taken.append(rows.get((a,), -1))
            for b, last in branch.items():
                self.b.append(b)
                self.c += last
                self.taken += [rows.get((a, b), -1), *(rows[a, b, c] for c in last)]
                self.c_first.append(len(self.c))
            self.b_first.append(len(self.b))
        self.a_first.append(len(self.a))

    def arrays(self, step: int) -> tuple[np.ndarray, ...]:
        """a_first, a_of, b_first, b_of, c_first, c_of; factors as places `step` numbers apart."""
        a, b, c = (np.array(part, np.int64) * step for part in (self.a, self.b, self.c))
        first = [np.array(part, np.int64) for part in (self.a_first, self.b_first, self.c_first)]
        return first[0], a, first[1], b, first[2], c
