"""The loop: it learns, stops and resumes anywhere with the same losses, and says where it went wrong."""

import itertools

import numpy as np
import pytest
import torch

from atomlab.data import read
from atomlab.errors import InputError
from atomlab.training import Diverged, State, finish, fit, prepare
from training.toy import dataset, frames, interrupted, toy

QUICK = {"epochs": 4, "batch_structures": 2, "learning_rate": 0.01}


def plan(settings=QUICK, strategy="scratch", n=7, valid=3, seed=0, base=None, **kw):
    held = dataset(n=valid, seed=9) if valid else None
    return prepare(strategy, settings, base or toy(dropout=kw.pop("dropout", 0.0)), dataset(n=n), held, seed=seed, **kw)


def losses(events):
    return [(e.values["step"], e.values["loss"]) for e in events if e.kind == "metric" and e.values["split"] == "train"]


def test_the_loss_falls_and_the_events_tell_the_story():
    p = plan({**QUICK, "epochs": 30, "batch_structures": 1})
    events = list(fit(p))
    kinds = [e.kind for e in events]
    assert (
        kinds[-1] == "done" and kinds.count("stage") == 2 and {"metric", "best", "checkpoint", "progress"} <= set(kinds)
    )
    first, last = losses(events)[0][1], losses(events)[-1][1]
    assert last < first / 10
    done = events[-1].values
    valid = [e.values for e in events if e.kind == "metric" and e.values["split"] == "valid"]
    assert valid[0]["step"] == 0 and valid[-1]["epoch"] == 30
    best = min(valid, key=lambda v: v["loss"])
    assert done["best_epoch"] == best["epoch"] and done["forces_rmse"] == pytest.approx(best["forces_rmse"], rel=1e-9)


@pytest.mark.parametrize("stop_at", [1, 2, 6, 9])
@pytest.mark.parametrize("optimiser", ["adamw", "amsgrad"])
def test_a_resumed_run_has_the_same_losses(tmp_path, stop_at, optimiser):
    """Four batches an epoch: stops in the middle of an epoch, at its end, and before and after the stage change."""
    settings = {**QUICK, "optimiser": optimiser, "schedule": "plateau", "plateau_patience": 1, "energy_stage": 0.5}
    whole = list(fit(plan(settings, dropout=0.2)))
    before, after = interrupted(lambda: plan(settings, dropout=0.2), tmp_path / "state.pt", stop_at)
    expected, found = dict(losses(whole)), dict(losses(before) + losses(after))
    assert found.keys() == expected.keys() and len(expected) == 16
    assert all(abs(found[k] - expected[k]) < 1e-9 * max(1, expected[k]) for k in expected)
    assert after[-1].values["forces_rmse"] == pytest.approx(whole[-1].values["forces_rmse"], rel=1e-9)


def test_mace_in_single_precision_resumes_with_the_same_losses(tmp_path):
    def mace(epochs=3):
        config = {"architecture": "mace", "channels": 4, "cutoff": 4.0, "radial_hidden": [8]}
        return prepare("scratch", {**QUICK, "epochs": epochs}, config, dataset(n=6), dataset(n=2, seed=9), device="cpu")

    expected = dict(losses(fit(mace())))
    p = mace()
    state = State(p)
    found = dict(losses(itertools.takewhile(lambda event: state.step < 5, fit(p, state))))
    state.save(tmp_path / "state.pt")
    again = mace()
    found |= dict(losses(fit(again, State.load(tmp_path / "state.pt", again))))
    # the event at which it stopped is lost, its step is not
    assert len(expected) == 9 and set(expected) - set(found) == {5}
    assert all(abs(found[k] - expected[k]) <= 1e-6 * max(1, expected[k]) for k in found)


def test_a_finished_training_can_be_made_longer(tmp_path):
    p = plan()
    state = State(p)
    list(fit(p, state))
    state.save(tmp_path / "state.pt")
    longer = plan({**QUICK, "epochs": 6})
    events = list(fit(longer, State.load(tmp_path / "state.pt", longer)))
    assert [step for step, _ in losses(events)] == list(range(17, 25)) and events[-1].values["epoch"] == 6


def test_two_trainings_in_turn_do_not_disturb_each_other():
    alone = losses(fit(plan(dropout=0.2)))
    a, b = fit(plan(dropout=0.2)), fit(plan(seed=5, dropout=0.2))
    mixed = []
    for event in a:
        mixed.append(event)
        next(b, None)
    assert losses(mixed) == alone


def test_a_state_of_another_training_is_refused(tmp_path):
    p = plan()
    State(p).save(tmp_path / "state.pt")
    for other, word in ((plan(n=6), "data"), (plan(seed=1), "seed"), (plan({**QUICK, "batch_structures": 3}), "batch")):
        with pytest.raises(InputError, match=f"another training.*{word}"):
            State.load(tmp_path / "state.pt", other)
    whole = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        State.load(tmp_path / "state.pt", p)
    with pytest.raises(InputError, match="no saved training state"):
        State.load(tmp_path / "none.pt", p)


