"""Batches hold each structure once, within their budget, in an order that only seed and epoch decide."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

import atomlab
from atomlab.data.loader import batch_indices, batches
from atomlab.errors import InputError
from atomlab.graph import Needs

NEEDS = Needs((3.5,), ((3.5, 3.0),))


@pytest.fixture
def mixed(silicon):
    return atomlab.read([*silicon, molecule("H2O"), bulk("Si", cubic=True).repeat((2, 1, 1)), molecule("CH4")])


def test_each_structure_once_and_labels_in_place(mixed):
    graphs = list(batches(mixed, NEEDS, structures=4, shuffle=True, seed=1))
    assert [g.size for g in graphs] == [4, 4, 1]
    energies = torch.cat([g.labels["energy"] for g in graphs if "energy" in g.labels])
    known = energies[~torch.isnan(energies)]
    assert sorted(known.tolist()) == sorted(a.info["REF_energy"] for a in mixed if "REF_energy" in a.info)
    plain = next(batches(mixed, NEEDS, structures=7))
    assert plain.positions.dtype == torch.float64 and torch.isnan(plain.labels["energy"][6])
    assert torch.isnan(plain.labels["forces"][-3:]).all()
    assert np.array_equal(plain.labels["forces"][:8].numpy(), mixed[0].arrays["REF_forces"])
    assert np.array_equal(plain.labels["stress"][0].numpy(), mixed[0].info["REF_stress"])


def test_order(mixed):
    def order(**kw):
        return [k for batch in batch_indices(mixed, structures=2, **kw) for k in batch]

    assert order() == list(range(9))
    assert order(shuffle=True, seed=0) == [7, 4, 1, 8, 2, 3, 0, 6, 5]
    assert order(shuffle=True, seed=0, epoch=1) != order(shuffle=True, seed=0) != order(shuffle=True, seed=1)
    assert sorted(order(shuffle=True, epoch=5)) == list(range(9))


@pytest.mark.parametrize("limit", [{"atoms": 20}, {"edges": 300}, {"structures": 2, "atoms": 20}])
def test_budgets(mixed, limit):
    graphs = list(batches(mixed, NEEDS, **limit))
    assert sum(g.size for g in graphs) == 9
    for g in graphs:
        assert len(g.numbers) <= limit.get("atoms", 10**9) or g.size == 1
        assert len(g.edges[3.5].i) <= limit.get("edges", 10**9) or g.size == 1
        assert g.size <= limit.get("structures", 10**9)


def test_a_structure_larger_than_the_budget_is_told(mixed):
    with pytest.warns(UserWarning, match="Structure 7 alone"):
        assert [7] in batch_indices(mixed, atoms=15)
    with pytest.raises(InputError, match="at least one"):
        batch_indices(mixed, atoms=0)


def test_graphs_are_built_once_and_shared_with_parts(mixed, monkeypatch):
    import atomlab.data.loader as loader

    built = []
    original = loader.build
    monkeypatch.setattr(loader, "build", lambda *a, **k: built.append(1) or original(*a, **k))
    for epoch in range(3):
        list(batches(mixed, NEEDS, structures=3, shuffle=True, epoch=epoch))
    list(batches(mixed.split(valid=0.3).train, NEEDS))
    assert len(built) == 9
    list(batches(mixed, NEEDS, cache=False))
    assert len(built) == 9
    list(batches(mixed, Needs((2.0,)), cache=False))
    list(batches(mixed, Needs((2.0,)), cache=False))
    assert len(built) == 27


def test_heads(mixed):
    assert next(batches(mixed, NEEDS, structures=9, head=2)).head.tolist() == [2] * 9
    heads = [0, 1] * 4 + [0]
    assert next(batches(mixed, NEEDS, structures=9, head=heads)).head.tolist() == heads
    assert next(batches(mixed, NEEDS, structures=9)).head.tolist() == [0] * 9
    with pytest.raises(InputError, match="one for each structure"):
        next(batches(mixed, NEEDS, head=[0, 1]))
