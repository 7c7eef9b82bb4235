"""Template: Gaussian orbitals on edges and their sums, with two derivatives. The constants below are replaced.

Arrays are flat; `size` waves are innermost. A sum of an atom keeps all its components in registers while its edges
pass. `cuts` are the rows of each thread: what several of them add to has a copy for each.
"""

import numpy as np

from atomlab.kernels.cpu.exponential import exponentials
from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 8
COMPONENTS = 10
STAMP = ""  # of the exponentials
C = 0  # stands for 0, 1, ..., COMPONENTS - 1 in the lines that are repeated

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fma, fill, total = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill, S.total
exp = exponentials(REAL, WIDTH).exp
X, I = f"{REAL}[::1]", "int64[::1]"
NUMBER = np.float32 if REAL == "float32" else np.float64


@kernel(f"void(int64, int64, int64, {I}, {X}, {X}, {X}, {X}, {X})")
def waves(start, stop, size, species, r, height, width, centre, out):
    """out = h exp(w d²), d = r - c."""
    for e in range(start, stop):
        for k in range(0, size, WIDTH):
            at = species[e] * size + k
            d = sub(fill(r[e]), load(centre, at))
            store(out, e * size + k, mul(fill(height[e]), exp(mul(load(width, at), mul(d, d)))))


@kernel(f"void(int64, int64, {I}, int64, int64, {I}, {X}, {X}, {X}, {X}, {X}, boolean, {X}, {X}, {X}, {X})")
def waves_backward(
    start, stop, cuts, kinds, size, species, r, height, width, centre, g, to_all, dr, dheight, dwidth, dcentre
):
    for p in range(start, stop):
        for e in range(cuts[p], cuts[p + 1]):
            sum_r, sum_h = fill(0), fill(0)
            for k in range(0, size, WIDTH):
                at, own = species[e] * size + k, (p * kinds + species[e]) * size + k
                d, w = sub(fill(r[e]), load(centre, at)), load(width, at)
                square = mul(d, d)
                y = mul(load(g, e * size + k), exp(mul(w, square)))
                sum_h = add(sum_h, y)
                y = mul(y, fill(height[e]))
                slope = mul(mul(fill(2), mul(w, d)), y)
                sum_r = add(sum_r, slope)
                if to_all:
                    store(dwidth, own, fma(y, square, load(dwidth, own)))
                    store(dcentre, own, sub(load(dcentre, own), slope))
            dr[e], dheight[e] = total(sum_r), total(sum_h)


@kernel(f"void(int64, int64, {I}, int64, int64, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def waves_double(
    start, stop, cuts, kinds, size, species, r, height, width, centre, vr, vh, g, dg, dr, dheight, dwidth, dcentre
):
    """With q = 2 w d and u = h q v_r + v_h, of g exp(w d²) u."""
    two = fill(2)
    for p in range(start, stop):
        for e in range(cuts[p], cuts[p + 1]):
            sum_r, sum_h = fill(0), fill(0)
            along = fill(vr[e])
            lifted = mul(along, fill(height[e]))
            for k in range(0, size, WIDTH):
                at, own = species[e] * size + k, (p * kinds + species[e]) * size + k
                d, w = sub(fill(r[e]), load(centre, at)), load(width, at)
                square, q = mul(d, d), mul(two, mul(w, d))
                y, u = exp(mul(w, square)), fma(lifted, q, fill(vh[e]))
                store(dg, e * size + k, mul(y, u))
                y = mul(y, load(g, e * size + k))
                slope = mul(y, fma(q, u, mul(two, mul(lifted, w))))
                sum_r = add(sum_r, slope)
                sum_h = fma(y, mul(along, q), sum_h)
                bend = mul(y, fma(square, u, mul(two, mul(lifted, d))))
                store(dwidth, own, add(load(dwidth, own), bend))
                store(dcentre, own, sub(load(dcentre, own), slope))
            dr[e], dheight[e] = total(sum_r), total(sum_h)


@kernel(f"void(int64, int64, int64, int64, {I}, {I}, {I}, {X}, {X}, {X}, {X})")
def sums(start, stop, atoms, size, first, order, j, angular, radial, sent, out):
    """out[a] = Σ_e angular[e, :, None] radial[e] sent[j[e]]."""
    for a in range(start, stop):
        for k in range(0, size, WIDTH):
            sum_C = fill(0)  # each C
            for n in range(first[a], first[a + 1]):
                e = order[n]
                y = mul(load(radial, e * size + k), load(sent, j[e] * size + k))
                at = e * COMPONENTS
                sum_C = fma(fill(angular[at + C]), y, sum_C)  # each C
            to = a * COMPONENTS * size + k
            store(out, to + C * size, sum_C)  # each C


