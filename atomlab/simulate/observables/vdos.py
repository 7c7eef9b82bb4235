"""The vibrational density of states, from velocities."""

from __future__ import annotations

import numpy as np

from ...errors import InputError

__all__ = ["vibrations"]

THZ_PER_INVERSE_FS = 1000.0


def vibrations(velocities: np.ndarray, masses: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (THz) and the density of vibrations per THz, whose integral is 1.

    The power spectrum of the mass-weighted velocities, which is the Fourier transform of their autocorrelation (Dickey
    and Paskin, Phys. Rev. 188 (1969) 1407), with a Hann window. velocities (frames, atoms, 3) in any unit; masses
    (atoms,) amu; spacing between frames in fs. The highest frequency is 500 / spacing THz, the resolution
    1000 / (frames * spacing) THz.
    """
    v = np.asarray(velocities, dtype=np.float64)
    if v.ndim != 3 or v.shape[2] != 3 or len(v) < 8:
        raise InputError("Velocities must have the shape (frames, atoms, 3) with eight frames or more", got=v.shape)
    if len(masses) != v.shape[1]:
        raise InputError("There must be a mass for each atom", got=len(masses), allowed=v.shape[1])
    m = np.asarray(masses, dtype=np.float64)[None, :, None]
    v = v - (m * v).sum(axis=1, keepdims=True) / m.sum()
    window = np.hanning(len(v))[:, None, None]
    power = (m * np.abs(np.fft.rfft(v * window, axis=0)) ** 2).sum(axis=(1, 2))
    frequency = np.fft.rfftfreq(len(v), d=spacing) * THZ_PER_INVERSE_FS
    area = power.sum() * frequency[1]
    if area == 0:
        raise InputError("Nothing moves in these frames, so there are no vibrations")
    return frequency, power / area
