"""Template: what a fused pass computes per bond: order, geometry, harmonics, radial basis, repulsion, and forces.

A bond is one direction of an edge and its reverse. All of it is a few percent of a pass, so it is plain scalar code in
float64; only what the other loops read is rounded to REAL.
"""

import math

from atomlab.kernels.cpu.simd import kernel

REAL = "float32"

INTS, DOUBLES, REALS = "int64[::1]", "float64[::1]", f"{REAL}[::1]"


@kernel(f"int64({INTS}, {INTS}, {INTS}, {INTS}, {INTS}, {INTS}, {INTS}, {INTS}, {REALS}, {INTS}, {INTS}, {INTS})")
def order_edges(i, j, reverse, order, rank, first, sender, pair, sign, along, back, chosen):
    """Edges by receiver in the order of the pass, and the bonds among them; returns the number of bonds.

    order (A,): the graph's atom at each place of the pass, rank its inverse; first (A + 1,) row pointer; sender, pair
    (E,): place of the other atom, row of the bond; sign (E,): -1 against the bond's direction; along, back (H,): the
    two edges of a bond; chosen (H,): the graph's edge.
    """
    atoms, edges = order.shape[0], i.shape[0]
    first[:] = 0
    for e in range(edges):
        first[rank[i[e]] + 1] += 1
    for a in range(atoms):
        first[a + 1] += first[a]
    last, n = -1, 0
    for e in range(edges):
        if i[e] != last:
            last = i[e]
            n = first[rank[last]]
        sender[e] = n  # the edge's place, until its bond is known
        n += 1
    bonds = 0
    for e in range(edges):
        if e < reverse[e]:
            along[bonds], back[bonds], chosen[bonds] = sender[e], sender[reverse[e]], e
            bonds += 1
    for h in range(bonds):
        e, a, b = chosen[h], along[h], back[h]
        pair[a], pair[b] = h, h
        sender[a], sender[b] = rank[j[e]], rank[i[e]]
        sign[a], sign[b] = 1.0, -1.0
    return bonds


@kernel(f"void(int64, int64, {INTS}, {INTS}, {INTS}, {INTS}, {INTS}, {DOUBLES}, {DOUBLES}, {DOUBLES}, {DOUBLES})")
def measure(start, stop, chosen, i, j, shift, batch, positions, cell, vector, length):
    """Vectors (H, 3) from sender to receiver and lengths (H,) of bonds, in Å."""
    for h in range(start, stop):
        e = chosen[h]
        a, b, box = 3 * i[e], 3 * j[e], 9 * batch[i[e]]
        square = 0.0
        for x in range(3):
            d = positions[a + x] - positions[b + x]
            for k in range(3):
                d -= shift[3 * e + k] * cell[box + 3 * k + x]
            vector[3 * h + x] = d
            square += d * d
        length[h] = math.sqrt(square)


@kernel(f"void(int64, int64, {DOUBLES}, {DOUBLES}, int64, {REALS})")
def harmonics(start, stop, vector, length, l_max, y):
    """Real spherical harmonics (H, (l_max + 1)^2) as `kernels.spherical_harmonics` defines them."""
    size = (l_max + 1) ** 2
    for h in range(start, stop):
        inverse = 1.0 / length[h]
        x, v, z = vector[3 * h] * inverse, vector[3 * h + 1] * inverse, vector[3 * h + 2] * inverse
        o = h * size
        y[o] = 1.0
        if l_max >= 1:
            y[o + 1], y[o + 2], y[o + 3] = math.sqrt(3.0) * x, math.sqrt(3.0) * v, math.sqrt(3.0) * z
        if l_max >= 2:
            y[o + 4], y[o + 5], y[o + 7] = math.sqrt(15.0) * x * z, math.sqrt(15.0) * x * v, math.sqrt(15.0) * v * z
            y[o + 6] = math.sqrt(5.0) * (v * v - 0.5 * (x * x + z * z))
            y[o + 8] = 0.5 * math.sqrt(15.0) * (z * z - x * x)
        if l_max >= 3:
            side = 4.0 * v * v - x * x - z * z
            y[o + 9] = 0.5 * math.sqrt(17.5) * x * (3.0 * z * z - x * x)
            y[o + 10] = math.sqrt(105.0) * x * v * z
            y[o + 11] = math.sqrt(2.625) * x * side
            y[o + 12] = 0.5 * math.sqrt(7.0) * v * (2.0 * v * v - 3.0 * (x * x + z * z))
            y[o + 13] = math.sqrt(2.625) * z * side
            y[o + 14] = 0.5 * math.sqrt(105.0) * v * (z * z - x * x)
            y[o + 15] = 0.5 * math.sqrt(17.5) * z * (z * z - 3.0 * x * x)


