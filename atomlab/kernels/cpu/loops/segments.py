"""Template: sums over sorted segments and gathers, channels innermost. The constants below are replaced."""

from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16

S = vectors(REAL, WIDTH)
load, store, add, fill = S.load, S.store, S.add, S.fill


@kernel(f"void(int64, int64, int64[::1], int64[::1], {REAL}[::1], int64, {REAL}[::1])")
def sum_rows(start, stop, first, order, x, size, out):
    """out[a] = Σ x[order[e]] for e in first[a]:first[a + 1]; rows of `size` numbers."""
    for a in range(start, stop):
        for k in range(0, size, WIDTH):
            total = fill(0)
            for e in range(first[a], first[a + 1]):
                total = add(total, load(x, order[e] * size + k))
            store(out, a * size + k, total)
