"""The mean square displacement, and the diffusion coefficient from it."""

from __future__ import annotations

import numpy as np

from ...errors import InputError

__all__ = ["diffusion", "mean_square_displacement"]


def mean_square_displacement(positions: np.ndarray, drift: bool = False) -> np.ndarray:
    """<|r(t + s) - r(s)|^2> over all atoms and starting times s, for every lag t: (frames,) Å^2, the first is 0.

    positions (frames, atoms, 3) Å, not wrapped into a cell: frames of one run, evenly spaced. The motion of their
    centre is taken out unless `drift`. By Fourier transforms (Calandrini et al., Collection SFN 12 (2011) 201), so long
    trajectories cost n log n.
    """
    r = np.asarray(positions, dtype=np.float64)
    if r.ndim != 3 or r.shape[2] != 3 or len(r) < 2:
        raise InputError("Positions must have the shape (frames, atoms, 3) with two frames or more", got=r.shape)
    if not drift:
        r = r - r.mean(axis=1, keepdims=True)
    r = r - r[:1]  # small numbers: what follows subtracts large sums
    n = len(r)
    square = np.einsum("tai,tai->ta", r, r)
    # sum over s of |r(s)|^2 + |r(s + t)|^2, by running sums from both ends
    head = np.concatenate([np.zeros((1, square.shape[1])), np.cumsum(square, axis=0)])
    total = head[n] - head[np.arange(n)] + head[n - np.arange(n)]
    transform = np.fft.rfft(r, n=2 * n, axis=0)
    products = np.fft.irfft(np.abs(transform) ** 2, n=2 * n, axis=0)[:n].sum(axis=2)
    lags = (total - 2.0 * products) / (n - np.arange(n))[:, None]
    return np.maximum(lags.mean(axis=1), 0.0)


def diffusion(msd: np.ndarray, spacing: float, first: float = 0.1, last: float = 0.5) -> float:
    """Diffusion coefficient in Å^2/fs: a sixth of the slope of the mean square displacement.

    msd (frames,) Å^2; spacing fs between frames; the line is fitted from `first` to `last` of all lags, where neither
    the ballistic start nor the poor statistics of long lags spoil it. 1 Å^2/fs = 0.1 cm^2/s.
    """
    begin, end = int(first * len(msd)), max(int(last * len(msd)), int(first * len(msd)) + 2)
    if end > len(msd):
        raise InputError("Too few frames for a slope", got=len(msd), mend="Run longer, or write frames more often")
    t = spacing * np.arange(begin, end)
    return float(np.polyfit(t, msd[begin:end], 1)[0] / 6.0)