@kernel(
    f"void(int64, int64, {DOUBLES}, {INTS}, int64, float64, float64, int64, {DOUBLES}, int64, {INTS}, {REALS}, "
    f"{DOUBLES}, {DOUBLES})"
)
def look_up(start, stop, length, kind, intervals, low, high, finer, table, columns, where, local, value, slope):
    """The place of each bond in the radial tables, and the tabulated scalars (columns, H) with their slopes.

    where (H,): row kind * intervals + interval; local (H,): -1..1 within it. table: coefficients (row, column, 8) of
    the scalars, lowest power first, on intervals `finer` times finer. A length that is no number stays none.
    """
    bonds = length.shape[0]
    each = (high - low) / intervals
    for h in range(start, stop):
        x = (length[h] - low) / each
        n = 0
        if x >= 1.0:
            n = min(int(min(x, 1e6)), intervals - 1)
        where[h], local[h] = kind[h] * intervals + n, 2.0 * (x - n) - 1.0
        x *= finer
        n = 0
        if x >= 1.0:
            n = min(int(min(x, 1e6)), intervals * finer - 1)
        t, row = 2.0 * (x - n) - 1.0, kind[h] * intervals * finer + n
        for c in range(columns):
            o = (row * columns + c) * 8
            f, g = table[o + 7], 0.0
            for k in range(6, -1, -1):
                g = g * t + f
                f = f * t + table[o + k]
            value[c * bonds + h], slope[c * bonds + h] = f, g * 2.0 * finer / each


@kernel("UniTuple(float64, 2)(float64, int64)")
def envelope(x, p):
    """`kernels.polynomial_envelope` and its slope in x."""
    if x >= 1.0:
        return 0.0, 0.0
    low = x ** (p - 1)
    a, b, c = 0.5 * (p + 1.0) * (p + 2.0), p * (p + 2.0), 0.5 * p * (p + 1.0)
    value = 1.0 - low * x * (a - x * (b - c * x))
    return value, -low * (a * p - x * (b * (p + 1.0) - c * (p + 2.0) * x))


@kernel("UniTuple(float64, 2)(float64, int64, float64, float64, float64, float64)")
def transformed(r, transform, r0, a, p, q):
    """The distance that the Bessel functions see and its slope: 0 none, 1 agnesi, 2 soft (a is its alpha)."""
    if transform == 1:
        s = r / r0
        top, below = a * s**q, 1.0 + s ** (q - p)
        slope = (q * top / below - top * (q - p) * (below - 1.0) / (below * below)) / r
        x = 1.0 / (1.0 + top / below)
        return x, -slope * x * x
    if transform == 2:
        p0, p1 = 0.75 * r0, r0 * 4.0 / 3.0
        rate = a / (p1 - p0)
        th = math.tanh(rate * (r - 0.5 * (p0 + p1)))
        return p0 + 0.5 * (r - p0) * (1.0 + th), 0.5 * (1.0 + th) + 0.5 * (r - p0) * (1.0 - th * th) * rate
    return r, 1.0


