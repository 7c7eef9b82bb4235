"""Coupling constants of MACE as modules, and the symmetric contraction that uses them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..kernels import symmetric_contraction
from .spherical import coupling_basis, reduced_basis, wigner_3j

__all__ = ["Contraction", "Couplings", "Given"]


class Given(nn.Module):
    """Holds constants that a published file may bring; where it brings none, ours are made from their formulas.

    What is given stays in checkpoints, bit for bit; what is made does not.
    """

    names = ""  # pattern of the constants' names

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[tuple, tuple] = {}

    def expect(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> None:
        """Make room for a constant that a checkpoint brings."""
        self.register_buffer(name, torch.empty(tuple(shape), dtype=dtype))

    def given(self, name: str) -> np.ndarray | None:
        """The constant of that name in float64, if a file brought it."""
        value = self._buffers.get(name)
        return None if value is None else value.detach().cpu().double().numpy()

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        self._made.clear()
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and re.fullmatch(self.names, name):
                self.expect(name, value.shape, value.dtype)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _apply(self, fn, recurse=True):
        self._made.clear()
        return super()._apply(fn, recurse)


class Couplings(Given):
    """3j symbols of the paths of one convolution, times sqrt(2 l3 + 1) (see `kernels.edge_convolution`)."""

    names = r"_w3j_\d_\d_\d"

    def __init__(self, paths: Sequence[tuple[int, int, int]]):
        super().__init__()
        self.paths = list(paths)

    def matrices(self, like: Tensor) -> tuple[Tensor, ...]:
        """One matrix (2 l3 + 1, (2 l2 + 1) (2 l1 + 1)) per path, in the type and on the device of `like`."""
        key = (like.dtype, like.device)
        if key not in self._made:
            self._made[key] = tuple(_kept(self._matrix(*path), like) for path in self.paths)
        return self._made[key]

    def _matrix(self, l1: int, l2: int, l3: int) -> np.ndarray:
        symbol = self.given(f"_w3j_{l1}_{l2}_{l3}")
        symbol = wigner_3j(l1, l2, l3) if symbol is None else symbol
        return math.sqrt(2 * l3 + 1) * symbol.transpose(2, 1, 0).reshape(2 * l3 + 1, -1)


class Contraction(Given):
    """All products of up to `order` features of an atom that transform like l_out, weighted per element and channel."""

    names = r"U_matrix_\d|weights_\w+_zeroed"

    def __init__(self, l_max: int, l_out: int, order: int, elements: int, channels: int):
        super().__init__()
        self.l_max, self.l_out, self.order = l_max, l_out, order
        paths = [coupling_basis(l_max, l_out, n).shape[-1] for n in range(1, order + 1)]
        weights = [nn.Parameter(torch.randn(elements, n, channels) / n) for n in reversed(paths)]
        self.weights_max, self.weights = weights[0], nn.ParameterList(weights[1:])

    def coupling(self, order: int) -> np.ndarray:
        """The coupling tensor U of that order in float64: the file's, or ours."""
        given = self.given(f"U_matrix_{order}")
        return coupling_basis(self.l_max, self.l_out, order) if given is None else given

    def forward(self, x: Tensor, present: Tensor, of_atom: Tensor) -> Tensor:
        """(A, M, K) -> (A, 2 l_out + 1, K); elements present (Z,), and each atom's place among them (A,)."""
        index, basis, fold = self._tables(x)
        each = [*reversed(list(self.weights)), self.weights_max]
        weights = fold @ torch.cat([weight.index_select(0, present) for weight in each], dim=1)
        return symmetric_contraction(x, weights, of_atom, index, basis)

    def _tables(self, like: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        key = (like.dtype, like.device)
        if key not in self._made:
            # a file in float32 holds rounded couplings: kept to the last bit in float64, rounding dropped in float32
            rtol = 1e-12 if like.dtype == torch.float64 else 1e-6
            parts = [reduced_basis(self.coupling(n), self.l_out, rtol) for n in range(1, self.order + 1)]
            rows = np.cumsum([0, *(len(index) for index, _, _ in parts)])
            ranks = np.cumsum([0, *(len(fold) for _, _, fold in parts)])
            paths = np.cumsum([0, *(fold.shape[1] for _, _, fold in parts)])
            basis = np.zeros((rows[-1], 2 * self.l_out + 1, ranks[-1]))
            fold = np.zeros((ranks[-1], paths[-1]))
            for n, (_, b, f) in enumerate(parts):
                basis[rows[n] : rows[n + 1], :, ranks[n] : ranks[n + 1]] = b
                fold[ranks[n] : ranks[n + 1], paths[n] : paths[n + 1]] = f
            index = [_kept(tuples, like, whole=True) for tuples, _, _ in parts]
            self._made[key] = (index, _kept(basis, like), _kept(fold, like))
        return self._made[key]

    def expect(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> None:
        super().expect(name, shape, dtype)
        if name.startswith("U_matrix_"):
            # a file may hold a shorter basis: its weights then have fewer rows
            order = int(name[-1])
            weight = self.weights_max if order == self.order else self.weights[self.order - 1 - order]
            if weight.shape[1] != shape[-1]:
                weight.data = weight.new_empty(weight.shape[0], shape[-1], weight.shape[2])


def _kept(value: np.ndarray, like: Tensor, whole: bool = False) -> Tensor:
    """A tensor that outlives the call, whatever its mode; on the device and, unless `whole`, in the type of `like`."""
    with torch.inference_mode(False):
        return torch.from_numpy(np.array(value)).to(device=like.device, dtype=None if whole else like.dtype)
