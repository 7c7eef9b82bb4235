"""Strategy atomft: the error falls, the base stays bit for bit, no atom's energy moves by more than alpha."""

import torch

from atomlab import checkpoint
from atomlab.architectures import create
from atomlab.architectures.atomft import AtomFT
from atomlab.build import build
from atomlab.predict import evaluate
from atomlab.training import State, fit, prepare
from training.toy import dataset, toy


def test_the_base_is_kept_and_the_error_falls(tmp_path):
    base, train = toy(seed=3), dataset(n=6, constant=0.0)
    base.set_atomic_energies({14: -4.0})
    before = {n: t.clone() for n, t in base.state_dict().items()}
    settings = {"epochs": 60, "batch_structures": 3, "alpha": 0.3, "energy_stage": 0.0}
    plan = prepare("atomft", settings, base, train)
    assert "frozen" in plan.reasons["base"] and "0.3 eV" in plan.reasons["alpha"]
    start = evaluate(plan.potential, train).errors()["forces"]["rmse"]
    assert start == evaluate(base, train).errors()["forces"]["rmse"]
    state = State(plan)
    list(fit(plan, state))
    tuned = plan.potential
    assert isinstance(tuned, AtomFT)
    assert evaluate(tuned, train).errors()["forces"]["rmse"] < 0.8 * start
    assert all(torch.equal(t, before[n]) for n, t in tuned.base.state_dict().items())
    graph = build([train[k] for k in range(len(train))], tuned.needs)
    assert tuned.correction(graph).abs().max() <= 0.3 + 1e-9
    checkpoint.save(tuned, tmp_path / "tuned.safetensors")
    again = checkpoint.load(tmp_path / "tuned.safetensors", dtype="float64")
    assert torch.equal(again.energy(graph), tuned.energy(graph))


def test_it_stands_on_mace():
    base = create("mace", elements=["Si"]).double()
    plan = prepare("atomft", {"epochs": 3, "blocks": 2}, base, dataset(n=3, constant=0.0))
    list(fit(plan, State(plan)))
    assert len(plan.potential.linear) == 2 and plan.potential.own is not None
