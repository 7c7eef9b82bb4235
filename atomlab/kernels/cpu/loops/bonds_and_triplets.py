"""Template, behind `products`, `gates`, `layers`, `triplets`, `segments`: a layer of GPTFF and its way back, by atoms.

Edges are sorted by their atom i, sides (edges of triplets) and triplets by their edge: what belongs to the atoms start
to stop stands together, in edges first[start]:first[stop], and sides and triplets alike. A piece of at most PIECE edges
(or one atom) passes through all of the layer while it is in the cache; numbers kept for the way back are of all edges.
"""

import numpy as np

from atomlab.kernels.cpu.loops.layers import layer, layer_backward
from atomlab.kernels.cpu.loops.products import REAL, I, X, dense_rows, product
from atomlab.kernels.cpu.loops.segments import sum_rows
from atomlab.kernels.cpu.loops.triplets import NUMBER, WIDTH, add, load, messages, messages_backward, mul, store
from atomlab.kernels.cpu.simd import kernel, vectors

PIECE = 96  # edges
NARROW = 16  # of the radial basis at a time

B = vectors(REAL, NARROW)
load_basis, store_basis, fill_basis, fma_basis = B.load, B.store, B.fill, B.fma

INDICES = f"{I}, {I}, {I}, {I}, {I}, {I}, {I}, {I}"
LISTS = f"{INDICES}, {I}, {I}"
WEIGHTS = f"{X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}"
BACK = f"{X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}"
KEPT = f"{X}, {X}, {X}, {X}, {X}, {X}"
GIVEN = f"{X}, {X}, {X}, {X}"
GRADIENTS = f"{X}, {X}, {X}, {X}, {X}, {X}, {GIVEN}, {X}"


@kernel(f"int64(int64, int64, {I})")
def piece_end(p, stop, first):
    """Where a piece that begins with atom p ends."""
    q = p + 1
    while q < stop and first[q + 1] - first[p] <= PIECE:
        q += 1
    return q


