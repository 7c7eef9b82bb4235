"""Template: monomials of vectors, with two derivatives. The constants below are replaced.

Arrays are flat. Every monomial c is the one at below[c] times the coordinate axis[c]; derivatives go back along that.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel

REAL = "float32"
X, I = f"{REAL}[::1]", "int64[::1]"
NUMBER = np.float32 if REAL == "float32" else np.float64


@kernel(f"void(int64, int64, {I}, {I}, {X}, {X})")
def monomials(start, stop, below, axis, x, out):
    many = len(below)
    for e in range(start, stop):
        at = e * many
        out[at] = 1
        for c in range(1, many):
            out[at + c] = out[at + below[c]] * x[3 * e + axis[c]]


@kernel(f"void(int64, int64, {I}, {I}, {X}, {X}, {X})")
def monomials_backward(start, stop, below, axis, x, g, dx):
    many = len(below)
    value, slope = np.ones(many, NUMBER), np.empty(many, NUMBER)
    for e in range(start, stop):
        for c in range(many):
            slope[c] = g[e * many + c]
        for c in range(1, many):
            value[c] = value[below[c]] * x[3 * e + axis[c]]
        for c in range(many - 1, 0, -1):
            dx[3 * e + axis[c]] += slope[c] * value[below[c]]
            slope[below[c]] += slope[c] * x[3 * e + axis[c]]


@kernel(f"void(int64, int64, {I}, {I}, {X}, {X}, {X}, {X}, {X})")
def monomials_double(start, stop, below, axis, x, v, g, dg, dx):
    """dg is how the monomials change along v; dx the gradient of Σ g dg."""
    many = len(below)
    value, along = np.ones(many, NUMBER), np.zeros(many, NUMBER)
    slope, turn = np.empty(many, NUMBER), np.empty(many, NUMBER)
    for e in range(start, stop):
        for c in range(many):
            turn[c], slope[c] = g[e * many + c], 0
        dg[e * many] = 0
        for c in range(1, many):
            b, k = below[c], 3 * e + axis[c]
            value[c] = value[b] * x[k]
            along[c] = along[b] * x[k] + value[b] * v[k]
            dg[e * many + c] = along[c]
        for c in range(many - 1, 0, -1):
            b, k = below[c], 3 * e + axis[c]
            dx[k] += turn[c] * along[b] + slope[c] * value[b]
            slope[b] += turn[c] * v[k] + slope[c] * x[k]
            turn[b] += turn[c] * x[k]
