"""Template: functions of the distance with their first two derivatives. The constants below are replaced.

Arrays are flat; each function writes its values, and slopes and bends (first and second derivative with respect to the
first argument) if these arrays are not empty. Numbers are computed in float64 and rounded once.
"""

import math

import numpy as np

from atomlab.kernels.cpu.simd import kernel

REAL = "float32"
NUMBER = np.dtype(REAL).type
I, X = "int64[::1]", f"{REAL}[::1]"
OUT = f"{X}, {X}, {X}"


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X}, float64, {OUT})")
def bessel(start, stop, r, rates, sines, cosines, factor, y, slope, bend):
    """factor sin(w r) / r for each of the rates w; sines and cosines of w r are given, row by row."""
    n = len(rates)
    for e in range(start, stop):
        inverse = 1.0 / r[e]
        for k in range(n):
            at, w = e * n + k, float(rates[k])
            f = factor * sines[at] * inverse
            y[at] = NUMBER(f)
            if len(slope):
                first = (factor * w * cosines[at] - f) * inverse
                slope[at] = NUMBER(first)
                bend[at] = NUMBER(-w * w * f - 2.0 * first * inverse)


@kernel("UniTuple(float64, 3)(float64, int64)")
def envelope_of(x, p):
    """1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2) below 1, else 0; slope -p(p+1)(p+2)/2 x^(p-1) (1-x)²."""
    if x >= 1.0:
        return 0.0, 0.0, 0.0
    below, power, lower = 0.0, 1.0, 1.0  # x^(p-2), x^p, x^(p-1)
    for _ in range(p):
        below, lower, power = lower, power, power * x
    rest = 1.0 - x
    f = 1.0 + power * (x * (p * (p + 2.0) - 0.5 * p * (p + 1.0) * x) - 0.5 * (p + 1.0) * (p + 2.0))
    factor = -0.5 * p * (p + 1.0) * (p + 2.0)
    return f, factor * lower * rest * rest, factor * rest * ((p - 1.0) * below * rest - 2.0 * lower)


@kernel(f"void(int64, int64, {X}, int64, {OUT})")
def envelope(start, stop, x, p, y, slope, bend):
    for e in range(start, stop):
        f, first, second = envelope_of(x[e], p)
        y[e] = f if x[e] == x[e] else x[e]
        if len(slope):
            slope[e], bend[e] = first, second


@kernel(f"void(int64, int64, {X}, {X}, float64, float64, float64, {OUT})")
def agnesi(start, stop, r, r0, a, p, q, y, slope, bend):
    """1 / (1 + a n), n = s^q / (1 + s^(q - p)), s = r / r0."""
    for e in range(start, stop):
        inverse = 1.0 / r[e]
        log = math.log(r[e] / float(r0[e]))
        w = math.exp((q - p) * log)
        n, t = math.exp(q * log) / (1.0 + w), w / (1.0 + w)
        f = 1.0 / (1.0 + a * n)
        y[e] = NUMBER(f)
        if len(slope):
            # with respect to log r first
            k = q - (q - p) * t
            n1, n2 = n * k, n * (k * k - (q - p) * (q - p) * t * (1.0 - t))
            first = -a * n1 * f * f
            second = -a * n2 * f * f + 2.0 * a * a * n1 * n1 * f * f * f
            slope[e], bend[e] = NUMBER(first * inverse), NUMBER((second - first) * inverse * inverse)


@kernel(f"void(int64, int64, {X}, {X}, float64, {OUT})")
def soft(start, stop, r, r0, alpha, y, slope, bend):
    """p0 + (r - p0) (1 + tanh(k (r - m))) / 2, k = alpha / (p1 - p0)."""
    for e in range(start, stop):
        p0, p1 = 0.75 * r0[e], (4.0 / 3.0) * r0[e]
        k, above = alpha / (p1 - p0), r[e] - p0
        t = math.tanh(k * (r[e] - 0.5 * (p0 + p1)))
        y[e] = NUMBER(p0 + 0.5 * above * (1.0 + t))
        if len(slope):
            steep = k * (1.0 - t * t)
            slope[e] = NUMBER(0.5 * (1.0 + t) + 0.5 * above * steep)
            bend[e] = NUMBER(steep * (1.0 - above * k * t))


@kernel(f"void(int64, int64, {X}, {I}, {I}, {X}, {X}, float64, float64, int64, float64, {OUT})")
def zbl(start, stop, r, zi, zj, reach, c, a_exp, a_prefactor, p, coulomb, y, slope, bend):
    """coulomb Zi Zj / r times phi(r / a) times the envelope of r / reach: A B C."""
    for e in range(start, stop):
        inverse, rate = 1.0 / r[e], (float(zi[e]) ** a_exp + float(zj[e]) ** a_exp) / (a_prefactor * 0.529)
        b0, b1, b2 = 0.0, 0.0, 0.0
        for k, speed in enumerate((3.2, 0.9423, 0.4028, 0.2016)):
            w = -speed * rate
            term = c[k] * math.exp(w * r[e])
            b0, b1, b2 = b0 + term, b1 + w * term, b2 + w * w * term
        c0, c1, c2 = envelope_of(float(r[e]) / float(reach[e]), p)
        c1, c2 = c1 / reach[e], c2 / reach[e] / reach[e]
        a0 = coulomb * zi[e] * zj[e] * inverse
        a1, a2 = -a0 * inverse, 2.0 * a0 * inverse * inverse
        y[e] = NUMBER(a0 * b0 * c0)
        if len(slope):
            slope[e] = NUMBER(a1 * b0 * c0 + a0 * b1 * c0 + a0 * b0 * c1)
            mixed = a1 * b1 * c0 + a1 * b0 * c1 + a0 * b1 * c1
            bend[e] = NUMBER(a2 * b0 * c0 + a0 * b2 * c0 + a0 * b0 * c2 + 2.0 * mixed)
