"""Descriptors are properties of the atoms, not of how they are written down or computed."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from analysis.toy import WIDTH, Toy
from atomlab.analysis import descriptors
from atomlab.analysis.descriptors import describe
from atomlab.analysis.environments import Environments, Writer
from atomlab.errors import InputError
from atomlab.potential import Card, Potential, Terms


def frames():
    out = []
    for seed, atoms in enumerate([bulk("Si", cubic=True), molecule("C2H4"), molecule("H2O"), bulk("Ge", cubic=True)]):
        atoms.rattle(0.1, seed=seed)
        out.append(atoms)
    return out


def test_a_rotation_changes_nothing_but_the_turning_columns():
    here = frames()
    there = [a.copy() for a in here]
    for atoms in there:
        atoms.rotate(37, (1, 2, 3), rotate_cell=True)
        atoms.translate((0.3, -0.2, 5.0))
    for a, b in zip(descriptors(Toy(), here), descriptors(Toy(), there)):
        assert a.shape[1] == 2 * WIDTH
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    full = descriptors(Toy(), here, invariant=False)[0], descriptors(Toy(), there, invariant=False)[0]
    assert full[0].shape[1] == 5 * WIDTH
    assert np.abs(full[0] - full[1]).max() > 1e-3


def test_the_order_of_atoms_only_reorders():
    atoms = frames()[1]
    order = np.random.default_rng(0).permutation(len(atoms))
    np.testing.assert_allclose(
        descriptors(Toy(), [atoms])[0][order], descriptors(Toy(), [atoms[order]])[0], rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("edges", [1, 300, 10**6])
def test_the_batch_does_not_matter(edges):
    together = descriptors(Toy(), frames(), edges=edges)
    for atoms, values in zip(frames(), together):
        np.testing.assert_allclose(values, descriptors(Toy(), atoms)[0], rtol=1e-12, atol=1e-14)


def test_layers_are_parts_of_all():
    everything = descriptors(Toy(), frames())[0]
    first, last = (descriptors(Toy(), frames(), layers=n)[0] for n in (0, -1))
    np.testing.assert_array_equal(np.hstack([first, last]), everything)
    with pytest.raises(InputError, match="no such layer"):
        descriptors(Toy(), frames(), layers=2)
    with pytest.raises(InputError, match="no such layer"):
        descriptors(Toy(), frames(), layers="first")


def test_the_type_is_the_models():
    assert descriptors(Toy(torch.float32), frames())[0].dtype == np.float32


def test_a_store_is_used_again_and_only_for_what_it_was_made(tmp_path, monkeypatch):
    store = tmp_path / "deep" / "store"
    plain = descriptors(Toy(), frames())
    kept = descriptors(Toy(), frames(), store=store)
    assert all(isinstance(v, np.memmap) for v in kept)
    for a, b in zip(plain, kept, strict=True):
        np.testing.assert_array_equal(a, b)

    passes = []
    monkeypatch.setattr(Toy, "forward", lambda self, graph, old=Toy.forward: passes.append(1) or old(self, graph))
    descriptors(Toy(), frames(), store=store)
    assert not passes
    moved = frames()
    moved[2].positions[0, 0] += 1e-3
    new = descriptors(Toy(), moved, store=store)
    assert passes and np.abs(new[2] - plain[2]).max() > 1e-6
    assert [p.name for p in store.parent.iterdir()] == ["store"]


def test_a_store_is_whole_or_absent(tmp_path):
    def stop(done, total):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        describe(Toy(), frames(), store=tmp_path / "store", edges=1, each=stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with pytest.raises(InputError, match="something else"):
        describe(Toy(), frames(), store=tmp_path / "mine")


def test_chunks_in_memory_and_on_disk_read_alike(tmp_path):
    rng = np.random.default_rng(1)
    values = [rng.normal(size=(n, 3)) for n in (4, 1, 6, 2, 5)]
    numbers = [np.arange(len(v)) + 1 for v in values]
    whole = np.concatenate(values)
    for folder in (None, tmp_path / "store"):
        writer = Writer(folder, chunk_bytes=100)
        for v, z in zip(values, numbers):
            writer.add(v, z)
        env = writer.finish()
        assert len(env.chunks) > 2 and env.structures == 5 and len(env) == 18
        np.testing.assert_array_equal(env.read(3, 12), whole[3:12])
        np.testing.assert_array_equal(env.take(np.array([17, 0, 9])), whole[[17, 0, 9]])
        for a, b in zip(env.frames(), values, strict=True):
            np.testing.assert_array_equal(a, b)
        assert list(env.blocks(7)) == [(0, 5), (5, 11), (11, 18)]
        assert list(env.blocks(3)) == [(0, 4), (4, 5), (5, 11), (11, 13), (13, 18)]
    with pytest.raises(InputError, match="one row per atom"):
        Environments.of(values, numbers[::-1])


def test_force_errors_come_from_the_same_pass():
    here = frames()
    reference = Toy().calculator()
    for atoms in here[:2]:
        atoms.arrays["REF_forces"] = reference.get_forces(atoms)
        atoms.arrays["REF_forces"][0] += (0.3, 0.0, 0.4)
    env = describe(Toy(), here, errors=True)
    first = env.first
    for k in (0, 1):
        assert env.errors[first[k]] == pytest.approx(0.5, abs=1e-12)
        assert env.errors[first[k] + 1 : first[k + 1]].max() < 1e-12
    assert np.isnan(env.errors[first[2] :]).all()
    np.testing.assert_allclose(np.concatenate(env.frames()), np.concatenate(descriptors(Toy(), here)))


class Plain(Potential):
    def forward(self, graph):
        return Terms(torch.zeros(graph.size, dtype=torch.float64))


def test_what_cannot_be_described_is_said_in_words():
    with pytest.raises(InputError, match="Au"):
        descriptors(Toy(), bulk("Au"))
    with pytest.raises(InputError, match="no per-atom features"):
        descriptors(Plain({}, Card(name="plain", elements=(14,))), bulk("Si"))
    with pytest.raises(InputError, match="which layer"):
        descriptors(Plain({}, Card(elements=(14,))), bulk("Si"), layers=0)
    with pytest.raises(InputError, match="no structure"):
        descriptors(Toy(), [])
    with pytest.raises(InputError, match="potential, a name or a file"):
        descriptors(14, bulk("Si"))
    with pytest.raises(InputError, match="not a finite number"):
        descriptors(Toy(), Atoms("H2", positions=[[0, 0, 0], [np.nan, 0, 0]]))
