"""MBNN and AtomFT: published parameter counts, physics, descriptors against plain loops, the bound, the frozen base."""

import itertools
import math

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from atomlab.analysis.health.structures import cluster, crystal, random_cell
from atomlab.architectures import create
from atomlab.architectures.atomft import AtomFT
from atomlab.architectures.manybody import default_functions
from atomlab.architectures.mbnn import MBNN
from atomlab.architectures.ptsd import Descriptors, default_descriptors
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.graph import Needs
from atomlab.potential import outputs
from atomlab.testing import check_potential

PAPER_PAIRS = {"pair_hidden": (64, 64), "pair_inputs": 64}


def small(seed=0, **kw):
    torch.manual_seed(seed)
    return MBNN(elements=[6, 8], hidden=(12,), **kw).double()


def count(parameters):
    return sum(p.numel() for p in parameters)


def rows_for(n):
    """At least n descriptors of the first kind; which ones does not matter for a count."""
    return [{"kind": "S1", "n": k % 7, "cutoff": 5.0} for k in range(n)]


def test_published_parameter_counts():
    titania = MBNN(
        elements=[22, 8],
        descriptors=rows_for(87),
        descriptor_count={22: 174, 8: 173},
        hidden=(128, 128, 80),
        **PAPER_PAIRS,
    )
    assert count(titania.parameters()) == 114986
    organic = MBNN(
        elements=[6, 1, 8, 7],
        descriptors=rows_for(134),
        descriptor_count=dict.fromkeys((6, 1, 8, 7), 535),
        hidden=(144, 144, 144),
        **PAPER_PAIRS,
    )
    assert count(organic.parameters()) == 511236
    for base, readout, slope, constant in ((titania, (144, 80), 42260, 18305), (organic, (80, 80), 84520, 10241)):
        for blocks in (0, 1, 3):
            tuned = AtomFT(base, blocks=blocks, readout=readout)
            assert count(p for p in tuned.parameters() if p.requires_grad) == slope * blocks + constant


def test_default_functions_are_the_papers_45():
    kinds = [row["kind"] for row in default_functions()]
    assert len(kinds) == 45 and kinds.count("single") == 1 and kinds.count("pair") == 16
    assert kinds.count("two") + kinds.count("spherical") == 20 and kinds.count("three") == 8


def test_descriptors_against_plain_loops():
    atoms = cluster([6, 8], 5, seed=1)
    rc = 4.0
    rows = [
        {"kind": "S1", "n": -2, "cutoff": rc},
        {"kind": "S3", "n": 0, "m": 1, "p": -1, "zeta": 2, "lam": -1, "cutoff": rc},
        {"kind": "S4", "n": 0, "m": 2, "zeta": 4, "lam": 1, "cutoff": rc},
        {"kind": "S6", "n": 0, "m": 1, "p": 2, "zeta": 1, "lam": 1, "cutoff": rc},
    ]
    species = np.array([[6, 8].index(z) for z in atoms.numbers])
    graph = build(atoms, Needs((rc,), ((rc, rc),)))
    ours = Descriptors(rows, 2, rc, rc)(graph, torch.tensor(species)).numpy()
    x = atoms.positions

    def radial(r, n):
        return 0.5 * max(0.0, math.tanh(1 - r / rc)) ** 3 * r**n

    def length(a, b):
        return np.linalg.norm(x[b] - x[a])

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    pairs, triples = [(0, 0), (0, 1), (1, 1)], list(itertools.combinations_with_replacement(range(2), 3))
    expected = np.zeros((5, 2 + 3 + 3 + 4))
    for i in range(5):
        near = [j for j in range(5) if j != i and length(i, j) < rc]
        for j in near:
            expected[i, species[j]] += radial(length(i, j), -2)
        for j, k in itertools.permutations(near, 2):
            c, p = cosine(x[j] - x[i], x[k] - x[i]), pairs.index(tuple(sorted((species[j], species[k]))))
            rij, rik, rjk = length(i, j), length(i, k), length(j, k)
            expected[i, 2 + p] += 0.5 * (1 - c) ** 2 * radial(rij, 0) * radial(rik, 1) * radial(rjk, -1)
            expected[i, 5 + p] += 2**-3 * (1 + c) ** 4 * radial(rij, 0) * radial(rik, 2)
        for j, k, m in itertools.permutations(near, 3):
            n1, n2 = np.cross(x[j] - x[i], x[k] - x[j]), np.cross(x[k] - x[j], x[m] - x[k])
            t = triples.index(tuple(sorted((species[j], species[k], species[m]))))
            radii = radial(length(i, j), 0) * radial(length(i, k), 1) * radial(length(i, m), 2)
            expected[i, 8 + t] += (1 + cosine(n1, n2)) * radii
    assert np.abs(expected).max() > 0.01
    assert ours == pytest.approx(expected, abs=1e-6)


