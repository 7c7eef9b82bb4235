"""Template: spherical harmonics by their recursion, and lengths, with two derivatives. REAL is replaced.

Arrays are flat: vectors u (H, 3), harmonics (H, M). Each term (left, right, out) with its value adds
value Y[left] u[right] to Y[out]; terms are sorted by degree, so what they take is complete.
"""

import math

import numpy as np

from atomlab.kernels.cpu.simd import kernel

REAL = "float32"
NUMBER = np.dtype(REAL).type
T, X, D = "int64[:, ::1]", f"{REAL}[::1]", "float64[::1]"


@kernel(f"void({X}, int64, {T}, {D}, {D})")
def climb(u, u0, terms, values, y):
    """Y of one vector."""
    y[:] = 0.0
    y[0] = 1.0
    for t in range(len(values)):
        y[terms[t, 2]] += values[t] * y[terms[t, 0]] * u[u0 + terms[t, 1]]


@kernel(f"void(int64, int64, {X}, {T}, {D}, int64, {X})")
def harmonics(start, stop, u, terms, values, size, out):
    y = np.empty(size)
    for h in range(start, stop):
        climb(u, 3 * h, terms, values, y)
        for m in range(size):
            out[h * size + m] = NUMBER(y[m])


@kernel(f"void(int64, int64, {X}, {X}, {T}, {D}, int64, {X})")
def harmonics_backward(start, stop, g, u, terms, values, size, out):
    y, s, w = np.empty(size), np.empty(size), np.empty(3)
    for h in range(start, stop):
        climb(u, 3 * h, terms, values, y)
        w[:] = 0.0
        for m in range(size):
            s[m] = g[h * size + m]
        for t in range(len(values) - 1, -1, -1):
            left, right = terms[t, 0], terms[t, 1]
            slope = values[t] * s[terms[t, 2]]
            s[left] += slope * u[3 * h + right]
            w[right] += slope * y[left]
        for c in range(3):
            out[3 * h + c] = NUMBER(w[c])


@kernel(f"void(int64, int64, {X}, {X}, {X}, {T}, {D}, int64, {X}, {X})")
def harmonics_double(start, stop, v, g, u, terms, values, size, d_g, d_u):
    """How Y (d_g) and the gradient (d_u) change along v; names in v change along."""
    y, s, vy, vs, w = np.empty(size), np.empty(size), np.empty(size), np.empty(size), np.empty(3)
    for h in range(start, stop):
        climb(u, 3 * h, terms, values, y)
        vy[:] = 0.0
        vs[:] = 0.0
        w[:] = 0.0
        for t in range(len(values)):
            left, at = terms[t, 0], 3 * h + terms[t, 1]
            vy[terms[t, 2]] += values[t] * (vy[left] * u[at] + y[left] * v[at])
        for m in range(size):
            s[m] = g[h * size + m]
            d_g[h * size + m] = NUMBER(vy[m])
        for t in range(len(values) - 1, -1, -1):
            left, right, at = terms[t, 0], terms[t, 1], 3 * h + terms[t, 1]
            slope, v_slope = values[t] * s[terms[t, 2]], values[t] * vs[terms[t, 2]]
            s[left] += slope * u[at]
            vs[left] += v_slope * u[at] + slope * v[at]
            w[right] += v_slope * y[left] + slope * vy[left]
        for c in range(3):
            d_u[3 * h + c] = NUMBER(w[c])


@kernel(f"void(int64, int64, {X}, {X})")
def lengths(start, stop, u, out):
    for h in range(start, stop):
        x, y, z = float(u[3 * h]), float(u[3 * h + 1]), float(u[3 * h + 2])
        out[h] = NUMBER(math.sqrt(x * x + y * y + z * z))


@kernel(f"void(int64, int64, {X}, {X}, {X})")
def lengths_backward(start, stop, g, u, out):
    for h in range(start, stop):
        x, y, z = float(u[3 * h]), float(u[3 * h + 1]), float(u[3 * h + 2])
        scale = g[h] / math.sqrt(x * x + y * y + z * z)
        out[3 * h], out[3 * h + 1], out[3 * h + 2] = NUMBER(scale * x), NUMBER(scale * y), NUMBER(scale * z)


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X}, {X})")
def lengths_double(start, stop, v, g, u, d_g, d_u):
    """d_g = v·u / r; d_u = g (v - u (v·u) / r²) / r."""
    for h in range(start, stop):
        x, y, z = float(u[3 * h]), float(u[3 * h + 1]), float(u[3 * h + 2])
        square = x * x + y * y + z * z
        along = v[3 * h] * x + v[3 * h + 1] * y + v[3 * h + 2] * z
        inverse = 1.0 / math.sqrt(square)
        d_g[h] = NUMBER(along * inverse)
        for c in range(3):
            d_u[3 * h + c] = NUMBER(g[h] * inverse * (v[3 * h + c] - u[3 * h + c] * along / square))
