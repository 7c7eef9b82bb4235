"""The same seed gives the same parts anywhere; what belongs together stays together; leaks are told."""

import numpy as np
import pytest
from ase.build import bulk, molecule

import atomlab
from atomlab.errors import InputError


def trajectory_set():
    """Ten relaxations of 2 to 11 frames, of two compositions."""
    frames = []
    for g in range(10):
        for k in range(2 + g):
            atoms = bulk("Si" if g % 3 else "Ge", cubic=True)
            atoms.rattle(0.1, seed=100 * g + k)
            atoms.info.update(energy=-1.0, material_id=f"m{g}", config_type=f"t{g % 2}")
            frames.append(atoms)
    return atomlab.read(frames)


def fixed_set(n=20):
    frames = []
    for k in range(n):
        atoms = molecule("H2")
        atoms.positions = [[0, 0, 0], [0, 0, 0.7 + k / 128]]
        atoms.info.update(energy=-1.0, k=k)
        frames.append(atoms)
    return atomlab.read(frames)


def test_the_same_seed_gives_the_same_parts_on_any_machine():
    # literal: made once, must never change
    split = fixed_set().split(valid=4, test=3, seed=7)
    assert (sorted(split.valid.info("k")), sorted(split.test.info("k"))) == ([0, 2, 11, 12], [1, 16, 17])


def test_parts_do_not_depend_on_the_order_of_the_file():
    dataset = fixed_set()
    order = np.random.default_rng(0).permutation(len(dataset))
    a, b = dataset.split(valid=0.25, seed=3), dataset[order].split(valid=0.25, seed=3)
    assert set(a.valid.info("k")) == set(b.valid.info("k")) and len(a.valid) == 5
    assert set(a.valid.info("k")) != set(dataset.split(valid=0.25, seed=4).valid.info("k"))


def test_parts_are_disjoint_and_complete():
    dataset = fixed_set()
    train, valid, test = dataset.split(valid=0.2, test=0.1)
    assert sorted(train.info("k") + valid.info("k") + test.info("k")) == list(range(20))
    split = dataset.split(train=10, valid=4)
    assert (len(split.train), len(split["valid"]), len(split.test)) == (10, 4, 0)
    assert "6 in none of them" in " ".join(split.reasons)
    # a larger training set contains the smaller one, and validation is the same for both
    more = dataset.split(train=12, valid=4)
    assert set(split.train.info("k")) < set(more.train.info("k")) and split.valid.info("k") == more.valid.info("k")


@pytest.mark.parametrize("by", ["group", "material_id", "composition", "config_type"])
def test_groups_stay_together(by):
    dataset = trajectory_set()
    split = dataset.split(valid=0.2, test=0.2, by=by, seed=1)
    key = "material_id" if by == "group" else by
    seen = [
        {e.composition for e in part.entries} if by == "composition" else set(part.info(key))
        for part in split
        if len(part)
    ]
    assert sum(len(s) for s in seen) == len(set.union(*seen))
    assert len(split.train) > 0 and len(split.valid) + len(split.test) > 0
    if by in ("group", "material_id"):
        assert abs(len(split.valid) - 0.2 * len(dataset)) <= 6  # half of the largest group


def test_a_named_group_key_and_structures_without_it():
    dataset = trajectory_set()
    named = dataset.split(by="group", group_key="config_type", valid=0.4)
    assert len(set(named.valid.info("config_type"))) == 1
    frames = list(dataset)
    for atoms in frames[:5]:
        del atoms.info["material_id"]
    with pytest.warns(UserWarning, match="5 structures lack it"):
        atomlab.read(frames).split(by="group")


def test_stratified():
    split = trajectory_set().split(valid=0.2, stratify="config_type", seed=2)
    counts = [[part.info("config_type").count(t) for t in ("t0", "t1")] for part in split]
    assert counts[1] == [round(0.2 * sum(c[k] for c in counts)) for k in (0, 1)]


def test_given():
    frames = list(fixed_set())
    for k, atoms in enumerate(frames):
        atoms.info["split"] = ("train", "val", "test", "unused")[k % 4]
    split = atomlab.read(frames).split(by="given")
    assert [sorted(part.info("k")) for part in split] == [list(range(s, 20, 4)) for s in range(3)]
    for k, atoms in enumerate(frames):
        atoms.info["split"] = "test" if k < 5 else "train"
    split = atomlab.read(frames).split(by="given", valid=3)
    assert [len(part) for part in split] == [12, 3, 5] and sorted(split.test.info("k")) == list(range(5))
    assert any("taken from train" in reason for reason in split.reasons)


def test_equal_structures_stay_together_and_leaks_are_told():
    frames = list(fixed_set(10))
    twice = atomlab.read([*frames, *frames])
    for seed in range(5):
        split = twice.split(valid=0.3, seed=seed)
        assert set(split.train.info("k")).isdisjoint(split.valid.info("k"))
    for k, atoms in enumerate(both := [*frames, *(a.copy() for a in frames)]):
        atoms.info["tag"] = "train" if k < 12 else "test"
    with pytest.warns(UserWarning, match="8 structures are in train and in test"):
        split = atomlab.read(both).split(by="given", valid=0)
    assert any("look smaller" in reason for reason in split.reasons)


@pytest.mark.parametrize(
    "options, words",
    [({"by": "materail_id"}, "Did you mean 'material_id'"), ({"by": "group", "group_key": "x"}, "group_key"),
     ({"valid": 1.5}, "fraction"), ({"valid": 0.5, "test": 60}, "more structures than there are"),
     ({"by": "given"}, "tag"), ({"stratify": "x"}, "stratify")],
)  # fmt: skip
def test_wishes_that_cannot_be_met(options, words):
    with pytest.raises(InputError, match=words):
        trajectory_set().split(**options)


def test_no_group_key_and_too_few_groups():
    with pytest.raises(InputError, match="group_key"):
        fixed_set().split(by="group")
    with pytest.warns(UserWarning, match="too few groups"):
        split = fixed_set().split(by="composition")
    assert len(split.train) == 20