@kernel(
    f"void(int64, int64, {DOUBLES}, {INTS}, {DOUBLES}, int64, {DOUBLES}, float64, int64, boolean, {DOUBLES}, "
    f"int64, {DOUBLES}, {DOUBLES}, {DOUBLES}, {DOUBLES}, {DOUBLES})"
)
def basis(
    start, stop, length, kind, r0, transform, constants, cutoff, p, on_basis, frequencies, densities, mix, f, env,
    value, slope,
):  # fmt: skip
    """Radial functions f (2, H, N), envelope (2, H), and density terms (densities, H): values, then slopes in r.

    constants: Bessel prefactor, then a, p, q of the transform; r0 by kind; mix (densities, N) weights of the terms.
    """
    bonds, size = length.shape[0], frequencies.shape[0]
    for h in range(start, stop):
        r = length[h]
        u, du = envelope(r / cutoff, p)
        du /= cutoff
        x, dx = transformed(r, transform, r0[kind[h]], constants[1], constants[2], constants[3])
        env[h], env[bonds + h] = u, du
        for n in range(size):
            w = frequencies[n]
            sine, cosine = constants[0] * math.sin(w * x) / x, constants[0] * math.cos(w * x) / x
            g, dg = sine, (w * cosine - sine / x) * dx
            if on_basis:
                g, dg = g * u, dg * u + g * du
            f[h * size + n], f[(bonds + h) * size + n] = g, dg
        for t in range(densities):
            g, dg = 0.0, 0.0
            for n in range(size):
                g += mix[t * size + n] * f[h * size + n]
                dg += mix[t * size + n] * f[(bonds + h) * size + n]
            th = math.tanh(g * g)
            g, dg = th, (1.0 - th * th) * 2.0 * g * dg
            if not on_basis:
                g, dg = g * u, dg * u + g * du
            value[t * bonds + h], slope[t * bonds + h] = g, dg


@kernel(
    f"void(int64, int64, {INTS}, {INTS}, {INTS}, {INTS}, {DOUBLES}, {DOUBLES}, {DOUBLES}, int64, float64, {DOUBLES})"
)
def repel(start, stop, chosen, i, j, numbers, length, radii, c, p, coulomb, energy):
    """ZBL of each bond and its slope (2, H), as `kernels.zbl`. c: 4 weights, 4 rates, a_exp, a_prefactor."""
    bonds = length.shape[0]
    for h in range(start, stop):
        zi, zj, r = numbers[i[chosen[h]]], numbers[j[chosen[h]]], length[h]
        reach = radii[zi] + radii[zj]
        energy[h], energy[bonds + h] = 0.0, 0.0
        if r >= reach:
            continue
        u, du = envelope(r / reach, p)
        rate = (float(zi) ** c[8] + float(zj) ** c[8]) / (c[9] * 0.529)
        phi, dphi = 0.0, 0.0
        for k in range(4):
            part = c[k] * math.exp(-c[4 + k] * rate * r)
            phi += part
            dphi -= c[4 + k] * rate * part
        scale = coulomb * zi * zj / r
        energy[h] = scale * phi * u
        energy[bonds + h] = scale * (dphi * u + phi * du / reach - phi * u / r)


@kernel(f"void({INTS}, {INTS}, int64, int64, float64, {DOUBLES}, {DOUBLES})")
def add_ends(sender, ends, bonds, columns, weight, value, out):
    """out (columns, A) += weight * value (columns, H) at both ends; ends: (2, H) edges of each bond."""
    atoms = out.shape[0] // max(columns, 1)
    for c in range(columns):
        for h in range(bonds):
            v = weight * value[c * bonds + h]
            out[c * atoms + sender[ends[h]]] += v
            out[c * atoms + sender[ends[bonds + h]]] += v


