"""Similarity against the formulas of the MACE-MP-0 paper's appendix C.4, written out in loops."""

import json
import sys
import warnings

import numpy as np
import pytest
from ase.build import bulk, molecule

from analysis.toy import Toy
from atomlab import errors
from atomlab.analysis import search, similarity
from atomlab.analysis.environments import Environments
from atomlab.analysis.search import Filter
from atomlab.analysis.similarity import compare, stratified, threshold_of
from atomlab.errors import InputError

# the package's attribute of this name is the function
module = sys.modules["atomlab.analysis.similarity"]
SETS = [(14, 32), (14,), (6, 1), (6, 8, 1), (14, 32), (8, 1)]


@pytest.fixture(autouse=True)
def fresh_notices(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


def random_sets(seed, sizes, width=7, sets=SETS):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(n, width)) + 0.5 for n in sizes]
    # every element of the set occurs
    numbers = [np.array([*s, *rng.choice(s, max(0, n - len(s)))])[:n] for n, s in zip(sizes, sets)]
    return values, numbers


@pytest.fixture(params=["one block", "small blocks"])
def blocks(request, monkeypatch):
    if request.param == "small blocks":
        for name, size in (("QUERIES", 4), ("KEYS", 6), ("PANEL", 9)):
            monkeypatch.setattr(search, name, size)


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def paper(d, z, their_d, their_z, same):
    """Element-stratified and plain similarity of one structure to another, and the means by element."""
    best = []
    for a in range(len(d)):
        options = [cosine(d[a], their_d[b]) for b in range(len(their_d)) if not same or their_z[b] == z[a]]
        best.append(max(options, default=0.0))
    means = {element: np.mean([best[a] for a in range(len(d)) if z[a] == element]) for element in set(z.tolist())}
    return np.mean(list(means.values())), np.mean(best), means


def allows(mode, mine, theirs):
    return {"all": True, "inclusive": mine <= theirs, "exclusive": theirs <= mine}[mode]


@pytest.mark.parametrize("mode", ["all", "inclusive", "exclusive"])
@pytest.mark.parametrize("match", ["any", "same"])
@pytest.mark.parametrize("k", [2, 5])
def test_closest_structures_follow_the_paper(blocks, mode, match, k, monkeypatch):
    monkeypatch.setattr(module, "CLOSEST", k)
    test, train = random_sets(0, (5, 3, 8, 4, 2, 2)), random_sets(1, (9, 4, 6, 3, 12, 5))
    report = compare(Environments.of(*test), Environments.of(*train), mode, match=match)
    for t in range(6):
        expected = {}
        for s in range(6):
            if allows(mode, set(test[1][t].tolist()), set(train[1][s].tolist())):
                expected[s] = paper(test[0][t], test[1][t], train[0][s], train[1][s], match == "same")
        best = sorted(-e[0] for e in expected.values())[:k]
        found = report.closest(t)
        np.testing.assert_allclose([-c["stratified"] for c in found], best, atol=1e-12)
        assert len({c["frame"] for c in found}) == len(found)
        for c in found:
            assert c["stratified"] == pytest.approx(expected[c["frame"]][0], abs=1e-12)
            assert c["plain"] == pytest.approx(expected[c["frame"]][1], abs=1e-12)
            means = {report.symbols([z])[0]: v for z, v in expected[c["frame"]][2].items()}
            assert c["elements"] == pytest.approx(means, abs=1e-12)


@pytest.mark.parametrize("mode", ["all", "inclusive", "exclusive"])
def test_nearest_environments_are_the_nearest_of_the_element(blocks, mode):
    test, train = random_sets(2, (5, 3, 8, 4, 2, 2)), random_sets(3, (9, 4, 6, 3, 12, 5))
    report = compare(Environments.of(*test), Environments.of(*train), mode)
    row = 0
    for t in range(6):
        for a in range(len(test[0][t])):
            options = sorted(
                (-cosine(test[0][t][a], train[0][s][b]), s, b)
                for s in range(6)
                if allows(mode, set(test[1][t].tolist()), set(train[1][s].tolist()))
                for b in range(len(train[0][s]))
                if train[1][s][b] == test[1][t][a]
            )[:5]
            assert (report.frame[row], report.atom[row]) == (t, a)
            near = report.row(row)["nearest"]
            assert [(n["frame"], n["atom"]) for n in near] == [(s, b) for _, s, b in options]
            np.testing.assert_allclose([n["similarity"] for n in near], [-c for c, _, _ in options], atol=1e-12)
            assert report.similarity[row] == (near[0]["similarity"] if near else 0.0)
            row += 1
    for t, values in enumerate(report.per_structure()):
        means = [values[test[1][t] == z].mean() for z in np.unique(test[1][t])]
        assert report.stratified[t] == pytest.approx(np.mean(means))


