"""Template, behind `products`: messages of triplets, with two derivatives. The constants below are replaced.

Triplets t = (a[t], b[t]) are edges of one centre; a group of edges is closed under its triplets, and a thread has whole
groups: triplets begin[group]:begin[group + 1]. A block of triplets passes through the network while it is in the cache:
u = pairs[a, :C] + pairs[b, C:], m = s(u), (p, q) = m W^T + bias, f = s(p) σ(q), message = f (w cos + β) sides[b].
Of the derivative's derivative: a name with `_v` is the change of a number along the given directions.
"""

import numpy as np

from atomlab.kernels.cpu.exponential import exponentials
from atomlab.kernels.cpu.loops.products import REAL, I, X, product
from atomlab.kernels.cpu.simd import kernel, vectors

WIDTH = 16
STAMP = ""  # of the exponentials
BLOCK = 48  # triplets

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fma, fill, total = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill, S.total
sigmoid = exponentials(REAL, WIDTH).sigmoid
NUMBER = np.dtype(REAL).type
EDGES = f"{I}, {I}, {I}, {X}, {X}, {X}, {X}, {X}, {X}"


@kernel(f"void(int64, int64, {I}, {I}, {X}, int64, {X}, {X})")
def inputs(t0, t1, a, b, pairs, size, m, slope):
    """m and, where there is room for it, s' of a block."""
    one = fill(1)
    for t in range(t0, t1):
        for c in range(0, size, WIDTH):
            u = add(load(pairs, 2 * a[t] * size + c), load(pairs, (2 * b[t] + 1) * size + c))
            sig = sigmoid(u)
            y, at = mul(u, sig), (t - t0) * size + c
            store(m, at, y)
            if len(slope):
                store(slope, at, fma(y, sub(one, sig), sig))


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X})")
def gates(many, size, m, weights, bias, z):
    """z = m W^T + bias of a block; weights is W^T."""
    for r in range(many):
        for c in range(0, 2 * size, WIDTH):
            store(z, 2 * r * size + c, load(bias, c))
    product(0, many, size, 2 * size, m, 0, size, 1, weights, 0, True, z, 0)


@kernel(f"void(int64, int64, {EDGES}, int64, {X})")
def messages(start, stop, begin, a, b, pairs, sides, cosines, weights, bias, angle, size, out):
    m, z, none = np.empty(BLOCK * size, NUMBER), np.empty(2 * BLOCK * size, NUMBER), np.empty(0, NUMBER)
    for t0 in range(begin[start], begin[stop], BLOCK):
        t1 = min(t0 + BLOCK, begin[stop])
        inputs(t0, t1, a, b, pairs, size, m, none)
        gates(t1 - t0, size, m, weights, bias, z)
        for t in range(t0, t1):
            for c in range(0, size, WIDTH):
                k = 2 * (t - t0) * size + c
                p = load(z, k)
                f = mul(mul(p, sigmoid(p)), sigmoid(load(z, k + size)))
                turn = fma(load(angle, c), fill(cosines[t]), load(angle, size + c))
                to = a[t] * size + c
                store(out, to, fma(mul(f, turn), load(sides, b[t] * size + c), load(out, to)))


@kernel(f"void({X}, int64, int64, {X}, int64)")
def add_columns(x, rows, columns, out, out0):
    for r in range(rows):
        for c in range(0, columns, WIDTH):
            store(out, out0 + c, add(load(out, out0 + c), load(x, r * columns + c)))


@kernel(f"void(int64, int64, {I}, {I}, {X}, {X}, int64, {X})")
def to_pairs(t0, t1, a, b, dm, slope, size, dpairs):
    for t in range(t0, t1):
        for c in range(0, size, WIDTH):
            at = (t - t0) * size + c
            du = mul(load(dm, at), load(slope, at))
            left, right = 2 * a[t] * size + c, (2 * b[t] + 1) * size + c
            store(dpairs, left, add(load(dpairs, left), du))
            store(dpairs, right, add(load(dpairs, right), du))