@kernel(f"void(int64, int64, {INTS}, {DOUBLES}, {DOUBLES}, int64, {REALS}, {REALS}, float64, {DOUBLES})")
def bond_gradients(start, stop, ends, vector, length, l_max, gy, gr, rate, grad):
    """grad (4, H): dE/d(vector), and dE/dr alone where a density or a repulsion added to it before the call.

    gy (E, M), gr (E,): derivatives in harmonics and radial place as each edge saw them; rate: of that place in r.
    """
    bonds, size = length.shape[0], (l_max + 1) ** 2
    for h in range(start, stop):
        inverse = 1.0 / length[h]
        x, v, z = vector[3 * h] * inverse, vector[3 * h + 1] * inverse, vector[3 * h + 2] * inverse
        a, b = ends[h] * size, ends[bonds + h] * size
        radial = grad[3 * bonds + h] + rate * (float(gr[ends[h]]) + float(gr[ends[bonds + h]]))
        gx, gv, gz = 0.0, 0.0, 0.0
        if l_max >= 1:
            s = math.sqrt(3.0)
            gx += s * (gy[a + 1] + gy[b + 1])
            gv += s * (gy[a + 2] + gy[b + 2])
            gz += s * (gy[a + 3] + gy[b + 3])
        if l_max >= 2:
            s = math.sqrt(15.0)
            g4, g5, g7 = s * (gy[a + 4] + gy[b + 4]), s * (gy[a + 5] + gy[b + 5]), s * (gy[a + 7] + gy[b + 7])
            g6, g8 = math.sqrt(5.0) * (gy[a + 6] + gy[b + 6]), s * (gy[a + 8] + gy[b + 8])
            gx += g4 * z + g5 * v - (g6 + g8) * x
            gv += g5 * x + 2.0 * g6 * v + g7 * z
            gz += g4 * x - g6 * z + g7 * v + g8 * z
        if l_max >= 3:
            xx, vv, zz, xz = x * x, v * v, z * z, x * z
            s = 0.5 * math.sqrt(17.5)
            g0, g6 = s * (gy[a + 9] + gy[b + 9]), s * (gy[a + 15] + gy[b + 15])
            s = math.sqrt(105.0)
            g1, g5 = s * (gy[a + 10] + gy[b + 10]), 0.5 * s * (gy[a + 14] + gy[b + 14])
            s = math.sqrt(2.625)
            g2, g4 = s * (gy[a + 11] + gy[b + 11]), s * (gy[a + 13] + gy[b + 13])
            g3 = 0.5 * math.sqrt(7.0) * (gy[a + 12] + gy[b + 12])
            gx += g0 * 3.0 * (zz - xx) + g1 * v * z + g2 * (4.0 * vv - 3.0 * xx - zz) - 6.0 * g3 * x * v
            gx += -2.0 * g4 * xz - 2.0 * g5 * x * v - 6.0 * g6 * xz
            gv += g1 * xz + 8.0 * v * (g2 * x + g4 * z) + g3 * (6.0 * vv - 3.0 * (xx + zz)) + g5 * (zz - xx)
            gz += 6.0 * g0 * xz + g1 * x * v - 2.0 * g2 * xz - 6.0 * g3 * v * z
            gz += g4 * (4.0 * vv - xx - 3.0 * zz) + 2.0 * g5 * v * z + 3.0 * g6 * (zz - xx)
        radial -= (gx * x + gv * v + gz * z) * inverse
        grad[h] = gx * inverse + radial * x
        grad[bonds + h] = gv * inverse + radial * v
        grad[2 * bonds + h] = gz * inverse + radial * z


@kernel(f"void({INTS}, {INTS}, {INTS}, {INTS}, {DOUBLES}, {DOUBLES}, {DOUBLES}, {DOUBLES})")
def collect(chosen, i, j, batch, vector, grad, forces, virial):
    """Forces (A, 3) and virial (S, 3, 3) from the gradients of the bonds' vectors, by the graph's own atoms."""
    bonds = chosen.shape[0]
    for h in range(bonds):
        a, b = i[chosen[h]], j[chosen[h]]
        o = 9 * batch[a]
        for x in range(3):
            g = grad[x * bonds + h]
            forces[3 * a + x] -= g
            forces[3 * b + x] += g
            for k in range(3):
                half = 0.5 * vector[3 * h + k] * g
                virial[o + 3 * k + x] -= half
                virial[o + 3 * x + k] -= half
