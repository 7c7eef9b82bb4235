"""Template: SiLU and SiLU times sigmoid, row by row, with two derivatives. The constants below are replaced.

s = x σ(x); s' = σ + s (1 - σ); s'' = σ (1 - σ) (2 + x (1 - 2 σ)). Arrays are flat, of rows of `size` numbers (2 `size`
in z of a gate); one of length 0 stands for a factor that is not there, or for a direction that is zero.
"""

from atomlab.kernels.cpu.exponential import exponentials
from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16
STAMP = ""  # of the exponentials

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fma, fill = S.load, S.store, S.add, S.sub, S.mul, S.fma, S.fill
sigmoid = exponentials(REAL, WIDTH).sigmoid
X = f"{REAL}[::1]"


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X})")
def silu(start, stop, size, z, times, plus, out):
    for k in range(start * size, stop * size, WIDTH):
        x = load(z, k)
        y = mul(x, sigmoid(x))
        if len(times):
            y = mul(y, load(times, k))
        if len(plus):
            y = add(y, load(plus, k))
        store(out, k, y)


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X}, {X})")
def silu_backward(start, stop, size, g, z, times, dz, dtimes):
    one = fill(1)
    for k in range(start * size, stop * size, WIDTH):
        x, dy = load(z, k), load(g, k)
        sig = sigmoid(x)
        y = mul(x, sig)
        if len(dtimes):
            store(dtimes, k, mul(dy, y))
        if len(times):
            dy = mul(dy, load(times, k))
        store(dz, k, mul(dy, fma(y, sub(one, sig), sig)))


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def silu_double(start, stop, size, vz, vtimes, vplus, g, z, times, dg, dz, dtimes):
    one, two = fill(1), fill(2)
    for k in range(start * size, stop * size, WIDTH):
        x, dy = load(z, k), load(g, k)
        sig = sigmoid(x)
        y, rest = mul(x, sig), sub(one, sig)
        slope = fma(y, rest, sig)
        bend = mul(mul(sig, rest), fma(x, sub(rest, sig), two))
        to_g, to_z, to_times = fill(0), fill(0), fill(0)
        factor = load(times, k) if len(times) else one
        if len(vplus):
            to_g = load(vplus, k)
        if len(vtimes):
            v = load(vtimes, k)
            to_g = fma(v, y, to_g)
            to_z = mul(mul(v, dy), slope)
        if len(vz):
            v = load(vz, k)
            to_g = fma(mul(v, factor), slope, to_g)
            to_z = fma(mul(mul(v, dy), factor), bend, to_z)
            to_times = mul(mul(v, dy), slope)
        store(dg, k, to_g)
        store(dz, k, to_z)
        if len(dtimes):
            store(dtimes, k, to_times)


@kernel(f"void(int64, int64, int64, {X}, {X}, {X})")
def gate(start, stop, size, z, times, out):
    for r in range(start, stop):
        for c in range(0, size, WIDTH):
            p, k = load(z, 2 * r * size + c), r * size + c
            y = mul(mul(p, sigmoid(p)), sigmoid(load(z, (2 * r + 1) * size + c)))
            store(out, k, mul(y, load(times, k)) if len(times) else y)


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X}, {X})")
def gate_backward(start, stop, size, g, z, times, dz, dtimes):
    one = fill(1)
    for r in range(start, stop):
        for c in range(0, size, WIDTH):
            a, b, k = 2 * r * size + c, (2 * r + 1) * size + c, r * size + c
            p, dy = load(z, a), load(g, k)
            sig, open_ = sigmoid(p), sigmoid(load(z, b))
            y = mul(p, sig)
            if len(dtimes):
                store(dtimes, k, mul(dy, mul(y, open_)))
            if len(times):
                dy = mul(dy, load(times, k))
            dy = mul(dy, open_)
            store(dz, a, mul(dy, fma(y, sub(one, sig), sig)))
            store(dz, b, mul(dy, mul(y, sub(one, open_))))


@kernel(f"void(int64, int64, int64, {X}, {X}, {X}, {X}, {X}, {X}, {X}, {X})")
def gate_double(start, stop, size, vz, vtimes, g, z, times, dg, dz, dtimes):
    one, two = fill(1), fill(2)
    for r in range(start, stop):
        for c in range(0, size, WIDTH):
            a, b, k = 2 * r * size + c, (2 * r + 1) * size + c, r * size + c
            p, dy = load(z, a), load(g, k)
            sig, open_ = sigmoid(p), sigmoid(load(z, b))
            y, rest, shut = mul(p, sig), sub(one, sig), sub(one, open_)
            slope = fma(y, rest, sig)
            bend = mul(mul(sig, rest), fma(p, sub(rest, sig), two))
            f, f_p, f_q = mul(y, open_), mul(slope, open_), mul(y, mul(open_, shut))
            to_f, to_p, to_q = fill(0), fill(0), fill(0)
            if len(vz):
                vp, vq = load(vz, a), load(vz, b)
                mixed = mul(slope, mul(open_, shut))
                to_f = fma(f_p, vp, mul(f_q, vq))
                to_p = fma(mul(bend, open_), vp, mul(mixed, vq))
                to_q = fma(mixed, vp, mul(mul(f_q, sub(shut, open_)), vq))
            to_g = to_f
            if len(dtimes):
                store(dtimes, k, mul(dy, to_f))
            if len(times):
                factor = load(times, k)
                to_g, to_p, to_q = mul(factor, to_g), mul(factor, to_p), mul(factor, to_q)
            if len(vtimes):
                v = load(vtimes, k)
                to_g, to_p, to_q = fma(v, f, to_g), fma(v, f_p, to_p), fma(v, f_q, to_q)
            store(dg, k, to_g)
            store(dz, a, mul(dy, to_p))
            store(dz, b, mul(dy, to_q))