def test_the_threshold_is_the_first_percentile_over_other_structures(blocks):
    values, numbers = random_sets(4, (9, 4, 6, 3, 12, 5))
    values[4][0] = 2 * values[4][1]  # an own structure's atom that is identical must not count
    own = []
    for s in range(6):
        for a in range(len(values[s])):
            rest = [
                cosine(values[s][a], values[o][b])
                for o in range(6)
                if o != s
                for b in range(len(values[o]))
                if numbers[o][b] == numbers[s][a]
            ]
            own += [max(rest)] if rest else []
    threshold = threshold_of(Environments.of(values, numbers))
    assert threshold.value == pytest.approx(np.percentile(own, 1), abs=1e-12)
    assert threshold.used == len(own) == 39
    assert f"{threshold.value:.6f}" in str(threshold)


def test_float32_finds_the_same_and_reports_in_float64():
    test, train = random_sets(5, (6,) * 6), random_sets(6, (20,) * 6)
    double = compare(Environments.of(*test), Environments.of(*train))
    single = compare(*(Environments.of([v.astype("f4") for v in values], z) for values, z in (test, train)))
    np.testing.assert_array_equal(double.nearest_frame, single.nearest_frame)
    np.testing.assert_allclose(double.similarity, single.similarity, atol=3e-7)
    assert single.similarity.dtype == np.float64


def test_a_structure_of_the_training_set_is_known_and_a_stretched_one_is_not():
    def silicon(seed, stretch=1.0):
        atoms = bulk("Si", cubic=True)
        atoms.set_cell(atoms.cell * stretch, scale_atoms=True)
        atoms.rattle(0.05, seed=seed)
        return atoms

    train = [silicon(seed) for seed in range(8)]
    test = [train[3], silicon(99), silicon(100, 1.25)]
    with pytest.warns(errors.Notice, match="1 of the 3 test structures is in the training set"):
        report = similarity(Toy(), test, train)
    mean = [s.mean() for s in report.per_structure()]
    assert mean[0] == pytest.approx(1.0, abs=1e-12) and mean[0] > mean[1] > mean[2]
    unknown = [u.sum() for u in report.per_structure(report.unknown)]
    assert unknown[0] == 0 and unknown[1] <= 2 and unknown[2] == 8
    assert report.least_known(1)[0]["frame"] == 2
    assert report.closest(0)[0]["frame"] == 3


