"""Template: sums of orbitals on edges and of those that neighbours carry. The constants below are replaced.

out[a] = Σ_e sent[j] (angular[e] radial[e] + weight[e] carried[j]) over the edges e of a, j their neighbour; with both
derivatives. Arrays are flat; `size` waves are innermost. `cuts` are the atoms of each thread: what several of them add
to has a copy for each.
"""

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 8
COMPONENTS = 10
C = 0  # stands for 0, 1, ..., COMPONENTS - 1 in the lines that are repeated

S = vectors(REAL, WIDTH)
load, store, mul, fma, fill, total = S.load, S.store, S.mul, S.fma, S.fill, S.total
X, I = f"{REAL}[::1]", "int64[::1]"
EDGES = f"int64, int64, {I}, {I}, {I}"  # atoms, size, first, order, j
FIVE = f"{X}, {X}, {X}, {X}, {X}"  # angular, radial, sent, carried, weight


@kernel(f"void(int64, int64, {EDGES}, {FIVE}, {X})")
def carried_sums(start, stop, atoms, size, first, order, j, angular, radial, sent, carried, weight, out):
    for a in range(start, stop):
        for k in range(0, size, WIDTH):
            sum_C = fill(0)  # each C
            for n in range(first[a], first[a + 1]):
                e = order[n]
                s, at, there = load(sent, j[e] * size + k), e * COMPONENTS, j[e] * COMPONENTS * size + k
                y, u = mul(load(radial, e * size + k), s), mul(fill(weight[e]), s)
                sum_C = fma(fill(angular[at + C]), y, fma(u, load(carried, there + C * size), sum_C))  # each C
            to = a * COMPONENTS * size + k
            store(out, to + C * size, sum_C)  # each C


@kernel(f"void(int64, int64, {I}, {EDGES}, {FIVE}, {X}, {FIVE})")
def carried_sums_backward(
    start, stop, cuts, atoms, size, first, order, j, angular, radial, sent, carried, weight,
    g, dangular, dradial, dsent, dcarried, dweight,
):  # fmt: skip
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            for k in range(0, size, WIDTH):
                of = a * COMPONENTS * size + k
                g_C = load(g, of + C * size)  # each C
                for n in range(first[a], first[a + 1]):
                    e = order[n]
                    at, here, there = e * COMPONENTS, e * size + k, j[e] * COMPONENTS * size + k
                    row, own = (p * atoms + j[e]) * size + k, (p * atoms + j[e]) * COMPONENTS * size + k
                    f, s, w = load(radial, here), load(sent, j[e] * size + k), fill(weight[e])
                    y, u, h, q = mul(f, s), mul(w, s), fill(0), fill(0)
                    h = fma(fill(angular[at + C]), g_C, h)  # each C
                    q = fma(load(carried, there + C * size), g_C, q)  # each C
                    dangular[at + C] += total(mul(g_C, y))  # each C
                    store(dcarried, own + C * size, fma(u, g_C, load(dcarried, own + C * size)))  # each C
                    store(dradial, here, mul(h, s))
                    store(dsent, row, fma(h, f, fma(w, q, load(dsent, row))))
                    dweight[e] += total(mul(q, s))


@kernel(f"void(int64, int64, {I}, {EDGES}, {FIVE}, {FIVE}, {X}, {X}, {FIVE})")
def carried_sums_double(
    start, stop, cuts, atoms, size, first, order, j, angular, radial, sent, carried, weight, va, vr, vs, vc, vw,
    g, dg, dangular, dradial, dsent, dcarried, dweight,
):  # fmt: skip
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            for k in range(0, size, WIDTH):
                of = a * COMPONENTS * size + k
                g_C = load(g, of + C * size)  # each C
                sum_C = fill(0)  # each C
                for n in range(first[a], first[a + 1]):
                    e = order[n]
                    at, here, there, to = e * COMPONENTS, e * size + k, j[e] * COMPONENTS * size + k, j[e] * size + k
                    row, own = (p * atoms + j[e]) * size + k, (p * atoms + j[e]) * COMPONENTS * size + k
                    f, s, w = load(radial, here), load(sent, to), fill(weight[e])
                    f_v, s_v, w_v = load(vr, here), load(vs, to), fill(vw[e])
                    y, y_v, u, u_v = mul(f, s), fma(f_v, s, mul(f, s_v)), mul(w, s), fma(w_v, s, mul(w, s_v))
                    h, h_v, q, q_v = fill(0), fill(0), fill(0), fill(0)
                    h = fma(fill(angular[at + C]), g_C, h)  # each C
                    h_v = fma(fill(va[at + C]), g_C, h_v)  # each C
                    q = fma(load(carried, there + C * size), g_C, q)  # each C
                    q_v = fma(load(vc, there + C * size), g_C, q_v)  # each C
                    sum_C = fma(fill(va[at + C]), y, fma(fill(angular[at + C]), y_v, sum_C))  # each C
                    sum_C = fma(load(carried, there + C * size), u_v, sum_C)  # each C
                    sum_C = fma(load(vc, there + C * size), u, sum_C)  # each C
                    dangular[at + C] += total(mul(g_C, y_v))  # each C
                    store(dcarried, own + C * size, fma(u_v, g_C, load(dcarried, own + C * size)))  # each C
                    store(dradial, here, fma(h_v, s, mul(h, s_v)))
                    moved = fma(w_v, q, fma(w, q_v, load(dsent, row)))
                    store(dsent, row, fma(h_v, f, fma(h, f_v, moved)))
                    dweight[e] += total(fma(q_v, s, mul(q, s_v)))
                store(dg, of + C * size, sum_C)  # each C
