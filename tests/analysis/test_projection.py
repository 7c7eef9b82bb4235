"""Maps are fitted on training environments only, are the same each time, and say when they cannot be what was asked."""

import subprocess
import sys

import numpy as np
import pytest

from atomlab import errors
from atomlab.analysis import project
from atomlab.analysis.projection import PCA, UMAP
from atomlab.errors import InputError


@pytest.fixture(autouse=True)
def fresh_notices(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


def clouds(n=60, width=8, seed=0):
    rng = np.random.default_rng(seed)
    centres = 6 * rng.normal(size=(3, width))
    return np.concatenate([c + rng.normal(size=(n, width)) for c in centres])


def test_pca_is_the_singular_value_decomposition_of_the_training_set():
    train, test = clouds(), clouds(seed=1)[:20]
    pca = PCA().fit([train[:70], train[70:71], train[71:]])
    centred = train - train.mean(0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    for k in (0, 1):
        assert abs(pca.axes[k] @ v[k]) == pytest.approx(1.0, abs=1e-10)
        assert pca.axes[k][np.argmax(np.abs(pca.axes[k]))] > 0
    np.testing.assert_allclose(pca.explained, s[:2] ** 2 / (s**2).sum())
    np.testing.assert_allclose(pca.transform(test), (test - train.mean(0)) @ pca.axes.T)


def test_pca_does_not_move_when_the_test_set_changes():
    train = clouds()
    a = project(train, [clouds(seed=1)], "pca")[0]
    b = project(train, [100 + clouds(seed=2), clouds(seed=3)], "pca")[0]
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("train", [np.ones((1, 5)), np.full((30, 5), 0.1), np.full((30, 5), 1 / 3, dtype="f4")])
def test_identical_environments_are_one_point_and_it_is_said(train):
    with pytest.warns(errors.Notice, match="identical.*single point|too few"):
        places = project(train, [train[:1] + 1.0], "umap")
    assert not places[0].any() and np.isfinite(places[1]).all()


def test_few_environments_fall_back_to_pca_in_words():
    train = clouds(3)
    with pytest.warns(errors.Notice, match="9 distinct environments: too few.*principal components"):
        places = project(train, [clouds(2, seed=4)])
    for a, b in zip(places, project(train, [clouds(2, seed=4)], "pca"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_column_and_two_points_have_a_map():
    assert project(np.array([[1.0], [3.0]]), method="pca")[0].tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    with pytest.raises(InputError, match="at least one"):
        project(np.zeros((0, 3)))
    with pytest.raises(InputError, match="no such map"):
        project(clouds(), method="tsne")
    with pytest.raises(InputError, match="up to 4095"):
        project(clouds(), limit=5000)


def test_umap_in_one_process():
    """One test for all that needs the compiled UMAP, since the compiling takes the time."""
    train = clouds()
    with pytest.warns(errors.Notice, match="at 29 neighbours .* instead of 50"):
        few = UMAP().fit(train[::6])
    assert np.isfinite(few.transform(train)).all()

    umap = UMAP(neighbours=15).fit(train)
    places = umap.transform(train)
    again = UMAP(neighbours=15).fit(train)
    np.testing.assert_array_equal(places, again.transform(train))
    np.testing.assert_array_equal(umap.transform(train[::7] + 0.3), again.transform(train[::7] + 0.3))
    # the clouds stay apart
    middle = [places[k * 60 : (k + 1) * 60].mean(0) for k in range(3)]
    spread = max(places[k * 60 : (k + 1) * 60].std() for k in range(3))
    gaps = [np.linalg.norm(middle[a] - middle[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert min(gaps) > spread
    # a test environment lands near the training environments that are like it
    near = umap.transform(train[:60] + 1e-3)
    assert np.median(np.linalg.norm(near - places[:60], axis=1)) < 0.5 * min(gaps)

    # more than the limit: a seeded sample, and it is said; near-duplicates are fitted once
    with pytest.warns(errors.Notice, match="fitted to 40 of the 360 .*seed 42"):
        sample = UMAP(neighbours=15, limit=40).fit(np.concatenate([train, train + 1e-7]))
    assert 30 < len(sample.places) < 40
    steps = []
    assert np.isfinite(sample.transform(train, lambda work: steps.append(1) or work())).all() and steps == [1]


def test_importing_the_room_imports_neither_torch_nor_umap():
    code = (
        "import sys, atomlab.analysis, atomlab.analysis.settings\n"
        "print([m for m in ('torch', 'umap', 'ase', 'numba') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
