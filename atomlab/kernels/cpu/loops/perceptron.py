"""Template: the SiLU s(x) = x σ(x) between the layers of a perceptron, with its derivatives, number by number.

s' = σ + s (1 - σ); s'' = σ (1 - σ) (2 + x (1 - 2 σ)). Arrays are flat; rows are blocks of WIDTH numbers. The constants
below are replaced.
"""

from atomlab.kernels.cpu.exponential import exponentials
from atomlab.kernels.cpu.simd import kernel, vectors

REAL = "float32"
WIDTH = 16
STAMP = ""  # of the exponentials

S = vectors(REAL, WIDTH)
load, store, sub, mul, fma, fill = S.load, S.store, S.sub, S.mul, S.fma, S.fill
sigmoid = exponentials(REAL, WIDTH).sigmoid
X = f"{REAL}[::1]"


@kernel(f"void(int64, int64, {X}, {X})")
def activate(start, stop, x, out):
    """out = s(x)."""
    for k in range(start * WIDTH, stop * WIDTH, WIDTH):
        a = load(x, k)
        store(out, k, mul(a, sigmoid(a)))


@kernel(f"void(int64, int64, {X}, {X}, {X})")
def slope(start, stop, x, g, out):
    """out = g s'(x)."""
    one = fill(1)
    for k in range(start * WIDTH, stop * WIDTH, WIDTH):
        a = load(x, k)
        sig = sigmoid(a)
        store(out, k, mul(load(g, k), fma(mul(a, sig), sub(one, sig), sig)))


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X})")
def along(start, stop, x, v, first, bend):
    """first = s'(x), bend = s''(x) v, v = s'(x) v: how s and s' change along v."""
    one, two = fill(1), fill(2)
    for k in range(start * WIDTH, stop * WIDTH, WIDTH):
        a, va = load(x, k), load(v, k)
        sig = sigmoid(a)
        rest = sub(one, sig)
        d = fma(mul(a, sig), rest, sig)
        store(first, k, d)
        store(bend, k, mul(va, mul(mul(sig, rest), fma(a, sub(rest, sig), two))))
        store(v, k, mul(va, d))


@kernel(f"void(int64, int64, {X}, {X}, {X}, {X})")
def back(start, stop, first, bend, g, v):
    """v = v s' + g s'' (the direction): how g s' changes, from what `along` found."""
    for k in range(start * WIDTH, stop * WIDTH, WIDTH):
        store(v, k, fma(load(v, k), load(first, k), mul(load(g, k), load(bend, k))))
