"""Radial functions against their formulas, at their ends, and in their derivatives."""

import math

import numpy as np
import pytest
import torch
from ase.data import covalent_radii
from ase.units import _e, _eps0

from atomlab.kernels import agnesi_transform, bessel, polynomial_envelope, soft_transform, zbl

R = torch.linspace(0.4, 4.9, 12, dtype=torch.float64)


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


def test_bessel_functions_are_orthonormal_in_the_ball():
    cutoff = 4.0
    frequencies = torch.arange(1, 5, dtype=torch.float64) * math.pi / cutoff
    r = torch.linspace(1e-9, cutoff, 20001, dtype=torch.float64)
    b = bessel(r, frequencies, tensor(math.sqrt(2 / cutoff)))
    overlap = torch.trapezoid(r[:, None, None] ** 2 * b[:, :, None] * b[:, None], r, dim=0)
    assert torch.allclose(overlap, torch.eye(4, dtype=torch.float64), atol=1e-6)
    assert b[-1].abs().max() < 1e-15


@pytest.mark.parametrize("p", [1, 2, 3, 5, 6, 8])
def test_envelope_ends_flat_and_starts_at_one(p):
    x = torch.tensor([0.0, 0.3, 0.999999, 1.0, 1.7], dtype=torch.float64, requires_grad=True)
    u = polynomial_envelope(x, p)
    expected = 1 - (p + 1) * (p + 2) / 2 * 0.3**p + p * (p + 2) * 0.3 ** (p + 1) - p * (p + 1) / 2 * 0.3 ** (p + 2)
    assert u[0] == 1 and float(u[1].detach()) == pytest.approx(expected, rel=1e-13)
    assert abs(float(u[2].detach())) < 1e-14 and u[3] == 0 and u[4] == 0
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), x)
    assert abs(float(slope[2].detach())) < 1e-9 and abs(float(curve[2])) < 1e-3
    assert slope[4] == 0 and float(curve[4]) == 0


def test_agnesi_transform():
    a, q, p, r0 = 1.0805, 0.9183, 4.5791, 0.9
    s = R.numpy() / r0
    expected = 1 / (1 + a * s**q / (1 + s ** (q - p)))
    found = agnesi_transform(R, torch.full_like(R, r0), tensor(a), tensor(p), tensor(q))
    assert np.allclose(found, expected, rtol=1e-13)


def test_soft_transform():
    r0 = 2.2
    p0, p1 = 0.75 * r0, 4 / 3 * r0
    r = R.numpy()
    expected = p0 + (r - p0) * (1 + np.tanh(4 * (r - (p0 + p1) / 2) / (p1 - p0))) / 2
    found = soft_transform(R, torch.full_like(R, r0), tensor(4.0))
    assert np.allclose(found, expected, rtol=1e-13)
    assert float(found[-1]) == pytest.approx(4.9, abs=1e-3) and float(found[0]) > R[0]


CONSTANTS = {
    "c": torch.tensor([0.1818, 0.5099, 0.2802, 0.02817], dtype=torch.float64),
    "a_exp": torch.tensor(0.3, dtype=torch.float64),
    "a_prefactor": torch.tensor(0.4543, dtype=torch.float64),
    "p": 5,
}


def test_zbl_is_coulombs_law_screened():
    zi, zj = 22, 8
    reach = covalent_radii[zi] + covalent_radii[zj]
    r = np.array([0.02, 0.5, 1.1, 1.9, reach - 1e-4, reach, 3.0])
    a = 0.4543 * 0.529 / (zi**0.3 + zj**0.3)
    rates, c = np.array([3.2, 0.9423, 0.4028, 0.2016]), np.array([0.1818, 0.5099, 0.2802, 0.02817])
    x = r / reach
    envelope = np.where(x < 1, 1 - 21 * x**5 + 35 * x**6 - 15 * x**7, 0)
    expected = 14.3996 * zi * zj / r * (np.exp(-np.outer(r / a, rates)) @ c) * envelope
    full = torch.ones(len(r), dtype=torch.int64)
    found = zbl(torch.tensor(r), zi * full, zj * full, torch.full((len(r),), reach, dtype=torch.float64), **CONSTANTS)
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-13) and found[-1] == 0 and found[-2] == 0
    coulomb = _e / (4 * np.pi * _eps0) * 1e10
    assert coulomb == pytest.approx(14.3996, rel=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda r: bessel(r, torch.tensor([0.7, 1.9], dtype=torch.float64), tensor(0.6)),
        lambda r: polynomial_envelope(r / 5.0, 5),
        lambda r: agnesi_transform(r, torch.full_like(r, 0.9), tensor(1.0805), tensor(4.5791), tensor(0.9183)),
        lambda r: soft_transform(r, torch.full_like(r, 2.2), tensor(4.0)),
        lambda r: zbl(r, torch.full((12,), 14), torch.full((12,), 8), torch.full_like(r, 3.1), **CONSTANTS),
    ],
    ids=["bessel", "envelope", "agnesi", "soft", "zbl"],
)
def test_first_and_second_derivatives(function):
    r = R.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(function, (r,)) and torch.autograd.gradgradcheck(function, (r,))
    assert function(R.float().double()).isfinite().all()
