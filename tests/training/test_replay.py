"""Replay: a head of its own for the new data, the base's data on the base's head, and never a naive fine-tuning."""

import warnings

import numpy as np
import pytest
import torch

import atomlab
from atomlab.architectures import create
from atomlab.corrections.zbl import ZBL
from atomlab.data import Dataset, read
from atomlab.errors import InputError, Notice
from atomlab.potential import Sum, outputs
from atomlab.predict import evaluate
from atomlab.training import Loss, State, fit, loop, prepare
from atomlab.training.forgetting import forgetting, foundation_ratio, ratios, ratios_by_structure
from atomlab.training.losses import Residuals, by_head
from training.toy import dataset, frames, interrupted, toy

FEW = {"epochs": 2, "batch_structures": 3, "replay_count": 6, "replay_valid": 0.34}


def taking(source, told=None):
    """A selection that takes the first structures, and remembers what it was asked for."""

    def select(base, *, count, **asked):
        if told is not None:
            told.update(asked, count=count)
        return source[:count], {"replay_rule": ("first", "The first ones")}

    return select


def plan(base=None, settings=FEW, n=3, source=None, valid=2, **kw):
    source = dataset(n=6, seed=5, constant=0.0) if source is None else source
    held = dataset(n=valid, seed=9) if valid else None
    return prepare("replay", settings, base or toy(seed=1), dataset(n=n), held, select=taking(source), **kw)


def losses(events):
    return [(e.values["step"], e.values["loss"]) for e in events if e.kind == "metric" and e.values["split"] == "train"]


def test_without_replay_data_it_stops_and_is_never_naive():
    with pytest.raises(InputError, match="does not go on without.*replay_labels='base'"):
        prepare("replay", FEW, toy(), dataset(n=3))
    with pytest.raises(InputError, match="Only the strategy 'replay' selects"):
        prepare("naive", {"epochs": 2}, toy(), dataset(n=3), select=taking(dataset(n=2)))


def test_the_new_head_starts_as_the_base_and_the_bases_head_is_the_base():
    base = toy(seed=1)
    base.set_atomic_energies({14: -4.0})
    p = plan(base)
    tuned, test = p.potential, dataset(n=3, seed=7)
    assert tuned.card.heads == ("default", "new") and p.head == tuned.default_head == 1
    before = evaluate(base, test)
    assert np.array_equal(evaluate(tuned, test, head="default").energy, before.energy)
    after = evaluate(tuned, test, head="new")
    np.testing.assert_allclose(np.concatenate(after.forces), np.concatenate(before.forces), atol=1e-12)
    # E0 of the new head: the base's and what it leaves over of the new energies; the base's head keeps its own
    data = dataset(n=3)
    left = np.mean([(e - b) / 8 for e, b in zip(data.energies, evaluate(base, data).energy)])
    assert float(tuned.atomic_energies[1, 0]) == pytest.approx(-4.0 + left, abs=1e-9)
    assert float(tuned.atomic_energies[0, 0]) == -4.0 and p.values["e0_replay"] == "base"
    assert "what the base model leaves over" in p.reasons["e0"] and "off their labels" in p.reasons["e0_replay"]


def test_every_choice_of_replay_stands_in_the_plan_with_a_reason():
    told = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        p = prepare("replay", {"epochs": 2}, toy(), dataset(n=3), dataset(n=2, seed=9),
                    select=taking(dataset(n=20, seed=5), told), seed=4)  # fmt: skip
    names = {"replay_count", "replay_labels", "replay_held_out", "oversample", "replay_weight", "keep_by", "heads",
             "e0", "e0_replay", "learning_rate", "replay_rule"}  # fmt: skip
    assert names <= set(p.reasons) and set(p.reasons) == set(p.values)
    assert told == {"elements": (14,), "count": 100, "method": "farthest", "pool": 2000, "labelled": True, "seed": 4}
    # 18 are replayed and 2 held out; 3 new ones are half of an epoch with 6 of each
    assert p.values["oversample"] == 6 and len(p.train) == 36 and p.mix.heads == [1] * 18 + [0] * 18
    assert len(p.own) == 18 and p.own.hash() == dataset(n=3)[[0, 1, 2] * 6].hash()


