"""Template: squared sums of orbitals, with two derivatives. The constants below are replaced.

Arrays are flat. An atom's orbitals are a matrix (COMPONENTS, inner), a component's weights those of its degree
`level`: (inner, span); the other way round they are (columns, inner). `span` is `columns` filled up with zeros to a
multiple of WIDTH. `many` counts a component's copies.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16  # divides span
NARROW = 8  # divides inner
COMPONENTS = 10
C = 0  # stands for 0, 1, ..., COMPONENTS - 1 in the lines that are repeated

S = vectors(REAL, WIDTH)
load, store, mul, fma, fill = S.load, S.store, S.mul, S.fma, S.fill
N = vectors(REAL, NARROW)
load_back, store_back, fma_back, fill_back = N.load, N.store, N.fma, N.fill
X, I = f"{REAL}[::1]", "int64[::1]"
NUMBER = np.float32 if REAL == "float32" else np.float64


@kernel(f"void(int64, int64, {I}, {X}, int64, {X}, boolean, {X})")
def rows(inner, span, level, x, x0, w, onto, out):
    """out[c] = Σ_m x[c, m] w[level[c], m] of one atom, added to out if `onto`."""
    for k in range(0, span, WIDTH):
        of_C = level[C] * inner * span + k  # each C
        sum_C = load(out, C * span + k) if onto else fill(0)  # each C
        for m in range(inner):
            at = x0 + m
            sum_C = fma(fill(x[at + C * inner]), load(w, of_C + m * span), sum_C)  # each C
        store(out, C * span + k, sum_C)  # each C


@kernel(f"void(int64, int64, int64, {I}, {X}, {X}, boolean, {X}, int64)")
def rows_back(inner, columns, span, level, y, back, onto, out, out0):
    """out[c] = Σ_k y[c, k] back[level[c], k] of one atom, added to out if `onto`."""
    for m in range(0, inner, NARROW):
        of_C = level[C] * inner * columns + m  # each C
        sum_C = load_back(out, out0 + C * inner + m) if onto else fill_back(0)  # each C
        for k in range(columns):
            sum_C = fma_back(fill_back(y[C * span + k]), load_back(back, of_C + k * inner), sum_C)  # each C
        store_back(out, out0 + C * inner + m, sum_C)  # each C


@kernel(f"void(int64, int64, {I}, {X}, int64, {X}, {X}, int64)")
def outer(inner, span, level, x, x0, y, out, out0):
    """out[level[c], m, k] += x[c, m] y[c, k] of one atom; components of a degree stand together."""
    c = 0
    while c < COMPONENTS:
        end = c + 1
        while end < COMPONENTS and level[end] == level[c]:
            end += 1
        for m in range(inner):
            to = out0 + (level[c] * inner + m) * span
            for k in range(0, span, WIDTH):
                total = load(out, to + k)
                for n in range(c, end):
                    total = fma(fill(x[x0 + n * inner + m]), load(y, n * span + k), total)
                store(out, to + k, total)
        c = end


@kernel(f"void({X}, {X}, int64, int64, {X}, {X})")
def scaled(g, part, span, row, many, out):
    """out[c] = 2 many[c] g[row] part[c]."""
    for k in range(0, span, WIDTH):
        y = mul(fill(2), load(g, row * span + k))
        for c in range(COMPONENTS):
            store(out, c * span + k, mul(mul(fill(many[c]), y), load(part, c * span + k)))


@kernel(f"void({X}, {X}, int64, int64, {X}, {X})")
def dots(x, y, span, row, many, out):
    """out[row] = Σ_c many[c] x[c] y[c]."""
    for k in range(0, span, WIDTH):
        total = fill(0)
        for c in range(COMPONENTS):
            total = fma(mul(fill(many[c]), load(x, c * span + k)), load(y, c * span + k), total)
        store(out, row * span + k, total)


@kernel(f"void(int64, int64, int64, int64, {I}, {X}, {X}, {X}, {X})")
def densities(start, stop, inner, span, level, many, x, w, out):
    part = np.empty(COMPONENTS * span, NUMBER)
    for a in range(start, stop):
        rows(inner, span, level, x, a * COMPONENTS * inner, w, False, part)
        dots(part, part, span, a, many, out)


@kernel(f"void(int64, int64, {I}, int64, int64, int64, {I}, {X}, {X}, {X}, {X}, {X}, {X}, boolean, {X})")
def densities_backward(start, stop, cuts, inner, columns, span, level, many, x, w, back, g, dx, to_w, dw):
    part, slope = np.empty(COMPONENTS * span, NUMBER), np.empty(COMPONENTS * span, NUMBER)
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            x0 = a * COMPONENTS * inner
            rows(inner, span, level, x, x0, w, False, part)
            scaled(g, part, span, a, many, slope)
            rows_back(inner, columns, span, level, slope, back, False, dx, x0)
            if to_w:
                outer(inner, span, level, x, x0, slope, dw, p * len(w))


@kernel(
    f"void(int64, int64, {I}, int64, int64, int64, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, boolean)"
)
def densities_double(
    start, stop, cuts, inner, columns, span, level, many, x, w, back, v, vw, vback, g, dg, dx, dw, bent
):
    """`dg` is half of it. `bent`: the contraction's direction vw is not zero (vback: vw the other way round)."""
    part, slope = np.empty(COMPONENTS * span, NUMBER), np.empty(COMPONENTS * span, NUMBER)
    along, turn = np.empty(COMPONENTS * span, NUMBER), np.empty(COMPONENTS * span, NUMBER)
    for p in range(start, stop):
        for a in range(cuts[p], cuts[p + 1]):
            x0 = a * COMPONENTS * inner
            rows(inner, span, level, x, x0, w, False, part)
            rows(inner, span, level, v, x0, w, False, along)
            if bent:
                rows(inner, span, level, x, x0, vw, True, along)
            scaled(g, part, span, a, many, slope)
            scaled(g, along, span, a, many, turn)
            dots(part, along, span, a, many, dg)
            rows_back(inner, columns, span, level, turn, back, False, dx, x0)
            if bent:
                rows_back(inner, columns, span, level, slope, vback, True, dx, x0)
            outer(inner, span, level, x, x0, turn, dw, p * len(w))
            outer(inner, span, level, v, x0, slope, dw, p * len(w))
