"""The embedded base model is what its card says, and is worth something to germanium."""

import pytest

import atomlab
from atomlab import checkpoint
from atomlab.training import fit, prepare


def test_si_base_has_the_errors_of_its_card():
    about = checkpoint.header("si-base")["metadata"]
    data = atomlab.read(about["data"])
    assert about["data_hash"] == data.hash() and "si-base" in checkpoint.embedded()
    model = atomlab.load("si-base", device="cpu")
    assert model.card.licence == "MIT" and model.card.elements == (14,)
    assert (checkpoint.EMBEDDED / "si-base.safetensors").stat().st_size < 3e6
    valid = data.split(valid=about["spec"]["valid"]).valid
    assert len(valid) == about["errors"]["frames"]
    errors = atomlab.evaluate(model, valid).errors()
    for name, expected in about["errors"]["validation"].items():
        assert errors[name]["rmse"] == pytest.approx(expected["rmse"], rel=0.01)


def test_transfer_to_germanium_beats_random_weights():
    split = atomlab.read("sw-ge").split(train=10, valid=5, seed=0)
    base = atomlab.load("si-base", device="cpu")
    found = {}
    for strategy in ("transfer", "scratch"):
        plan = prepare(strategy, {"epochs": 12}, base, split.train, split.valid)
        found[strategy] = list(fit(plan))[-1].values["forces_rmse"]
    assert found["transfer"] < 0.5 * found["scratch"] and found["transfer"] < 0.2
