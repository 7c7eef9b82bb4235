"""Honest probes: what they measure, what they may cost, and when they warn."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk

from atomlab import data
from atomlab.architectures.classical import StillingerWeber
from atomlab.errors import InputError
from atomlab.runs.recipes.arms import Arm
from atomlab.runs.recipes.probes import Barrier, Budget, Errors, Lattice, Stability, watches, worse
from atomlab.simulate.eos import NoMinimum, equation_of_state


class Clock:
    """A time that only the test moves on: every look takes a tenth of a second."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        self.time += 0.1
        return self.time


@pytest.fixture(scope="module")
def base():
    return StillingerWeber(["Si"])


@pytest.fixture(scope="module")
def changed():
    """Everything a tenth stronger: forces and energies are wrong by a tenth, the lattice stays."""
    found = StillingerWeber(["Si"])
    found.epsilon.mul_(1.1)
    found.root_strength.mul_(math.sqrt(1.1))
    return found


@pytest.fixture(scope="module")
def frames():
    rng, out = np.random.default_rng(0), []
    for _ in range(4):
        atoms = bulk("Si", cubic=True)
        atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
        work = atoms.copy()
        work.calc = StillingerWeber(["Si"]).calculator()
        atoms.info["REF_energy"] = work.get_potential_energy() + 0.01 * len(atoms)
        atoms.arrays["REF_forces"] = work.get_forces() + 0.05 * rng.standard_normal((len(atoms), 3))
        out.append(atoms)
    return data.read(out)


def generous():
    return Budget(1e9)


def test_forgetting_is_the_error_as_a_multiple_of_the_bases(base, changed, frames):
    watch = Errors(generous(), base, 0, "forgetting", "Other tasks", frames)
    same = watch(base, 0.0)
    assert same["ratio"] == pytest.approx(1.0)
    event = watch(changed, 3.0)
    by_hand = event["values"]["forces_rmse"] / event["base"]["forces_rmse"]
    assert event["ratio"] == pytest.approx(by_hand)
    assert by_hand > 1.5
    assert f"forces ×{by_hand:.2f}" in event["text"]
    assert event["base"] == same["base"]  # of the untouched model, measured once


def test_the_lattice_constant_is_the_minimum_of_the_curve(base, changed):
    found = equation_of_state(base, bulk("Si", cubic=True, a=5.5))
    assert 5.5 * found.scale == pytest.approx(5.431, abs=2e-3)  # of Stillinger-Weber silicon
    assert found.bulk_modulus * 160.21766 == pytest.approx(101.4, abs=1.0)
    with pytest.raises(NoMinimum):
        equation_of_state(base, bulk("Si", cubic=True, a=4.8))
    with pytest.raises(InputError, match="periodic"):
        atoms = bulk("Si", cubic=True)
        atoms.pbc = False
        equation_of_state(base, atoms)
    watch = Lattice(generous(), base, 0, bulk("Si", cubic=True, a=5.5))
    event = watch(changed, 1.0)
    assert event["ratio"] == pytest.approx(1.0, abs=1e-6)
    assert event["values"]["bulk_modulus"] == pytest.approx(1.1 * event["base"]["bulk_modulus"], rel=1e-5)
    assert "a = 5.431 Å" in event["text"]


def test_stability_counts_the_steps_and_the_drift(base):
    watch = Stability(generous(), base, 0, bulk("Si", cubic=True), 20, 300.0)
    event = watch(base, 0.0)
    assert event["values"]["steps"] == 20
    assert abs(event["values"]["drift"]) < 1e-3
    assert "20 of 20 steps" in event["text"]


def test_a_barrier_is_the_highest_image_above_the_first(base, changed, frames):
    event = Barrier(generous(), base, 0, frames)(changed, 0.0)
    assert event["values"]["barrier"] == pytest.approx(1.1 * event["base"]["barrier"], rel=1e-6)


def test_probes_keep_within_their_share_of_the_time(base, frames):
    clock = Clock()
    budget = Budget(0.15, clock)
    watch = Errors(budget, base, 0, "forgetting", "Other tasks", frames)
    made = []
    for epoch in range(60):
        clock.time += 0.3  # of training
        made.append(watch(base, epoch) is not None)
    assert 0 < sum(made) < 60
    assert not made[0]
    assert budget.spent <= 0.15 * (clock.time - budget.began) + 0.2


def test_waiting_for_kernels_takes_no_probe_its_time(base, frames):
    clock = Clock()
    budget = Budget(0.5, clock)
    watch, waits = Errors(budget, base, 0, "forgetting", "Other tasks", frames), [50.0, 0.01]

    def pilot(potential):
        clock.time += waits.pop(0)
        return 2.0

    watch.pilot = pilot
    watch.warm()
    clock.time += 5.0  # of training
    assert watch(base, 0.0) is not None
    assert budget.spent < 1.0 and budget.used() < 0.2


def test_a_probe_that_never_fits_says_so(base, frames):
    budget = Budget(1e-9)
    watch = Errors(budget, base, 0, "forgetting", "Other tasks", frames)
    assert watch(base, 0.0) is None
    assert "'forgetting' was not made: once takes about" in watch.left_out()


def test_a_cheap_probe_leaves_time_for_one_that_still_waits():
    budget = Budget(0.1, Clock())
    budget.waiting = {"dear"}
    budget.began -= 100.0
    assert budget.allows("cheap", 4.9)
    assert not budget.allows("cheap", 6.0)
    assert budget.allows("dear", 9.9)


def event(probe, ratio):
    return {"probe": probe, "ratio": ratio, "text": f"{probe} at {ratio}"}


def test_a_warning_comes_when_a_property_is_worse_than_the_bases_while_the_loss_is_better():
    assert "forgetting at 2.0" in worse(event("forgetting", 2.0), 1.0, 0.5)
    assert worse(event("forgetting", 2.0), 0.5, 1.0) is None  # the loss is worse too
    assert worse(event("forgetting", 1.1), 1.0, 0.5) is None
    assert worse(event("forgetting", None), 1.0, 0.5) is None
    assert worse(event("md", 0.5), 1.0, 0.5) and worse(event("md", 1.5), 1.0, 0.5) is None
    assert worse(event("lattice", 1.02), 1.0, 0.5) and worse(event("lattice", 0.98), 1.0, 0.5)
    assert worse(event("lattice", 1.005), 1.0, 0.5) is None


def test_a_property_that_was_worse_at_its_first_look_is_warned_of_once():
    said = []
    arm = Arm.__new__(Arm)
    arm.name, arm.io = "finetune", SimpleNamespace(emit=lambda kind, **v: said.append((kind, v)))
    arm.losses, arm.warned, arm.state = [1.0, 0.5], set(), SimpleNamespace(seconds=1.0)
    for ratio in (90.0, 100.0):  # no look was affordable before the harm was done
        arm._probed(event("forgetting", ratio))
    assert [v["code"] for kind, v in said if kind == "notice"] == ["probe-forgetting-worse"]


def test_a_run_without_probes_copies_nothing():
    spec = SimpleNamespace(probe_tasks=None, probe_foundation=None, probe_md=0, probe_structure=None, probe_path=None)
    assert watches(spec, None, None, None) == []
    assert math.isfinite(Budget(0.1).used())
