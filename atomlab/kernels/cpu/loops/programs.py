"""Template, behind `products`: networks on rows, one block of rows through all layers while it is in the cache.

The constants below are replaced. A program is a table of steps, FIELDS numbers each, as `cpu/programs.py` writes it. It
computes on the flat `memory`, where a matrix stands from its address on, row by row. Backwards each gradient stands
where its value stood. `product_wide` is `product` of another number of columns.
"""

import numpy as np

from atomlab.kernels.cpu.exponential import exponentials
from atomlab.kernels.cpu.loops.products import REAL, I, X, kernel, product
from atomlab.kernels.cpu.loops.products import product as product_wide
from atomlab.kernels.cpu.simd import vectors

STAMP = ""  # of the exponentials
WIDTH = 16
BLOCK = 192  # rows: a block is in the cache, and the weights are read once for many of them
LAYER, PERMUTED, SUMMED = range(3)
# addresses in memory first (-1: not there), then numbers of columns, places in the weights, and what is to be done
KIND, FROM, OUT, TIMES, PLUS, SLOPE, KEPT = range(7)
SIZE, INNER, COLUMNS, FORTH, BACK, BIAS, TABLE, CURVED, ONTO, TIMES_ONTO, PLUS_ONTO = range(7, 18)
FIELDS = 18

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fma, fill = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill
sigmoid = exponentials(REAL, WIDTH).sigmoid
NUMBER = np.dtype(REAL).type
INDICES = f"{I}, {I}, {I}, {I}"  # of each edge: centre, neighbour, the edge back; of each atom: its species


@kernel(f"void(int64, int64, int64, int64, {X}, int64, int64, {X}, int64, boolean, {X}, int64)")
def multiply(start, stop, inner, columns, x, x0, step, w, w0, onto, out, out0):
    """`product`, with as many columns at once as divide theirs."""
    if columns % (2 * WIDTH) == 0:
        product_wide(start, stop, inner, columns, x, x0, step, 1, w, w0, onto, out, out0)
    else:
        product(start, stop, inner, columns, x, x0, step, 1, w, w0, onto, out, out0)


@kernel(f"void(int64, int64, int64, {I}, {I}, {I}, {I}, {X}, {X})")
def start_layer(r, stop, p, i, j, species, steps, weights, memory):
    """out = bias, and what the elements of both ends bring where there is a table of that."""
    out, columns, bias, table = steps[p + OUT], steps[p + COLUMNS], steps[p + BIAS], steps[p + TABLE]
    for e in range(r, stop):
        for c in range(0, columns, WIDTH):
            z = load(weights, bias + c)
            if table >= 0:
                z = add(z, load(weights, table + 2 * species[i[e]] * columns + c))
                z = add(z, load(weights, table + (2 * species[j[e]] + 1) * columns + c))
            store(memory, out + e * columns + c, z)


@kernel(f"void(int64, int64, int64, {I}, {X})")
def end_layer(r, stop, p, steps, memory):
    """out = plus + times f(out); f and the factor of z's gradient are kept where the way back needs them."""
    out, times, plus, slope, kept = steps[p + OUT], steps[p + TIMES], steps[p + PLUS], steps[p + SLOPE], steps[p + KEPT]
    columns, curved, one = steps[p + COLUMNS], steps[p + CURVED] > 0, fill(1)
    for k in range(r * columns, stop * columns, WIDTH):
        y, rise = load(memory, out + k), one
        if curved:
            sig = sigmoid(y)
            y = mul(y, sig)
            rise = fma(y, sub(one, sig), sig)
        if times >= 0:
            factor = load(memory, times + k)
            store(memory, kept + k, y)
            y, rise = mul(y, factor), mul(rise, factor)
        if plus >= 0:
            y = add(y, load(memory, plus + k))
        if slope >= 0:
            store(memory, slope + k, rise)
        store(memory, out + k, y)


