"""Functions that Triton's language lacks, for use inside kernels."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["root", "sigmoid", "spherical_j", "tanh"]


@triton.jit
def root(x):
    """The square root to the last bit; in float32 Triton's own is an approximation."""
    if x.dtype == tl.float64:
        found = tl.sqrt(x)
    else:
        found = tl.sqrt_rn(x)
    return found


@triton.jit
def tanh(x):
    """By the exponential of a negative number, which cannot overflow; the absolute error is that of one rounding."""
    e = tl.exp(-2.0 * tl.abs(x))
    size = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0.0, -size, size)


@triton.jit
def sigmoid(x):
    """1 / (1 + e^-x), by the exponential of a negative number."""
    e = tl.exp(-tl.abs(x))
    return tl.where(x < 0.0, e, x * 0.0 + 1.0) / (1.0 + e)


@triton.jit
def spherical_j(x, degree, TOP: tl.constexpr):
    """j_l(x), x > 0, for a whole number l <= TOP at each place, given in the type of x.

    Upward recurrence where x >= l, where it is stable; the power series below, whose 16 terms are exact for l <= 8.
    """
    inverse = 1.0 / x
    before = tl.cos(x) * inverse  # j_-1
    now = tl.sin(x) * inverse  # j_0
    found = now
    lead = x * 0.0 + 1.0
    near = tl.minimum(x, tl.maximum(degree, 1.0))  # far above its range the series would overflow
    for l in tl.static_range(1, TOP + 1):
        after = (2.0 * l - 1.0) * inverse * now - before
        before = now
        now = after
        found = tl.where(degree == 1.0 * l, now, found)
        lead = tl.where(degree >= 1.0 * l, lead * near * (1.0 / (2 * l + 1)), lead)
    series = x * 0.0 + 1.0
    half = -0.5 * near * near
    for down in tl.static_range(0, 16):
        series = 1.0 + half / ((16.0 - down) * (2.0 * degree + (33.0 - 2.0 * down))) * series
    return tl.where(x < degree, lead * series, found)
