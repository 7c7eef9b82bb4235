"""Gaussian orbitals of neighbours, their sums at each atom, and the messages that carry them."""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ..autograd import Rule, apply
from ..dispatch import implements
from ..reference.orbitals import carried_orbitals as carried_reference
from ..reference.orbitals import embedded_orbitals as embedded_reference
from ..reference.orbitals import orbital_message as message_reference
from ..reference.orbitals import orbital_waves as waves_reference
from .arrays import copies, flat, real, sorted_rows
from .compiled import library, template
from .exponential import STAMP
from .simd import width
from .threads import over_rows, shares

MOST = 20  # components: the monomials of degrees 0 to 3


@functools.cache
def _text(dtype: str, wide: int, components: int) -> str:
    return template("orbitals", {"C": components}, REAL=dtype, WIDTH=wide, COMPONENTS=components, STAMP=STAMP)


@functools.cache
def _carried_text(dtype: str, wide: int, components: int) -> str:
    return template("carried", {"C": components}, REAL=dtype, WIDTH=wide, COMPONENTS=components)


def loops(components: int, *tensors: Tensor, name: str = "orbitals") -> ModuleType | None:
    """The compiled loops for tensors of one type, the first with waves innermost; None where there are none."""
    dtype, like = real(tensors[0]), tensors[0]
    if dtype is None or any(t.dtype != like.dtype or t.device != like.device or t.numel() == 0 for t in tensors):
        return None
    wide = width(like.shape[-1], dtype)
    text = _carried_text if name == "carried" else _text
    return library(f"{name}_{dtype}_{wide}_{components}", text(dtype, wide, components))


def _zeros(v, x):
    return [torch.zeros_like(t) if part is None else part for part, t in zip(v, x)]


class Waves(Rule):
    """x: lengths, envelope (E,), width, centre (K, M)."""

    def __init__(self, code: ModuleType, species: Tensor):
        self.code, self.species = code, species

    def forward(self, x):
        size = x[2].shape[1]
        out = x[0].new_empty((len(x[0]), size))
        arrays = (size, self.species.numpy(), *map(flat, x), flat(out))
        over_rows(self.code.waves, len(x[0]), *arrays, work=self._work(x))
        return (out,)

    def backward(self, g, x, wanted):
        to_all = wanted[2] or wanted[3]
        out = self._run(self.code.waves_backward, x, (flat(g[0]), to_all), to_all)
        return out if to_all else (*out[:2], None, None)

    def double(self, v, g, x, wanted):
        if v[2] is not None or v[3] is not None:
            return super().double(v, g, x, wanted)
        dg = torch.empty_like(g[0])
        return (dg,), self._run(self.code.waves_double, x, map(flat, (*_zeros(v[:2], x), g[0], dg)), True)

    def _run(self, function, x, given, to_all):
        """Gradients of x; those of width and centre (K, M) are summed over threads, if they are asked for."""
        cuts = np.array(shares(len(x[0]), self._work(x)))
        parts = [copies(t, len(cuts) - 1) if to_all else t.new_empty(0) for t in x[2:]]
        ends = [torch.empty_like(t) for t in x[:2]]
        arrays = (*x[2].shape, self.species.numpy(), *map(flat, x), *given, *map(flat, (*ends, *parts)))
        over_rows(function, len(cuts) - 1, cuts, *arrays, work=self._work(x))
        return (*ends, *(part.sum(0) for part in parts))

    def _work(self, x) -> int:
        return 20 * len(x[0]) * x[2].shape[1]

    def reference(self, *x):
        return (waves_reference.__wrapped__(*x, self.species),)