def test_a_step_has_as_many_new_structures_as_without_replay():
    """Else the new data are learned from less often in the same number of steps, and the comparison is not one."""
    settings = {"epochs": 2, "replay_count": 40, "replay_valid": 0.0}
    many = plan(settings=settings, source=dataset(n=40, seed=5))  # 3 new ones 13 times beside 40: about half
    assert many.batch == {"structures": 5} and "2 without replay" in many.reasons["batch_structures"]
    assert "there are 3 new" in many.reasons["batch_structures"]
    few = plan(settings={**settings, "oversample": 1}, source=dataset(n=40, seed=5))  # 3 beside 40: not wider than 4x
    assert few.batch == {"structures": 8} and "0.56 on average" in few.reasons["batch_structures"]


def test_a_new_element_is_learned_with_the_steps_of_transfer():
    base, source = toy(seed=1), dataset(n=6, seed=5, constant=0.0)
    rates = []
    for element in ("Si", "Ge"):
        p = prepare("replay", FEW, base, dataset(element, n=3), None, select=taking(source))
        rates.append(p.values["learning_rate"])
    assert rates[1] == pytest.approx(2 * rates[0], rel=0.05)


def test_the_losses_begin_equal_unless_the_replayed_ones_is_smaller():
    """A base with large errors on its own data must not have them drown the new data's gradients."""
    base = toy(seed=1)
    source = atomlab.data.read(frames(n=6, seed=5, constant=0.0))
    near = plan(base=base, source=relabelled(base, source))
    assert near.values["replay_weight"] == 1.0 and "the losses begin at" in near.reasons["replay_weight"]
    wild = []
    for atoms in relabelled(base, source):
        atoms.arrays["REF_forces"] = 100.0 + atoms.arrays["REF_forces"]
        wild.append(atoms)
    far = plan(base=base, source=read(wild))
    parts = [far.train[[k for k, head in enumerate(far.mix.heads) if head == h]] for h in (1, 0)]
    new, old = (evaluate(far.potential, part, head=h).errors() for part, h in zip(parts, (1, 0)))
    ratio = [10 * e["forces"]["rmse"] ** 2 + e["energy"]["rmse"] ** 2 for e in (new, old)]
    assert far.values["replay_weight"] == pytest.approx(ratio[0] / ratio[1], rel=0.06) and ratio[0] < ratio[1]
    assert far.mix.weights == {1: 1.0, 0: far.values["replay_weight"]}
    assert plan(settings={**FEW, "replay_weight": 3.0}).mix.weights == {1: 1.0, 0: 3.0}


def test_each_structure_is_trained_on_the_head_of_its_level(monkeypatch):
    seen = []

    def watched(potential, graph, *rest, **kw):
        seen.extend(zip(graph.head.tolist(), graph.labels["energy"].tolist()))
        return outputs(potential, graph, *rest, **kw)

    monkeypatch.setattr(loop, "outputs", watched)
    p = plan(settings={**FEW, "oversample": 2, "epochs": 1}, valid=0)
    list(fit(p, State(p)))
    new = dataset(n=3).energies.round(6)
    assert sorted(head for head, _ in seen) == [0] * 3 + [1] * 6
    assert all((head == 1) == (round(energy, 6) in new) for head, energy in seen)


def test_a_loss_for_each_head_and_its_weight_by_hand():
    def rows(values):
        return torch.tensor(values, dtype=torch.float64)

    heads, forces = torch.tensor([0, 1, 1]), torch.zeros(0, dtype=torch.int64)
    r = Residuals(rows([1.0, 2.0, 4.0]), rows([]).reshape(0, 3), rows([]), rows([]).reshape(0, 6), heads,
                  (heads, forces, forces))  # fmt: skip
    loss = Loss("mse", 3.0, 0.0, 0.0)
    assert float(loss(r)) == pytest.approx(3 * 21 / 3)
    assert float(by_head(loss, {0: 1.0, 1: 1.0}, r)) == pytest.approx(3 * (1 / 3 * 1 + 2 / 3 * 10))
    assert float(by_head(loss, {0: 5.0, 1: 1.0}, r)) == pytest.approx(3 * (5 / 3 * 1 + 2 / 3 * 10))


