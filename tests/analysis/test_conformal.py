"""Conformal bounds: the rank of the definition, the coverage that it promises, and refusals in words."""

import numpy as np
import pytest

from atomlab import errors
from atomlab.analysis.conformal import Conformal, EnvironmentClasses, coverage, quantile, split_by_frame
from atomlab.errors import InputError


@pytest.fixture(autouse=True)
def fresh_notices(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


@pytest.mark.parametrize(
    "n, alpha, rank", [(9, 0.1, 9), (19, 0.1, 18), (99, 0.1, 90), (100, 0.1, 91), (4, 0.5, 3), (1, 0.5, 1)]
)
def test_the_quantile_is_the_rank_of_the_definition(n, alpha, rank):
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert quantile(scores, alpha) == rank


def test_too_few_values_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match="90%.*Got: 8.*at least 9"):
        quantile(np.ones(8), 0.1)
    for bad in (0.0, 1.0, -0.1):
        with pytest.raises(InputError, match="between 0 and 1"):
            quantile(np.ones(8), bad)
    with pytest.raises(InputError, match="not a finite"):
        quantile(np.array([1.0, np.nan]), 0.5)


@pytest.mark.parametrize("alpha", [0.5, 0.2, 0.1])
def test_coverage_lies_where_it_is_promised(alpha):
    rng, n = np.random.default_rng(1), 120
    found = []
    for _ in range(400):
        sigma = rng.lognormal(size=n + 500)
        error = sigma * rng.standard_t(4, size=n + 500)  # not Gaussian: no assumption is made
        bound = Conformal(alpha).fit(error[:n], sigma[:n]).bound(sigma[n:])
        found.append(coverage(error[n:], bound)[0])
    mean, allowed = np.mean(found), 4 * np.std(found) / np.sqrt(len(found))
    assert 1 - alpha - allowed <= mean <= 1 - alpha + 1 / (n + 1) + allowed
    expected = np.sqrt(alpha * (1 - alpha) * (1 / (n + 2) + 1 / 500))
    assert np.std(found) == pytest.approx(expected, rel=0.15)


def test_classes_mend_what_one_factor_cannot():
    """Most atoms bulk-like with small errors, few at the surface with large ones: the paper's Cu(111) case."""
    rng = np.random.default_rng(2)

    def draw():
        kind = (rng.random(4000) < 0.1).astype(int)
        return kind, np.ones(4000), rng.normal(size=4000) * np.where(kind, 5.0, 1.0)

    kind, sigma, error = draw()
    new_kind, new_sigma, new_error = draw()
    model = Conformal(0.2).fit(error, sigma, kind)
    one, two = model.bound(new_sigma), model.bound(new_sigma, new_kind)
    surface = new_kind == 1
    assert coverage(new_error[surface], one[surface])[0] < 0.5
    assert coverage(new_error[surface], two[surface])[0] == pytest.approx(0.8, abs=0.06)
    assert coverage(new_error[~surface], two[~surface])[0] == pytest.approx(0.8, abs=0.03)


def test_a_small_class_falls_back_and_it_is_said():
    error, sigma, kind = np.arange(1.0, 21.0), np.ones(20), np.array([0] * 17 + [1] * 3)
    with pytest.warns(errors.Notice, match="Class 1 has 3 calibration values, and 4 are needed"):
        model = Conformal(0.2).fit(error, sigma, kind)
    assert list(model.by_class) == [0]
    np.testing.assert_array_equal(model.bound(np.ones(3), np.array([0, 1, 7])), [model.by_class[0], model.q, model.q])


def test_the_sentence_says_what_the_share_means():
    frame = np.repeat(np.arange(10), 10)
    text = str(Conformal(0.1).fit(np.linspace(0.01, 1, 100), np.ones(100), frame=frame))
    assert text.startswith("90% means: in data drawn like the 100 calibration values of 10 structures")
    assert "3.0 points" in text


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(InputError, match="must be positive.*1 that"):
        Conformal().fit(np.ones(3), np.array([1.0, 0.0, 2.0]))
    with pytest.raises(InputError, match="One uncertainty"):
        Conformal().fit(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="not calibrated yet"):
        Conformal().bound(np.ones(3))


def test_coverage_by_structure_and_a_split_that_keeps_structures_whole():
    frame = np.repeat(np.arange(10), 8)
    a, b = split_by_frame(frame, 0.3, seed=4)
    assert len(a) == 24 and len(b) == 56 and not set(frame[a]) & set(frame[b])
    share, each = coverage(np.tile([1.0, 3.0], 40), np.full(80, 2.0), frame)
    assert share == 0.5 and each.tolist() == [0.5] * 10
    with pytest.raises(InputError, match="without a structure"):
        split_by_frame(frame, 0.01)


def test_classes_are_the_clouds_of_descriptors():
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, 600)
    values = 8 * rng.normal(size=(3, 20))[kind] + rng.normal(size=(600, 20))
    classes = EnvironmentClasses(3, seed=1).fit(values[:400])
    found = classes.predict(values[400:])
    # the names of classes are free: each true kind is one class
    pairs = {(k, f) for k, f in zip(kind[400:].tolist(), found.tolist())}
    assert len(pairs) == 3 and len({f for _, f in pairs}) == 3
    np.testing.assert_array_equal(found, EnvironmentClasses(3, seed=1).fit(values[:400]).predict(values[400:]))
    assert EnvironmentClasses(2).fit(np.ones((5, 4))).predict(np.ones((3, 4))).shape == (3,)
    with pytest.raises(InputError, match="fewer environments"):
        EnvironmentClasses(6).fit(np.ones((5, 4)))
    with pytest.raises(InputError, match="not fitted"):
        EnvironmentClasses().predict(values)
