"""Template, behind `products`: a transformer's encoder layer over the atoms of each structure, and its way back.

Atoms are rows of n numbers; the attention of one structure and head is done by one thread, all else row by row.
"""

import math

import numpy as np

from atomlab.kernels.cpu.exponential import exponentials
from atomlab.kernels.cpu.loops.products import PANEL, REAL, I, X, product
from atomlab.kernels.cpu.simd import kernel, vectors

WIDTH = 16
STAMP = ""  # of the exponentials

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fma, fill, total = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill, S.total
exp = exponentials(REAL, WIDTH).exp
NUMBER = np.dtype(REAL).type


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, float64, {X}, {X}, {X})")
def norm(start, stop, n, x, weight, bias, eps, unit, rate, out):
    """out = weight unit + bias, unit = rate (x - mean), rate = 1 / sqrt(variance + eps), of each row."""
    for r in range(start, stop):
        at = r * n
        sums = fill(0)
        for c in range(0, n, WIDTH):
            sums = add(sums, load(x, at + c))
        mean, squares = fill(total(sums) / NUMBER(n)), fill(0)
        for c in range(0, n, WIDTH):
            d = sub(load(x, at + c), mean)
            squares = fma(d, d, squares)
        rate[r] = NUMBER(1.0) / math.sqrt(total(squares) / NUMBER(n) + NUMBER(eps))
        by = fill(rate[r])
        for c in range(0, n, WIDTH):
            d = mul(sub(load(x, at + c), mean), by)
            store(unit, at + c, d)
            store(out, at + c, fma(d, load(weight, c), load(bias, c)))


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X}, {X})")
def norm_back(start, stop, n, g, weight, unit, rate, dx):
    for r in range(start, stop):
        at = r * n
        plain, along = fill(0), fill(0)
        for c in range(0, n, WIDTH):
            d = mul(load(g, at + c), load(weight, c))
            plain = add(plain, d)
            along = fma(d, load(unit, at + c), along)
        mean, slope, by = fill(total(plain) / NUMBER(n)), fill(total(along) / NUMBER(n)), fill(rate[r])
        for c in range(0, n, WIDTH):
            d = sub(mul(load(g, at + c), load(weight, c)), fma(slope, load(unit, at + c), mean))
            store(dx, at + c, mul(d, by))


@kernel(f"void(int64, int64, int64, int64, {X}, {X}, {X}, boolean, {X})")
def linear(start, stop, inner, columns, x, w, bias, onto, out):
    """x w + bias, added to out if `onto`."""
    for r in range(start, stop):
        for c in range(0, columns, WIDTH):
            first = load(bias, c)
            store(out, r * columns + c, add(first, load(out, r * columns + c)) if onto else first)
    product(start, stop, inner, columns, x, 0, inner, 1, w, 0, True, out, 0)


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, float64, {X}, {X}, {X}, {X}, {X}, {X})")
def enter(start, stop, n, x, weight, bias, eps, w, b, unit, rate, first, qkv):
    norm(start, stop, n, x, weight, bias, eps, unit, rate, first)
    linear(start, stop, n, 3 * n, first, w, b, False, qkv)


@kernel("int64(int64, int64)")
def padded(many, by):
    return (many + by - 1) // by * by


@kernel(f"void({X}, int64, int64, int64, int64, {X})")
def take(x, start, stop, row, column, out):
    """The columns from `column` on of x's rows of `row` numbers, as many as out has."""
    size = len(out) // (stop - start)
    for r in range(start, stop):
        for c in range(0, size, WIDTH):
            store(out, (r - start) * size + c, load(x, r * row + column + c))


@kernel(f"void({X}, int64, int64, int64, int64, {X})")
def give(x, start, stop, row, column, out):
    """The opposite of `take`."""
    size = len(x) // (stop - start)
    for r in range(start, stop):
        for c in range(0, size, WIDTH):
            store(out, r * row + column + c, load(x, (r - start) * size + c))


@kernel(f"void({X}, int64, int64, int64, int64, int64, {X})")
def take_turned(x, start, stop, row, column, size, out):
    """The same with rows and columns exchanged, and zeros up to the padded number of rows."""
    many = padded(stop - start, PANEL)
    for c in range(size):
        for r in range(start, stop):
            out[c * many + r - start] = x[r * row + column + c]
        for r in range(stop - start, many):
            out[c * many + r] = 0.0