@kernel(f"void(int64, int64, {EDGES}, int64, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def messages_backward(
    start, stop, begin, a, b, pairs, sides, cosines, weights, bias, angle, size,
    cuts, g, back, dpairs, dsides, dcosines, dweights, dbias, dangle,
):  # fmt: skip
    """back is W. Gradients of W, bias and angle have a copy for each thread, or length 0 where nobody asks."""
    part, one, wanted = np.searchsorted(cuts, start), fill(1), len(dweights) > 0
    m, dm, slope = np.empty(BLOCK * size, NUMBER), np.empty(BLOCK * size, NUMBER), np.empty(BLOCK * size, NUMBER)
    z = np.empty(2 * BLOCK * size, NUMBER)
    for t0 in range(begin[start], begin[stop], BLOCK):
        t1 = min(t0 + BLOCK, begin[stop])
        many = t1 - t0
        inputs(t0, t1, a, b, pairs, size, m, slope)
        gates(many, size, m, weights, bias, z)
        for t in range(t0, t1):
            to_cosine, cosine = fill(0), fill(cosines[t])
            for c in range(0, size, WIDTH):
                k, at = 2 * (t - t0) * size + c, b[t] * size + c
                p, dy, side, w = load(z, k), load(g, a[t] * size + c), load(sides, at), load(angle, c)
                sig, open_ = sigmoid(p), sigmoid(load(z, k + size))
                y = mul(p, sig)
                turn = fma(w, cosine, load(angle, size + c))
                to_message = mul(dy, mul(y, open_))
                store(dsides, at, fma(to_message, turn, load(dsides, at)))
                to_turn = mul(to_message, side)
                to_cosine = fma(to_turn, w, to_cosine)
                if wanted:
                    here = 2 * part * size + c
                    store(dangle, here, fma(to_turn, cosine, load(dangle, here)))
                    store(dangle, here + size, add(load(dangle, here + size), to_turn))
                df = mul(mul(mul(dy, side), turn), open_)
                store(z, k, mul(df, fma(y, sub(one, sig), sig)))
                store(z, k + size, mul(df, mul(y, sub(one, open_))))
            dcosines[t] = total(to_cosine)
        product(0, many, 2 * size, size, z, 0, 2 * size, 1, back, 0, False, dm, 0)
        to_pairs(t0, t1, a, b, dm, slope, size, dpairs)
        if wanted:
            product(0, 2 * size, many, size, z, 0, 1, 2 * size, m, 0, True, dweights, 2 * part * size * size)
            add_columns(z, many, 2 * size, dbias, 2 * part * size)


@kernel(f"void(int64, int64, {I}, {I}, {X}, {X}, int64, {X}, {X}, {X}, {X})")
def inputs_double(t0, t1, a, b, pairs, vpairs, size, m, m_v, slope, bend_v):
    """m, s', and their changes m_v = s' u_v and s'' u_v, of a block."""
    one, two = fill(1), fill(2)
    for t in range(t0, t1):
        for c in range(0, size, WIDTH):
            left, right, at = 2 * a[t] * size + c, (2 * b[t] + 1) * size + c, (t - t0) * size + c
            u, u_v = add(load(pairs, left), load(pairs, right)), add(load(vpairs, left), load(vpairs, right))
            sig = sigmoid(u)
            y, rest = mul(u, sig), sub(one, sig)
            up = fma(y, rest, sig)
            store(m, at, y)
            store(slope, at, up)
            store(m_v, at, mul(up, u_v))
            store(bend_v, at, mul(mul(mul(sig, rest), fma(u, sub(rest, sig), two)), u_v))