@kernel(f"void(int64, int64, {I}, int64, int64, {I}, {I}, {I}, {X}, {X}, {X}, {X}, boolean, {X}, {X}, {X})")
def sums_backward(
    start, stop, cuts, atoms, size, first, order, j, angular, radial, sent, g, to_sent, dangular, dradial, dsent
):
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            for k in range(0, size, WIDTH):
                of = a * COMPONENTS * size + k
                g_C = load(g, of + C * size)  # each C
                for n in range(first[a], first[a + 1]):
                    e = order[n]
                    here, there, own = e * size + k, j[e] * size + k, (p * atoms + j[e]) * size + k
                    f, s = load(radial, here), load(sent, there)
                    y, h, at = mul(f, s), fill(0), e * COMPONENTS
                    h = fma(fill(angular[at + C]), g_C, h)  # each C
                    dangular[at + C] += total(mul(g_C, y))  # each C
                    store(dradial, here, mul(h, s))
                    if to_sent:
                        store(dsent, own, fma(h, f, load(dsent, own)))


@kernel(f"void(int64, int64, {I}, int64, int64, {I}, {I}, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def sums_double(
    start, stop, cuts, atoms, size, first, order, j, angular, radial, sent, va, vr, vs, g, dg, dangular, dradial, dsent
):
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            for k in range(0, size, WIDTH):
                of = a * COMPONENTS * size + k
                g_C = load(g, of + C * size)  # each C
                sum_C = fill(0)  # each C
                for n in range(first[a], first[a + 1]):
                    e = order[n]
                    here, there, own = e * size + k, j[e] * size + k, (p * atoms + j[e]) * size + k
                    f, s, f_v, s_v = load(radial, here), load(sent, there), load(vr, here), load(vs, there)
                    y, y_v = mul(f, s), fma(f_v, s, mul(f, s_v))
                    h, h_v, at = fill(0), fill(0), e * COMPONENTS
                    h = fma(fill(angular[at + C]), g_C, h)  # each C
                    h_v = fma(fill(va[at + C]), g_C, h_v)  # each C
                    sum_C = fma(fill(va[at + C]), y, fma(fill(angular[at + C]), y_v, sum_C))  # each C
                    dangular[at + C] += total(mul(g_C, y_v))  # each C
                    store(dradial, here, fma(h_v, s, mul(h, s_v)))
                    store(dsent, own, fma(h_v, f, fma(h, f_v, load(dsent, own))))
                store(dg, of + C * size, sum_C)  # each C


@kernel(f"void(int64, int64, int64, int64, {I}, {I}, {I}, {X}, {X}, {X})")
def messages(start, stop, atoms, size, first, order, j, sent, weight, out):
    """out[a] = Σ_e weight[e] sent[j[e]]."""
    for a in range(start, stop):
        for k in range(0, size, WIDTH):
            sum_C = fill(0)  # each C
            for n in range(first[a], first[a + 1]):
                e = order[n]
                w, at = fill(weight[e]), j[e] * COMPONENTS * size + k
                sum_C = fma(w, load(sent, at + C * size), sum_C)  # each C
            to = a * COMPONENTS * size + k
            store(out, to + C * size, sum_C)  # each C


@kernel(f"void(int64, int64, {I}, int64, int64, {I}, {I}, {I}, {X}, {X}, {X}, {X}, {X})")
def messages_backward(start, stop, cuts, atoms, size, first, order, j, sent, weight, g, dsent, dweight):
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            for k in range(0, size, WIDTH):
                of = a * COMPONENTS * size + k
                g_C = load(g, of + C * size)  # each C
                for n in range(first[a], first[a + 1]):
                    e = order[n]
                    w, h = fill(weight[e]), fill(0)
                    at, own = j[e] * COMPONENTS * size + k, (p * atoms + j[e]) * COMPONENTS * size + k
                    h = fma(g_C, load(sent, at + C * size), h)  # each C
                    store(dsent, own + C * size, fma(w, g_C, load(dsent, own + C * size)))  # each C
                    dweight[e] += total(h)


@kernel(f"void(int64, int64, {I}, int64, int64, {I}, {I}, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def messages_double(
    start, stop, cuts, atoms, size, first, order, j, sent, weight, vsent, vweight, g, dg, dsent, dweight
):
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            for k in range(0, size, WIDTH):
                of = a * COMPONENTS * size + k
                g_C = load(g, of + C * size)  # each C
                sum_C = fill(0)  # each C
                for n in range(first[a], first[a + 1]):
                    e = order[n]
                    w, w_v, h = fill(weight[e]), fill(vweight[e]), fill(0)
                    at, own = j[e] * COMPONENTS * size + k, (p * atoms + j[e]) * COMPONENTS * size + k
                    h = fma(g_C, load(vsent, at + C * size), h)  # each C
                    sum_C = fma(w_v, load(sent, at + C * size), fma(w, load(vsent, at + C * size), sum_C))  # each C
                    store(dsent, own + C * size, fma(w_v, g_C, load(dsent, own + C * size)))  # each C
                    dweight[e] += total(h)
                store(dg, of + C * size, sum_C)  # each C