class OfEdges(Rule):
    """What sums over edges that senders j take part in; `senders`: which x belong to them, not to edges."""

    names: str
    senders: tuple[int, ...]

    def __init__(self, code: ModuleType, i: Tensor, j: Tensor, shape: tuple[int, int, int]):
        self.code, self.i, self.j, self.shape = code, i, j, shape

    def forward(self, x):
        first, order = sorted_rows(self.i, self.shape[0])
        out = x[0].new_empty(self.shape)
        arrays = (self.shape[0], self.shape[2], first, order, self.j.numpy(), *map(flat, x), flat(out))
        over_rows(getattr(self.code, self.names), self.shape[0], *arrays, work=self._work(), ends=first)
        return (out,)

    def backward(self, g, x, wanted):
        return self._run("backward", x, (flat(g[0]),))

    def double(self, v, g, x, wanted):
        dg = torch.empty_like(g[0])
        return (dg,), self._run("double", x, map(flat, (*_zeros(v, x), g[0], dg)))

    def _run(self, order_of, x, given, but=()):
        """Gradients of x, without those of `but`; the senders' are summed over threads."""
        first, order = sorted_rows(self.i, self.shape[0])
        cuts = np.array(shares(self.shape[0], self._work(), first))
        many = len(cuts) - 1
        out = [copies(t, many if n in self.senders else 1) if n not in but else t.new_empty(0) for n, t in enumerate(x)]
        arrays = (self.shape[0], self.shape[2], first, order, self.j.numpy(), *map(flat, x), *given, *map(flat, out))
        over_rows(getattr(self.code, f"{self.names}_{order_of}"), many, cuts, *arrays, work=self._work())
        return tuple(None if n in but else t[0] if len(t) == 1 else t.sum(0) for n, t in enumerate(out))

    def _work(self) -> int:
        return 4 * len(self.i) * self.shape[1] * self.shape[2]


class Orbitals(OfEdges):
    """x: angular (E, C), radial (E, M), coefficient (A, M)."""

    names, senders = "sums", (2,)

    def backward(self, g, x, wanted):
        return self._run("backward", x, (flat(g[0]), wanted[2]), () if wanted[2] else (2,))

    def reference(self, *x):
        return (embedded_reference.__wrapped__(*x, self.i, self.j),)


class Messages(OfEdges):
    """x: orbitals (A, C, M), weight (E,)."""

    names, senders = "messages", (0,)

    def reference(self, *x):
        return (message_reference.__wrapped__(*x, self.i, self.j),)


class Carried(OfEdges):
    """x: angular (E, C), radial (E, M), coefficient (A, M), carried (A, C, M), weight (E,)."""

    names, senders = "carried_sums", (2, 3)

    def reference(self, *x):
        return (carried_reference.__wrapped__(*x, self.i, self.j),)


@implements("numba", "orbital_waves")
def orbital_waves(lengths: Tensor, envelope: Tensor, width: Tensor, centre: Tensor, species: Tensor) -> Tensor:
    code = loops(1, width, centre, lengths, envelope)
    return NotImplemented if code is None else apply(Waves(code, species), lengths, envelope, width, centre)[0]


@implements("numba", "embedded_orbitals")
def embedded_orbitals(angular: Tensor, radial: Tensor, coefficient: Tensor, i: Tensor, j: Tensor) -> Tensor:
    components = angular.shape[1]
    code = loops(components, radial, coefficient, angular) if components <= MOST else None
    if code is None:
        return NotImplemented
    shape = (len(coefficient), components, radial.shape[1])
    return apply(Orbitals(code, i, j, shape), angular, radial, coefficient)[0]


@implements("numba", "orbital_message")
def orbital_message(orbitals: Tensor, weight: Tensor, i: Tensor, j: Tensor) -> Tensor:
    code = loops(orbitals.shape[1], orbitals, weight) if orbitals.shape[1] <= MOST else None
    return NotImplemented if code is None else apply(Messages(code, i, j, tuple(orbitals.shape)), orbitals, weight)[0]


@implements("numba", "carried_orbitals")
def carried_orbitals(
    angular: Tensor, radial: Tensor, coefficient: Tensor, carried: Tensor, weight: Tensor, i: Tensor, j: Tensor
) -> Tensor:
    x, components = (angular, radial, coefficient, carried, weight), angular.shape[1]
    code = loops(components, radial, *x, name="carried") if components <= MOST else None
    return NotImplemented if code is None else apply(Carried(code, i, j, tuple(carried.shape)), *x)[0]
