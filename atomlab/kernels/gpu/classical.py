"""Energies of the classical potentials."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..dispatch import implements
from .device import specified
from .formula import constant, exp, less, power, where
from .pointwise import Input, call


def _given(like: Tensor, *x: Tensor | float) -> list[tuple[Tensor, Input]]:
    """Arrays of rows as such; a number, as a tensor or not, is shared by all rows."""
    tensors = [t if isinstance(t, Tensor) else like.new_tensor(t) for t in x]
    return [(t, Input(1, shared=t.ndim == 0)) for t in tensors]


def _energies(function: Callable, op: str, rows: int, *x: Tensor | float, constants: tuple) -> Tensor:
    like = next(t for t in x if isinstance(t, Tensor))
    if not all(isinstance(c, int | float) for c in constants):
        return NotImplemented
    given = _given(like, *x)
    if any(t.shape not in ((rows,), ()) for t, _ in given):
        return NotImplemented

    def plain(*x: Tensor) -> Tensor:
        return specified(op)(*x, *constants)

    found = call(function, plain, rows, *given, constants=tuple(float(c) for c in constants))
    return found if found is NotImplemented else found.squeeze(1)


def _to_cutoff(x, a):
    return where(less(constant(-1e-3), x - a), -1e-3, x - a)  # what is not a number stays so


def _two(r, epsilon, sigma, A, B, p, q, a):
    x = r[0] / sigma[0]
    return [epsilon[0] * A * (B * power(x, -p) - power(x, -q)) * exp(1.0 / _to_cutoff(x, a))]


@implements("triton", "stillinger_weber_two")
def stillinger_weber_two(
    r: Tensor, epsilon: Tensor, sigma: Tensor, A: float, B: float, p: float, q: float, a: float
) -> Tensor:
    return _energies(_two, "stillinger_weber_two", len(r), r, epsilon, sigma, constants=(A, B, p, q, a))


def _three(ra, rb, cosine, strength, sigma_a, sigma_b, gamma, a, cos0):
    decay = gamma / _to_cutoff(ra[0] / sigma_a[0], a) + gamma / _to_cutoff(rb[0] / sigma_b[0], a)
    return [strength[0] * power(cosine[0] - cos0, 2) * exp(decay)]


@implements("triton", "stillinger_weber_three")
def stillinger_weber_three(
    ra: Tensor,
    rb: Tensor,
    cosine: Tensor,
    strength: Tensor,
    sigma_a: Tensor,
    sigma_b: Tensor,
    gamma: float,
    a: float,
    cos0: float,
) -> Tensor:
    x = (ra, rb, cosine, strength, sigma_a, sigma_b)
    return _energies(_three, "stillinger_weber_three", len(ra), *x, constants=(gamma, a, cos0))


def _lennard_jones(r, epsilon, sigma, cutoff):
    s6, end = power(sigma[0] / r[0], 6), power(sigma[0] / cutoff, 6)
    value, slope = end * end - end, -(12.0 * end * end - 6.0 * end) / cutoff
    return [4.0 * epsilon[0] * (s6 * s6 - s6 - value - slope * (r[0] - cutoff))]


@implements("triton", "lennard_jones")
def lennard_jones(r: Tensor, epsilon: Tensor, sigma: Tensor, cutoff: float) -> Tensor:
    return _energies(_lennard_jones, "lennard_jones", len(r), r, epsilon, sigma, constants=(cutoff,))


def _morse(r, depth, alpha, r0, cutoff):
    (alpha,), (r0,) = alpha, r0
    y, end = exp(-(alpha * (r[0] - r0))), exp(-(alpha * (constant(cutoff) - r0)))
    value, slope = end * end - 2.0 * end, -2.0 * alpha * (end * end - end)
    return [depth[0] * (y * y - 2.0 * y - value - slope * (r[0] - cutoff))]


@implements("triton", "morse")
def morse(r: Tensor, depth: Tensor, alpha: Tensor, r0: Tensor, cutoff: float) -> Tensor:
    return _energies(_morse, "morse", len(r), r, depth, alpha, r0, constants=(cutoff,))
