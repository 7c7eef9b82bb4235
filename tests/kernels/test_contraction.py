"""The symmetric contraction against the contraction with the full, redundant couplings."""

import numpy as np
import pytest
import torch

from atomlab.architectures.spherical import coupling_basis, reduced_basis
from atomlab.kernels import element_linear, symmetric_contraction


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def full(x, weights, species, l_out):
    """Order by order with U itself: Σ_p w_p(Z) U_p x ... x."""
    out = 0
    for order, weight in enumerate(weights, 1):
        u = torch.tensor(coupling_basis(2, l_out, order))
        u = u if l_out else u[None]
        letters = "abc"[:order]
        terms = ",".join(f"n{letter}k" for letter in letters)
        out = out + torch.einsum(f"m{letters}p,npk,{terms}->nmk", u, weight[species], *[x] * order)
    return out


def reduced(weights, l_out):
    parts = [reduced_basis(coupling_basis(2, l_out, n), l_out, 1e-12) for n in range(1, len(weights) + 1)]
    size = sum(fold.shape[0] for _, _, fold in parts)
    basis = torch.zeros(sum(len(i) for i, _, _ in parts), 2 * l_out + 1, size, dtype=torch.float64)
    rows, column, short = 0, 0, []
    for (index, b, fold), weight in zip(parts, weights):
        basis[rows : rows + len(index), :, column : column + len(fold)] = torch.tensor(b)
        rows, column = rows + len(index), column + len(fold)
        short.append(torch.tensor(fold) @ weight)
    return torch.cat(short, dim=1), [torch.tensor(index) for index, _, _ in parts], basis


@pytest.mark.parametrize("l_out", [0, 1, 2])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("elements", [1, 3])
def test_the_short_basis_says_the_same(l_out, order, elements):
    x, species = random(5, 9, 2), torch.tensor([0, 2, 1, 0, 2]) % elements
    weights = [random(elements, coupling_basis(2, l_out, n).shape[-1], 2, seed=n) for n in range(1, order + 1)]
    short, index, basis = reduced(weights, l_out)
    found = symmetric_contraction(x, short, species, index, basis)
    expected = full(x, weights, species, l_out)
    assert found.shape == (5, 2 * l_out + 1, 2)
    assert torch.allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_first_and_second_derivatives():
    weights, index, basis = reduced([random(2, n, 1, seed=n) for n in (1, 3)], 0)
    species = torch.tensor([1, 0])
    inputs = (random(2, 9, 1).requires_grad_(True), weights.requires_grad_(True))

    def function(x, w):
        return symmetric_contraction(x, w, species, index, basis)

    assert torch.autograd.gradcheck(function, inputs) and torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("species", [[0, 0, 0], [2, 2, 2], [1, 0, 1], [2, 0, 1]])
def test_element_linear_takes_each_atoms_matrix(species):
    x, weight, species = random(3, 4, 2), random(3, 2, 5, seed=1), torch.tensor(species)
    found = element_linear(x, weight, species)
    assert np.allclose(found, np.einsum("amk,akn->amn", x, weight[species]), atol=1e-13)
    assert torch.allclose(element_linear(x, weight[:1], species * 0), x @ weight[0])
    inputs = (x.requires_grad_(True), weight.requires_grad_(True))
    assert torch.autograd.gradgradcheck(lambda a, b: element_linear(a, b, species), inputs)
