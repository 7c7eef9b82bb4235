"""Operations that are one formula of each row, written once for every backend that makes kernels of formulas.

Such a backend has a `call(function, plain, rows, *given, constants)` (its `pointwise.py`) and hands it to `register`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor

from .dispatch import OPS, implements
from .formula import constant, dot, exp, less, power, sqrt, tanh, where
from .rowwise import Input

__all__ = ["register"]

OPERATIONS: dict[str, Callable] = {}


def register(backend: str, call: Callable, names: Iterable[str] = ()) -> None:
    """Implement the named operations of this file for a backend, all of them if none is named."""
    for name in names or OPERATIONS:
        implements(backend, name)(partial(OPERATIONS[name], call))


def _operation(function: Callable) -> Callable:
    OPERATIONS[function.__name__] = function
    return function


def _called(call: Callable, function: Callable, op: str, rows: int, *x: Tensor | float, constants: tuple) -> Tensor:
    """The operation `op` of rows of one number, or of numbers that all rows share; the constants are no tensors."""
    like = next(t for t in x if isinstance(t, Tensor))
    if not all(isinstance(c, int | float | tuple) for c in constants):
        return NotImplemented
    tensors = [t if isinstance(t, Tensor) else like.new_tensor(t) for t in x]
    if any(t.shape not in ((rows,), ()) for t in tensors):
        return NotImplemented

    def plain(*x: Tensor) -> Tensor:
        return OPS[op]["reference"](*x, *constants)

    return call(function, plain, rows, *((t, Input(1, shared=t.ndim == 0)) for t in tensors), constants=constants)


def _number(found: Tensor) -> Tensor:
    """One number of each row."""
    return found if found is NotImplemented else found.squeeze(1)


def _to_cutoff(x, a):
    return where(less(constant(-1e-3), x - a), -1e-3, x - a)  # what is not a number stays so


def _two(r, epsilon, sigma, A, B, p, q, a):
    x = r[0] / sigma[0]
    return [epsilon[0] * A * (B * power(x, -p) - power(x, -q)) * exp(1.0 / _to_cutoff(x, a))]


@_operation
def stillinger_weber_two(
    call: Callable, r: Tensor, epsilon: Tensor, sigma: Tensor, A: float, B: float, p: float, q: float, a: float
) -> Tensor:
    return _number(_called(call, _two, "stillinger_weber_two", len(r), r, epsilon, sigma, constants=(A, B, p, q, a)))


def _three(ra, rb, cosine, strength, sigma_a, sigma_b, gamma, a, cos0):
    decay = gamma / _to_cutoff(ra[0] / sigma_a[0], a) + gamma / _to_cutoff(rb[0] / sigma_b[0], a)
    return [strength[0] * power(cosine[0] - cos0, 2) * exp(decay)]


@_operation
def stillinger_weber_three(
    call: Callable,
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
    return _number(_called(call, _three, "stillinger_weber_three", len(ra), *x, constants=(gamma, a, cos0)))


def _lennard_jones(r, epsilon, sigma, cutoff):
    s6, end = power(sigma[0] / r[0], 6), power(sigma[0] / cutoff, 6)
    value, slope = end * end - end, -(12.0 * end * end - 6.0 * end) / cutoff
    return [4.0 * epsilon[0] * (s6 * s6 - s6 - value - slope * (r[0] - cutoff))]


@_operation
def lennard_jones(call: Callable, r: Tensor, epsilon: Tensor, sigma: Tensor, cutoff: float) -> Tensor:
    return _number(_called(call, _lennard_jones, "lennard_jones", len(r), r, epsilon, sigma, constants=(cutoff,)))


def _morse(r, depth, alpha, r0, cutoff):
    (alpha,), (r0,) = alpha, r0
    y, end = exp(-(alpha * (r[0] - r0))), exp(-(alpha * (constant(cutoff) - r0)))
    value, slope = end * end - 2.0 * end, -2.0 * alpha * (end * end - end)
    return [depth[0] * (y * y - 2.0 * y - value - slope * (r[0] - cutoff))]


@_operation
def morse(call: Callable, r: Tensor, depth: Tensor, alpha: Tensor, r0: Tensor, cutoff: float) -> Tensor:
    return _number(_called(call, _morse, "morse", len(r), r, depth, alpha, r0, constants=(cutoff,)))


def _end(r, cutoff):
    x = 1.0 - r / cutoff
    return power(tanh(where(less(x, 0.0), 0.0, x)), 3)


def _tanh_powers(r, rows):
    return [power(r[0], n) * _end(r[0], cutoff) for n, cutoff in rows]


@_operation
def tanh_powers(call: Callable, lengths: Tensor, rows: tuple[tuple[float, float], ...]) -> Tensor:
    return _called(call, _tanh_powers, "tanh_powers", len(lengths), lengths, constants=(rows,))


def _pair_inputs(r, centres, width):
    return [power(r[0], -n) for n in (1, 2, 3)] + [exp(-(power(r[0] - c, 2) / width)) for c in centres]


@_operation
def pair_inputs(call: Callable, lengths: Tensor, centres: tuple[float, ...], width: float) -> Tensor:
    return _called(call, _pair_inputs, "pair_inputs", len(lengths), lengths, constants=(centres, width))


def _triplet_powers(first, second, rows):
    opposite = [y - x for x, y in zip(first, second)]
    a, b, c = sqrt(dot(first, first)), sqrt(dot(second, second)), sqrt(dot(opposite, opposite) + 1e-12)
    cosine = dot(first, second) / (a * b)
    found = []
    for n, m, p, shift, scale, zeta, cutoff in rows:
        both = 2.0 * power(a * b, n) if n == m else _crossed(a, b, n, m)
        third = constant(1.0) if p is None else power(c, p) * _end(c, cutoff)
        found.append(both * (_end(a, cutoff) * _end(b, cutoff)) * third * power(shift + scale * cosine, zeta))
    return found


def _crossed(a, b, n, m):
    return power(a, n) * power(b, m) + power(b, n) * power(a, m)


@_operation
def triplet_powers(call: Callable, first: Tensor, second: Tensor, rows: tuple) -> Tensor:
    def plain(first: Tensor, second: Tensor) -> Tensor:
        return OPS["triplet_powers"]["reference"](first, second, rows)

    return call(_triplet_powers, plain, len(first), (first, Input(3)), (second, Input(3)), constants=(rows,))


def _norm(x, tiny):
    return [sqrt(dot(x, x) + tiny * tiny) - tiny]


@_operation
def safe_norm(call: Callable, x: Tensor, tiny: float = 1e-6) -> Tensor:
    columns = x.shape[-1] if x.ndim else 0
    if not 0 < columns <= 32:  # all of a row are variables of the kernel
        return NotImplemented

    def plain(x: Tensor) -> Tensor:
        return OPS["safe_norm"]["reference"](x, tiny)

    found = call(_norm, plain, x.numel() // columns, (x, Input(columns)), constants=(tiny,))
    return found if found is NotImplemented else found.view(x.shape[:-1])


def _cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _torsion(first, second, third, tiny):
    step = [y - x for x, y in zip(first, second)]
    a, b = _cross(first, step), _cross(step, [y - x for x, y in zip(second, third)])
    return [dot(a, b) / sqrt(dot(a, a) * dot(b, b) + tiny)]


@_operation
def torsion_cosines(call: Callable, first: Tensor, second: Tensor, third: Tensor, tiny: float = 1e-6) -> Tensor:
    def plain(*x: Tensor) -> Tensor:
        return OPS["torsion_cosines"]["reference"](*x, tiny)

    return _number(
        call(_torsion, plain, len(first), *((x, Input(3)) for x in (first, second, third)), constants=(tiny,))
    )
