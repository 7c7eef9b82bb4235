"""Template: polynomials of an atom's features, up to third order, with coefficients of its element and channel.

out[a, m] = Σ_i x_i (c_i + Σ_j x_j (c_ij + Σ_k c_ijk x_k)), each channel on its own: x (A, X, K), out (A, M, K) and
coefficients (Z, N, K), flat. The terms of m are the rows ones[first[m]:first[m + 1]] = (i, row of c_i or -1, from,
to), from..to in twos = (j, row of c_ij or -1, from, to), from..to in threes = (k, row of c_ijk). Atoms are sorted by
element: order[starts[z]:starts[z + 1]]. Work is split by blocks of WIDTH channels, so every number has one writer;
ATOMS atoms are done at once, since they share coefficients and tables (the last ones twice where fewer are left).
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16
ATOMS = 4
A = 0  # stands for 0, 1, ..., ATOMS - 1 in the lines that are repeated

S = vectors(REAL, WIDTH)
load, store, fill, add, mul, fma = S.load, S.store, S.fill, S.add, S.mul, S.fma
NUMBER = np.dtype(REAL).type
STEP = WIDTH * ATOMS
I, T, X = "int64[::1]", "int64[:, ::1]", f"{REAL}[::1]"
TABLES = f"{I}, {I}, {I}, {T}, {T}, {T}, int64, int64, int64"


@kernel(f"void({X}, int64, int64, int64, {X}, int64, int64)")
def take(source, start, rows, step, target, at, skip):
    """Vectors at start, start + step, ... of the source, to at, at + skip, ... of the target."""
    for n in range(rows):
        store(target, at + n * skip, load(source, start + n * step))


@kernel(f"void(int64, int64, {TABLES}, {X}, {X}, {X})")
def forward(start, stop, starts, order, first, ones, twos, threes, xs, rows, ks, x, c, out):
    """Channels start * WIDTH .. stop * WIDTH of the results."""
    w, y, ms = np.empty(rows * WIDTH, NUMBER), np.empty(xs * STEP, NUMBER), len(first) - 1
    for block in range(start, stop):
        k = block * WIDTH
        for z in range(len(starts) - 1):
            take(c, z * rows * ks + k, rows, ks, w, 0, WIDTH)
            for n in range(starts[z], starts[z + 1], ATOMS):
                a_A = order[min(n + A, starts[z + 1] - 1)]  # each A
                take(x, a_A * xs * ks + k, xs, ks, y, A * WIDTH, STEP)  # each A
                for m in range(ms):
                    out_A = fill(0)  # each A
                    for i in range(first[m], first[m + 1]):
                        one = load(w, ones[i, 1] * WIDTH) if ones[i, 1] >= 0 else fill(0)
                        one_A = one  # each A
                        for j in range(ones[i, 2], ones[i, 3]):
                            two = load(w, twos[j, 1] * WIDTH) if twos[j, 1] >= 0 else fill(0)
                            two_A = two  # each A
                            for l in range(twos[j, 2], twos[j, 3]):
                                q, at = load(w, threes[l, 1] * WIDTH), threes[l, 0] * STEP
                                two_A = fma(q, load(y, at + A * WIDTH), two_A)  # each A
                            at = twos[j, 0] * STEP
                            one_A = fma(two_A, load(y, at + A * WIDTH), one_A)  # each A
                        at = ones[i, 0] * STEP
                        out_A = fma(one_A, load(y, at + A * WIDTH), out_A)  # each A
                    store(out, (a_A * ms + m) * ks + k, out_A)  # each A


@kernel(f"void(int64, int64, {TABLES}, {X}, {X}, {X}, boolean, {X}, {X})")
def backward(start, stop, starts, order, first, ones, twos, threes, xs, rows, ks, g, x, c, to_c, g_x, g_c):
    """Gradients of Σ g · out with respect to x and, if `to_c`, c."""
    w, y, d = np.empty(rows * WIDTH, NUMBER), np.empty(xs * STEP, NUMBER), np.empty(xs * STEP, NUMBER)
    s, ms = np.empty(rows * WIDTH if to_c else 0, NUMBER), len(first) - 1
    for block in range(start, stop):
        k = block * WIDTH
        for z in range(len(starts) - 1):
            take(c, z * rows * ks + k, rows, ks, w, 0, WIDTH)
            s[:] = 0
            for n in range(starts[z], starts[z + 1], ATOMS):
                a_A = order[min(n + A, starts[z + 1] - 1)]  # each A
                take(x, a_A * xs * ks + k, xs, ks, y, A * WIDTH, STEP)  # each A
                d[:] = 0
                for m in range(ms):
                    # an atom that is done twice counts once
                    g_A = load(g, (a_A * ms + m) * ks + k) if n + A < starts[z + 1] else fill(0)  # each A
                    for i in range(first[m], first[m + 1]):
                        ati = ones[i, 0] * STEP
                        gi_A = mul(g_A, load(y, ati + A * WIDTH))  # each A
                        one, row = fill(0), ones[i, 1] * WIDTH
                        if row >= 0:
                            one = load(w, row)
                            if to_c:
                                total = load(s, row)
                                total = add(total, gi_A)  # each A
                                store(s, row, total)
                        one_A = one  # each A
                        for j in range(ones[i, 2], ones[i, 3]):
                            atj = twos[j, 0] * STEP
                            gj_A = mul(gi_A, load(y, atj + A * WIDTH))  # each A
                            two, row = fill(0), twos[j, 1] * WIDTH
                            if row >= 0:
                                two = load(w, row)
                                if to_c:
                                    total = load(s, row)
                                    total = add(total, gj_A)  # each A
                                    store(s, row, total)
                            two_A = two  # each A
                            for l in range(twos[j, 2], twos[j, 3]):
                                at, row = threes[l, 0] * STEP, threes[l, 1] * WIDTH
                                q = load(w, row)
                                y_A = load(y, at + A * WIDTH)  # each A
                                two_A = fma(q, y_A, two_A)  # each A
                                store(d, at + A * WIDTH, fma(q, gj_A, load(d, at + A * WIDTH)))  # each A
                                if to_c:
                                    total = load(s, row)
                                    total = fma(gj_A, y_A, total)  # each A
                                    store(s, row, total)
                            one_A = fma(two_A, load(y, atj + A * WIDTH), one_A)  # each A
                            store(d, atj + A * WIDTH, fma(gi_A, two_A, load(d, atj + A * WIDTH)))  # each A
                        store(d, ati + A * WIDTH, fma(g_A, one_A, load(d, ati + A * WIDTH)))  # each A
                for e in range(min(ATOMS, starts[z + 1] - n)):
                    take(d, e * WIDTH, xs, STEP, g_x, order[n + e] * xs * ks + k, ks)
            if to_c:
                take(s, 0, rows, WIDTH, g_c, z * rows * ks + k, ks)


@kernel(f"void(int64, int64, {TABLES}, {X}, {X}, {X}, {X}, {X}, boolean, {X}, {X}, {X})")
def double(
    start, stop, starts, order, first, ones, twos, threes, xs, rows, ks,
    v_x, v_c, g, x, c, along_c, d_g, d_x, d_c,
):  # fmt: skip
    """How out (d_g) and the gradients change along v_x and, if `along_c`, v_c; names in v change along."""
    w, y, d = np.empty(rows * WIDTH, NUMBER), np.empty(xs * STEP, NUMBER), np.empty(xs * STEP, NUMBER)
    s, vy, ms = np.empty(rows * WIDTH, NUMBER), np.empty(xs * STEP, NUMBER), len(first) - 1
    vw = np.zeros(rows * WIDTH, NUMBER)
    for block in range(start, stop):
        k = block * WIDTH
        for z in range(len(starts) - 1):
            take(c, z * rows * ks + k, rows, ks, w, 0, WIDTH)
            if along_c:
                take(v_c, z * rows * ks + k, rows, ks, vw, 0, WIDTH)
            s[:] = 0
            for n in range(starts[z], starts[z + 1], ATOMS):
                a_A = order[min(n + A, starts[z + 1] - 1)]  # each A
                take(x, a_A * xs * ks + k, xs, ks, y, A * WIDTH, STEP)  # each A
                take(v_x, a_A * xs * ks + k, xs, ks, vy, A * WIDTH, STEP)  # each A
                d[:] = 0
                for m in range(ms):
                    g_A = load(g, (a_A * ms + m) * ks + k) if n + A < starts[z + 1] else fill(0)  # each A
                    v_A = fill(0)  # each A
                    for i in range(first[m], first[m + 1]):
                        ati = ones[i, 0] * STEP
                        gi_A, vgi_A = mul(g_A, load(y, ati + A * WIDTH)), mul(g_A, load(vy, ati + A * WIDTH))  # each A
                        one, vone, row = fill(0), fill(0), ones[i, 1] * WIDTH
                        if row >= 0:
                            one, vone, total = load(w, row), load(vw, row), load(s, row)
                            total = add(total, vgi_A)  # each A
                            store(s, row, total)
                        one_A, vone_A = one, vone  # each A
                        for j in range(ones[i, 2], ones[i, 3]):
                            atj = twos[j, 0] * STEP
                            y_A, vy_A = load(y, atj + A * WIDTH), load(vy, atj + A * WIDTH)  # each A
                            gj_A, vgj_A = mul(gi_A, y_A), fma(vgi_A, y_A, mul(gi_A, vy_A))  # each A
                            two, vtwo, row = fill(0), fill(0), twos[j, 1] * WIDTH
                            if row >= 0:
                                two, vtwo, total = load(w, row), load(vw, row), load(s, row)
                                total = add(total, vgj_A)  # each A
                                store(s, row, total)
                            two_A, vtwo_A = two, vtwo  # each A
                            for l in range(twos[j, 2], twos[j, 3]):
                                at, row = threes[l, 0] * STEP, threes[l, 1] * WIDTH
                                q, total = load(w, row), load(s, row)
                                y_A, vy_A = load(y, at + A * WIDTH), load(vy, at + A * WIDTH)  # each A
                                two_A, vtwo_A = fma(q, y_A, two_A), fma(q, vy_A, vtwo_A)  # each A
                                d_A = fma(q, vgj_A, load(d, at + A * WIDTH))  # each A
                                total = fma(vgj_A, y_A, fma(gj_A, vy_A, total))  # each A
                                if along_c:
                                    vq = load(vw, row)
                                    vtwo_A, d_A = fma(vq, y_A, vtwo_A), fma(vq, gj_A, d_A)  # each A
                                store(d, at + A * WIDTH, d_A)  # each A
                                store(s, row, total)
                            y_A, vy_A = load(y, atj + A * WIDTH), load(vy, atj + A * WIDTH)  # each A
                            one_A, vone_A = fma(two_A, y_A, one_A), fma(vtwo_A, y_A, fma(two_A, vy_A, vone_A))  # each A
                            d_A = fma(gi_A, vtwo_A, fma(vgi_A, two_A, load(d, atj + A * WIDTH)))  # each A
                            store(d, atj + A * WIDTH, d_A)  # each A
                        v_A = fma(one_A, load(vy, ati + A * WIDTH), v_A)  # each A
                        v_A = fma(vone_A, load(y, ati + A * WIDTH), v_A)  # each A
                        store(d, ati + A * WIDTH, fma(g_A, vone_A, load(d, ati + A * WIDTH)))  # each A
                    store(d_g, (a_A * ms + m) * ks + k, v_A)  # each A
                for e in range(min(ATOMS, starts[z + 1] - n)):
                    take(d, e * WIDTH, xs, STEP, d_x, order[n + e] * xs * ks + k, ks)
            take(s, 0, rows, WIDTH, d_c, z * rows * ks + k, ks)
