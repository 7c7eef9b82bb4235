"""Template: lengths of edges, cosines of triplets and bases of sines for a pass without autograd, and their way back.

Plain scalar code in float64; only what the layers read is rounded to REAL. Edges are sorted by their atom i, sides
(edges of triplets) and triplets by their edge, so that an atom's stand together: see `bonds_and_triplets.py`.
"""

import math

from atomlab.kernels.cpu.simd import kernel

REAL = "float32"

I, D, X = "int64[::1]", "float64[::1]", f"{REAL}[::1]"


@kernel(f"void(float64, float64, int64, int64, {X}, {X})")
def sines(r, cutoff, at, many, out, slope):
    """sqrt(2 / c) sin(k π r / c) / r for k = 1.. and its derivative, from the sines of one multiple to the next; 1 for
    k = 0, which stands for a constant."""
    angle, scale = math.pi / cutoff * r, math.sqrt(2.0 / cutoff) / r
    c, s = math.cos(angle), math.sin(angle)
    sin_k, cos_k = 0.0, 1.0
    out[at], slope[at] = 1.0, 0.0
    for k in range(1, many):
        sin_k, cos_k = sin_k * c + cos_k * s, cos_k * c - sin_k * s
        out[at + k] = scale * sin_k
        slope[at + k] = scale * (k * math.pi / cutoff * cos_k - sin_k / r)


@kernel(
    f"void(int64, int64, {I}, {I}, {I}, {I}, {I}, {I}, {I}, {I}, {I}, {I}, {D}, {D}, int64, float64, float64, {D}, "
    f"{D}, {X}, {X}, {X}, {X}, {X})"
)
def measure(
    start, stop, first, first_side, first_triplet, i, j, shift, batch, short, a, b, positions, cell, many, cutoff,
    side_cutoff, vector, length, radial, radial_slope, side, side_slope, cosine,
):  # fmt: skip
    """For the atoms start to stop: vectors (E, 3) from i to j and lengths (E,) in Å, bases, cosines (T,)."""
    for e in range(first[start], first[stop]):
        square, box = 0.0, 9 * batch[i[e]]
        for x in range(3):
            d = positions[3 * j[e] + x] - positions[3 * i[e] + x]
            for k in range(3):
                d += shift[3 * e + k] * cell[box + 3 * k + x]
            vector[3 * e + x] = d
            square += d * d
        length[e] = math.sqrt(square)
        sines(length[e], cutoff, e * many, many, radial, radial_slope)
    for s in range(first_side[start], first_side[stop]):
        sines(length[short[s]], side_cutoff, s * many, many, side, side_slope)
    for t in range(first_triplet[start], first_triplet[stop]):
        p, q = short[a[t]], short[b[t]]
        dot = 0.0
        for x in range(3):
            dot += vector[3 * p + x] * vector[3 * q + x]
        # strictly below 1, as published: the angle's derivative must exist
        dot /= length[p] * length[q]
        if dot > 1.0:
            dot = 1.0
        if dot < -1.0:
            dot = -1.0
        cosine[t] = dot * (1.0 - 1e-6)


@kernel(f"void(int64, int64, {I}, {I}, {I}, {I}, {I}, {I}, int64, {D}, {D}, {X}, {X}, {X}, {X}, {X}, {D})")
def gradients(
    start, stop, first, first_side, first_triplet, short, a, b, many, vector, length, radial_slope, side_slope,
    g_radial, g_side, g_cosine, g,
):  # fmt: skip
    """g (E, 3): the gradient of the vectors from those of bases and cosines."""
    for e in range(first[start], first[stop]):
        slope = 0.0
        for k in range(e * many + 1, (e + 1) * many):
            slope += radial_slope[k] * g_radial[k]
        for x in range(3):
            g[3 * e + x] = slope * vector[3 * e + x] / length[e]
    for s in range(first_side[start], first_side[stop]):
        slope, e = 0.0, short[s]
        for k in range(s * many + 1, (s + 1) * many):
            slope += side_slope[k] * g_side[k]
        for x in range(3):
            g[3 * e + x] += slope * vector[3 * e + x] / length[e]
    for t in range(first_triplet[start], first_triplet[stop]):
        p, q = short[a[t]], short[b[t]]
        dot = 0.0
        for x in range(3):
            dot += vector[3 * p + x] * vector[3 * q + x]
        both, own, other = 1.0 / (length[p] * length[q]), 1.0 / length[p] ** 2, 1.0 / length[q] ** 2
        by = g_cosine[t] * (1.0 - 1e-6) * both
        for x in range(3):
            u, v = vector[3 * p + x], vector[3 * q + x]
            g[3 * p + x] += by * (v - dot * own * u)
            g[3 * q + x] += by * (u - dot * other * v)


@kernel(f"void({I}, {I}, {I}, {D}, {D}, {D}, {D})")
def collect(i, j, batch, vector, g, forces, virial):
    """Forces (A, 3) in eV/Å and virial (S, 3, 3) in eV, symmetric, from the gradient of the edges' vectors."""
    for e in range(len(i)):
        box = 9 * batch[i[e]]
        for x in range(3):
            d = g[3 * e + x]
            forces[3 * i[e] + x] += d
            forces[3 * j[e] + x] -= d
            for k in range(3):
                half = 0.5 * vector[3 * e + k] * d
                virial[box + 3 * k + x] -= half
                virial[box + 3 * x + k] -= half
