"""Template: the harmonics whose products are zonal ones, with two derivatives. The constants below are replaced.

LANES directions at a time. Y_lm = norm[l, m] Q_lm(z) Re or Im (x + iy)^m with Q_lm = d^m P_l / dz^m, so that dQ_lm / dz
is Q_l(m+1), and the derivatives of (x + iy)^m are m (x + iy)^(m-1) and i times that. Of a change along v: D.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
LANES = 16

S = vectors(REAL, LANES)
load, store, add, sub, mul, fma, fill = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill
NUMBER = np.dtype(REAL).type
X = f"{REAL}[::1]"


@kernel(f"void(int64, int64, {X}, {X})")
def lanes(first, last, unit, out):
    """x, y and z of directions first:last, LANES numbers each; the pole beyond."""
    for e in range(LANES):
        for k in range(3):
            out[k * LANES + e] = unit[(first + e) * 3 + k] if first + e < last else k == 2


@kernel(f"void({X}, int64, {X}, {X}, {X})")
def functions(r, l_max, legendre, cosine, sine):
    """Q_lm for m = 0..l_max + 2, rows of l_max + 3; Re and Im of (x + iy)^m."""
    x, y, z, row = load(r, 0), load(r, LANES), load(r, 2 * LANES), l_max + 3
    legendre[:] = 0
    store(cosine, 0, fill(1))
    store(sine, 0, fill(0))
    for m in range(l_max):
        re, im = load(cosine, m * LANES), load(sine, m * LANES)
        store(cosine, (m + 1) * LANES, sub(mul(re, x), mul(im, y)))
        store(sine, (m + 1) * LANES, fma(re, y, mul(im, x)))
    last = 1.0
    for l in range(l_max + 1):
        for m in range(l):
            rise, fall = (2 * l - 1) / (l - m), (l + m - 1) / (l - m)
            value = mul(mul(fill(rise), z), load(legendre, ((l - 1) * row + m) * LANES))
            if l > 1:
                value = sub(value, mul(fill(fall), load(legendre, ((l - 2) * row + m) * LANES)))
            store(legendre, (l * row + m) * LANES, value)
        store(legendre, (l * row + l) * LANES, fill(last))
        last *= 2 * l + 1


@kernel(f"void(int64, int64, int64, int64, {X}, {X})")
def spread(e0, stop, columns, k, values, out):
    """LANES values to column k of rows e0 and on."""
    for e in range(min(LANES, stop - e0)):
        out[(e0 + e) * columns + k] = values[e]


@kernel(f"void(int64, int64, int64, int64, {X}, {X})")
def column(e0, stop, columns, k, x, out):
    for e in range(min(LANES, stop - e0)):
        out[e] = x[(e0 + e) * columns + k]


@kernel(f"void(int64, int64, {X}, int64, {X}, {X})")
def parts(start, stop, unit, l_max, norm, out):
    row, squares = l_max + 3, (l_max + 1) ** 2
    r, legendre = np.empty(3 * LANES, NUMBER), np.empty((l_max + 1) * row * LANES, NUMBER)
    cosine, sine = np.empty((l_max + 1) * LANES, NUMBER), np.empty((l_max + 1) * LANES, NUMBER)
    values = np.empty(LANES, NUMBER)
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, unit, r)
        functions(r, l_max, legendre, cosine, sine)
        for l in range(l_max + 1):
            for m in range(l + 1):
                scaled = mul(load(legendre, (l * row + m) * LANES), fill(norm[l * (l_max + 1) + m]))
                store(values, 0, mul(scaled, load(cosine, m * LANES)))
                spread(e0, stop, squares, l * l + m, values, out)
                if m:
                    store(values, 0, mul(scaled, load(sine, m * LANES)))
                    spread(e0, stop, squares, l * l + l + m, values, out)


@kernel(f"void(int64, int64, {X}, int64, {X}, {X}, {X})")
def parts_backward(start, stop, unit, l_max, norm, g, dunit):
    row, squares = l_max + 3, (l_max + 1) ** 2
    r, legendre = np.empty(3 * LANES, NUMBER), np.empty((l_max + 1) * row * LANES, NUMBER)
    cosine, sine = np.empty((l_max + 1) * LANES, NUMBER), np.empty((l_max + 1) * LANES, NUMBER)
    even, odd, values = np.zeros(LANES, NUMBER), np.zeros(LANES, NUMBER), np.empty(LANES, NUMBER)
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, unit, r)
        functions(r, l_max, legendre, cosine, sine)
        to_x, to_y, to_z = fill(0), fill(0), fill(0)
        for l in range(l_max + 1):
            for m in range(l + 1):
                column(e0, stop, squares, l * l + m, g, even)
                c, n, q = load(even, 0), fill(norm[l * (l_max + 1) + m]), (l * row + m) * LANES
                with_z = mul(c, load(cosine, m * LANES))
                if m:
                    column(e0, stop, squares, l * l + l + m, g, odd)
                    s, re, im = load(odd, 0), load(cosine, (m - 1) * LANES), load(sine, (m - 1) * LANES)
                    with_z = fma(s, load(sine, m * LANES), with_z)
                    scaled = mul(mul(n, load(legendre, q)), fill(m))
                    to_x = fma(scaled, fma(c, re, mul(s, im)), to_x)
                    to_y = fma(scaled, sub(mul(s, re), mul(c, im)), to_y)
                to_z = fma(mul(n, load(legendre, q + LANES)), with_z, to_z)
        store(values, 0, to_x)
        spread(e0, stop, 3, 0, values, dunit)
        store(values, 0, to_y)
        spread(e0, stop, 3, 1, values, dunit)
        store(values, 0, to_z)
        spread(e0, stop, 3, 2, values, dunit)


@kernel(f"void(int64, int64, {X}, int64, {X}, {X}, {X}, {X}, {X})")
def parts_double(start, stop, unit, l_max, norm, v, g, dg, dunit):
    row, squares = l_max + 3, (l_max + 1) ** 2
    r, legendre = np.empty(3 * LANES, NUMBER), np.empty((l_max + 1) * row * LANES, NUMBER)
    cosine, sine = np.empty((l_max + 1) * LANES, NUMBER), np.empty((l_max + 1) * LANES, NUMBER)
    cosine_v, sine_v = np.zeros((l_max + 1) * LANES, NUMBER), np.zeros((l_max + 1) * LANES, NUMBER)
    even, odd, values = np.zeros(LANES, NUMBER), np.zeros(LANES, NUMBER), np.empty(LANES, NUMBER)
    along = np.empty(3 * LANES, NUMBER)
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, unit, r)
        lanes(e0, stop, v, along)
        functions(r, l_max, legendre, cosine, sine)
        x_v, y_v, z_v = load(along, 0), load(along, LANES), load(along, 2 * LANES)
        for m in range(1, l_max + 1):
            re, im, times = load(cosine, (m - 1) * LANES), load(sine, (m - 1) * LANES), fill(m)
            store(cosine_v, m * LANES, mul(times, sub(mul(x_v, re), mul(y_v, im))))
            store(sine_v, m * LANES, mul(times, fma(x_v, im, mul(y_v, re))))
        to_x, to_y, to_z = fill(0), fill(0), fill(0)
        for l in range(l_max + 1):
            for m in range(l + 1):
                column(e0, stop, squares, l * l + m, g, even)
                c, n, at = load(even, 0), fill(norm[l * (l_max + 1) + m]), (l * row + m) * LANES
                q, q_1 = mul(n, load(legendre, at)), mul(n, load(legendre, at + LANES))
                q_v, q_2 = mul(q_1, z_v), mul(mul(n, load(legendre, at + 2 * LANES)), z_v)
                re, re_v = load(cosine, m * LANES), load(cosine_v, m * LANES)
                store(values, 0, fma(q_v, re, mul(q, re_v)))
                spread(e0, stop, squares, l * l + m, values, dg)
                with_z, with_z_v = mul(c, re), mul(c, re_v)
                if m:
                    column(e0, stop, squares, l * l + l + m, g, odd)
                    s, im, im_v = load(odd, 0), load(sine, m * LANES), load(sine_v, m * LANES)
                    store(values, 0, fma(q_v, im, mul(q, im_v)))
                    spread(e0, stop, squares, l * l + l + m, values, dg)
                    with_z, with_z_v = fma(s, im, with_z), fma(s, im_v, with_z_v)
                    k = (m - 1) * LANES
                    re, im, re_v, im_v = load(cosine, k), load(sine, k), load(cosine_v, k), load(sine_v, k)
                    q, q_v = mul(q, fill(m)), mul(q_v, fill(m))
                    to_x = fma(q_v, fma(c, re, mul(s, im)), fma(q, fma(c, re_v, mul(s, im_v)), to_x))
                    change = sub(mul(s, re_v), mul(c, im_v))
                    to_y = fma(q_v, sub(mul(s, re), mul(c, im)), fma(q, change, to_y))
                to_z = fma(q_2, with_z, fma(q_1, with_z_v, to_z))
        store(values, 0, to_x)
        spread(e0, stop, 3, 0, values, dunit)
        store(values, 0, to_y)
        spread(e0, stop, 3, 1, values, dunit)
        store(values, 0, to_z)
        spread(e0, stop, 3, 2, values, dunit)
