"""Radial functions of MACE for a fused pass: as the network gives them, or tabulated with a stated error.

A table holds polynomials of degree 7 on equal intervals, one set per pair of elements where the distance is transformed
by their radii. It is fitted in float64 and compared with the network between the nodes; intervals are doubled until
values and slopes agree to TOLERANCE of the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import notice
from ..kernels.cpu.arrays import flat
from ..kernels.cpu.fused import COEFFICIENTS, Loops, activate, multiply
from ..kernels.cpu.simd import width
from ..kernels.cpu.threads import over_rows
from ..kernels.tables import tabulated
from .mace_folded import Folded

__all__ = ["FINER", "LOWEST", "Table", "network", "tables", "wanted"]

LOWEST = 0.5  # Å; closer atoms are computed by the network
INTERVALS = (64, 128)
FINER = 4  # intervals of the densities, which cost nothing, for each of the other functions'
TOLERANCE = 1e-6  # of the largest value and slope; forces differ far less, for most bonds are not the shortest
KINDS = 15  # pairs of elements, beyond which tables would not stay in the processor's memory


@dataclass
class Table:
    """Coefficients of each layer's paths (rows of kind and interval, channels / W, 8, W) in the model's type; those of
    the densities (rows of intervals FINER times finer, densities, 8) in float64; intervals from LOWEST to high (Å)."""

    layers: list[list[np.ndarray]]
    strides: list[int]
    densities: np.ndarray
    intervals: int
    high: float

    @property
    def rate(self) -> float:
        """Of the place in an interval, -1..1, in 1/Å."""
        return 2.0 * self.intervals / (self.high - LOWEST)


def network(
    folded: Folded, code: Loops, length: np.ndarray, kind: np.ndarray, array: Callable[..., Tensor] | None = None
) -> tuple[list[Tensor], np.ndarray, np.ndarray]:
    """Radial functions at `length` (H,) as the network gives them, up to its last matrix.

    array(name, *shape) gives room for results in the model's type; without it they are new and in float64. Returns for
    each layer (2 H, hidden), values before slopes in r; and the densities' (densities, H) values and slopes.
    """
    dtype, room = (torch.float64, _new) if array is None else (folded.dtype, array)
    bonds, size = len(length), len(folded.frequencies)
    f = torch.empty(2 * bonds, size, dtype=torch.float64)
    envelope = torch.empty(2, bonds, 1, dtype=torch.float64)
    value, slope = np.empty((2, max(folded.densities, 1) * bonds))
    on_basis = folded.config["envelope_on"] == "basis"
    over_rows(
        code.bonds.basis, bonds, length, kind, folded.r0, folded.transform, folded.constants, folded.config["cutoff"],
        folded.config["envelope"], on_basis, folded.frequencies, folded.densities, folded.mix, flat(f), flat(envelope),
        value, slope, work=bonds * size * 400,
    )  # fmt: skip
    f, envelope = f.to(dtype), envelope.to(dtype)
    found = []
    for t, layer in enumerate(folded.layers):
        x = f
        for n, matrix in enumerate(layer.radial):
            width = matrix.shape[1]
            y = room(f"hidden{t}_{n}", 2 * bonds, width)
            mine = array is not None and width == folded.layers[0].hidden
            multiply(code.products[width] if mine else None, x, matrix.to(dtype), y)
            activate(code.activations if mine else None, code.wide, y)
            x = y
        if not on_basis:
            values = x[:bonds] * envelope[0]
            x = torch.cat([values, torch.addcmul(x[bonds:] * envelope[0], x[:bonds], envelope[1])])
        found.append(x)
    return found, value, slope


def _new(_: str, *shape: int) -> Tensor:
    return torch.empty(*shape, dtype=torch.float64)


def wanted(folded: Folded) -> bool:
    """Whether a pass made now with these weights should use tables."""
    return len(folded.r0) <= KINDS and tabulated(folded.dtype)


def tables(folded: Folded, code: Loops) -> Table | None:
    """The tables of these weights, made at the first call; None where they would not be accurate enough."""
    if folded.tables is None:
        with torch.inference_mode(False), torch.no_grad():
            folded.tables = _made(folded, code)
    return folded.tables or None


def _made(folded: Folded, code: Loops) -> Table | bool:
    for intervals in INTERVALS:
        fits, wrong = _fitted(folded, code, intervals, False)
        densities, wrong_too = _fitted(folded, code, FINER * intervals, True) if folded.densities else ([], 0.0)
        worst = max(wrong, wrong_too)
        if worst <= TOLERANCE:
            scalars = np.concatenate([np.swapaxes(fit, 1, 2).reshape(-1) for fit in densities] or [np.zeros(0)])
            return _packed(folded, fits, scalars, intervals)
    notice(
        "mace-tables",
        f"The radial functions of '{folded.name}' are not tabulated: {INTERVALS[-1]} intervals leave an error of "
        f"{worst:.0e} of the largest. The network itself is used.",
    )
    return False


def _fitted(folded: Folded, code: Loops, intervals: int, densities: bool) -> tuple[list[np.ndarray], float]:
    """Coefficients (rows, 8, functions) and their largest error, of values or slopes, relative to the largest.

    The slopes are interpolated at Chebyshev's nodes, then integrated; errors are taken at the ends and between nodes.
    """
    degree, rate = COEFFICIENTS - 1, 2.0 * intervals / (folded.config["cutoff"] - LOWEST)
    nodes = np.cos(np.pi * (np.arange(degree) + 0.5) / degree)
    between = np.cos(np.pi * np.arange(COEFFICIENTS) / degree)
    inverse = np.linalg.inv(np.vander(nodes, increasing=True)) / (rate * np.arange(1, COEFFICIENTS))[:, None]
    powers, steps = np.vander(between, COEFFICIENTS, increasing=True), np.zeros((COEFFICIENTS, COEFFICIENTS))
    steps[:, 1:] = rate * powers[:, :-1] * np.arange(1, COEFFICIENTS)
    fits, worst = [], 0.0
    values, slopes = _sampled(folded, code, np.concatenate([nodes, between]), intervals, densities)
    for value, slope in zip(values, slopes):
        high = inverse @ slope[:, :degree]
        rest = (nodes[:, None] ** np.arange(1, COEFFICIENTS)) @ high
        fit = np.concatenate([(value[:, :degree] - rest).mean(1, keepdims=True), high], axis=1)
        worst = max(worst, _wrong(powers @ fit, value[:, degree:]), _wrong(steps @ fit, slope[:, degree:]))
        fits.append(fit)
    return fits, worst


def _sampled(
    folded: Folded, code: Loops, places: np.ndarray, intervals: int, densities: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Values and slopes in r (rows, places, functions): of each layer's functions, or of the densities."""
    kinds, high = len(folded.r0), folded.config["cutoff"]
    each = (high - LOWEST) / intervals
    r = LOWEST + each * (np.arange(intervals)[:, None] + 0.5 * (places + 1.0))
    length, kind = np.tile(r.reshape(-1), kinds), np.repeat(np.arange(kinds), r.size)
    found, value, slope = network(folded, code, length, kind)
    if densities:
        shape = (folded.densities, kinds * intervals, len(places))
        return [np.moveaxis(value.reshape(shape), 0, 2)], [np.moveaxis(slope.reshape(shape), 0, 2)]
    last = [torch.cat(layer.last, dim=1).double() for layer in folded.layers]
    whole = [x if t == 0 else x @ last[t] for t, x in enumerate(found)]
    both = [x.view(2, kinds * intervals, len(places), -1).numpy() for x in whole]
    return [x[0] for x in both], [x[1] for x in both]


def _wrong(mine: np.ndarray, true: np.ndarray) -> float:
    return float(np.abs(mine - true).max() / max(np.abs(true).max(), 1e-300))


def _packed(folded: Folded, fits: list[np.ndarray], densities: np.ndarray, intervals: int) -> Table:
    """The first layer's functions together, the others' path by path: what one loop reads lies close together."""
    real, layers, strides = str(folded.dtype).removeprefix("torch."), [], []
    for t, fit in enumerate(fits):
        rows, _, columns = fit.shape
        size = columns if t == 0 else folded.config["channels"]
        wide = width(size, real)
        packed = fit.reshape(rows, COEFFICIENTS, columns // size, size // wide, wide).transpose(2, 0, 3, 1, 4)
        layers.append([_aligned(part, folded.dtype) for part in packed])
        strides.append(COEFFICIENTS * size)
    return Table(layers, strides, densities, intervals, folded.config["cutoff"])


def _aligned(values: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """As a flat array that starts where vectors are loaded fastest: torch aligns to 64 bytes, numpy to 16."""
    kept = torch.empty(values.size, dtype=dtype)
    kept.view(values.shape).copy_(torch.from_numpy(values))
    return kept.numpy()
