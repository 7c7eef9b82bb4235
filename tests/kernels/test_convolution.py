"""The convolution on edges against the plain sum that it is defined by."""

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from atomlab.architectures.spherical import tensor_paths, wigner_3j
from atomlab.build import build
from atomlab.graph import Needs
from atomlab.kernels import edge_convolution, half_edges, pair_sum, spherical_harmonics


def edges_of(atoms, cutoff=3.0):
    graph = build(atoms, Needs((cutoff,)))
    return graph, graph.edges[cutoff]


def couplings_of(paths):
    return [
        torch.tensor(math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3).transpose(2, 1, 0).reshape(2 * l3 + 1, -1))
        for l1, l2, l3 in paths
    ]


def problem(atoms, l_node, l_max, channels=2):
    graph, edges = edges_of(atoms)
    half, pair, against = half_edges(edges.reverse)
    d = graph.vectors(3.0)
    generator = torch.Generator().manual_seed(1)
    paths = tensor_paths(l_node, l_max)
    radial = torch.randn(len(half), len(paths), channels, generator=generator, dtype=torch.float64)
    y = spherical_harmonics(torch.nn.functional.normalize(d[half], dim=1), l_max)
    x = torch.randn(len(atoms), (l_node + 1) ** 2, channels, generator=generator, dtype=torch.float64)
    return graph, edges, pair, against, paths, radial, y, x


def plain(graph, edges, pair, paths, radial, x, l_max):
    """One edge after the other, one path after the other."""
    atoms, channels = x.shape[0], x.shape[2]
    y = spherical_harmonics(torch.nn.functional.normalize(graph.vectors(3.0), dim=1), l_max).numpy()
    parts = {n: np.zeros((atoms, 2 * path[2] + 1, channels)) for n, path in enumerate(paths)}
    for e in range(len(edges.i)):
        for n, (l1, l2, l3) in enumerate(paths):
            c = math.sqrt(2 * l3 + 1) * wigner_3j(l1, l2, l3)
            sender = x[edges.j[e], l1 * l1 : (l1 + 1) ** 2].numpy()
            product = np.einsum("abc,ak,b->ck", c, sender, y[e, l2 * l2 : (l2 + 1) ** 2])
            parts[n][edges.i[e]] += product * radial[pair[e], n].numpy()
    return [
        np.concatenate([parts[n] for n, path in enumerate(paths) if path[2] == l], axis=2) for l in range(l_max + 1)
    ]


CRYSTAL = bulk("Si", cubic=True)
CRYSTAL.rattle(0.2, seed=1)
STRUCTURES = {
    "crystal": CRYSTAL,
    "self-images": Atoms("Cu", cell=[2.5, 2.6, 2.7], pbc=True),
    "lonely atom beside a pair": Atoms("SiHSi", [[0, 0, 0], [30, 0, 0], [2.2, 0.3, 0.1]]),
}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize(("l_node", "l_max"), [(0, 0), (0, 2), (0, 3), (1, 1), (1, 3), (2, 3)])
def test_it_is_the_sum_over_edges(name, l_node, l_max):
    graph, edges, pair, against, paths, radial, y, x = problem(STRUCTURES[name], l_node, l_max)
    found = edge_convolution(radial, y, x, edges.i, edges.j, pair, against, paths, couplings_of(paths))
    expected = plain(graph, edges, pair, paths, radial, x, l_max)
    assert len(found) == l_max + 1
    for mine, theirs in zip(found, expected):
        assert mine.shape == theirs.shape and np.allclose(mine, theirs, atol=1e-11)


def test_no_edge_at_all_gives_zeros_with_a_derivative():
    _, edges, pair, against, paths, radial, y, x = problem(Atoms("H2", [[0, 0, 0], [9, 0, 0]]), 1, 2)
    x.requires_grad_(True)
    found = edge_convolution(radial, y, x, edges.i, edges.j, pair, against, paths, couplings_of(paths))
    assert all(torch.equal(part, torch.zeros_like(part)) for part in found)
    (slope,) = torch.autograd.grad(sum(part.sum() for part in found), x, allow_unused=True, materialize_grads=True)
    assert torch.equal(slope, torch.zeros_like(x))


@pytest.mark.parametrize(("l_node", "l_max"), [(0, 2), (1, 2)])
def test_first_and_second_derivatives(l_node, l_max):
    atoms = Atoms("SiO", [[0, 0, 0], [1.6, 0.3, 0]])
    _, edges, pair, against, paths, radial, y, x = problem(atoms, l_node, l_max, channels=1)

    def function(radial, y, x):
        return torch.cat([part.flatten() for part in call(radial, y, x)])

    def call(radial, y, x):
        return edge_convolution(radial, y, x, edges.i, edges.j, pair, against, paths, couplings_of(paths))

    inputs = tuple(value.requires_grad_(True) for value in (radial, y, x))
    assert torch.autograd.gradcheck(function, inputs) and torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("name", STRUCTURES)
def test_half_of_the_edges_stands_for_all(name):
    graph, edges = edges_of(STRUCTURES[name])
    half, pair, against = half_edges(edges.reverse)
    assert len(half) * 2 == len(edges.i)
    d = graph.vectors(3.0)
    sign = torch.where(against, -1.0, 1.0).double()
    assert torch.allclose(d[half][pair] * sign[:, None], d)
    assert torch.equal(pair[edges.reverse], pair) and torch.equal(against[edges.reverse], ~against)
    ends = pair_sum(torch.ones(len(half)), edges.i[half], edges.j[half], len(graph.numbers))
    assert torch.equal(ends.long(), torch.bincount(edges.i, minlength=len(graph.numbers)))
