"""Real spherical harmonics up to l = 3."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["spherical_harmonics"]


@op
def spherical_harmonics(unit: Tensor, l_max: int) -> Tensor:
    """Y (E, (l_max + 1)^2) of unit vectors (E, 3), l_max 0..3. Component-normalised (|Y_l|^2 = 2 l + 1), polar axis y.

    Y_1 = sqrt(3) (x, y, z); each further degree is linear in the products of the one below with (x, y, z).
    """
    parts = [torch.ones_like(unit[:, :1])]
    if l_max >= 1:
        parts.append(math.sqrt(3.0) * unit)
    for l in range(2, l_max + 1):
        products = (parts[-1][:, :, None] * unit[:, None, :]).flatten(1)
        parts.append(products @ _step(l, unit.dtype, unit.device))
    return torch.cat(parts, dim=1)


@cache
def _step(l: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix (3 (2 l - 1), 2 l + 1) from Y_(l-1) times (x, y, z) to Y_l."""
    s = math.sqrt
    table = np.zeros((2 * l - 1, 3, 2 * l + 1))
    x, y, z = 0, 1, 2
    if l == 2:
        norm = s(5.0 / 3.0)  # Y_1 carries sqrt 3, Y_2 sqrt 5
        terms = {
            0: ((x, z, s(3.0)),),
            1: ((x, y, s(3.0)),),
            2: ((y, y, 1.0), (x, x, -0.5), (z, z, -0.5)),
            3: ((y, z, s(3.0)),),
            4: ((z, z, s(3.0) / 2), (x, x, -s(3.0) / 2)),
        }
    else:
        norm = s(7.0 / 5.0)
        terms = {
            0: ((0, z, s(5 / 6)), (4, x, s(5 / 6))),
            1: ((0, y, s(5.0)),),
            2: ((2, x, s(3 / 2)), (1, y, s(1 / 2))),
            3: ((2, y, 1.0), (1, x, -1 / s(3.0)), (3, z, -1 / s(3.0))),
            4: ((2, z, s(3 / 2)), (3, y, s(1 / 2))),
            5: ((4, y, s(5.0)),),
            6: ((4, z, s(5 / 6)), (0, x, -s(5 / 6))),
        }
    for out, sum_of in terms.items():
        for left, right, value in sum_of:
            table[left, right, out] = norm * value
    with torch.inference_mode(False):  # it is kept, and may be needed for a derivative later
        return torch.tensor(table.reshape(-1, 2 * l + 1), dtype=dtype, device=device)