@kernel(f"void(int64, int64, {EDGES}, int64, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def messages_double(
    start, stop, begin, a, b, pairs, sides, cosines, weights, bias, angle, size,
    cuts, vpairs, vsides, vcosines, g, back, dg, dpairs, dsides, dcosines, dweights, dbias, dangle,
):  # fmt: skip
    """The change of the messages (dg) and of their gradients along (vpairs, vsides, vcosines)."""
    part, one, two, block = np.searchsorted(cuts, start), fill(1), fill(2), BLOCK * size
    m, m_v, slope, bend_v = (
        np.empty(block, NUMBER),
        np.empty(block, NUMBER),
        np.empty(block, NUMBER),
        np.empty(block, NUMBER),
    )
    dm, dm_v, zero = np.empty(block, NUMBER), np.empty(block, NUMBER), np.zeros(2 * size, NUMBER)
    z, z_v = np.empty(2 * block, NUMBER), np.empty(2 * block, NUMBER)
    for t0 in range(begin[start], begin[stop], BLOCK):
        t1 = min(t0 + BLOCK, begin[stop])
        many = t1 - t0
        inputs_double(t0, t1, a, b, pairs, vpairs, size, m, m_v, slope, bend_v)
        gates(many, size, m, weights, bias, z)
        gates(many, size, m_v, weights, zero, z_v)
        for t in range(t0, t1):
            to_cosine, cosine, cosine_v = fill(0), fill(cosines[t]), fill(vcosines[t])
            for c in range(0, size, WIDTH):
                k, at, own = 2 * (t - t0) * size + c, b[t] * size + c, a[t] * size + c
                p, p_v, q_v = load(z, k), load(z_v, k), load(z_v, k + size)
                dy, side, side_v, w = load(g, own), load(sides, at), load(vsides, at), load(angle, c)
                sig, open_ = sigmoid(p), sigmoid(load(z, k + size))
                y, rest, shut = mul(p, sig), sub(one, sig), sub(one, open_)
                up = fma(y, rest, sig)
                bend = mul(mul(sig, rest), fma(p, sub(rest, sig), two))
                f, f_p, f_q = mul(y, open_), mul(up, open_), mul(y, mul(open_, shut))
                f_pq = mul(up, mul(open_, shut))
                f_v = fma(f_p, p_v, mul(f_q, q_v))
                turn, turn_v = fma(w, cosine, load(angle, size + c)), mul(w, cosine_v)
                both, both_v = mul(turn, side), fma(turn_v, side, mul(turn, side_v))
                store(dg, own, fma(f_v, both, fma(f, both_v, load(dg, own))))
                store(dsides, at, fma(dy, fma(f_v, turn, mul(f, turn_v)), load(dsides, at)))
                to_turn, to_turn_v = mul(dy, mul(f, side)), mul(dy, fma(f_v, side, mul(f, side_v)))
                to_cosine = fma(to_turn_v, w, to_cosine)
                here = 2 * part * size + c
                store(dangle, here, fma(to_turn_v, cosine, fma(to_turn, cosine_v, load(dangle, here))))
                store(dangle, here + size, add(load(dangle, here + size), to_turn_v))
                df, df_v = mul(dy, both), mul(dy, both_v)
                store(z, k, mul(df, f_p))
                store(z, k + size, mul(df, f_q))
                p_bend = fma(mul(bend, open_), p_v, mul(f_pq, q_v))
                q_bend = fma(f_pq, p_v, mul(mul(f_q, sub(shut, open_)), q_v))
                store(z_v, k, fma(df_v, f_p, mul(df, p_bend)))
                store(z_v, k + size, fma(df_v, f_q, mul(df, q_bend)))
            dcosines[t] = total(to_cosine)
        product(0, many, 2 * size, size, z, 0, 2 * size, 1, back, 0, False, dm, 0)
        product(0, many, 2 * size, size, z_v, 0, 2 * size, 1, back, 0, False, dm_v, 0)
        to_pairs(t0, t1, a, b, dm_v, slope, size, dpairs)
        to_pairs(t0, t1, a, b, dm, bend_v, size, dpairs)
        here = 2 * part * size * size
        product(0, 2 * size, many, size, z_v, 0, 1, 2 * size, m, 0, True, dweights, here)
        product(0, 2 * size, many, size, z, 0, 1, 2 * size, m_v, 0, True, dweights, here)
        add_columns(z_v, many, 2 * size, dbias, 2 * part * size)
