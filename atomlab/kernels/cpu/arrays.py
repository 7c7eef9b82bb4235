"""Tensors as the flat arrays that compiled loops take, and indices as they like them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["copies", "flat", "real", "sorted_rows"]

REALS = {torch.float32: "float32", torch.float64: "float64"}
_rows: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def real(x: Tensor) -> str | None:
    """The floating type by name; None for a tensor that these kernels do not take (another type or device)."""
    return REALS.get(x.dtype) if x.device.type == "cpu" else None


def flat(x: Tensor) -> np.ndarray:
    """The same memory as a one-dimensional array; x is contiguous."""
    return (x.detach() if x.requires_grad else x).numpy().reshape(-1)


def sorted_rows(index: Tensor, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row pointer (size + 1,) and order (E,): the places of index value a are order[first[a]:first[a + 1]].

    Kept as long as the index is, since layers and derivatives ask again.
    """
    if index.is_inference():
        return _sorted_rows(index, size)
    kept = _rows.get(index)
    if kept is None or kept[0] != (size, index._version):
        kept = _rows[index] = ((size, index._version), _sorted_rows(index, size))
    return kept[1]


def _sorted_rows(index: Tensor, size: int) -> tuple[np.ndarray, np.ndarray]:
    values = index.numpy()
    first = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(values, minlength=size), out=first[1:])
    sorted_already = len(values) < 2 or bool((values[1:] >= values[:-1]).all())
    return first, np.arange(len(values)) if sorted_already else np.argsort(values, kind="stable")


def copies(like: Tensor, many: int) -> Tensor:
    """Zeros for `many` writers (many, ...): their sum over the first dimension is the result."""
    return like.new_zeros((many, *like.shape))
