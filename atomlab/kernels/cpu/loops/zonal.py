"""Template: sums over all pairs of edges of a centre by way of harmonics, with two derivatives.

The constants below are replaced. out[a] = Σ over the other edges b of the centre, lm, of Y[a, lm] Y[b, lm] F[b, l] with
F[b, l] = sent[b] Σ_n waves[b, l, n] w[l, n]: the sum H[lm] = Σ_b Y[b, lm] F[b, l] is made once for a centre, and what
is a's own is taken off. Arrays are flat: waves (E, L, N), w (L, N, C), sent (E, C), Y (E, M), M = L². Edges of a centre
are order[first[centre]:first[centre + 1]]. A name with `_v` is the change of a number along the given directions.
"""

import numpy as np

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fma, fill, total = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill, S.total
NUMBER = np.dtype(REAL).type
I, X = "int64[::1]", f"{REAL}[::1]"
INPUTS = f"{I}, {I}, {X}, {X}, {X}, {X}, int64, int64, int64"


@kernel(f"void(int64, {X}, {X}, int64, int64, int64, int64, boolean, {X}, int64)")
def mixed(e, waves, w, degrees, number, size, c, onto, out, at):
    """Σ_n waves[e, l, n] w[l, n] for all l, channels from c, to out from `at`, or added to it."""
    for l in range(degrees):
        f = load(out, at + l * WIDTH) if onto else fill(0)
        for n in range(number):
            k = l * number + n
            f = fma(fill(waves[e * degrees * number + k]), load(w, k * size + c), f)
        store(out, at + l * WIDTH, f)


@kernel(f"void(int64, {X}, int64, {X}, int64, {X})")
def spread(e, parts, degrees, f, at, out):
    """out[lm] += Y[e, lm] f[l]."""
    lm = 0
    for l in range(degrees):
        here = load(f, at + l * WIDTH)
        for _ in range(2 * l + 1):
            store(out, lm * WIDTH, fma(fill(parts[e * degrees * degrees + lm]), here, load(out, lm * WIDTH)))
            lm += 1


@kernel(f"void(int64, int64, {INPUTS}, {X})")
def sums(start, stop, first, order, waves, w, sent, parts, degrees, number, size, out):
    squares, most = degrees * degrees, 0
    for a in range(start, stop):
        most = max(most, first[a + 1] - first[a])
    h, f = np.empty(squares * WIDTH, NUMBER), np.empty(most * degrees * WIDTH, NUMBER)
    for a in range(start, stop):
        share = fill(first[a + 1] - first[a] > 1)  # nothing, exactly, where an edge is alone
        for c in range(0, size, WIDTH):
            h[:] = 0
            for q in range(first[a + 1] - first[a]):
                e, at = order[first[a] + q], q * degrees * WIDTH
                mixed(e, waves, w, degrees, number, size, c, False, f, at)
                for k in range(at, at + degrees * WIDTH, WIDTH):
                    store(f, k, mul(load(f, k), load(sent, e * size + c)))
                spread(e, parts, degrees, f, at, h)
            for q in range(first[a + 1] - first[a]):
                e, lm, sum_ = order[first[a] + q], 0, fill(0)
                for l in range(degrees):
                    own = load(f, (q * degrees + l) * WIDTH)
                    for _ in range(2 * l + 1):
                        y = fill(parts[e * squares + lm])
                        sum_ = fma(y, sub(load(h, lm * WIDTH), mul(y, own)), sum_)
                        lm += 1
                store(out, e * size + c, mul(share, sum_))


@kernel(f"void(int64, int64, {INPUTS}, {I}, {X}, {X}, {X}, {X}, {X})")
def sums_backward(
    start, stop, first, order, waves, w, sent, parts, degrees, number, size, cuts, g, dwaves, dw, dsent, dparts
):
    """dw has a copy for each thread, or length 0 where nobody asks for it."""
    squares, most, part, two = degrees * degrees, 0, np.searchsorted(cuts, start), fill(2)
    for a in range(start, stop):
        most = max(most, first[a + 1] - first[a])
    h, back, f = (
        np.empty(squares * WIDTH, NUMBER),
        np.empty(squares * WIDTH, NUMBER),
        np.empty(most * degrees * WIDTH, NUMBER),
    )
    for a in range(start, stop):
        share = fill(first[a + 1] - first[a] > 1)  # nothing, exactly, where an edge is alone
        for c in range(0, size, WIDTH):
            h[:] = 0
            back[:] = 0
            for q in range(first[a + 1] - first[a]):
                e, at = order[first[a] + q], q * degrees * WIDTH
                mixed(e, waves, w, degrees, number, size, c, False, f, at)
                sent_, dy = load(sent, e * size + c), mul(share, load(g, e * size + c))
                lm = 0
                for l in range(degrees):
                    own = mul(load(f, at + l * WIDTH), sent_)
                    for _ in range(2 * l + 1):
                        y = fill(parts[e * squares + lm])
                        store(h, lm * WIDTH, fma(y, own, load(h, lm * WIDTH)))
                        store(back, lm * WIDTH, fma(y, dy, load(back, lm * WIDTH)))
                        lm += 1
            for q in range(first[a + 1] - first[a]):
                e, lm, to_sent = order[first[a] + q], 0, fill(0)
                sent_, dy = load(sent, e * size + c), mul(share, load(g, e * size + c))
                for l in range(degrees):
                    mix = load(f, (q * degrees + l) * WIDTH)
                    own, to_own = mul(mix, sent_), fill(0)
                    both = mul(two, mul(own, dy))
                    for _ in range(2 * l + 1):
                        y, b = fill(parts[e * squares + lm]), load(back, lm * WIDTH)
                        to_own = fma(y, sub(b, mul(y, dy)), to_own)
                        dparts[e * squares + lm] += total(sub(fma(b, own, mul(load(h, lm * WIDTH), dy)), mul(y, both)))
                        lm += 1
                    to_sent = fma(to_own, mix, to_sent)
                    to_mix = mul(to_own, sent_)
                    for k in range(l * number, (l + 1) * number):
                        at = e * degrees * number + k
                        dwaves[at] += total(mul(to_mix, load(w, k * size + c)))
                        if len(dw):
                            here = (part * degrees * number + k) * size + c
                            store(dw, here, fma(fill(waves[at]), to_mix, load(dw, here)))
                store(dsent, e * size + c, to_sent)


