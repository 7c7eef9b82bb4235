"""Template: the edge convolution of one degree l3 of its results, D3 = 2 l3 + 1. The constants below are replaced.

Arrays are flat: radial (H, P, K), harmonics (H, M2), x (A, M1, K), result (A, D3, N, K) with N paths of this l3; per
edge e of receiver a, first[a] <= e < first[a + 1], its sender, its bond pair[e] and whether it runs against it.
paths (N, 4): column of the path among the P, first row l1^2 and number 2 l1 + 1 of the sender's components, and where
its matrix starts. An edge's matrices Σ_m2 C[m1, m2, m3] Y[m2] stand one after the other in `size` numbers, m3
innermost; places (·, 2) and values list C: (place, m2); its values for edges along their bonds, then those for edges
against them, (-1)^l2 times as large. In every array the channels are innermost, WIDTH at a time.

Gradients to bonds and senders come from several receivers. Receivers are therefore cut in parts (one for each thread);
a part adds to a copy of x of its own, and an edge against its bond to a second copy of the bonds, `apart` rows further:
every number has one writer. With one part there is one copy, in which the edge along its bond comes first.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16
D3 = 3
M = 0  # stands for 0, 1, ..., D3 - 1 in the lines that are repeated

S = vectors(REAL, WIDTH)
load, store, fill, add, mul, fma, total = S.load, S.store, S.fill, S.add, S.mul, S.fma, S.total
NUMBER = np.dtype(REAL).type
I, T, X = "int64[::1]", "int64[:, ::1]", f"{REAL}[::1]"
EDGES = f"{I}, {I}, {I}, boolean[::1]"
TABLES = f"{T}, {T}, {X}, int64, int64, int64, int64, int64, int64"


@kernel(f"void(int64, int64, {I}, boolean[::1], {X}, {T}, {X}, int64, int64, {X})")
def matrices(begin, end, pair, against, harmonics, places, values, m2s, size, out):
    """The matrices of edges begin..end into out, the first edge's at 0."""
    out[: (end - begin) * size] = 0
    many = places.shape[0]
    for e in range(begin, end):
        at, y, turned = (e - begin) * size, pair[e] * m2s, many if against[e] else 0
        for c in range(many):
            out[at + places[c, 0]] += values[turned + c] * harmonics[y + places[c, 1]]


@kernel(f"void(int64, int64, {I}, boolean[::1], {X}, {T}, {X}, int64, int64, int64, {X})")
def to_harmonics(begin, end, pair, against, slopes, places, values, m2s, size, apart, out):
    """The gradient of the matrices of edges begin..end, added to that of the harmonics."""
    many = places.shape[0]
    for e in range(begin, end):
        at, turned = (e - begin) * size, many if against[e] else 0
        y = (pair[e] + apart * against[e]) * m2s
        for c in range(many):
            out[y + places[c, 1]] += values[turned + c] * slopes[at + places[c, 0]]


@kernel(f"void(int64, int64, {EDGES}, {X}, {X}, {X}, {TABLES}, {X})")
def forward(
    start, stop, first, sender, pair, against, radial, harmonics, x,
    paths, places, values, size, ps, m1s, m2s, ks, most, out,
):  # fmt: skip
    """Rows start..stop of the result; `most`: the largest number of neighbours."""
    m, count = np.empty(most * size, NUMBER), paths.shape[0]
    for a in range(start, stop):
        begin, end = first[a], first[a + 1]
        matrices(begin, end, pair, against, harmonics, places, values, m2s, size, m)
        for p in range(count):
            column, row, d1, place = paths[p, 0], paths[p, 1], paths[p, 2], paths[p, 3]
            for k in range(0, ks, WIDTH):
                sum_M = fill(0)  # each M
                for e in range(begin, end):
                    at = (e - begin) * size + place
                    r, there = load(radial, (pair[e] * ps + column) * ks + k), (sender[e] * m1s + row) * ks + k
                    for m1 in range(d1):
                        t = mul(r, load(x, there + m1 * ks))
                        sum_M = fma(fill(m[at + m1 * D3 + M]), t, sum_M)  # each M
                store(out, ((a * D3 + M) * count + p) * ks + k, sum_M)  # each M


