"""Template: spherical Bessel functions of many distances, with two derivatives. The constants below are replaced.

LANES distances at a time. y[e, l, n] = envelope[e] factor[l, n] j_l(zero[l, n] x[e]). Arrays are flat.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors
from atomlab.kernels.cpu.trigonometric import trigonometric

REAL = "float32"
LANES = 16
TERMS = 16  # of the power series
STAMP = ""  # of the trigonometric functions

S, T = vectors(REAL, LANES), trigonometric(REAL, LANES)
load, store, add, sub, mul, div, fma, fill = S.load, S.store, S.add, S.sub, S.mul, S.div, S.fma, S.fill
sine, cosine, pick = T.sine, T.cosine, T.pick
NUMBER = np.dtype(REAL).type
X = f"{REAL}[::1]"


@kernel(f"void(int64, {X}, {X}, {X}, {X})")
def functions(l, x, series, value, slope):
    """j_l and j_l' of LANES arguments; series (l, k): 1 / (k (2 l + 2 k + 1)), and 1 / (2 l + 1)!! at k = 0.

    Upward recurrence where it is stable, x >= l; below it the power series x^l / (2l+1)!! Σ_k c_1 ... c_k (-x²/2)^k.
    """
    a = load(x, 0)
    inverse = div(fill(1), a)
    below, now = mul(cosine(a), inverse), mul(sine(a), inverse)
    for k in range(l):
        below, now = now, sub(mul(mul(fill(2 * k + 1), inverse), now), below)
    rise = sub(below, mul(mul(fill(l + 1), inverse), now))
    if l > 0:
        edge = fill(l)
        t = pick(a, edge, a, edge)  # far above its range the series would overflow
        q = mul(mul(fill(-0.5), t), t)
        sum_, change = fill(1), fill(0)
        for k in range(TERMS, 0, -1):
            c = fill(series[l * (TERMS + 1) + k])
            change = mul(c, fma(q, change, sum_))
            sum_ = fma(mul(c, q), sum_, fill(1))
        power = fill(series[l * (TERMS + 1)])
        for _ in range(l):
            power = mul(power, t)
        small = mul(power, sum_)
        small_rise = sub(mul(mul(fill(l), inverse), small), mul(mul(power, change), t))
        now, rise = pick(a, edge, small, now), pick(a, edge, small_rise, rise)
    store(value, 0, now)
    store(slope, 0, rise)


@kernel(f"void(int64, int64, {X}, int64, {X})")
def lanes(first, last, x, nothing, out):
    """out = x[first:last] and `nothing` beyond."""
    for e in range(LANES):
        out[e] = x[first + e] if first + e < last else nothing


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X}, {X}, int64, int64, {X})")
def waves(start, stop, x, envelope, zeros, factors, series, degrees, number, out):
    columns = degrees * number
    r, u, a = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.empty(LANES, NUMBER)
    value, slope = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER)
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, x, 1, r)
        lanes(e0, stop, envelope, 0, u)
        for k in range(columns):
            store(a, 0, mul(load(r, 0), fill(zeros[k])))
            functions(k // number, a, series, value, slope)
            store(value, 0, mul(mul(load(value, 0), load(u, 0)), fill(factors[k])))
            for e in range(min(LANES, stop - e0)):
                out[(e0 + e) * columns + k] = value[e]


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, int64, int64, {X}, {X})")
def waves_slopes(start, stop, x, envelope, rise, zeros, factors, series, degrees, number, out, slopes):
    """The functions and their derivatives in x; rise is the envelope's."""
    columns = degrees * number
    r, u, v, a = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.empty(LANES, NUMBER)
    value, slope = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER)
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, x, 1, r)
        lanes(e0, stop, envelope, 0, u)
        lanes(e0, stop, rise, 0, v)
        for k in range(columns):
            z, f = fill(zeros[k]), fill(factors[k])
            store(a, 0, mul(load(r, 0), z))
            functions(k // number, a, series, value, slope)
            j = mul(load(value, 0), f)
            store(slope, 0, fma(load(v, 0), j, mul(mul(mul(z, f), load(slope, 0)), load(u, 0))))
            store(value, 0, mul(j, load(u, 0)))
            for e in range(min(LANES, stop - e0)):
                out[(e0 + e) * columns + k], slopes[(e0 + e) * columns + k] = value[e], slope[e]


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X}, {X}, int64, int64, {X}, {X}, {X})")
def waves_backward(start, stop, x, envelope, zeros, factors, series, degrees, number, g, dx, denvelope):
    columns = degrees * number
    r, u, a, h = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.zeros(LANES, NUMBER)
    value, slope = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER)
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, x, 1, r)
        lanes(e0, stop, envelope, 0, u)
        to_x, to_u = fill(0), fill(0)
        for k in range(columns):
            for e in range(min(LANES, stop - e0)):
                h[e] = g[(e0 + e) * columns + k]
            z = fill(zeros[k])
            store(a, 0, mul(load(r, 0), z))
            functions(k // number, a, series, value, slope)
            share = mul(load(h, 0), fill(factors[k]))
            to_u = fma(share, load(value, 0), to_u)
            to_x = fma(mul(share, z), load(slope, 0), to_x)
        store(value, 0, mul(to_x, load(u, 0)))
        store(slope, 0, to_u)
        for e in range(min(LANES, stop - e0)):
            dx[e0 + e], denvelope[e0 + e] = value[e], slope[e]


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X}, {X}, int64, int64, {X}, {X}, {X}, {X}, {X}, {X})")
def waves_double(
    start, stop, x, envelope, zeros, factors, series, degrees, number, vx, venvelope, g, dg, dx, denvelope
):
    """The gradients of Σ vx dx + venvelope denvelope; j'' from the differential equation."""
    columns = degrees * number
    r, u, a, h = np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.empty(LANES, NUMBER), np.zeros(LANES, NUMBER)
    value, slope, v, w = (
        np.empty(LANES, NUMBER),
        np.empty(LANES, NUMBER),
        np.empty(LANES, NUMBER),
        np.empty(LANES, NUMBER),
    )
    for e0 in range(start, stop, LANES):
        lanes(e0, stop, x, 1, r)
        lanes(e0, stop, envelope, 0, u)
        lanes(e0, stop, vx, 0, v)
        lanes(e0, stop, venvelope, 0, w)
        to_x, to_u = fill(0), fill(0)
        for k in range(columns):
            for e in range(min(LANES, stop - e0)):
                h[e] = g[(e0 + e) * columns + k]
            z, l = fill(zeros[k]), k // number
            arguments = mul(load(r, 0), z)
            store(a, 0, arguments)
            functions(l, a, series, value, slope)
            j, rise, inverse = load(value, 0), mul(load(slope, 0), z), div(z, arguments)
            bend = mul(mul(fill(l * (l + 1)), inverse), inverse)
            bend = sub(mul(sub(bend, mul(z, z)), j), mul(mul(fill(2), inverse), rise))
            f, along = fill(factors[k]), mul(load(v, 0), load(u, 0))
            store(a, 0, mul(f, fma(load(w, 0), j, mul(along, rise))))
            for e in range(min(LANES, stop - e0)):
                dg[(e0 + e) * columns + k] = a[e]
            share = mul(load(h, 0), f)
            to_u = fma(mul(share, load(v, 0)), rise, to_u)
            to_x = fma(share, fma(load(w, 0), rise, mul(along, bend)), to_x)
        store(value, 0, to_x)
        store(slope, 0, to_u)
        for e in range(min(LANES, stop - e0)):
            dx[e0 + e], denvelope[e0 + e] = value[e], slope[e]
