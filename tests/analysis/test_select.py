"""Farthest points: the definition in loops, blocks, what is known already, and repeats."""

import numpy as np
import pytest
from ase.build import bulk

from analysis.toy import Toy
from atomlab import errors
from atomlab.analysis import select
from atomlab.analysis.select import averages, farthest_points, farthest_structures
from atomlab.errors import InputError


@pytest.fixture(autouse=True)
def fresh_notices(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("rows", [10**6, 7])
def test_each_is_the_farthest_from_all_before(metric, rows, monkeypatch, tmp_path):
    monkeypatch.setattr(select, "ROWS", rows)
    values = np.random.default_rng(0).normal(size=(60, 5)) + 1.0
    np.save(tmp_path / "values.npy", values)
    order, distance = farthest_points(np.load(tmp_path / "values.npy", mmap_mode="r"), 12, metric=metric)
    x = values / np.linalg.norm(values, axis=1, keepdims=True) if metric == "cosine" else values
    assert order[0] == np.argmax(np.linalg.norm(x - x.mean(0), axis=1))
    for k in range(1, 12):
        gap = np.linalg.norm(x[:, None] - x[order[:k]][None], axis=2).min(1)
        assert order[k] == np.argmax(gap) and distance[k] == pytest.approx(gap.max())
    assert (np.diff(distance[1:]) <= 1e-12).all() and len(set(order.tolist())) == 12


def test_it_begins_with_what_is_least_like_the_known():
    values = np.array([[0.0], [1.0], [5.0], [9.0]])
    order, distance = farthest_points(values, 3, known=np.array([[0.1], [8.0]]))
    assert order.tolist() == [2, 3, 1] and distance.tolist() == pytest.approx([3.0, 1.0, 0.9])


def test_repeats_are_not_taken_and_it_is_said():
    values = np.repeat(np.eye(3), 4, axis=0)
    with pytest.warns(errors.Notice, match="3 of the 9 wanted"):
        order, _ = farthest_points(values, 9)
    assert len({int(k) // 4 for k in order}) == 3 == len(order)
    assert len(farthest_points(values, 2, known=np.eye(3))[0]) == 0
    assert farthest_points(np.ones((5, 2)), 1)[0].tolist() == [0]


def test_structures_are_compared_by_their_mean_environment():
    def silicon(seed, stretch=1.0):
        atoms = bulk("Si", cubic=True)
        atoms.set_cell(atoms.cell * stretch, scale_atoms=True)
        atoms.rattle(0.03, seed=seed)
        return atoms

    pool = [silicon(0), silicon(1), silicon(2, 1.2), silicon(3), silicon(4, 0.9)]
    assert set(farthest_structures(Toy(), pool, 3)[:2].tolist()) == {2, 4}
    assert farthest_structures(Toy(), pool, 1, known=[silicon(9, 0.9), silicon(8)]).tolist() == [2]
    from atomlab.analysis.descriptors import describe

    found = averages(describe(Toy(), pool))
    assert found.shape == (5, 12)
    np.testing.assert_allclose(averages(describe(Toy(), [pool[1].repeat((2, 1, 1))])), found[1:2], rtol=1e-10)


def test_wrong_choices_are_said():
    with pytest.raises(InputError, match="no such distance"):
        farthest_points(np.eye(3), 2, metric="manhattan")
    with pytest.raises(InputError, match="At least one row"):
        farthest_points(np.zeros((0, 3)), 2)
