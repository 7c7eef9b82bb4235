"""Template: products of matrices with many rows and few columns. The constants below are replaced.

Matrix libraries are made for large matrices, and some leave half of what the processor can do. ROWS rows of the result
times PANEL of its columns stay in registers while k runs. Every matrix is flat.
"""

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
PANEL = 64
ROWS = 4
CHUNK = 64
R = 0  # stands for 0, 1, ..., ROWS - 1 in the lines that are repeated

P = vectors(REAL, PANEL)
load_panel, store_panel, fill_panel, fma_panel, add_panel = P.load, P.store, P.fill, P.fma, P.add
X, I = f"{REAL}[::1]", "int64[::1]"


@kernel(f"void(int64, int64, int64, int64, {X}, int64, int64, int64, {X}, int64, boolean, {X}, int64)")
def product(start, stop, inner, columns, x, x0, step_row, step_k, w, w0, onto, out, out0):
    """out[r, c] = Σ_k x[x0 + r step_row + k step_k] w[w0 + k columns + c], rows start to stop, added to out if `onto`.

    With step_row = 1 and step_k = the width of x it is x transposed.
    """
    for c in range(0, columns, PANEL):
        last = start + (stop - start) // ROWS * ROWS
        for r in range(start, last, ROWS):
            to_R = out0 + (r + R) * columns + c  # each R
            at_R = x0 + (r + R) * step_row  # each R
            sum_R = fill_panel(0)  # each R
            if onto:
                sum_R = load_panel(out, to_R)  # each R
            for k in range(inner):
                row = load_panel(w, w0 + k * columns + c)
                sum_R = fma_panel(fill_panel(x[at_R + k * step_k]), row, sum_R)  # each R
            store_panel(out, to_R, sum_R)  # each R
        for r in range(last, stop):
            to, at = out0 + r * columns + c, x0 + r * step_row
            sum_ = load_panel(out, to) if onto else fill_panel(0)
            for k in range(inner):
                sum_ = fma_panel(fill_panel(x[at + k * step_k]), load_panel(w, w0 + k * columns + c), sum_)
            store_panel(out, to, sum_)


@kernel(f"void(int64, int64, int64, int64, int64, {X}, {X}, boolean, {X})")
def outer(start, stop, rows, width, columns, x, g, onto, out):
    """out = x^T g, for x (rows, width) and g (rows, columns); rows start..stop of it. CHUNK rows stay in the cache."""
    for r in range(0, rows, CHUNK):
        many = min(CHUNK, rows - r)
        product(start, stop, many, columns, x, r * width, 1, width, g, r * columns, onto or r > 0, out, 0)


@kernel(f"void(int64, int64, int64, int64, {X}, {X}, {X}, {X}, {I}, {I}, {X})")
def dense_rows(start, stop, inner, columns, x, w, bias, nodes, i, j, out):
    """out[r] = bias + x[r] w, and nodes[i[r], :C] + nodes[j[r], C:] where there are nodes (A, 2 C)."""
    pairs = len(nodes) > 0
    for r in range(start, stop):
        to = r * columns
        for c in range(0, columns, PANEL):
            first = load_panel(bias, c)
            if pairs:
                first = add_panel(first, load_panel(nodes, 2 * i[r] * columns + c))
                first = add_panel(first, load_panel(nodes, (2 * j[r] + 1) * columns + c))
            store_panel(out, to + c, first)
    product(start, stop, inner, columns, x, 0, inner, 1, w, 0, True, out, 0)
