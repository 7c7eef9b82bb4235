"""Coupling of angular momenta: the real 3j symbols and the bases of MACE's symmetric contraction, in float64 numpy.

Conventions are those of the published MACE models (e3nn 0.4.4): component-normalised real harmonics, y as polar axis,
3j symbols of Frobenius norm 1. Everything is made once per process and kept in memory.
"""

from __future__ import annotations

import functools
import math
from itertools import permutations

import numpy as np

__all__ = ["coupling_basis", "monomials", "reduced_basis", "tensor_paths", "wigner_3j"]

# The published models' symbols of these triples (any order) carry the opposite sign of Racah's recipe below.
_NEGATED = {(3, 4, 6), (4, 4, 5), (4, 5, 6), (5, 5, 5), (5, 6, 6)} | {(1, k, k) for k in range(2, 12)}


@functools.cache
def wigner_3j(l1: int, l2: int, l3: int) -> np.ndarray:
    """Real 3j symbol (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), norm 1; ValueError where the triangle rule forbids it."""
    if not abs(l1 - l2) <= l3 <= l1 + l2:
        raise ValueError(f"There is no coupling of {l1}, {l2} and {l3}.")
    q1, q2, q3 = _real_basis(l1), _real_basis(l2), _real_basis(l3)
    c = np.einsum("ij,kl,nm,ikn->jlm", q1, q2, q3.conj(), _clebsch_gordan(l1, l2, l3)).real
    c /= np.linalg.norm(c)
    c[np.abs(c) < 1e-14] = 0.0
    if tuple(sorted((l1, l2, l3))) in _NEGATED:
        c = -c
    c.setflags(write=False)
    return c


def _real_basis(l: int) -> np.ndarray:
    """Unitary matrix from complex to real harmonics, rows l + m."""
    q = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    q[l, l] = 1.0
    for m in range(1, l + 1):
        q[l - m, l + m], q[l - m, l - m] = math.sqrt(0.5), -1j * math.sqrt(0.5)
        q[l + m, l + m], q[l + m, l - m] = (-1) ** m * math.sqrt(0.5), 1j * (-1) ** m * math.sqrt(0.5)
    return (-1j) ** l * q


def _clebsch_gordan(l1: int, l2: int, l3: int) -> np.ndarray:
    c = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            c[l1 + m1, l2 + m2, l3 + m1 + m2] = _racah(l1, m1, l2, m2, l3)
    return c


def _racah(l1: int, m1: int, l2: int, m2: int, l3: int) -> float:
    """Racah's formula, in exact integers until the last step."""
    m3, f = m1 + m2, math.factorial
    top = (2 * l3 + 1) * f(l3 + l1 - l2) * f(l3 - l1 + l2) * f(l1 + l2 - l3) * f(l3 + m3) * f(l3 - m3)
    top *= f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    total = 0.0
    for k in range(max(0, l2 - l3 - m1, l1 - l3 + m2), min(l1 + l2 - l3, l1 - m1, l2 + m2) + 1):
        below = f(k) * f(l1 + l2 - l3 - k) * f(l1 - m1 - k) * f(l2 + m2 - k) * f(l3 - l2 + m1 + k) * f(l3 - l1 - m2 + k)
        total += (-1) ** k * math.sqrt(top / f(l1 + l2 + l3 + 1)) / below
    return total


@functools.cache
def tensor_paths(l_node: int, l_max: int) -> tuple[tuple[int, int, int], ...]:
    """The couplings (l1 of the sender, l2 of the edge, l3 of the message) of natural parity, sorted by l3."""
    found = [
        (l1, l2, l3)
        for l1 in range(l_node + 1)
        for l2 in range(l_max + 1)
        for l3 in range(abs(l1 - l2), min(l1 + l2, l_max) + 1)
        if (l1 + l2 + l3) % 2 == 0
    ]
    return tuple(sorted(found, key=lambda path: path[2]))


@functools.cache
def coupling_basis(l_max: int, l_out: int, order: int) -> np.ndarray:
    """MACE's `U_matrix`: ((2 l_out + 1,) + ((l_max + 1)^2,) * order + (paths,)), leading axis absent for l_out = 0.

    Products of `order` features with l = 0..l_max and natural parity are coupled left to right to l_out; the paths are
    not symmetrised, so they are redundant (see `reduced_basis`).
    """
    last = [c for l, parity, c in _chains(l_max, order, l_out) if l == l_out and parity == (-1) ** l_out]
    u = np.stack(last, axis=-1)
    u = u[0] if l_out == 0 else u
    u.setflags(write=False)
    return u


@functools.lru_cache(maxsize=32)
def _chains(l_max: int, order: int, only: int | None) -> list[tuple[int, int, np.ndarray]]:
    """All coupled products as (l, parity, coefficients (2 l + 1, M, ..., M)), stably sorted by (l, parity)."""
    size = (l_max + 1) ** 2
    if order == 1:
        eye = np.eye(size)
        return [(l, (-1) ** l, eye[l * l : (l + 1) ** 2]) for l in range(l_max + 1)]
    found = []
    for left, parity, c_left in _chains(l_max, order - 1, None):
        for right in range(l_max + 1):
            for l in range(abs(left - right), left + right + 1):
                if only is not None and (l != only or parity * (-1) ** right != (-1) ** only):
                    continue
                c = np.tensordot(math.sqrt(2 * l + 1) * wigner_3j(l, left, right), c_left, axes=(1, 0))
                whole = np.zeros((2 * l + 1, *(size,) * order))
                whole[..., right * right : (right + 1) ** 2] = np.moveaxis(c, 1, -1)
                found.append((l, parity * (-1) ** right, whole))
    return sorted(found, key=lambda item: item[:2])


@functools.cache
def monomials(size: int, order: int) -> np.ndarray:
    """Sorted index tuples a <= b <= ... of all products of `order` among `size` variables, (n, order)."""
    grid = np.stack(np.meshgrid(*[np.arange(size)] * order, indexing="ij"), -1).reshape(-1, order)
    return grid[(np.diff(grid, axis=1) >= 0).all(axis=1)]


def reduced_basis(u: np.ndarray, l_out: int, rtol: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The short symmetric basis of one coupling tensor: index (n, order), basis (n, 2 l_out + 1, r), fold (r, paths).

    A product of features does not know their order, so U acts only through its symmetric part; of its `paths` columns
    only r are independent: symmetric(U) = basis @ fold. `rtol` is the relative singular value below which a direction
    counts as rounding.
    """
    u = u[None] if l_out == 0 else u
    order, size, paths = u.ndim - 2, u.shape[1], u.shape[-1]
    symmetric = sum(np.transpose(u, (0, *(1 + k for k in p), order + 1)) for p in permutations(range(order)))
    index = monomials(size, order)
    # each sorted tuple stands for all its orderings; `symmetric` counts order! of them, tuples with equal entries fewer
    repeats = np.array([np.prod([math.factorial(n) for n in np.unique(row, return_counts=True)[1]]) for row in index])
    rows = symmetric[(slice(None), *index.T)] / repeats[None, :, None]
    scale = np.abs(rows).max(initial=0.0)
    used = np.abs(rows).max(axis=(0, 2)) > rtol * scale if scale > 0 else np.zeros(len(index), bool)
    index, rows = index[used], np.moveaxis(rows[:, used], 0, 1)
    left, values, right = np.linalg.svd(rows.reshape(-1, paths), full_matrices=False)
    rank = int((values > rtol * values.max(initial=0.0)).sum()) if values.size else 0
    basis = (left[:, :rank] * values[:rank]).reshape(len(index), 2 * l_out + 1, rank)
    return index, basis, right[:rank]
