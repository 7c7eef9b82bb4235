"""What each strategy prepares: which weights, which constants, and the reasons it gives."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from atomlab.architectures import create
from atomlab.build import build
from atomlab.data import read
from atomlab.errors import InputError, Notice
from atomlab.predict import evaluate
from atomlab.training import State, fit, prepare
from atomlab.training.strategies.transfer import nearest_element
from training.toy import dataset, frames, toy

FEW = {"epochs": 2, "batch_structures": 2}


def run(plan):
    return list(fit(plan, State(plan)))


def isolated(symbol, energy):
    atoms = Atoms(symbol, cell=[12, 12, 12], pbc=True)
    atoms.info.update(REF_energy=energy, config_type="IsolatedAtom")
    atoms.arrays["REF_forces"] = np.zeros((1, 3))
    return atoms


@pytest.mark.parametrize("strategy", ["scratch", "naive", "transfer"])
def test_a_plan_gives_a_reason_for_everything_and_never_touches_the_base(strategy):
    base = toy()
    before = {n: t.clone() for n, t in base.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)  # nothing is new for 'transfer'
        plan = prepare(strategy, FEW, base, dataset(n=6), dataset(n=2, seed=9))
    assert {"e0", "scale", "learning_rate", "epochs", "batch_structures", "ema", "stages", "validation"} <= set(
        plan.reasons
    )
    assert set(plan.reasons) == set(plan.values)
    assert all(reason.endswith(".") and len(reason) > 5 for reason in plan.reasons.values())
    assert "as set" in plan.reasons["epochs"] and "chosen because" in plan.reasons["learning_rate"]
    run(plan)
    assert all(torch.equal(t, before[n]) for n, t in base.state_dict().items())


def test_effort_means_steps_and_least_epochs():
    few, many = dataset(n=4), dataset(n=30)
    quick = prepare("naive", {}, toy(), few)
    assert quick.epochs * 2 == 500 and "effort 'quick'" in quick.reasons["epochs"]
    thorough = prepare("naive", {"effort": "thorough", "batch_structures": 1}, toy(), many)
    assert thorough.epochs * 30 >= 15_000


def test_a_second_stage_with_weights_of_its_own():
    settings = {"epochs": 4, "batch_structures": 2, "energy_stage": 0.5, "energy_weight": 0.0,
                "second_weights": {"energy": 7, "forces": 2}}  # fmt: skip
    plan = prepare("naive", settings, toy(), dataset(n=4), dataset(n=2, seed=9))
    assert [(s.start, s.loss.energy, s.loss.forces) for s in plan.stages] == [(0, 0.0, 10.0), (2, 7.0, 2.0)]
    assert "energy 7 instead of 0, forces 2 instead of 10" in plan.reasons["stages"] and not plan.forces_only
    told = [e.values for e in run(plan) if e.kind == "stage"]
    assert [(e["epoch"], e["energy_weight"], e["forces_weight"]) for e in told] == [(0.0, 0.0, 10.0), (2.0, 7.0, 2.0)]
    with pytest.raises(InputError, match="no second stage"):
        prepare("naive", {**settings, "energy_stage": 0.0}, toy(), dataset(n=4))
    with pytest.raises(InputError, match="label REF_stress, which the second stage"):
        prepare("naive", {**settings, "second_weights": {"stress": 1}}, toy(), dataset(n=4))


def test_frozen_groups_keep_the_weights_of_the_base():
    base = toy()
    plan = prepare("naive", {**FEW, "freeze": ["embedding", "inter*"]}, base, dataset(n=6))
    run(plan)
    for name, tensor in plan.potential.named_parameters():
        same = torch.equal(tensor, dict(base.named_parameters())[name])
        assert same == (not name.startswith("atom.")), name
    assert "frozen: embedding, interactions.0" in plan.reasons["trained"]
    with pytest.raises(InputError, match=r"no such parameter group.*readout.*Did you mean 'readouts'"):
        prepare("naive", {"freeze": ["readout"]}, base, dataset(n=2))
    with pytest.raises(InputError, match="No parameter is left"):
        State(prepare("naive", {"freeze": ["*"]}, base, dataset(n=2)))


def test_fine_tuning_takes_the_energies_level_from_the_new_data():
    base = toy()
    base.set_atomic_energies({14: -100.0})
    base.shift.fill_(3.0)
    plan = prepare("naive", FEW, base, dataset(n=6))
    found = evaluate(plan.potential, plan.train, want=("energy",))
    predicted, label = found.energy_per_atom()
    assert abs((predicted - label).mean()) < 1e-9
    assert "what the base model leaves" in plan.reasons["e0"] and float(plan.potential.shift[0]) == 0.0


def test_e0_of_isolated_atoms_and_the_shift_beside_them():
    frame = frames(n=5)
    plan = prepare("scratch", FEW, toy(), read([*frame, isolated("Si", -2.5)]))
    mean = np.mean([a.info["REF_energy"] / 8 for a in frame])
    assert float(plan.potential.atomic_energies[0, 0]) == -2.5 and "isolated" in plan.reasons["e0"]
    assert float(plan.potential.shift[0]) == pytest.approx(mean + 2.5)
    given = prepare("scratch", {**FEW, "e0": {"Si": -1.25}}, toy(), read(frame))
    assert float(given.potential.atomic_energies[0, 0]) == -1.25 and "as set" in given.reasons["e0"]
    with pytest.raises(InputError, match="isolated"):
        prepare("scratch", {**FEW, "e0": "isolated"}, toy(), read(frame))
    with pytest.raises(InputError, match="base model"):
        prepare("scratch", {**FEW, "e0": "residuals"}, toy(), read(frame))


def test_transfer_copies_rows_but_never_energies_and_keeps_the_scale():
    base = toy(("Si", "C"))
    base.set_atomic_energies({14: -100.0, 6: -50.0})
    base.scale.fill_(0.7)
    plan = prepare("transfer", FEW, base, dataset("Ge", n=5))
    new = plan.potential
    assert new.card.elements == (14, 6, 32)
    assert torch.equal(new.embedding[2], base.embedding[0]) and torch.equal(new.embedding[1], base.embedding[1])
    assert plan.values["parents"] == {"Ge": "Si"} and "nearest known element" in plan.reasons["parents"]
    predicted, label = evaluate(new, plan.train, want=("energy",)).energy_per_atom()
    assert abs((predicted - label).mean()) < 1e-9 and float(new.atomic_energies[0, 2]) > -20
    # elements that the new data lack keep theirs
    old = frames(n=1)
    assert evaluate(new, old).energy[0] == pytest.approx(evaluate(base, old).energy[0], abs=1e-9)
    rms = np.sqrt(np.mean([a.arrays["REF_forces"] ** 2 for a in plan.train]))
    assert (
        float(new.scale[0]) == pytest.approx(0.7) and f"the new data's would be {rms:.4g} eV" in plan.reasons["scale"]
    )
    chosen = prepare("transfer", {**FEW, "parents": {"Ge": "C"}}, base, dataset("Ge", n=2))
    assert torch.equal(chosen.potential.embedding[2], base.embedding[1])
    for parents, word in (({"Ge": "Sn"}, "parent of Ge is not known"), ({"Si": "C"}, "not new")):
        with pytest.raises(InputError, match=word):
            prepare("transfer", {**FEW, "parents": parents}, base, dataset("Ge", n=2))
    with pytest.raises(InputError, match="does not know the element.*strategy 'transfer'"):
        prepare("naive", FEW, base, dataset("Ge", n=2))


def test_parents_by_the_periodic_table():
    assert nearest_element(32, (14, 6, 33)) == 14 and nearest_element(32, (50, 33)) == 50
    assert nearest_element(32, (33, 31)) in (31, 33) and nearest_element(3, (1, 11, 19)) == 11
    assert nearest_element(95, (63, 77)) == 63 and nearest_element(74, (42, 75)) == 42
    assert nearest_element(2, (1, 10)) == 10 and nearest_element(71, (39, 70)) == 39


def test_scratch_takes_shape_from_a_model_and_numbers_from_the_data():
    base = toy(("Si",), width=5)
    twin = prepare("scratch", FEW, base, dataset("Ge", n=4), seed=3)
    again = prepare("scratch", FEW, base, dataset("Ge", n=4), seed=3)
    other = prepare("scratch", FEW, base, dataset("Ge", n=4), seed=4)
    assert twin.potential.card.elements == (32,) and twin.potential.config["width"] == 5
    assert torch.equal(twin.potential.embedding, again.potential.embedding)
    assert not torch.equal(twin.potential.embedding, other.potential.embedding)
    rms = np.sqrt(np.mean([a.arrays["REF_forces"] ** 2 for a in twin.train]))
    assert float(twin.potential.scale[0]) == pytest.approx(rms)
    with pytest.raises(InputError, match="needs an architecture"):
        prepare("scratch", FEW, {"channels": 3}, dataset(n=2))


def test_labels_that_are_not_there():
    unlabelled = frames(n=3)
    for atoms in unlabelled:
        del atoms.info["REF_energy"]
    with pytest.warns(Notice, match="No training structure has the label REF_energy"):
        plan = prepare("scratch", FEW, toy(), read(unlabelled))
    assert plan.forces_only and np.isfinite(run(plan)[-1].values["best_epoch"])
    with pytest.raises(InputError, match="REF_energy, but energy_weight is 2"):
        prepare("scratch", {**FEW, "energy_weight": 2.0}, toy(), read(unlabelled))
    for atoms in unlabelled:
        del atoms.arrays["REF_forces"]
    with pytest.raises(InputError, match="no labels to learn from"):
        prepare("scratch", FEW, toy(), read(unlabelled))


def test_mace_learns_four_frames_by_heart():
    data = dataset(n=4)
    config = {"architecture": "mace", "channels": 8, "cutoff": 4.0, "radial_hidden": [16]}
    settings = {"epochs": 60, "batch_structures": 2, "energy_stage": 0.3}
    plan = prepare("scratch", settings, config, data, data, dtype="float32", device="cpu")
    events = run(plan)
    base = next(e.values for e in events if e.kind == "metric" and e.values["split"] == "valid")
    assert events[-1].values["forces_rmse"] < 0.15 * base["forces_rmse"]
    assert plan.potential.dtype == torch.float32


def test_residual_mace_gets_the_mean_number_of_neighbours():
    config = {"architecture": "mace", "channels": 2, "cutoff": 3.0, "interaction": "residual"}
    plan = prepare("scratch", FEW, config, dataset(n=4), device="cpu")
    assert 4 <= plan.potential.config["average_neighbours"] < 6 and "neighbours" in plan.reasons["average_neighbours"]


def test_reann_counts_its_neighbours_by_the_cutoff_function():
    """At the packages' 1/60 what a round of messages adds is below the last digit of float32."""
    config = {"architecture": "equireann", "cutoff": 3.0, "waves": 2, "hidden": [4], "message_hidden": [4]}
    data = dataset(n=4)
    plan = prepare("scratch", FEW, config, data, device="cpu")
    seen = 0.0
    for atoms in data:
        r = neighbor_list("d", atoms, 3.0)
        seen += np.sum((0.5 + 0.5 * np.cos(np.pi * r / 3.0)) ** 2) / len(atoms) / len(data)
    assert plan.potential.config["neighbours"] == pytest.approx(seen, rel=1e-6)
    assert torch.allclose(plan.potential.coefficient, torch.tensor(1 / seen, dtype=torch.float32))
    assert "cutoff function" in plan.reasons["neighbours"]
    plan = prepare("scratch", FEW, {**config, "neighbours": 7.0}, data, device="cpu")
    assert plan.potential.config["neighbours"] == 7.0 and "neighbours" not in plan.reasons