def test_two_body_and_three_body_energies_by_plain_loops():
    model = small(
        functions=[
            {"kind": "two", "power": 3, "cutoff": 4.0},
            {"kind": "three", "power": 1, "degree": 2, "cutoff": 3.5},
        ]
    )
    atoms = cluster([6, 8], 5, seed=2)
    graph = build(atoms, model.needs)
    c = torch.randn(5, 2, dtype=torch.float64)
    ours = model.functions(model.functions.radial(graph), c).detach().numpy()
    x, c = atoms.positions, c.numpy()

    def term(r, n, rc):
        return max(0.0, math.tanh(1 - r / rc)) ** 3 * r**n

    expected = np.zeros((5, 2))
    for i, j in itertools.permutations(range(5), 2):
        expected[i, 0] += 0.1 * c[i, 0] * c[j, 0] * term(np.linalg.norm(x[j] - x[i]), -3, 4.0)
    for i, j, k in itertools.permutations(range(5), 3):
        a, b = x[j] - x[i], x[k] - x[i]
        r = [np.linalg.norm(v) for v in (a, b, x[k] - x[j])]
        angle = (2 + a @ b / r[0] / r[1]) ** 2
        expected[i, 1] += 0.1 * c[i, 1] * (c[j, 1] + c[k, 1]) * angle * np.prod([term(v, -1, 3.5) for v in r])
    assert np.abs(expected[:, 1]).max() > 1e-9
    assert ours == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("wrapped", [False, True], ids=["mbnn", "atomft"])
def test_the_promises_of_a_potential(wrapped):
    base = small(descriptors=default_descriptors(4.0, 3.0), functions=default_functions(4.0, 3.0))
    check_potential(trained(base) if wrapped else base)


def trained(base, **kw):
    """AtomFT with a readout that is not 0, as after training."""
    model = AtomFT(base, **kw)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.readout[-1].parameters():
            p.copy_(torch.randn_like(p))
    return model


def test_second_derivatives_by_differences():
    model = trained(small())
    atoms = cluster([6, 8], 3, seed=4)
    graph = build(atoms, model.needs)

    def energy(positions):
        return model.energy(graph.moved(positions))

    assert torch.autograd.gradgradcheck(energy, graph.positions.clone().requires_grad_(True), atol=1e-6)


def test_awkward_structures():
    model = trained(small())
    frames = [Atoms("O"), Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]), Atoms("CO2", [[0, 0, 0], [0, 0, 1.2], [0, 0, -1.2]])]
    frames += [Atoms("C", cell=[2.5, 2.5, 2.5], pbc=True), Atoms("C", cell=[2.5, 0, 0], pbc=[1, 0, 0])]
    out = outputs(model, build(frames, model.needs), ("energy", "forces", "virial"))
    for value in (out.energy, out.forces, out.virial):
        assert torch.isfinite(value).all()


def test_starts_at_the_base_and_leaves_it_untouched():
    base = small()
    before = {k: v.clone() for k, v in base.state_dict().items()}
    model = AtomFT(base)
    graph = build([cluster([6, 8], 6, seed=5), random_cell([6, 8], seed=6)], model.needs)
    assert torch.equal(model.energy(graph), base.energy(graph))
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    for _ in range(3):
        out = outputs(model, graph, create_graph=True)
        (out.forces.square().sum() + out.energy.sum()).backward()
        optimiser.step()
    assert not base.training
    assert not torch.equal(model.energy(graph), base.energy(graph))
    assert all(torch.equal(v, before[k]) for k, v in base.state_dict().items())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.4, 3.0), st.floats(1.0, 1e3))
def test_the_correction_is_bounded_for_every_input(seed, squeeze, weights):
    pairs = [{"kind": "S1", "n": n, "cutoff": 4.0} for n in (-4, -1, 2)]
    model = trained(small(descriptors=pairs), alpha=0.15)
    with torch.no_grad():
        for p in model.readout.parameters():
            p.mul_(weights)
    atoms = cluster([6, 8], 6, seed=seed)
    atoms.positions *= squeeze
    graph = build(atoms, model.needs)
    # the difference of two energies is exact to their last digits only
    rounding = 1e-12 * model.base(graph).atoms.abs()
    assert (model.correction(graph).abs() <= 0.15 + rounding).all()


def test_a_base_without_features_is_refused():
    base = create("stillinger-weber", elements=["Si"])
    with pytest.raises(InputError, match="features"):
        AtomFT(base)


def test_standardise_centres_what_varies():
    model = small()
    graphs = [build(crystal(6, rattle=0.1, seed=k), model.needs) for k in range(3)]
    model.standardise(graphs)
    x = torch.cat([model.descriptors(g, model.species(g)) for g in graphs])
    z = (x - model.mean[0]) / model.spread[0]
    assert z.mean(0).abs().max() < 1e-8
    assert ((z.std(0, correction=0) - 1).abs() < 1e-6).sum() > 10


def test_wrong_settings_are_refused_in_words():
    with pytest.raises(InputError, match="S7"):
        small(descriptors=[{"kind": "S7", "cutoff": 4.0}])
    with pytest.raises(InputError, match="other settings"):
        small(functions=[{"kind": "two", "cutoff": 4.0}])
    with pytest.raises(InputError, match="that many"):
        small(descriptor_count={6: 10**6})
    with pytest.raises(InputError, match="alpha"):
        AtomFT(small(), alpha=0)
