"""Which structures are replayed: the paper's rule, what is said where it selects nothing, and bounded pieces."""

import numpy as np
import pytest
from ase import Atoms

from analysis.toy import Toy
from atomlab.analysis import replay
from atomlab.analysis.descriptors import describe
from atomlab.analysis.replay import select_replay
from atomlab.analysis.select import averages, farthest_points
from atomlab.data import Dataset
from atomlab.errors import InputError


def structure(symbols, seed, labelled=True):
    rng = np.random.default_rng(seed)
    atoms = Atoms(symbols, positions=rng.uniform(0, 4, (len(Atoms(symbols)), 3)), cell=[9.0] * 3, pbc=True)
    if labelled:
        atoms.info["REF_energy"] = -1.0
    return atoms


def mixed():
    """5 of C2O, 4 of SiC, 3 of pure O, 2 with iron, which the toy does not know, 2 without labels."""
    kinds = ["C2O"] * 5 + ["SiC"] * 4 + ["O3"] * 3 + ["FeO"] * 2
    frames = [structure(kind, k) for k, kind in enumerate(kinds)]
    return Dataset([*frames, *(structure("CO2", k, labelled=False) for k in (20, 21))], name="large")


def formulas(dataset):
    return sorted(str(atoms.symbols) for atoms in dataset)


def test_two_shared_elements_and_random_padding():
    chosen, told = select_replay(mixed(), Toy(), elements=(6, 8), count=8)
    assert formulas(chosen).count("C2O") == 5 and len(chosen) == 8 and "FeO" not in formulas(chosen)
    assert set(formulas(chosen)) <= {"C2O", "SiC", "O3"}
    rule = told["replay_rule"][1]
    assert "at least two of the elements C O" in rule and "5 of the 16 in 'large'" in rule
    assert "2 with elements that the base does not know" in rule and "2 without energy and forces" in rule
    assert told["replay_padding"][0] == 3 and "5 candidates, too few, so 3 others" in told["replay_selected"][1]


def test_one_element_means_contains_it_and_says_so():
    chosen, told = select_replay(mixed(), Toy(), elements=(8,), count=8)
    assert formulas(chosen) == ["C2O"] * 5 + ["O3"] * 3
    assert "Structures that contain O: two shared elements" in told["replay_rule"][1]
    assert "replay_padding" not in told


def test_unlabelled_structures_count_where_the_base_labels_them():
    chosen, _ = select_replay(mixed(), Toy(), elements=(6, 8), count=7, labelled=False)
    assert formulas(chosen) == ["C2O"] * 5 + ["CO2"] * 2


def test_too_few_structures_and_none_are_told():
    chosen, told = select_replay(mixed(), Toy(), elements=(6, 8), count=50)
    assert len(chosen) == 12 and "50 were wanted, and there are no more" in told["replay_selected"][1]
    with pytest.raises(InputError, match="No structure of 'large' can be replayed.*2 of 4 with elements"):
        select_replay(mixed()[12:], Toy(), elements=(6, 8), count=5)


def test_random_is_the_same_anywhere_and_another_with_another_seed():
    first, again, other = (
        [
            a.positions.tolist()
            for a in select_replay(mixed(), Toy(), elements=(6, 8), count=6, method="random", seed=s)[0]
        ]
        for s in (1, 1, 2)
    )
    assert first == again != other


def many(n=60):
    return Dataset([structure("C2O", k) for k in range(n)], name="many")


def test_farthest_points_are_exact_in_one_piece():
    source = many()
    chosen, told = select_replay(source, Toy(), elements=(6, 8), count=7)
    order, _ = farthest_points(averages(describe(Toy(), list(source))), 7)
    assert [a.positions.tolist() for a in chosen] == [source[int(k)].positions.tolist() for k in order]
    assert told["replay_selected"] == (7, "7 by farthest points of the base's mean descriptors, among the 60")
    _, told = select_replay(source, Toy(), elements=(6, 8), count=7, pool=10)
    assert "among the 10 drawn at random of 60" in told["replay_selected"][1]


def test_pieces_hold_few_structures_and_cover_nearly_as_well(monkeypatch):
    """What is held is the chosen and one piece; no structure is farther from the chosen than twice the exact radius."""
    source, seen = many(), []
    measure = replay.farthest_points

    def watched(values, count, *rest):
        seen.append(len(values))
        return measure(values, count, *rest)

    monkeypatch.setattr(replay, "PIECE", 10)
    monkeypatch.setattr(replay, "farthest_points", watched)
    chosen, _ = select_replay(source, Toy(), elements=(6, 8), count=7)
    assert len(seen) == 6 and max(seen) <= 17 and len(chosen) == 7
    every = averages(describe(Toy(), list(source)))
    radius = {}
    exact, _ = farthest_points(every, 7)
    for name, points in (("exact", every[exact]), ("pieces", averages(describe(Toy(), list(chosen))))):
        radius[name] = np.linalg.norm(every[:, None] - points[None], axis=2).min(1).max()
    assert radius["pieces"] <= 2 * radius["exact"]


def test_the_work_tells_how_far_it_is_and_can_be_ended():
    told = []
    select_replay(many(), Toy(), elements=(6, 8), count=7, each=lambda done, total: told.append((done, total)))
    assert told[-1] == (60, 60) and [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        select_replay(many(), Toy(), elements=(6, 8), count=7, each=stop)