@kernel(f"void(int64, int64, int64, {I}, {I}, {I}, {X})")
def move(r, stop, p, i, back, steps, memory):
    """out[e] = x[back[e]], or x[e] added to out[i[e]]."""
    x, out, columns = steps[p + FROM], steps[p + OUT], steps[p + COLUMNS]
    for e in range(r, stop):
        for c in range(0, columns, WIDTH):
            if steps[p + KIND] == PERMUTED:
                store(memory, out + e * columns + c, load(memory, x + back[e] * columns + c))
            else:
                at = out + i[e] * columns + c
                store(memory, at, add(load(memory, at), load(memory, x + e * columns + c)))


@kernel(f"void(int64, int64, {I}, {INDICES}, {I}, {X}, {X})")
def forward(start, stop, ends, i, j, back, species, steps, weights, memory):
    """All steps for the rows ends[start] to ends[stop]."""
    for p in range(0, len(steps), FIELDS):
        if steps[p + KIND] == SUMMED:
            for k in range(start * steps[p + COLUMNS], stop * steps[p + COLUMNS]):
                memory[steps[p + OUT] + k] = 0
    for r in range(ends[start], ends[stop], BLOCK):
        last = min(r + BLOCK, ends[stop])
        for p in range(0, len(steps), FIELDS):
            if steps[p + KIND] != LAYER:
                move(r, last, p, i, back, steps, memory)
                continue
            start_layer(r, last, p, i, j, species, steps, weights, memory)
            x, out, columns, w = steps[p + FROM], steps[p + OUT], steps[p + COLUMNS], steps[p + FORTH]
            multiply(r, last, steps[p + INNER], columns, memory, x, steps[p + SIZE], weights, w, True, memory, out)
            end_layer(r, last, p, steps, memory)


@kernel(f"void(int64, int64, int64, {I}, {X}, {X})")
def start_back(r, stop, p, steps, memory, dz):
    """dz, and the gradients of what stood beside it."""
    out, times, plus, slope, kept = steps[p + OUT], steps[p + TIMES], steps[p + PLUS], steps[p + SLOPE], steps[p + KEPT]
    columns, times_onto, plus_onto = steps[p + COLUMNS], steps[p + TIMES_ONTO] > 0, steps[p + PLUS_ONTO] > 0
    first = r * columns
    for k in range(first, stop * columns, WIDTH):
        g = load(memory, out + k)
        if times >= 0:
            change = mul(g, load(memory, kept + k))
            store(memory, times + k, add(load(memory, times + k), change) if times_onto else change)
        if plus >= 0:
            store(memory, plus + k, add(load(memory, plus + k), g) if plus_onto else g)
        store(dz, k - first, mul(g, load(memory, slope + k)) if slope >= 0 else g)


@kernel(f"void(int64, int64, int64, {I}, {I}, {I}, {X})")
def move_back(r, stop, p, i, back, steps, memory):
    x, out, columns, onto = steps[p + FROM], steps[p + OUT], steps[p + COLUMNS], steps[p + ONTO] > 0
    for e in range(r, stop):
        for c in range(0, columns, WIDTH):
            if steps[p + KIND] == PERMUTED:
                store(memory, x + back[e] * columns + c, load(memory, out + e * columns + c))
            else:
                g, at = load(memory, out + i[e] * columns + c), x + e * columns + c
                store(memory, at, add(load(memory, at), g) if onto else g)


@kernel(f"void(int64, int64, {I}, {INDICES}, {I}, {X}, {X})")
def backward(start, stop, ends, i, j, back, species, steps, weights, memory):
    """The same steps in the opposite order, from the gradient of what came last."""
    most = 0
    for p in range(0, len(steps), FIELDS):
        most = max(most, steps[p + COLUMNS])
    dz = np.empty(BLOCK * most, NUMBER)
    for r in range(ends[start], ends[stop], BLOCK):
        last = min(r + BLOCK, ends[stop])
        for p in range(len(steps) - FIELDS, -1, -FIELDS):
            if steps[p + KIND] != LAYER:
                move_back(r, last, p, i, back, steps, memory)
                continue
            start_back(r, last, p, steps, memory, dz)
            size, columns, onto = steps[p + SIZE], steps[p + COLUMNS], steps[p + ONTO] > 0
            to = steps[p + FROM] + r * size
            multiply(0, last - r, columns, size, dz, 0, columns, weights, steps[p + BACK], onto, memory, to)
