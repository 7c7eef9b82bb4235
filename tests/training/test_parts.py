"""Losses, optimisers, schedules, averages, settings and tables, each by itself."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from atomlab.build import build
from atomlab.data import read
from atomlab.errors import InputError
from atomlab.potential import outputs
from atomlab.predict import _edges, _graphs, budget, evaluate
from atomlab.training import STRATEGIES, FinetuneSettings, Loss, settings_of, table
from atomlab.training.losses import Residuals, of_predictions, residuals
from atomlab.training.metrics import Running
from atomlab.training.optim import Ema, Group, Optimiser, Schedule, clip_gradients
from atomlab.training.stages import loss_of
from atomlab.units import EV_A3_PER_GPA
from training.toy import dataset, frames, toy


def one(forces=(), norms=(), energy=(), stress=()):
    f = torch.tensor(forces, dtype=torch.float64).reshape(-1, 3)
    s = torch.tensor(stress, dtype=torch.float64).reshape(-1, 6)
    return Residuals(torch.tensor(energy, dtype=torch.float64), f, torch.tensor(norms, dtype=torch.float64), s)


def test_mean_square_by_hand():
    r = one(forces=[[1.0, 2.0, 2.0]], norms=[5.0], energy=[0.5, -0.5], stress=[[1, 1, 1, 2, 0, 0]])
    assert float(Loss("mse", 2.0, 10.0, 4.0)(r)) == pytest.approx(2 * 0.25 + 10 * 9 / 3 + 4 * (3 + 2 * 4) / 9)


def test_huber_is_torchs_and_joins_smoothly():
    x = torch.linspace(-0.1, 0.1, 41, dtype=torch.float64)
    expected = nn.functional.huber_loss(x, torch.zeros_like(x), delta=0.01)
    assert float(Loss("huber", 1.0, 0.0, 0.0, 0.01)(one(energy=x.tolist()))) == pytest.approx(
        float(expected), rel=1e-12
    )


@pytest.mark.parametrize(("norm", "factor"), [(50, 1.0), (99.9, 1.0), (100, 0.7), (250, 0.4), (300, 0.1), (1e4, 0.1)])
def test_conditional_huber_narrows_where_the_reference_force_is_large(norm, factor):
    """MACE-MP-0, supplement C2; the limits hold for the norm, which is what the program does."""
    delta = 0.01 * factor
    found = Loss("conditional_huber", 0.0, 1.0, 0.0, 0.01)(one(forces=[[1.0, 0, 0]], norms=[norm]))
    assert float(found) == pytest.approx(delta * (1 - delta / 2) / 3)


def test_a_delta_of_each_label_is_gptffs_loss_as_published():
    """Huber with delta 1 on eV/atom, eV/Å and GPa, weights 1:1:1 (Xie et al. 2024 and its program), in our units."""
    given = settings_of("scratch", {
        "loss": "huber", "energy_weight": 1, "forces_weight": 1, "stress_weight": EV_A3_PER_GPA**-2,
        "huber_deltas": {"energy": 1, "forces": 1, "stress": EV_A3_PER_GPA},
    })  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    energy, forces, gpa = (
        3 * torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((20,), (30, 3), (20, 3, 3))
    )
    gpa = gpa + gpa.transpose(1, 2)
    voigt = torch.stack([gpa[:, a, b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))], dim=1)
    published = sum(nn.functional.huber_loss(x, torch.zeros_like(x), delta=1.0) for x in (energy, forces, gpa))
    r = one(forces.tolist(), [1.0] * 30, energy.tolist(), (voigt * EV_A3_PER_GPA).tolist())
    assert float(loss_of(given)(r)) == pytest.approx(float(published), rel=1e-12)
    # a label that is not named keeps huber_delta
    some = loss_of(settings_of("naive", {"loss": "huber", "huber_delta": 0.5, "huber_deltas": {"energy": 2}}))
    assert some.parts(one(forces=[[1.0, 0, 0]], norms=[1.0], energy=[1.0]))[:2] == (0.5, 0.375 / 3)


def test_missing_labels_leave_value_and_gradient_alone():
    some = frames(n=3, stress=True)
    for atoms in some:
        atoms.info["REF_stress"][:] *= 1.1
    del some[1].info["REF_energy"], some[2].info["REF_stress"]
    some[0].arrays["REF_forces"][2] = np.nan
    model = toy()
    graph = build(some, model.needs)
    loss = Loss("mse", 1.0, 1.0, 1.0)
    r = residuals(outputs(model, graph, loss.want, create_graph=True), graph)
    assert (len(r.energy), len(r.forces), len(r.stress)) == (2, 23, 2)
    loss(r).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    del some[0].arrays["REF_forces"]
    graph = build(some, model.needs)
    r = residuals(outputs(model, graph, loss.want), graph)
    whole = loss(of_predictions(evaluate(model, read(some))))
    assert float(whole) == pytest.approx(float(loss(r).detach()), rel=1e-9)


def test_stress_of_a_molecule_beside_a_crystal_poisons_nothing():
    crystal, molecule = frames(n=2, stress=True)
    molecule.set_cell(None)
    molecule.pbc = False
    model, loss = toy(), Loss("mse", 1.0, 1.0, 1.0)
    graph = build([molecule, crystal], model.needs)
    r = residuals(outputs(model, graph, loss.want, create_graph=True), graph)
    loss(r).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert len(r.stress) == 1


def test_energies_are_compared_in_double():
    atoms = frames(n=1)[0]
    model = toy(dtype=torch.float32)
    model.set_atomic_energies({14: -9500.0 / 8})
    graph = build([atoms], model.needs)
    out = outputs(model, graph.to(dtype=torch.float32), ("energy",))
    graph.labels["energy"][:] = out.energy + 1e-6
    assert float(residuals(out, graph.to(dtype=torch.float32)).energy[0]) == pytest.approx(-1e-6 / 8, rel=1e-3)


def test_a_loss_without_any_label_is_no_loss():
    assert Loss("mse", 1.0, 1.0, 1.0)(one()) is None
    assert Loss("mse", 0.0, 1.0, 0.0)(one(energy=[1.0])) is None


def test_schedules():
    cosine, exponential = Schedule("cosine", 0.1, 0.2), Schedule("exponential", 0.01)
    assert cosine(0.1) == pytest.approx(0.5 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.1))))
    assert cosine(1.0) == pytest.approx(0.1) and exponential(0.5) == pytest.approx(0.1)
    plateau = Schedule("plateau", patience=2, factor=0.5)
    lowered = [plateau.seen(loss) for loss in (1.0, 0.9, 0.95, 0.95, 0.8, 0.81, 0.82, 0.83)]
    assert lowered == [False, False, False, True, False, False, True, False] and plateau(0.3) == 0.25
    other = Schedule("plateau")
    other.restore(plateau.state())
    assert other(0.0) == 0.25


def test_the_average_follows_and_comes_off_again():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    ema = Ema(model, 0.5)
    for value in (1.0, 2.0):
        with torch.no_grad():
            model.weight.fill_(value)
        ema.update()
    first = (1 - 2 / 11) * 1.0
    assert float(ema.average["weight"]) == pytest.approx(first + (1 - 3 / 12) * (2.0 - first))
    with ema.applied():
        assert float(model.weight) == pytest.approx(float(ema.average["weight"]))
    assert float(model.weight) == 2.0


def test_groups_are_frozen_decayed_and_slowed():
    a, b, c = (nn.Parameter(torch.ones(3)) for _ in range(3))
    groups = [Group("a", [a], trained=False), Group("b", [b], rate=0.1), Group("c", [c], weight_decay=0.5)]
    spec = Optimiser("adamw", 0.1)
    optimiser = spec.make(groups)
    spec.set_rate(optimiser, 0.5)
    assert [row["lr"] for row in optimiser.param_groups] == pytest.approx([0.005, 0.05])
    assert not a.requires_grad and [row["weight_decay"] for row in optimiser.param_groups] == [0.0, 0.5]
    with pytest.raises(InputError, match="No parameter is left"):
        spec.make([Group("a", [a], trained=False)])
    assert spec.make([Group("b", [b])]).defaults["lr"] == 0.1
    assert Optimiser("amsgrad").make([Group("b", [b])]).defaults["amsgrad"]


def test_clipping():
    p = nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients([p], 0.0) == 5.0 and p.grad.norm() == 5.0
    assert clip_gradients([p], 1.0) == 5.0 and float(p.grad.norm()) == pytest.approx(1.0, rel=1e-5)


def test_running_averages_weigh_by_labels():
    running = Running()
    running.add(1.0, one(energy=[1.0, 1.0], forces=[[2.0, 2.0, 2.0]], norms=[1.0]))
    running.add(3.0, one(energy=[3.0]))
    found = running.take()
    assert found == pytest.approx({"loss": 2.0, "energy_rmse": (11 / 3) ** 0.5, "forces_rmse": 2.0})
    assert running.take() == {"loss": 0.0}


@pytest.mark.parametrize("kind", [*STRATEGIES.values(), FinetuneSettings])
def test_every_setting_explains_itself(kind):
    for name, field in kind.model_fields.items():
        assert field.title and field.description and len(field.description) > 20, name
        assert set(field.json_schema_extra) == {"unit", "main"}, name
        assert name in kind.model_json_schema()["properties"]
    assert sum(field.json_schema_extra["main"] for field in kind.model_fields.values()) <= 5


def test_wrong_settings_are_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"no setting 'learning_rat'.*Did you mean 'learning_rate'"):
        settings_of("naive", {"learning_rat": 0.1})
    with pytest.raises(InputError, match=r"'learning_rate': Input should be less than or equal to 1. Got: 3"):
        settings_of("naive", {"learning_rate": 3})
    with pytest.raises(InputError, match="one batch size.*batch_structures and batch_atoms"):
        settings_of("naive", {"batch_structures": 3, "batch_atoms": 5})
    with pytest.raises(InputError, match="nothing to learn from"):
        settings_of("naive", {"energy_weight": 0, "forces_weight": 0})
    with pytest.raises(InputError, match="Did you mean 'transfer'"):
        settings_of("transfers")
    with pytest.raises(InputError, match="'naive' has no setting 'parents'"):
        settings_of("naive", FinetuneSettings(parents={"Ge": "Si"}))
    with pytest.raises(InputError, match="second_weights are 0 or more"):
        settings_of("naive", {"second_weights": {"energy": -1}})
    with pytest.raises(InputError, match="second stage nothing to learn"):
        settings_of("naive", {"second_weights": {"energy": 0, "forces": 0}})
    with pytest.raises(InputError, match="second_weights.*'energy', 'forces' or 'stress'"):
        settings_of("naive", {"second_weights": {"charge": 1}})
    huber = {"loss": "huber", "huber_deltas": {"stress": 0.006}}
    with pytest.raises(InputError, match="huber_deltas name the stress, whose weight is 0: set stress_weight"):
        settings_of("naive", huber)
    assert settings_of("naive", {**huber, "second_weights": {"stress": 1}}).huber_deltas == {"stress": 0.006}
    with pytest.raises(InputError, match="huber_deltas are for the losses 'huber' and 'conditional_huber'"):
        settings_of("naive", {"huber_deltas": {"energy": 1}})
    with pytest.raises(InputError, match="'huber_deltas': Input should be greater than 0"):
        settings_of("naive", {**huber, "huber_deltas": {"energy": 0}})
    assert settings_of("scratch", FinetuneSettings(parents={"Ge": "Si"}, epochs=3), others=True).epochs == 3
    assert settings_of("transfer", FinetuneSettings(epochs=3)).model_fields_set == {"epochs"}


def test_predictions_keep_the_order_and_their_errors_are_right():
    data = frames(n=5)
    data[3] = data[3].repeat((2, 1, 1))
    data[3].info["REF_energy"] *= 2  # repeat copies the forces, but not the energy
    del data[1].info["REF_energy"]
    model = toy()
    whole = evaluate(model, read(data))
    single = [evaluate(model, read([atoms]), batch=1) for atoms in data]
    assert np.allclose(whole.energy, [p.energy[0] for p in single], atol=1e-9)
    assert all(np.allclose(a, b.forces[0], atol=1e-9) for a, b in zip(whole.forces, single))
    assert np.allclose(whole.stress, [p.stress[0] for p in single], atol=1e-9)
    errors = whole.errors()
    f = np.concatenate([f - a.arrays["REF_forces"] for f, a in zip(whole.forces, data)])
    assert errors["forces"]["rmse"] == pytest.approx(np.sqrt((f**2).mean())) and errors["forces"]["count"] == 48
    e = [(p.energy[0] - a.info["REF_energy"]) / len(a) for k, (p, a) in enumerate(zip(single, data)) if k != 1]
    assert errors["energy"]["mae"] == pytest.approx(np.abs(e).mean()) and errors["energy"]["count"] == 4
    assert set(errors["forces"]["per_element"]) == {"Si"} and set(errors["energy"]["per_config_type"]) == {
        "hot",
        "cold",
    }
    assert "stress" not in errors
    text = table(errors)
    assert "meV/atom" in text and "meV/Å" in text and "hot" in text and f"{errors['energy']['rmse'] * 1e3:.1f}" in text


def test_evaluate_refuses_what_it_cannot_do():
    model = toy()
    with pytest.raises(InputError, match="does not know the element.*Ge"):
        evaluate(model, dataset("Ge", n=1))
    with pytest.raises(InputError, match="cannot be evaluated.*charges"):
        evaluate(model, dataset(n=1), want=("charges",))
    unlabelled = frames(n=2)
    for atoms in unlabelled:
        atoms.info.clear(), atoms.arrays.pop("REF_forces")
    assert evaluate(model, unlabelled).errors() == {} and "no label" in table({})


def test_batches_of_an_evaluation_stay_within_their_edges():
    data, model = dataset(n=9), toy()
    sizes = [_edges(graph) for graph in _graphs(model, data, 300, 0)]
    one = [_edges(graph) for graph in _graphs(model, data, 1, 0)]
    assert len(one) == 9 and sum(sizes) == sum(one) and max(sizes) <= 300 and len(sizes) < 9
    assert 100 < budget(model, data) <= 60_000
