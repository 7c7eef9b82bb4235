"""A training from a store is the training from memory, number by number."""

import pytest

import atomlab
from atomlab.data import store
from atomlab.training import State, fit, prepare
from training import toy


@pytest.mark.parametrize("kept", [0, 10**9])
def test_the_same_curve(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(store, "KEPT_ATOMS", kept)
    data = toy.dataset(n=12, stress=True)
    data.write(tmp_path / "si.lmdb")
    curves = []
    for source in (data, atomlab.read(tmp_path / "si.lmdb")):
        split = source.split(valid=3, seed=0)
        settings = {"epochs": 4, "batch_structures": 2, "stress_weight": 1.0, "learning_rate": 0.01}
        plan = prepare("naive", settings, toy.toy(), split.train, split.valid, seed=0)
        curves.append([
            (event.kind, event.values["loss"], event.values["forces_rmse"])
            for event in fit(plan, State(plan))
            if event.kind == "metric"
        ])  # fmt: skip
    assert len(curves[0]) > 8 and curves[0] == curves[1]