@kernel(f"void(int64, int64, {INPUTS}, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def sums_double(
    start, stop, first, order, waves, w, sent, parts, degrees, number, size,
    cuts, vwaves, vw, vsent, vparts, g, dg, dwaves, dw, dsent, dparts,
):  # fmt: skip
    """The change of the sums (dg) and of their gradients along (vwaves, vw, vsent, vparts)."""
    squares, most, part = degrees * degrees, 0, np.searchsorted(cuts, start)
    for a in range(start, stop):
        most = max(most, first[a + 1] - first[a])
    h, h_v = np.empty(squares * WIDTH, NUMBER), np.empty(squares * WIDTH, NUMBER)
    back, back_v = np.empty(squares * WIDTH, NUMBER), np.empty(squares * WIDTH, NUMBER)
    f, f_v = np.empty(most * degrees * WIDTH, NUMBER), np.empty(most * degrees * WIDTH, NUMBER)
    for a in range(start, stop):
        share = fill(first[a + 1] - first[a] > 1)  # nothing, exactly, where an edge is alone
        for c in range(0, size, WIDTH):
            h[:] = 0
            h_v[:] = 0
            back[:] = 0
            back_v[:] = 0
            for q in range(first[a + 1] - first[a]):
                e, at, lm = order[first[a] + q], q * degrees * WIDTH, 0
                mixed(e, waves, w, degrees, number, size, c, False, f, at)
                mixed(e, vwaves, w, degrees, number, size, c, False, f_v, at)
                mixed(e, waves, vw, degrees, number, size, c, True, f_v, at)
                sent_, sent_v = load(sent, e * size + c), load(vsent, e * size + c)
                dy = mul(share, load(g, e * size + c))
                for l in range(degrees):
                    mix, mix_v = load(f, at + l * WIDTH), load(f_v, at + l * WIDTH)
                    own, own_v = mul(mix, sent_), fma(mix_v, sent_, mul(mix, sent_v))
                    for _ in range(2 * l + 1):
                        y, y_v, k = fill(parts[e * squares + lm]), fill(vparts[e * squares + lm]), lm * WIDTH
                        store(h, k, fma(y, own, load(h, k)))
                        store(h_v, k, fma(y_v, own, fma(y, own_v, load(h_v, k))))
                        store(back, k, fma(y, dy, load(back, k)))
                        store(back_v, k, fma(y_v, dy, load(back_v, k)))
                        lm += 1
            for q in range(first[a + 1] - first[a]):
                e, lm, to_sent, sum_v = order[first[a] + q], 0, fill(0), fill(0)
                sent_, sent_v = load(sent, e * size + c), load(vsent, e * size + c)
                dy = mul(share, load(g, e * size + c))
                for l in range(degrees):
                    mix, mix_v = load(f, (q * degrees + l) * WIDTH), load(f_v, (q * degrees + l) * WIDTH)
                    own, own_v = mul(mix, sent_), fma(mix_v, sent_, mul(mix, sent_v))
                    to_own, to_own_v = fill(0), fill(0)
                    for _ in range(2 * l + 1):
                        y, y_v, k = fill(parts[e * squares + lm]), fill(vparts[e * squares + lm]), lm * WIDTH
                        rest, rest_v = sub(load(h, k), mul(y, own)), sub(load(h_v, k), fma(y_v, own, mul(y, own_v)))
                        other, other_v = sub(load(back, k), mul(y, dy)), sub(load(back_v, k), mul(y_v, dy))
                        sum_v = fma(y_v, rest, fma(y, rest_v, sum_v))
                        to_own = fma(y, other, to_own)
                        to_own_v = fma(y_v, other, fma(y, other_v, to_own_v))
                        # of G·F + H·g - 2 Y g·F
                        change = fma(other_v, own, fma(other, own_v, mul(rest_v, dy)))
                        dparts[e * squares + lm] += total(change)
                        lm += 1
                    to_sent = fma(to_own_v, mix, fma(to_own, mix_v, to_sent))
                    to_mix, to_mix_v = mul(to_own, sent_), fma(to_own_v, sent_, mul(to_own, sent_v))
                    for k in range(l * number, (l + 1) * number):
                        at, here = e * degrees * number + k, (part * degrees * number + k) * size + c
                        change = fma(to_mix, load(vw, k * size + c), mul(to_mix_v, load(w, k * size + c)))
                        dwaves[at] += total(change)
                        change = fma(fill(vwaves[at]), to_mix, load(dw, here))
                        store(dw, here, fma(fill(waves[at]), to_mix_v, change))
                store(dg, e * size + c, mul(share, sum_v))
                store(dsent, e * size + c, to_sent)