def test_mbnn_gets_the_spread_of_its_descriptors():
    config = {"architecture": "mbnn", "hidden": [4], "functions": [{"kind": "single"}]}
    data = dataset(n=4)
    plan = prepare("scratch", FEW, config, data, device="cpu", dtype="float64")
    model = plan.potential
    graph = build(list(data), model.needs)
    species = model.species(graph)
    x = ((model.descriptors(graph, species) - model.mean[species]) / model.spread[species]).detach()
    assert x.mean(0).abs().max() < 1e-8 and torch.allclose(x.std(0, unbiased=False).max(), torch.ones(()).double())
    assert plan.values["descriptors"] == 4


def test_a_formula_cannot_be_trained():
    with pytest.raises(InputError, match="no parameters"):
        prepare("naive", FEW, create("stillinger-weber", elements=["Si"]), dataset(n=2))


def test_larger_models_get_smaller_steps():
    small, large = (prepare("naive", FEW, toy(width=w), dataset(n=2)) for w in (8, 200))
    sizes = [sum(p.numel() for p in plan.potential.parameters()) for plan in (small, large)]
    assert sizes[0] < 10_000 < sizes[1] and small.values["learning_rate"] == 0.005
    assert large.values["learning_rate"] == pytest.approx(0.005 * (1e4 / sizes[1]) ** 0.5, rel=0.06)
    assert f"{sizes[1]} parameters" in large.reasons["learning_rate"]
