"""Spherical harmonics: the recurrence of the reference, written out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..dispatch import implements
from ..formula import constant, total
from ..reference.harmonics import _step as steps
from .device import specified
from .pointwise import Input, call


def _harmonics(unit, l_max):
    last = [constant(1.0)]
    found = list(last)
    for l in range(1, l_max + 1):
        if l == 1:
            last = [math.sqrt(3.0) * axis for axis in unit]
        else:
            table = steps(l, torch.float64, torch.device("cpu")).tolist()
            products = [a * b for a in last for b in unit]
            last = [total(row[m] * p for row, p in zip(table, products) if row[m]) for m in range(2 * l + 1)]
        found += last
    return found


@implements("triton", "spherical_harmonics")
def spherical_harmonics(unit: Tensor, l_max: int) -> Tensor:
    def plain(unit):
        return specified("spherical_harmonics")(unit, l_max)

    return call(_harmonics, plain, len(unit), (unit, Input(3)), constants=(l_max,))
