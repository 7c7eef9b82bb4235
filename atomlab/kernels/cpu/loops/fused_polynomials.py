"""Template: products of an atom's features, as polynomials with coefficients per element and channel.

A polynomial is a tree, Σ_a x_a (w_a + Σ_b x_b (w_ab + Σ_c w_abc x_c)), stored as three levels of branches; its weights
stand in the order in which the loops meet them. Four atoms of one element share each weight that is loaded.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16

S = vectors(REAL, WIDTH)
load, store, fma, mul, add, fill, total = S.load, S.store, S.fma, S.mul, S.add, S.fill, S.total
ROW = 4 * WIDTH  # a component of four atoms
KIND = np.float32 if REAL == "float32" else np.float64

HEAD = "int64, int64, int64[::1], int64[::1], int64[::1]"
TREE = ", ".join(["int64[::1]"] * 8) + f", {REAL}[::1], int64, int64"


@kernel(f"void({HEAD}, {TREE}, {REAL}[::1], {REAL}[::1], {REAL}[::1])")
def forward(
    start, stop, kind, head, count, base, step, a_first, a_of, b_first, b_of, c_first, c_of, weights, rows, size,
    x, factor, out,
):  # fmt: skip
    """out = polynomials of factor * x. Blocks of up to four atoms: element kind, first atom head, count."""
    components, outputs = base.shape[0], a_first.shape[0] - 1
    X = np.empty(components * ROW + 16, KIND)
    z = (-(X.ctypes.data // X.itemsize)) % 16
    zero = fill(0)
    for k in range(0, size, WIDTH):
        for n in range(start, stop):
            i0, last = head[n], count[n] - 1
            i1, i2, i3 = i0 + min(1, last), i0 + min(2, last), i0 + last
            for c in range(components):
                at, by, o = base[c] + k, step[c], z + c * ROW
                store(X, o, mul(fill(factor[i0]), load(x, at + by * i0)))
                store(X, o + WIDTH, mul(fill(factor[i1]), load(x, at + by * i1)))
                store(X, o + 2 * WIDTH, mul(fill(factor[i2]), load(x, at + by * i2)))
                store(X, o + 3 * WIDTH, mul(fill(factor[i3]), load(x, at + by * i3)))
            w = (kind[n] * size + k) * rows
            for m in range(outputs):
                o0, o1, o2, o3 = zero, zero, zero, zero
                for a in range(a_first[m], a_first[m + 1]):
                    s0 = load(weights, w)
                    s1, s2, s3 = s0, s0, s0
                    w += WIDTH
                    for b in range(b_first[a], b_first[a + 1]):
                        t0 = load(weights, w)
                        t1, t2, t3 = t0, t0, t0
                        w += WIDTH
                        for c in range(c_first[b], c_first[b + 1]):
                            v, at = load(weights, w), z + c_of[c]
                            w += WIDTH
                            t0 = fma(v, load(X, at), t0)
                            t1 = fma(v, load(X, at + WIDTH), t1)
                            t2 = fma(v, load(X, at + 2 * WIDTH), t2)
                            t3 = fma(v, load(X, at + 3 * WIDTH), t3)
                        at = z + b_of[b]
                        s0 = fma(t0, load(X, at), s0)
                        s1 = fma(t1, load(X, at + WIDTH), s1)
                        s2 = fma(t2, load(X, at + 2 * WIDTH), s2)
                        s3 = fma(t3, load(X, at + 3 * WIDTH), s3)
                    at = z + a_of[a]
                    o0 = fma(s0, load(X, at), o0)
                    o1 = fma(s1, load(X, at + WIDTH), o1)
                    o2 = fma(s2, load(X, at + 2 * WIDTH), o2)
                    o3 = fma(s3, load(X, at + 3 * WIDTH), o3)
                at, by = base[m] + k, step[m]
                store(out, at + by * i0, o0)
                store(out, at + by * i1, o1)
                store(out, at + by * i2, o2)
                store(out, at + by * i3, o3)


@kernel(f"void({HEAD}, {TREE}, {REAL}[::1], {REAL}[::1], {REAL}[::1], {REAL}[::1], {REAL}[::1])")
def backward(
    start, stop, kind, head, count, base, step, a_first, a_of, b_first, b_of, c_first, c_of, weights, rows, size,
    x, factor, g, gx, gfactor,
):  # fmt: skip
    """gx = Σ g d(polynomial)/dx and gfactor (A,) = Σ g d(polynomial)/d(factor), summed over channels."""
    components, outputs = base.shape[0], a_first.shape[0] - 1
    X = np.empty(2 * components * ROW + 16, KIND)
    z = (-(X.ctypes.data // X.itemsize)) % 16
    far = components * ROW  # the gradient stands behind the features
    zero = fill(0)
    for n in range(start, stop):
        for a in range(head[n], head[n] + count[n]):
            gfactor[a] = 0
    for k in range(0, size, WIDTH):
        for n in range(start, stop):
            i0, last = head[n], count[n] - 1
            i1, i2, i3 = i0 + min(1, last), i0 + min(2, last), i0 + last
            for c in range(components):
                at, by, o = base[c] + k, step[c], z + c * ROW
                store(X, o, mul(fill(factor[i0]), load(x, at + by * i0)))
                store(X, o + WIDTH, mul(fill(factor[i1]), load(x, at + by * i1)))
                store(X, o + 2 * WIDTH, mul(fill(factor[i2]), load(x, at + by * i2)))
                store(X, o + 3 * WIDTH, mul(fill(factor[i3]), load(x, at + by * i3)))
                for part in range(4):
                    store(X, far + o + part * WIDTH, zero)
            w = (kind[n] * size + k) * rows
            for m in range(outputs):
                at, by = base[m] + k, step[m]
                g0, g1, g2, g3 = (
                    load(g, at + by * i0),
                    load(g, at + by * i1),
                    load(g, at + by * i2),
                    load(g, at + by * i3),
                )
                for a in range(a_first[m], a_first[m + 1]):
                    s0 = load(weights, w)
                    s1, s2, s3 = s0, s0, s0
                    w += WIDTH
                    at = z + a_of[a]
                    p0, p1 = mul(g0, load(X, at)), mul(g1, load(X, at + WIDTH))
                    p2, p3 = mul(g2, load(X, at + 2 * WIDTH)), mul(g3, load(X, at + 3 * WIDTH))
                    for b in range(b_first[a], b_first[a + 1]):
                        t0 = load(weights, w)
                        t1, t2, t3 = t0, t0, t0
                        w += WIDTH
                        at = z + b_of[b]
                        x0, x1 = load(X, at), load(X, at + WIDTH)
                        x2, x3 = load(X, at + 2 * WIDTH), load(X, at + 3 * WIDTH)
                        q0, q1, q2, q3 = mul(p0, x0), mul(p1, x1), mul(p2, x2), mul(p3, x3)
                        for c in range(c_first[b], c_first[b + 1]):
                            v, o = load(weights, w), z + c_of[c]
                            w += WIDTH
                            t0 = fma(v, load(X, o), t0)
                            t1 = fma(v, load(X, o + WIDTH), t1)
                            t2 = fma(v, load(X, o + 2 * WIDTH), t2)
                            t3 = fma(v, load(X, o + 3 * WIDTH), t3)
                            o += far
                            store(X, o, fma(v, q0, load(X, o)))
                            store(X, o + WIDTH, fma(v, q1, load(X, o + WIDTH)))
                            store(X, o + 2 * WIDTH, fma(v, q2, load(X, o + 2 * WIDTH)))
                            store(X, o + 3 * WIDTH, fma(v, q3, load(X, o + 3 * WIDTH)))
                        s0, s1, s2, s3 = fma(t0, x0, s0), fma(t1, x1, s1), fma(t2, x2, s2), fma(t3, x3, s3)
                        at += far
                        store(X, at, fma(p0, t0, load(X, at)))
                        store(X, at + WIDTH, fma(p1, t1, load(X, at + WIDTH)))
                        store(X, at + 2 * WIDTH, fma(p2, t2, load(X, at + 2 * WIDTH)))
                        store(X, at + 3 * WIDTH, fma(p3, t3, load(X, at + 3 * WIDTH)))
                    at = z + a_of[a] + far
                    store(X, at, fma(g0, s0, load(X, at)))
                    store(X, at + WIDTH, fma(g1, s1, load(X, at + WIDTH)))
                    store(X, at + 2 * WIDTH, fma(g2, s2, load(X, at + 2 * WIDTH)))
                    store(X, at + 3 * WIDTH, fma(g3, s3, load(X, at + 3 * WIDTH)))
            for part in range(count[n]):
                i, sum_of = i0 + part, zero
                for c in range(components):
                    at, d = base[c] + step[c] * i + k, load(X, z + far + c * ROW + part * WIDTH)
                    sum_of = fma(d, load(x, at), sum_of)
                    store(gx, at, mul(d, fill(factor[i])))
                gfactor[i] += total(sum_of)
