"""Template, behind `products` and `gates`: a layer and what follows it, block by block while rows are in the cache."""

from atomlab.kernels.cpu.loops.gates import gate, gate_backward, silu, silu_backward
from atomlab.kernels.cpu.loops.products import I, X, dense_rows, kernel, product

BLOCK = 48  # rows


@kernel(f"void(int64, int64, int64, int64, boolean, {X}, {X}, {X}, {X}, {I}, {I}, {X}, {X}, {X}, {X})")
def layer(start, stop, inner, columns, gates, x, w, bias, nodes, i, j, times, plus, z, out):
    """z of `dense_rows`, and out: SiLU of z, or its gate."""
    for r in range(start, stop, BLOCK):
        end = min(r + BLOCK, stop)
        dense_rows(r, end, inner, columns, x, w, bias, nodes, i, j, z)
        if gates:
            gate(r, end, columns // 2, z, times, out)
        else:
            silu(r, end, columns, z, times, plus, out)


@kernel(f"void(int64, int64, int64, int64, boolean, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def layer_backward(start, stop, inner, columns, gates, g, z, times, weight, dz, dtimes, dx):
    for r in range(start, stop, BLOCK):
        end = min(r + BLOCK, stop)
        if gates:
            gate_backward(r, end, columns // 2, g, z, times, dz, dtimes)
        else:
            silu_backward(r, end, columns, g, z, times, dz, dtimes)
        product(r, end, columns, inner, dz, 0, columns, 1, weight, 0, False, dx, 0)
