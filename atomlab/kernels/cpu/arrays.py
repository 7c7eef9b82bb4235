"""Tensors as the flat arrays that compiled loops take, and indices as they like them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["flat", "real", "sorted_rows"]

REALS = {torch.float32: "float32", torch.float64: "float64"}


def real(x: Tensor) -> str | None:
    """The floating type by name; None for a tensor that these kernels do not take (another type or device)."""
    return REALS.get(x.dtype) if x.device.type == "cpu" else None


def flat(x: Tensor) -> np.ndarray:
    """The same memory as a one-dimensional array; x is contiguous."""
    return x.detach().view(-1).numpy()


def sorted_rows(index: Tensor, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row pointer (size + 1,) and order (E,): the places of index value a are order[first[a]:first[a + 1]]."""
    values = index.numpy()
    first = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(values, minlength=size), out=first[1:])
    sorted_already = len(values) < 2 or bool((values[1:] >= values[:-1]).all())
    return first, np.arange(len(values)) if sorted_already else np.argsort(values, kind="stable")
