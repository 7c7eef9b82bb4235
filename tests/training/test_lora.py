"""LoRA: the base's matrices stay, few numbers learn, and what is saved is an ordinary model."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from atomlab import checkpoint
from atomlab.architectures import create, lowrank
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.potential import outputs
from atomlab.predict import evaluate
from atomlab.training import State, fit, prepare
from training.toy import dataset, interrupted, toy

SETTINGS = {"epochs": 30, "batch_structures": 3, "lora_rank": 2, "energy_stage": 0.0}


def mace(**kw):
    return create("mace", elements=["Si"], channels=8, radial_hidden=[16], seed=1, **kw).double()


def test_fresh_adapters_change_nothing_and_merged_ones_are_the_same_model():
    model = mace()
    graph = build([dataset(n=1)[0]], model.needs)
    before = outputs(model, graph)
    got, small = lowrank.attach(model, 2, 2.0, lambda weight: True)
    assert "interactions.0.linear_up" in got and "interactions.0.conv_tp_weights.layer0" in got
    assert "readouts.0.linear" in small and lowrank.adapted(model)
    assert torch.equal(outputs(model, graph).forces, before.forces)
    with torch.no_grad():
        for module in model.modules():
            for b in module.b if isinstance(module, lowrank.LowRank) else ():
                b.normal_(0, 0.3)
    moved, merged = outputs(model, graph), lowrank.merged(model)
    assert (moved.forces - before.forces).abs().max() > 1e-3
    assert not lowrank.adapted(merged) and set(merged.state_dict()) == set(mace().state_dict())
    assert (outputs(merged, graph).forces - moved.forces).abs().max() < 1e-12
    assert (outputs(model, graph).forces - moved.forces).abs().max() == 0  # merging a copy leaves the model alone
    assert (outputs(deepcopy(model), graph).forces - moved.forces).abs().max() == 0
    assert lowrank.merged(merged) is merged


@pytest.mark.parametrize("kind", ["mace", "dimenetpp", "reann", "gptff", "mbnn"])
def test_every_architecture_has_layers_for_adapters(kind):
    model = create(kind, elements=["Si"]).double().eval()
    graph = build([dataset(n=1)[0]], model.needs)
    before = model(graph).energy
    got, _ = lowrank.attach(model, 1, 1.0, lambda weight: True)
    assert len(got) >= 3 and torch.equal(model(graph).energy, before)
    assert torch.equal(lowrank.merged(model)(graph).energy, before)


def test_it_learns_and_keeps_the_bases_weights_and_saves_an_ordinary_model(tmp_path):
    base, train = mace(), dataset(n=6)
    plan = prepare("lora", {**SETTINGS, "learning_rate": 0.02}, base, train, dataset(n=3, seed=9))
    count = plan.values["trained"]
    assert 0 < count < 0.5 * sum(p.numel() for p in base.parameters())
    assert plan.values["lora_alpha"] == 2.0 and "rank 2" in plan.reasons["adapters"]
    assert set(plan.reasons) == set(plan.values) and "trained as they are" in plan.reasons["adapters"]
    start = evaluate(plan.potential, train).errors()["forces"]["rmse"]
    events = list(fit(plan, State(plan)))
    tuned = evaluate(plan.potential, train)
    assert tuned.errors()["forces"]["rmse"] < 0.8 * start and events[-1].kind == "done"
    for name, before in base.named_parameters():
        module, _, leaf = name.rpartition(".")
        now = plan.potential.get_submodule(module)
        if torch.nn.utils.parametrize.is_parametrized(now, leaf):
            assert torch.equal(now.parametrizations[leaf].original, before), name
    path = checkpoint.save(plan.potential, tmp_path / "tuned.safetensors")
    again = checkpoint.load(path, dtype="float64")
    assert type(again) is type(base) and set(again.state_dict()) == set(base.state_dict())
    assert np.array_equal(
        again.state_dict()["interactions.0.skip_tp.weight"], base.state_dict()["interactions.0.skip_tp.weight"]
    )
    np.testing.assert_allclose(evaluate(again, train).energy, tuned.energy, atol=1e-9)


def test_a_resumed_run_has_the_same_losses(tmp_path):
    def plan():
        return prepare("lora", {**SETTINGS, "epochs": 4}, toy(seed=1), dataset(n=6))

    def losses(events):
        return {e.values["step"]: e.values["loss"] for e in events if e.kind == "metric"}

    whole = losses(fit(plan()))
    before, after = interrupted(plan, tmp_path / "state.pt", 3)
    assert losses(before + after) == pytest.approx(whole, rel=1e-9)


def test_frozen_groups_get_no_adapter_and_a_rank_that_fits_nothing_is_refused():
    plan = prepare("lora", {**SETTINGS, "freeze": ["interactions.*"]}, mace(), dataset(n=2))
    adapted = [name for name, m in plan.potential.named_modules() if isinstance(m, lowrank.LowRank)]
    assert adapted and not any(name.startswith("interactions") for name in adapted)
    assert [g.name for g in plan.groups if not g.trained and g.name.startswith("inter")]
    with pytest.raises(InputError, match="no linear layer that an adapter of rank 500"):
        prepare("lora", {**SETTINGS, "lora_rank": 500}, mace(), dataset(n=2))
    with pytest.raises(InputError, match="no such parameter group to freeze.*Did you mean 'readouts'"):
        prepare("lora", {**SETTINGS, "freeze": ["readout"]}, mace(), dataset(n=2))
