"""The pair list against ASE's in awkward cells, the skin list against a fresh search, triplets against brute force."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import neighbor_list

from atomlab.errors import InputError
from atomlab.neighbours import SkinList, pairs, triplets


def cases():
    rng = np.random.default_rng(0)
    si = bulk("Si", cubic=True) * 2
    si.rattle(0.1, seed=1)
    yield "silicon", si, 5.0
    yield "one atom", bulk("Cu"), 5.0
    yield "cell smaller than the cutoff", bulk("Al", cubic=True), 9.0
    slab = fcc111("Cu", (2, 2, 3), vacuum=6)
    yield (
        "slab without a third vector",
        Atoms(slab.numbers, slab.positions, cell=[*slab.cell[:2], [0, 0, 0]], pbc=[1, 1, 0]),
        5.0,
    )
    yield "slab", slab, 5.0
    yield "molecule", molecule("CH3CH2OH"), 4.0
    yield "chain", Atoms("C2", [[0, 0, 0], [1.3, 0, 0]], cell=[2.6, 0, 0], pbc=[1, 0, 0]), 4.0
    skewed = Atoms("Si4", rng.random((4, 3)) * 3, cell=[[3, 0, 0], [2.5, 2, 0], [1, 1.5, 2.5]], pbc=True)
    yield "skewed", skewed, 6.0
    yield "left-handed", Atoms("Si4", rng.random((4, 3)) * 3, cell=-np.eye(3) * 4, pbc=True), 5.0
    far = si.copy()
    far.positions += rng.integers(-3, 4, (len(far), 3)) @ far.cell.array
    yield "unwrapped", far, 4.0
    yield "isolated atom", Atoms("H"), 5.0


@pytest.mark.parametrize("name,atoms,cutoff", list(cases()), ids=[c[0] for c in cases()])
def test_same_pairs_as_ase(name, atoms, cutoff):
    ours = pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    i, j, s = neighbor_list("ijS", atoms, cutoff)
    assert sorted(zip(ours.i, ours.j, *ours.shift.T)) == sorted(zip(i, j, *s.T))
    assert (np.diff(ours.i) >= 0).all()
    assert np.array_equal(ours.i[ours.reverse], ours.j) and np.array_equal(ours.shift[ours.reverse], -ours.shift)
    assert np.allclose(ours.d[ours.reverse], -ours.d)


def test_skin_list_equals_a_fresh_search_and_searches_rarely():
    atoms = bulk("Si", cubic=True) * 2
    rng = np.random.default_rng(3)
    skin = SkinList(4.2, skin=1.0)
    for _ in range(30):
        atoms.positions += rng.normal(0, 0.02, (64, 3))
        a = skin(atoms.positions.copy(), atoms.cell.array.copy(), atoms.pbc)
        b = pairs(atoms.positions, atoms.cell.array, atoms.pbc, 4.2)
        for x, y in ((a.i, b.i), (a.j, b.j), (a.shift, b.shift), (a.reverse, b.reverse)):
            assert np.array_equal(x, y)
    assert 1 <= skin.searches < 10


def test_skin_list_searches_again_when_the_cell_changes():
    atoms = bulk("Si", cubic=True)
    skin = SkinList(4.2)
    skin(atoms.positions, atoms.cell.array, atoms.pbc)
    skin(atoms.positions, atoms.cell.array * 1.01, atoms.pbc)
    assert skin.searches == 2


def test_triplets_against_brute_force():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.2, seed=2)
    p = pairs(atoms.positions, atoms.cell.array, atoms.pbc, 4.5)
    side = np.linalg.norm(p.d, axis=1) < 2.7
    a, b = triplets(p.i, side)
    brute = [
        (x, y) for x in range(len(p.i)) for y in range(len(p.i)) if x != y and p.i[x] == p.i[y] and side[x] and side[y]
    ]
    assert list(zip(a, b)) == brute and len(brute) > 0
    assert all(len(x) == 0 for x in triplets(p.i, np.zeros_like(side)))


def test_a_periodic_direction_without_a_cell_vector_is_refused():
    with pytest.raises(InputError, match="periodic"):
        pairs(np.zeros((1, 3)), np.zeros((3, 3)), np.array([True, True, True]), 5.0)


def test_a_position_that_is_not_a_number_is_refused():
    with pytest.raises(InputError, match="finite"):
        pairs(np.array([[np.nan, 0, 0]]), np.zeros((3, 3)), np.zeros(3, bool), 5.0)