@kernel(f"void(int64, int64, int64, int64, {I}, {I}, {X}, {X}, {X})")
def attend(start, stop, n, heads, first, place, qkv, weights, out):
    """softmax(q k^T / sqrt(D)) v for structures and heads start to stop; the softmax of p begins at place[p]."""
    size = n // heads
    scale = fill(NUMBER(1.0 / math.sqrt(size)))
    for p in range(start, stop):
        a, b, h = first[p // heads], first[p // heads + 1], p % heads
        many, wide = b - a, padded(b - a, PANEL)
        if many == 0:
            continue
        k, v = np.empty(size * wide, NUMBER), np.empty(many * size, NUMBER)
        take_turned(qkv, a, b, 3 * n, n + h * size, size, k)
        take(qkv, a, b, 3 * n, 2 * n + h * size, v)
        w = weights[place[p] : place[p + 1]]
        product(0, many, size, wide, qkv, 3 * n * a + h * size, 3 * n, 1, k, 0, False, w, 0)
        for r in range(many):
            at, highest = r * wide, w[r * wide]
            for c in range(many):
                highest = max(highest, w[at + c])
            shift = mul(fill(highest), scale)
            for c in range(0, wide, WIDTH):
                store(w, at + c, exp(sub(mul(load(w, at + c), scale), shift)))
            for c in range(many, wide):
                w[at + c] = 0.0
            sums = fill(0)
            for c in range(0, wide, WIDTH):
                sums = add(sums, load(w, at + c))
            by = fill(NUMBER(1.0) / total(sums))
            for c in range(0, wide, WIDTH):
                store(w, at + c, mul(load(w, at + c), by))
        y = np.empty(many * size, NUMBER)
        product(0, many, many, size, w, 0, wide, 1, v, 0, False, y, 0)
        for r in range(many):
            for c in range(0, size, WIDTH):
                store(out, (a + r) * n + h * size + c, load(y, r * size + c))


@kernel(f"void(int64, int64, int64, int64, {I}, {I}, {X}, {X}, {X}, {X})")
def attend_back(start, stop, n, heads, first, place, qkv, weights, g, dqkv):
    size = n // heads
    scale = fill(NUMBER(1.0 / math.sqrt(size)))
    for p in range(start, stop):
        a, b, h = first[p // heads], first[p // heads + 1], p % heads
        many, wide = b - a, padded(b - a, PANEL)
        if many == 0:
            continue
        q, k, dy, part = (
            np.empty(many * size, NUMBER), np.empty(many * size, NUMBER), np.empty(many * size, NUMBER),
            np.empty(many * size, NUMBER),
        )  # fmt: skip
        v, ds = np.empty(size * wide, NUMBER), np.empty(many * wide, NUMBER)
        take(qkv, a, b, 3 * n, h * size, q)
        take(qkv, a, b, 3 * n, n + h * size, k)
        take_turned(qkv, a, b, 3 * n, 2 * n + h * size, size, v)
        take(g, a, b, n, h * size, dy)
        w = weights[place[p] : place[p + 1]]
        product(0, many, size, wide, dy, 0, size, 1, v, 0, False, ds, 0)
        for r in range(many):
            at, along = r * wide, fill(0)
            for c in range(0, wide, WIDTH):
                along = fma(load(ds, at + c), load(w, at + c), along)
            mean = fill(total(along))
            for c in range(0, wide, WIDTH):
                store(ds, at + c, mul(mul(sub(load(ds, at + c), mean), load(w, at + c)), scale))
        product(0, many, many, size, ds, 0, wide, 1, k, 0, False, part, 0)
        give(part, a, b, 3 * n, h * size, dqkv)
        product(0, many, many, size, ds, 0, 1, wide, q, 0, False, part, 0)
        give(part, a, b, 3 * n, n + h * size, dqkv)
        product(0, many, many, size, w, 0, 1, wide, dy, 0, False, part, 0)
        give(part, a, b, 3 * n, 2 * n + h * size, dqkv)


@kernel(f"void(int64, int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, float64, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def middle(
    start, stop, n, wide, first, attended, w, b, weight, bias, eps, unit, rate, w_wide, b_wide, y, hidden, room
):  # fmt: skip
    """y = norm(first + attended W + b); hidden = y W_wide + b_wide."""
    room[start * n : stop * n] = first[start * n : stop * n]
    linear(start, stop, n, n, attended, w, b, True, room)
    norm(start, stop, n, room, weight, bias, eps, unit, rate, y)
    linear(start, stop, n, wide, y, w_wide, b_wide, False, hidden)


@kernel(
    f"void(int64, int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X}, float64, {X}, {X}, {X}, {X}, float64, {X}, "
    f"{X}, {X}, {X})"
)
def leave(
    start, stop, n, wide, first, y, hidden, w, b, weight, bias, eps, unit, rate, last_weight, last_bias, last_eps,
    last_unit, last_rate, room, out,
):  # fmt: skip
    """first + last_norm(norm(y + hidden W + b)); y is written to."""
    linear(start, stop, wide, n, hidden, w, b, True, y)
    norm(start, stop, n, y, weight, bias, eps, unit, rate, room)
    norm(start, stop, n, room, last_weight, last_bias, last_eps, last_unit, last_rate, out)
    for k in range(start * n, stop * n, WIDTH):
        store(out, k, add(load(out, k), load(first, k)))


@kernel(f"void(int64, int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def leave_back(start, stop, n, wide, g, last_weight, last_unit, last_rate, weight, unit, rate, back, dy, d_hidden):
    norm_back(start, stop, n, g, last_weight, last_unit, last_rate, dy)
    norm_back(start, stop, n, dy, weight, unit, rate, dy)
    product(start, stop, n, wide, dy, 0, n, 1, back, 0, False, d_hidden, 0)


@kernel(f"void(int64, int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def middle_back(start, stop, n, wide, d_hidden, back_wide, weight, unit, rate, back, dy, d_attended):
    """dy, the gradient of y on the straight way, becomes that of norm's argument."""
    product(start, stop, wide, n, d_hidden, 0, wide, 1, back_wide, 0, True, dy, 0)
    norm_back(start, stop, n, dy, weight, unit, rate, dy)
    product(start, stop, n, n, dy, 0, n, 1, back, 0, False, d_attended, 0)


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def enter_back(start, stop, n, g, dy, dqkv, back, weight, unit, rate, dx):
    for k in range(start * n, stop * n, WIDTH):
        store(dx, k, add(load(g, k), load(dy, k)))
    product(start, stop, 3 * n, n, dqkv, 0, 3 * n, 1, back, 0, True, dx, 0)
    norm_back(start, stop, n, dx, weight, unit, rate, dx)