def test_validation_does_not_change_a_seeded_training():
    assert losses(fit(plan())) == losses(fit(plan(valid=0))) == losses(fit(plan({**QUICK, "validation_share": 0.9})))


def test_the_best_weights_are_kept_when_it_stops_early():
    p = plan({**QUICK, "epochs": 50})
    state = State(p)
    for event in fit(p, state):
        if event.kind == "metric" and event.values["split"] == "valid" and event.values["epoch"] >= 8:
            break
    metrics = finish(p, state)
    assert state.best["weights"] is not None and metrics["forces_rmse"] > 0
    for name, tensor in p.potential.state_dict().items():
        assert torch.equal(tensor, state.best["weights"][name])
    assert all(q.requires_grad for q in p.potential.parameters()) and not p.potential.training


def test_early_stop_and_time_limit_say_why():
    slow = {**QUICK, "epochs": 400, "learning_rate": 1e-9, "early_stop": 3, "ema": 0.0, "warmup": 0.0}
    p = plan(slow)
    with torch.no_grad():
        for q in p.potential.parameters():
            q.zero_()
    done = list(fit(p))[-1].values
    assert "early stop" in done["reason"] and done["epoch"] < 20
    done = list(fit(plan({**QUICK, "epochs": 100_000, "time_limit": 0.005})))[-1].values
    assert "time limit" in done["reason"] and done["epoch"] < 1000


def test_a_broken_structure_is_named():
    bad = frames(n=7)
    bad[4].positions[1] = bad[4].positions[0] + 1e-9
    bad[4].arrays["REF_forces"][:] = 1e200
    p = prepare(
        "scratch", {**QUICK, "loss": "mse", "e0": {"Si": 0.0}, "scale": 1.0}, toy(), read(bad), dataset(n=2, seed=3)
    )
    with pytest.raises(Diverged, match=r"frame 4 of the training set, Si8.*Kept: the first weights") as error:
        list(fit(p))
    assert "learning rate" in str(error.value)
    assert all(torch.isfinite(t).all() for t in p.potential.state_dict().values())


def test_an_explosion_stops_and_the_best_weights_come_back():
    p = plan({**QUICK, "epochs": 30, "ema": 0.0, "energy_stage": 0.0})
    state = State(p)
    run = fit(p, state)
    for event in run:
        if event.kind == "metric" and state.step == 22:
            break
    with torch.no_grad():
        for q in p.potential.parameters():
            q.mul_(1e4)
    with pytest.raises(Diverged, match=r"exploded to .*Kept: the best weights so far, of epoch"):
        list(run)
    for name, tensor in p.potential.state_dict().items():
        assert torch.equal(tensor, state.best["weights"][name])


def test_missing_labels_take_no_part():
    mixed = frames(n=7)
    del mixed[0].info["REF_energy"], mixed[1].arrays["REF_forces"]
    del mixed[2].info["REF_energy"], mixed[2].arrays["REF_forces"]
    p = prepare("scratch", QUICK, toy(), read(mixed), None)
    assert all(np.isfinite(loss) for _, loss in losses(fit(p)))


def test_forces_only_training_fits_the_constant_afterwards():
    settings = {**QUICK, "energy_weight": 0.0, "epochs": 25, "e0": {"Si": 7.0}}
    p = prepare("scratch", settings, toy(), dataset(n=8), dataset(n=4, seed=9))
    events = list(fit(p))
    assert not any("energy_rmse" in e.values for e in events if e.kind == "metric")
    # before the fit the energies are off by 7 + 1.5 + 4.3 eV/atom
    assert events[-1].values["energy_rmse"] < 0.5
    again = list(fit(p, State(p)))  # the constant is not added twice
    assert again[-1].values["energy_rmse"] < 0.5


def test_batches_by_atoms_and_edges_and_stress_too():
    data = read(frames(n=6, stress=True))
    for size in ({"batch_atoms": 16}, {"batch_edges": 300}):
        p = prepare(
            "scratch", {"epochs": 25, "learning_rate": 0.01, "stress_weight": 3000.0, **size}, toy(), data, data
        )
        events = list(fit(p))
        valid = [e.values for e in events if e.kind == "metric" and e.values["split"] == "valid"]
        assert valid[-1]["stress_rmse"] < valid[0]["stress_rmse"]
        assert max(e.values["step"] for e in events if "step" in e.values) >= 2 * 25


def test_probes_see_the_averaged_weights():
    seen = []

    def probe(potential, epoch):
        seen.append((epoch, next(iter(potential.parameters())).detach().clone()))
        return {"name": "dimer", "value": 1.0}

    p = plan({**QUICK, "ema": 0.99})
    state = State(p)
    events = list(fit(p, state, probes=[probe]))
    assert torch.equal(seen[-1][1], next(iter(state.ema.average.values())))
    assert [e.values["value"] for e in events if e.kind == "probe"] == [1.0] * len(seen)
    assert not torch.equal(seen[-1][1], seen[0][1])