def test_a_heads_weight_acts_on_what_is_kept():
    """More weight on the base's head keeps more of the base; without an effect the errors would be equal."""
    base = toy(seed=1)
    source = atomlab.data.read(frames(n=6, seed=5, constant=0.0))
    labelled = relabelled(base, source)
    settings = {"epochs": 25, "batch_structures": 3, "replay_count": 6, "replay_valid": 0.0, "oversample": 2}
    wrong = {}
    for weight in (0.01, 100.0):
        p = prepare("replay", {**settings, "replay_weight": weight}, base, dataset(n=3), select=taking(labelled))
        list(fit(p, State(p)))
        wrong[weight] = evaluate(p.potential, labelled, head="default").errors()["forces"]["rmse"]
    assert wrong[100.0] < 0.5 * wrong[0.01]


def relabelled(base, data):
    found, out = evaluate(base, data), []
    for k, atoms in enumerate(data):
        atoms.info["REF_energy"], atoms.arrays["REF_forces"] = found.energy[k], found.forces[k]
        out.append(atoms)
    return read(out)


def test_pseudo_labels_are_the_bases_own():
    bare = frames(n=6, seed=5)
    for atoms in bare:
        del atoms.info["REF_energy"], atoms.arrays["REF_forces"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        bare = read(bare)
    base, told = toy(seed=1), {}
    settings = {**FEW, "replay_labels": "base", "replay_valid": 0.0, "stress_weight": 1.0}
    data = read(frames(n=3, stress=True))
    p = prepare("replay", settings, base, data, select=taking(bare, told))
    replayed = p.train[[k for k, head in enumerate(p.mix.heads) if head == 0]]
    assert told["labelled"] is False and "pseudo-labels" in p.reasons["replay_labels"]
    found = evaluate(base, replayed)
    np.testing.assert_allclose(replayed.energies, found.energy, atol=1e-10)
    for atoms, forces, stress in zip(replayed, found.forces, found.stress):
        np.testing.assert_allclose(atoms.arrays["REF_forces"], forces, atol=1e-12)
        np.testing.assert_allclose(atoms.info["REF_stress"], stress, atol=1e-12)


def test_replayed_energies_of_another_level_are_told_and_can_be_corrected():
    source = Dataset(frames(n=6, seed=5, constant=-7.0), name="another level")
    with pytest.warns(Notice, match="hardly of the level.*replay_e0='residuals'"):
        p = plan(source=source)
    assert float(p.potential.atomic_energies[0, 0]) == 0.0
    p = plan(source=source, settings={**FEW, "replay_e0": "residuals", "replay_valid": 0.0})
    wrong = evaluate(p.potential, source, head="default").energy - source.energies
    assert abs(wrong.mean()) < 1e-8 and p.values["e0_replay"] == "residuals"


def test_what_keeps_the_weights_is_chosen_and_held_out_errors_are_told():
    found = {}
    for keep in ("target", "both"):
        p = plan(settings={**FEW, "keep_by": keep, "replay_weight": 3.0})
        events = list(fit(p, State(p)))
        valid = [e.values for e in events if e.kind == "metric" and e.values["split"] == "valid"]
        found[keep] = valid[0]
        assert {"replay_forces_rmse", "replay_energy_rmse"} <= set(events[-1].values)
        assert "'new'" in p.reasons["keep_by"] and len(p.mix.held[0].data) == 3
        own = evaluate(toy(seed=1), p.mix.held[0].data).errors()["forces"]["rmse"]
        assert valid[0]["replay_forces_rmse"] == pytest.approx(own, rel=1e-9)
    loss = p.stages[-1].loss
    alone = 3.0 * (loss.energy * found["both"]["replay_energy_rmse"] ** 2 + 10 * own**2)
    assert found["both"]["loss"] == pytest.approx(found["target"]["loss"] + alone, rel=1e-6)
    with pytest.raises(InputError, match="needs held-out replay"):
        plan(settings={**FEW, "keep_by": "both", "replay_valid": 0.0})
    assert plan(valid=0).reasons["keep_by"].startswith("The last weights are kept")


def test_a_resumed_replay_has_the_same_losses(tmp_path):
    whole = dict(losses(fit(plan())))
    before, after = interrupted(plan, tmp_path / "state.pt", 3)
    found = dict(losses(before + after))
    assert found.keys() == whole.keys() and all(found[k] == pytest.approx(whole[k], rel=1e-9) for k in whole)


def test_new_elements_and_several_heads_and_corrections_go_along():
    base = toy(("Si",), seed=2, heads=("low", "high"))
    base.default_head = 1
    source = dataset(n=6, seed=5)
    p = prepare("replay", {**FEW, "parents": {"Ge": "Si"}}, base, dataset("Ge", n=3), select=taking(source))
    assert p.potential.card.heads == ("low", "high", "new") and p.potential.card.elements == (14, 32)
    assert set(p.mix.heads) == {1, 2} and p.values["parents"] == {"Ge": "Si"}
    list(fit(p, State(p)))
    whole = Sum(toy(seed=1), ZBL([14]))
    p = plan(whole)
    assert isinstance(p.potential, Sum) and p.potential.members[0].card.heads == p.potential.card.heads
    with pytest.raises(InputError, match="a head of this name"):
        plan(settings={**FEW, "new_head": "default"})
    with pytest.raises(InputError, match="cannot have a second head"):
        plan(create("stillinger-weber", elements=["Si"]))


def test_a_model_whose_heads_share_everything_says_so():
    base = create("mbnn", elements=["Si"], hidden=[8], pair_hidden=[8]).double()
    with pytest.warns(Notice, match="share the whole network"):
        p = plan(base)
    assert p.potential.atomic_energies.shape[0] == 2


def test_forgetting_is_a_ratio_of_errors():
    base, tuned = toy(seed=1), toy(seed=2)
    tasks = {"a": dataset(n=2), "b": read(frames(n=2, seed=3, stress=True))}
    found = forgetting(base, tuned, tasks)
    wrong = [evaluate(m, tasks["b"]).errors()["stress"]["rmse"] for m in (base, tuned)]
    assert set(found["a"]) == {"energy", "forces"} and found["b"]["stress"] == pytest.approx(wrong[1] / wrong[0])
    assert forgetting(base, base, tasks)["a"] == {"energy": 1.0, "forces": 1.0}
    # the head of the base's name is compared, not the new one that the model would use by itself
    p = plan(base)
    with torch.no_grad():
        p.potential.atom[3].weight[1] *= 3
    assert forgetting(base, p.potential, {"a": tasks["a"]})["a"] == pytest.approx({"energy": 1.0, "forces": 1.0})
    single = ratios_by_structure(evaluate(base, tasks["a"]), evaluate(tuned, tasks["a"]))
    assert single.shape == (2,) and single[0] == pytest.approx(
        forgetting(base, tuned, {"x": tasks["a"][:1]})["x"]["forces"]
    )
    before = {"replay_forces_rmse": 0.1, "replay_energy_rmse": 0.0, "forces_rmse": 0.1}
    assert foundation_ratio(before, {"replay_forces_rmse": 0.3, "replay_energy_rmse": 0.2}) == {
        "forces": pytest.approx(3)
    }
    perfect = evaluate(base, relabelled(base, tasks["a"]))
    with pytest.raises(InputError, match="makes no error in the energy"):
        ratios(perfect, perfect)


def test_replay_keeps_silicon_while_it_learns_germanium():
    """si-base to ten frames of sw-ge: the transferred model has lost silicon, the replayed one has not."""
    split = atomlab.read("sw-ge").split(train=10, valid=5, seed=0)
    base, silicon = atomlab.load("si-base", device="cpu"), atomlab.read("sw-si").split(train=30, valid=10, seed=1)
    found = {}
    for strategy, more in (("transfer", {"epochs": 6}), ("replay", {"epochs": 3, "replay_count": 30})):
        select = taking(silicon.train) if strategy == "replay" else None
        p = prepare(strategy, more, base, split.train, split.valid, select=select)
        error = list(fit(p))[-1].values["forces_rmse"]
        found[strategy] = error, forgetting(base, p.potential, {"Si": silicon.valid})["Si"]["forces"]
    assert found["replay"][0] < 0.3  # eV/Å on germanium; the base alone makes 0.66
    assert found["transfer"][1] > 4 * found["replay"][1]