@kernel(f"void(int64, int64, int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def on_atoms(start, stop, n, e, width, x, three, edge, conv, to_three, to_edge, to_conv):
    """What the atoms contribute to layers on pairs: x W for the three-body message, edge update and convolution."""
    product(start, stop, n, 4 * e, x, 0, n, 1, three, 0, False, to_three, 0)
    product(start, stop, n, 4 * e, x, 0, n, 1, edge, 0, False, to_edge, 0)
    product(start, stop, n, 2 * width, x, 0, n, 1, conv, 0, False, to_conv, 0)


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, int64)")
def to_basis(rows, columns, many, g, back, out, out0):
    """out (rows, many) from out0 on += g W, for few columns of W (columns, many): four rows at a time."""
    for c in range(0, many, NARROW):
        for r in range(0, rows // 4 * 4, 4):
            at, to = r * columns, out0 + r * many + c
            s0, s1 = load_basis(out, to), load_basis(out, to + many)
            s2, s3 = load_basis(out, to + 2 * many), load_basis(out, to + 3 * many)
            for k in range(columns):
                w = load_basis(back, k * many + c)
                s0 = fma_basis(fill_basis(g[at + k]), w, s0)
                s1 = fma_basis(fill_basis(g[at + columns + k]), w, s1)
                s2 = fma_basis(fill_basis(g[at + 2 * columns + k]), w, s2)
                s3 = fma_basis(fill_basis(g[at + 3 * columns + k]), w, s3)
            store_basis(out, to, s0)
            store_basis(out, to + many, s1)
            store_basis(out, to + 2 * many, s2)
            store_basis(out, to + 3 * many, s3)
        for r in range(rows // 4 * 4, rows):
            s0 = load_basis(out, out0 + r * many + c)
            for k in range(columns):
                s0 = fma_basis(fill_basis(g[r * columns + k]), load_basis(back, k * many + c), s0)
            store_basis(out, out0 + r * many + c, s0)


@kernel(
    f"void(int64, int64, int64, int64, int64, {LISTS}, {WEIGHTS}, {GIVEN}, {X}, {X}, {X}, {X}, {X}, {KEPT}, {X}, {X})"
)
def forward(
    start, stop, n, e, many, first, first_side, first_triplet, i, j, side_i, side_j, short, a, b,
    w_three, b_three, w_gates, b_gates, angle, w_edge, b_edge, w_out, b_out, w_conv, b_conv, w_message, b_message,
    w_radial_edge, w_radial_atom,
    basis, side_a, side_b, cosine, to_three, to_edge, to_conv, x, edge,
    pairs, total, z_edge, z_out, z_conv, z_message, out_x, out_edge,
):  # fmt: skip
    none, nobody, width = np.empty(0, NUMBER), np.empty(0, np.int64), 2 * n
    p = start
    while p < stop:
        q = piece_end(p, stop, first)
        e0, e1, s0, s1 = first[p], first[q], first_side[p], first_side[q]
        rows, sides = e1 - e0, s1 - s0
        own, between = np.empty(sides * e, NUMBER), edge[e0 * e : e1 * e].copy()
        for s in range(sides):
            own[s * e : (s + 1) * e] = edge[short[s0 + s] * e : (short[s0 + s] + 1) * e]
        dense_rows(
            0, sides, e, 2 * e, own, w_three, b_three, to_three, side_i[s0:s1], side_j[s0:s1],
            pairs[2 * e * s0 : 2 * e * s1],
        )  # fmt: skip
        total[e * s0 : e * s1] = 0.0
        messages(p, q, first_triplet, a, b, pairs, side_b, cosine, w_gates, b_gates, angle, e, total)
        for s in range(s0, s1):
            to = (short[s] - e0) * e
            for c in range(0, e, WIDTH):
                part = mul(load(total, s * e + c), load(side_a, s * e + c))
                store(between, to + c, add(load(between, to + c), part))
        y, z = np.empty(rows * e, NUMBER), z_edge[2 * e * e0 : 2 * e * e1]
        i_, j_, result = i[e0:e1], j[e0:e1], out_edge[e * e0 : e * e1]
        layer(0, rows, e, 2 * e, True, between, w_edge, b_edge, to_edge, i_, j_, none, none, z, y)
        times, z = np.empty(rows * e, NUMBER), z_out[e * e0 : e * e1]
        product(0, rows, many, e, basis, many * e0, many, 1, w_radial_edge, 0, False, times, 0)
        layer(0, rows, e, e, False, y, w_out, b_out, none, nobody, nobody, times, between, z, result)
        y, z = np.empty(rows * width, NUMBER), z_conv[width * e0 : width * e1]
        layer(0, rows, e, width, False, result, w_conv, b_conv, to_conv, i_, j_, none, none, z, y)
        times, z, m = np.empty(rows * n, NUMBER), z_message[width * e0 : width * e1], np.empty(rows * n, NUMBER)
        product(0, rows, many, n, basis, many * e0, many, 1, w_radial_atom, 0, False, times, 0)
        layer(0, rows, width, width, True, y, w_message, b_message, none, nobody, nobody, times, none, z, m)
        out_x[n * p : n * q] = x[n * p : n * q]
        for r in range(rows):
            to = i_[r] * n
            for c in range(0, n, WIDTH):
                store(out_x, to + c, add(load(out_x, to + c), load(m, r * n + c)))
        p = q


@kernel(f"void(int64, int64, int64, int64, int64, {LISTS}, {WEIGHTS}, {BACK}, {GIVEN}, {KEPT}, {GRADIENTS})")
def backward(
    start, stop, n, e, many, first, first_side, first_triplet, i, j, side_i, side_j, short, a, b,
    w_three, b_three, w_gates, b_gates, angle, w_edge, b_edge, w_out, b_out, w_conv, b_conv, w_message, b_message,
    w_radial_edge, w_radial_atom,
    back_three, back_gates, back_edge, back_out, back_conv, back_message, back_radial_edge, back_radial_atom,
    basis, side_a, side_b, cosine, pairs, total, z_edge, z_out, z_conv, z_message,
    g_x, g_edge, d_edge, d_pairs, dz_edge, dz_conv, d_basis, d_side_a, d_side_b, d_cosine, g_total,
):  # fmt: skip
    """Gradients of the inputs from those of the results, g_x (A, n) and g_edge (E, e). What goes to the
    atoms at the ends is left in d_pairs, dz_edge and dz_conv."""
    none, nobody, width = np.empty(0, NUMBER), np.zeros(1, np.int64), 2 * n
    p = start
    while p < stop:
        q = piece_end(p, stop, first)
        e0, e1, s0, s1 = first[p], first[q], first_side[p], first_side[q]
        rows, sides = e1 - e0, s1 - s0
        dm, dz, dy = np.empty(rows * n, NUMBER), np.empty(rows * width, NUMBER), np.empty(rows * width, NUMBER)
        for r in range(rows):
            dm[r * n : (r + 1) * n] = g_x[i[e0 + r] * n : (i[e0 + r] + 1) * n]
        z, times, dtimes = z_message[width * e0 : width * e1], np.empty(rows * n, NUMBER), np.empty(rows * n, NUMBER)
        product(0, rows, many, n, basis, many * e0, many, 1, w_radial_atom, 0, False, times, 0)
        layer_backward(0, rows, width, width, True, dm, z, times, back_message, dz, dtimes, dy)
        d_basis[many * e0 : many * e1] = 0.0
        to_basis(rows, n, many, dtimes, back_radial_atom, d_basis, many * e0)
        z, dz, result = z_conv[width * e0 : width * e1], dz_conv[width * e0 : width * e1], np.empty(rows * e, NUMBER)
        layer_backward(0, rows, e, width, False, dy, z, none, back_conv, dz, none, result)
        for k in range(0, rows * e, WIDTH):
            store(result, k, add(load(result, k), load(g_edge, e0 * e + k)))
        dz, dy = np.empty(rows * e, NUMBER), np.empty(rows * e, NUMBER)
        z, times, dtimes = z_out[e * e0 : e * e1], np.empty(rows * e, NUMBER), np.empty(rows * e, NUMBER)
        product(0, rows, many, e, basis, many * e0, many, 1, w_radial_edge, 0, False, times, 0)
        layer_backward(0, rows, e, e, False, result, z, times, back_out, dz, dtimes, dy)
        to_basis(rows, e, many, dtimes, back_radial_edge, d_basis, many * e0)
        between = d_edge[e * e0 : e * e1]
        z, dz = z_edge[2 * e * e0 : 2 * e * e1], dz_edge[2 * e * e0 : 2 * e * e1]
        layer_backward(0, rows, e, 2 * e, True, dy, z, none, back_edge, dz, none, between)
        for k in range(0, rows * e, WIDTH):
            store(between, k, add(load(between, k), load(result, k)))
        for s in range(s0, s1):
            at = (short[s] - e0) * e
            for c in range(0, e, WIDTH):
                k, dy_ = s * e + c, load(between, at + c)
                store(d_side_a, k, mul(dy_, load(total, k)))
                store(g_total, k, mul(dy_, load(side_a, k)))
        d_pairs[2 * e * s0 : 2 * e * s1] = 0.0
        d_side_b[e * s0 : e * s1] = 0.0
        messages_backward(
            p, q, first_triplet, a, b, pairs, side_b, cosine, w_gates, b_gates, angle, e, nobody, g_total, back_gates,
            d_pairs, d_side_b, d_cosine, none, none, none,
        )  # fmt: skip
        own = np.empty(sides * e, NUMBER)
        product(0, sides, 2 * e, e, d_pairs, 2 * e * s0, 2 * e, 1, back_three, 0, False, own, 0)
        for s in range(sides):
            at = (short[s0 + s] - e0) * e
            for c in range(0, e, WIDTH):
                store(between, at + c, add(load(between, at + c), load(own, s * e + c)))
        p = q


@kernel(f"void(int64, int64, int64, int64, {I}, {I}, {I}, {I}, {X}, {X}, {X}, {X})")
def from_layer(start, stop, n, columns, first, straight, first_j, by_j, dz, back, sums, d_x):
    """d_x (A, n) += what comes of the atoms' parts in a layer on pairs, from dz (rows, columns): of their own rows,
    first[a]:first[a + 1], and of those where they are j. sums (A, columns): room."""
    sum_rows(start, stop, first, straight, dz, columns, sums)
    product(start, stop, columns, n, sums, 0, columns, 1, back, 0, True, d_x, 0)
    sum_rows(start, stop, first_j, by_j, dz, columns, sums)
    product(start, stop, columns, n, sums, 0, columns, 1, back, columns * n, True, d_x, 0)


@kernel(
    f"void(int64, int64, int64, int64, {I}, {I}, {I}, {I}, {I}, {I}, {I}, {I}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})"
)
def from_ends(
    start, stop, n, e, first, straight, first_j, by_j, first_side, straight_side, first_side_j, side_by_j,
    d_pairs, dz_edge, dz_conv, three, edge, conv, sums, d_x,
):  # fmt: skip
    """The same for all three: on sides, and twice on edges."""
    from_layer(start, stop, n, 2 * e, first_side, straight_side, first_side_j, side_by_j, d_pairs, three, sums, d_x)
    from_layer(start, stop, n, 2 * e, first, straight, first_j, by_j, dz_edge, edge, sums, d_x)
    from_layer(start, stop, n, 2 * n, first, straight, first_j, by_j, dz_conv, conv, sums, d_x)