@kernel(f"void(int64, int64, {I}, {EDGES}, {X}, {X}, {X}, {X}, {TABLES}, int64, int64, boolean, {X}, {X}, {X})")
def backward(
    start, stop, cuts, first, sender, pair, against, g, radial, harmonics, x,
    paths, places, values, size, ps, m1s, m2s, ks, most, apart, atoms, to_x, g_radial, g_harmonics, g_x,
):  # fmt: skip
    """Gradients of Σ g · result from the receivers cuts[part]..cuts[part + 1] of parts start..stop."""
    m, n, count = np.empty(most * size, NUMBER), np.empty(most * size, NUMBER), paths.shape[0]
    for part in range(start, stop):
        for a in range(cuts[part], cuts[part + 1]):
            begin, end = first[a], first[a + 1]
            matrices(begin, end, pair, against, harmonics, places, values, m2s, size, m)
            for p in range(count):
                column, row, d1, place = paths[p, 0], paths[p, 1], paths[p, 2], paths[p, 3]
                g0, step = (a * D3 * count + p) * ks, count * ks
                for e in range(begin, end):
                    at = (e - begin) * size + place
                    r0 = (pair[e] * ps + column) * ks
                    to_r = r0 + apart * against[e] * ps * ks
                    fresh = apart > 0 or not against[e]
                    for m1 in range(d1):
                        x0 = (sender[e] * m1s + row + m1) * ks
                        to = x0 + part * atoms * m1s * ks
                        c_M = fill(m[at + m1 * D3 + M])  # each M
                        s_M = fill(0)  # each M
                        for k in range(0, ks, WIDTH):
                            r, h, u = load(radial, r0 + k), load(x, x0 + k), fill(0)
                            t = mul(r, h)
                            g_M = load(g, g0 + M * step + k)  # each M
                            u = fma(c_M, g_M, u)  # each M
                            s_M = fma(t, g_M, s_M)  # each M
                            gr = mul(u, h) if fresh and m1 == 0 else fma(u, h, load(g_radial, to_r + k))
                            store(g_radial, to_r + k, gr)
                            if to_x:
                                store(g_x, to + k, fma(r, u, load(g_x, to + k)))
                        n[at + m1 * D3 + M] = total(s_M)  # each M
            to_harmonics(begin, end, pair, against, n, places, values, m2s, size, apart, g_harmonics)


@kernel(
    f"void(int64, int64, {I}, {EDGES}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {TABLES}, int64, int64, {X}, {X}, {X}, {X})"
)
def double(
    start, stop, cuts, first, sender, pair, against, v_radial, v_harmonics, v_x, g, radial, harmonics, x,
    paths, places, values, size, ps, m1s, m2s, ks, most, apart, atoms, d_g, d_radial, d_harmonics, d_x,
):  # fmt: skip
    """How result (d_g) and gradients change along v: the gradients of Σ v · backward(g)."""
    m, v, n = np.empty(most * size, NUMBER), np.empty(most * size, NUMBER), np.empty(most * size, NUMBER)
    count = paths.shape[0]
    for part in range(start, stop):
        for a in range(cuts[part], cuts[part + 1]):
            begin, end = first[a], first[a + 1]
            matrices(begin, end, pair, against, harmonics, places, values, m2s, size, m)
            matrices(begin, end, pair, against, v_harmonics, places, values, m2s, size, v)
            for p in range(count):
                column, row, d1, place = paths[p, 0], paths[p, 1], paths[p, 2], paths[p, 3]
                g0, step = (a * D3 * count + p) * ks, count * ks
                for k in range(0, ks, WIDTH):
                    store(d_g, g0 + M * step + k, fill(0))  # each M
                for e in range(begin, end):
                    at = (e - begin) * size + place
                    r0 = (pair[e] * ps + column) * ks
                    to_r = r0 + apart * against[e] * ps * ks
                    fresh = apart > 0 or not against[e]
                    for m1 in range(d1):
                        x0 = (sender[e] * m1s + row + m1) * ks
                        to = x0 + part * atoms * m1s * ks
                        c_M, w_M = fill(m[at + m1 * D3 + M]), fill(v[at + m1 * D3 + M])  # each M
                        s_M = fill(0)  # each M
                        for k in range(0, ks, WIDTH):
                            r, h = load(radial, r0 + k), load(x, x0 + k)
                            vr, vh = load(v_radial, r0 + k), load(v_x, x0 + k)
                            t, vt, u, vu = mul(r, h), fma(r, vh, mul(vr, h)), fill(0), fill(0)
                            g_M = load(g, g0 + M * step + k)  # each M
                            u = fma(c_M, g_M, u)  # each M
                            vu = fma(w_M, g_M, vu)  # each M
                            s_M = fma(vt, g_M, s_M)  # each M
                            d_M = fma(c_M, vt, fma(w_M, t, load(d_g, g0 + M * step + k)))  # each M
                            store(d_g, g0 + M * step + k, d_M)  # each M
                            dr = fma(vu, h, mul(u, vh))
                            if not (fresh and m1 == 0):
                                dr = add(dr, load(d_radial, to_r + k))
                            store(d_radial, to_r + k, dr)
                            store(d_x, to + k, fma(vr, u, fma(r, vu, load(d_x, to + k))))
                        n[at + m1 * D3 + M] = total(s_M)  # each M
            to_harmonics(begin, end, pair, against, n, places, values, m2s, size, apart, d_harmonics)