def test_the_report_reads_well_and_is_json():
    report = similarity(
        Toy(), [molecule("H2O"), molecule("CH3OH")], [molecule("CH3OH"), molecule("H2O"), molecule("CO2")]
    )
    text = str(report)
    for part in (
        "Element-stratified similarity 1.000000 (9 atoms in 2 structures; filter 'inclusive')",
        "1st percentile",
        f"{report.threshold.value:.6f}",
        "exactly H-O: 1; with at least these: 2; with only these: 1",
        "Least known atoms",
        "nearest",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 130
    data = json.loads(json.dumps(report.summary(), allow_nan=False))
    assert data["by_element"].keys() == {"H", "C", "O"} and len(data["least_known"]) == 9
    assert data["similarity"] == pytest.approx(1.0)


def test_an_element_that_is_absent_is_unknown_and_said():
    with pytest.warns(errors.Notice, match="training set has no H, O"):
        report = similarity(Toy(), [molecule("H2O")], [bulk("Si", cubic=True)], elements="all")
    assert report.unknown.all() and not report.similarity.any() and (report.nearest_frame == -1).all()
    assert "none" in str(report)
    json.dumps(report.summary(), allow_nan=False)


def test_a_filter_that_leaves_nothing_is_said():
    with pytest.warns(errors.Notice, match="contains all their elements.*elements='all'"):
        report = similarity(Toy(), [molecule("CH3OH")], [molecule("H2O"), molecule("CO2"), molecule("H2O")])
    assert report.closest(0) == [] and report.overall == 0.0
    exclusive = similarity(Toy(), [molecule("CH3OH")], [molecule("H2O"), molecule("CO2"), molecule("H2O")], "exclusive")
    assert exclusive.overall > 0.5


def test_one_training_structure_gives_no_threshold_in_words():
    with pytest.warns(errors.Notice, match="no threshold"):
        report = similarity(Toy(), [molecule("H2O")], [molecule("H2O")])
    assert "Unknown below none" in str(report) and not report.unknown.any()
    assert report.summary()["threshold"] is None


def test_atoms_without_neighbours_know_each_other_only():
    zero, one = np.zeros((1, 4)), np.ones((1, 4))
    train = Environments.of([zero, one], [np.array([8]), np.array([8])])
    report = compare(Environments.of([zero, one, -one], [np.array([8])] * 3), train, "all")
    np.testing.assert_allclose(report.similarity, [1.0, 1.0, 0.0], atol=1e-15)


def test_a_sampled_threshold_says_so_and_keeps_the_filter_of_whole_structures():
    values, numbers = random_sets(7, (9, 4, 6, 3, 12, 5))
    train = Environments.of(values, numbers)
    with pytest.warns(errors.Notice, match="11 of the 39 training environments"):
        threshold = threshold_of(train, "inclusive", seed=3, sample=11)
    full = threshold_of(train, "inclusive")
    np.testing.assert_array_equal(threshold.own.row, full.own.row[threshold.rows])
    assert threshold.total == 39 and len(threshold.rows) == 11


def test_wrong_choices_are_said():
    with pytest.raises(InputError, match="Did you mean 'inclusive'"):
        similarity(Toy(), [molecule("H2O")], [molecule("H2O")], elements="inclusiv")
    with pytest.raises(InputError, match="rule of matching"):
        similarity(Toy(), [molecule("H2O")], [molecule("H2O")], match="all")
    with pytest.raises(InputError, match="different models"):
        compare(
            Environments.of([np.ones((1, 3))], [np.array([1])]), Environments.of([np.ones((1, 4))], [np.array([1])])
        )


def test_stratified_weighs_elements_alike():
    z = np.array([8, 1, 1, 14])
    env = Environments.of([np.ones((3, 2)), np.ones((1, 2))], [z[:3], z[3:]])
    np.testing.assert_allclose(stratified(np.array([0.9, 0.1, 0.3, 0.5]), env), [0.55, 0.5])


def test_memory_does_not_grow_with_the_sets(monkeypatch):
    """The largest product that is formed is one block, whatever the number of structures and their sizes."""
    import torch

    monkeypatch.setattr(search, "QUERIES", 32)
    monkeypatch.setattr(search, "KEYS", 64)
    sizes, old = [], torch.Tensor.__matmul__

    def spy(a, b):
        out = old(a, b)
        sizes.append(out.numel())
        return out

    monkeypatch.setattr(torch.Tensor, "__matmul__", spy)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(n, 3)) for n in (300, 5, 7, 200)]
    env = Environments.of(values, [np.full(len(v), 14) for v in values])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(env, env, "all")
    assert max(sizes) == 32 * 64


def test_filters_follow_their_definitions():
    env = Environments.of([np.ones((len(s), 2)) for s in SETS], [np.array(s) for s in SETS])
    for mode in ("all", "inclusive", "exclusive"):
        allowed = Filter.of(mode, env, env)
        for t, mine in enumerate(SETS):
            expected = [allows(mode, set(mine), set(theirs)) for theirs in SETS]
            assert allowed.allows(allowed.group[t]).tolist() == expected


def test_the_public_name_is_the_function():
    import atomlab

    assert atomlab.similarity is similarity


def test_structures_are_ranked_by_the_stratified_mean_not_the_plain_one(monkeypatch):
    monkeypatch.setattr(module, "CLOSEST", 1)
    x, y = np.eye(2)
    test = Environments.of([np.array([x, x, x, x, y])], [np.array([14, 14, 14, 14, 8])])
    # the first fits four atoms and half of the fifth; the second the fifth, and the four a little less
    half, most = (x + y) / 2**0.5, np.array([0.9, (1 - 0.81) ** 0.5])
    train = Environments.of([np.array([x, half]), np.array([most, y])], [np.array([14, 8])] * 2)
    (best,) = compare(test, train).closest(0)
    assert best["frame"] == 1 and best["stratified"] == pytest.approx(0.95) and best["plain"] == pytest.approx(0.92)
    # in the plain mean the first would win: 0.941 against 0.92
