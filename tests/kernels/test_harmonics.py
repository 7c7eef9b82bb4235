"""Spherical harmonics: against e3nn, their norm, parity and derivatives."""

import math

import pytest
import torch

from atomlab.kernels import spherical_harmonics


def directions(n=20):
    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(n, 3, generator=generator, dtype=torch.float64), dim=1)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3])
def test_they_are_e3nns(l_max):
    o3 = pytest.importorskip("e3nn.o3")
    u = directions()
    expected = o3.spherical_harmonics(list(range(l_max + 1)), u, normalize=False, normalization="component")
    assert torch.allclose(spherical_harmonics(u, l_max), expected, atol=1e-13)


def test_each_l_has_its_norm_and_parity():
    u = directions()
    y, back = spherical_harmonics(u, 3), spherical_harmonics(-u, 3)
    for l in range(4):
        part = slice(l * l, (l + 1) ** 2)
        assert torch.allclose(y[:, part].square().sum(1), torch.full((20,), 2.0 * l + 1, dtype=torch.float64))
        assert torch.allclose(back[:, part], (-1) ** l * y[:, part])
    assert torch.allclose(y[:, 1:4], math.sqrt(3.0) * u)


def test_they_are_orthogonal_on_the_sphere():
    """A quadrature that is exact to degree 7: Gauss-Legendre in y, equal steps around it."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(5)
    angles = 2 * np.pi * np.arange(9) / 9
    y, phi = np.meshgrid(nodes, angles, indexing="ij")
    s = np.sqrt(1 - y**2)
    u = torch.tensor(np.stack([s * np.sin(phi), y, s * np.cos(phi)], -1).reshape(-1, 3))
    w = torch.tensor(np.repeat(weights, 9) / 18)
    values = spherical_harmonics(u, 3)
    assert torch.allclose(values.t() @ (w[:, None] * values), torch.eye(16, dtype=torch.float64), atol=1e-13)


def test_second_derivatives():
    u = directions(3).requires_grad_(True)
    assert torch.autograd.gradgradcheck(lambda x: spherical_harmonics(x / x.norm(dim=1, keepdim=True), 3), (u,))


def test_no_edges():
    assert spherical_harmonics(torch.zeros(0, 3), 2).shape == (0, 9)
