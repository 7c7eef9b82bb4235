"""Dynamics: what is conserved is conserved, temperatures are right, a resumed run goes on as if nothing had been."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms, FixBondLength

from atomlab.architectures import create
from atomlab.errors import InputError, Notice
from atomlab.potential import Potential
from atomlab.simulate.guards import Breakdown, check_timestep
from atomlab.simulate.md import simulate
from atomlab.simulate.settings import MDSettings

ENSEMBLES = ("nve", "nvt-langevin", "nvt-nose-hoover", "npt")


@pytest.fixture(scope="module")
def germanium() -> Potential:
    return create("stillinger-weber", elements=["Ge"])


@pytest.fixture(scope="module")
def argon() -> Potential:
    return create("lennard-jones", elements=["Ar"], epsilon=0.0104, sigma=3.4, cutoff=6.5)


def crystal(size: int = 1) -> Atoms:
    return bulk("Ge", "diamond", 5.66, cubic=True) * (size, size, size)


def frames(potential: Potential, atoms: Atoms, state=None, **settings) -> list:
    return list(simulate(potential, atoms, MDSettings(**settings), state))


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_what_is_conserved_is_conserved(germanium: Potential, ensemble: str) -> None:
    def spread(timestep: float) -> float:
        made = frames(
            germanium, crystal(), ensemble=ensemble, temperature=600, timestep=timestep, steps=int(400 / timestep),
            frame_every=int(10 / timestep), thermostat_time=50, barostat_time=500,
        )  # fmt: skip
        conserved = np.array([f.conserved for f in made])
        total = np.array([f.potential_energy + f.kinetic_energy for f in made])
        if ensemble != "nve":  # the thermostat does exchange much more than is lost
            assert np.ptp(total) > 10 * np.ptp(conserved)
        return float(np.ptp(conserved))

    coarse, fine = spread(2.0), spread(1.0)
    assert coarse < 0.02
    assert fine < 0.45 * coarse  # second order in the timestep


@pytest.mark.parametrize("ensemble", ["nvt-langevin", "nvt-nose-hoover"])
def test_the_mean_temperature(argon: Potential, ensemble: str) -> None:
    """8 atoms: 3N or 3N - 3 degrees of freedom make a difference of 14 %."""
    atoms = bulk("Ar", "fcc", 5.3, cubic=True) * (2, 1, 1)
    made = frames(
        argon,
        atoms,
        ensemble=ensemble,
        temperature=40,
        timestep=3,
        steps=1500,
        frame_every=5,
        thermostat_time=30,
    )
    temperature = np.array([f.temperature for f in made[50:]])
    # canonical fluctuations: sigma = T sqrt(2 / dof) = 12 K; about 70 independent values
    assert abs(temperature.mean() - 40) < 3
    assert abs(temperature.std() - 40 * np.sqrt(2 / 21)) < 3
    assert np.abs(made[-1].atoms.get_momenta().sum(axis=0)).max() < 1e-9
    assert made[0].temperature == pytest.approx(40)


def test_npt_finds_the_pressure(germanium: Potential) -> None:
    made = frames(
        germanium, crystal(), ensemble="npt", temperature=300, timestep=2, steps=500, pressure=5, thermostat_time=50,
        barostat_time=200,
    )  # fmt: skip
    pressure = np.array([f.pressure for f in made[20:]]) * 160.21766
    assert abs(pressure.mean() - 5) < 1.0
    assert made[-1].atoms.get_volume() < crystal().get_volume()


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_a_resumed_run_goes_on_as_if_nothing_had_been(germanium: Potential, ensemble: str) -> None:
    settings = {"ensemble": ensemble, "temperature": 500, "steps": 60, "frame_every": 10}
    atoms = crystal()
    whole = frames(germanium, atoms, **settings)
    first = frames(germanium, atoms, **{**settings, "steps": 30})
    rest = frames(germanium, atoms, first[-1].state, **settings)
    assert [f.index for f in first + rest] == [f.index for f in whole]
    assert [f.step for f in first + rest] == [f.step for f in whole]
    for a, b in zip(first + rest, whole):
        assert a.potential_energy == pytest.approx(b.potential_energy, abs=1e-11)
        assert a.conserved == pytest.approx(b.conserved, abs=1e-10)
    np.testing.assert_allclose(rest[-1].atoms.positions, whole[-1].atoms.positions, atol=1e-10)
    np.testing.assert_allclose(rest[-1].atoms.cell, whole[-1].atoms.cell, atol=1e-12)


def test_a_thermostat_that_restarts_says_so(germanium: Potential) -> None:
    settings = {"ensemble": "nvt-nose-hoover", "temperature": 500, "steps": 20}
    state = frames(germanium, crystal(), **settings)[1].state
    old = {name: value for name, value in state.items() if not name.startswith("inner")}
    with pytest.warns(Notice, match="had to start anew"):
        frames(germanium, crystal(), old, **settings)


def test_one_seed_for_everything(germanium: Potential) -> None:
    a, b, c = (frames(germanium, crystal(), steps=20, temperature=900, seed=s)[-1] for s in (1, 1, 2))
    np.testing.assert_array_equal(a.atoms.positions, b.atoms.positions)
    assert np.abs(a.atoms.positions - c.atoms.positions).max() > 1e-3


def test_frames_are_where_they_should_be(germanium: Potential) -> None:
    made = frames(germanium, crystal(), steps=25, frame_every=10, timestep=0.5)
    assert [(f.index, f.step, f.time_fs) for f in made] == [(0, 0, 0.0), (1, 10, 5.0), (2, 20, 10.0), (3, 25, 12.5)]
    assert frames(germanium, crystal(), steps=0)[0].steps_per_s is None


def test_pressure_is_that_of_the_virial_and_the_motion(argon: Potential) -> None:
    """An ideal gas (atoms out of each other's reach) has P = 2 K / 3 V."""
    gas = Atoms("Ar4", positions=[[0, 0, 0], [20, 0, 0], [0, 20, 0], [0, 0, 20]], cell=[40] * 3, pbc=True)
    frame = frames(argon, gas, ensemble="nve", temperature=300, steps=0)[0]
    assert frame.pressure == pytest.approx(2 * frame.kinetic_energy / 3 / 40**3)
    lone = Atoms("Ar2", positions=[[0, 0, 0], [4, 0, 0]])
    assert frames(argon, lone, ensemble="nve", steps=0)[0].pressure is None


def test_one_pass_gives_forces_and_stress(germanium: Potential, monkeypatch) -> None:
    """A frame's pressure must not cost a second evaluation."""
    passes = []
    forward = type(germanium).forward
    monkeypatch.setattr(type(germanium), "forward", lambda self, graph: passes.append(1) or forward(self, graph))
    for ensemble in ENSEMBLES:
        passes.clear()
        frames(germanium, crystal(), ensemble=ensemble, steps=20, frame_every=5)
        assert len(passes) == 21, ensemble


def test_fixed_atoms_stay(germanium: Potential) -> None:
    atoms = crystal()
    atoms.set_constraint(FixAtoms([0, 1]))
    for ensemble in ENSEMBLES[:3]:
        made = frames(germanium, atoms, ensemble=ensemble, steps=20, temperature=700)
        np.testing.assert_array_equal(made[-1].atoms.positions[:2], atoms.positions[:2])
        assert np.abs(made[-1].atoms.positions[2:] - atoms.positions[2:]).min() > 0
        assert made[0].temperature == pytest.approx(700)
    with pytest.raises(InputError, match="none can be fixed"):
        frames(germanium, atoms, ensemble="npt")
    atoms.set_constraint(FixBondLength(0, 1))
    with pytest.raises(InputError, match="FixBondLength"):
        frames(germanium, atoms)


def test_one_atom_alone(argon: Potential) -> None:
    for ensemble in ENSEMBLES[:3]:
        made = frames(argon, Atoms("Ar"), ensemble=ensemble, steps=5, temperature=100)
        assert np.isfinite(made[-1].temperature)


def test_atoms_too_close_are_named(germanium: Potential) -> None:
    atoms = crystal()
    atoms.positions[5] = atoms.positions[2] + [0.7, 0, 0]
    with pytest.raises(Breakdown, match=r"Atoms 2 \(Ge\) and 5 .* came as close as 0.70 Å at 0.0 fs.*1.20 Å") as caught:
        frames(germanium, atoms)
    assert caught.value.atoms == (2, 5)
    assert caught.value.code == "too-close"


class Ghost(Potential):
    """Atoms that do not see each other fly through each other; from `bad` calls on the force is no number."""

    kind = "ghost"

    def __init__(self, bad: int = 10**9):
        from atomlab.potential import Card

        super().__init__({}, Card(name="ghost", elements=(18,)))
        self.bad, self.calls = bad, 0

    def forward(self, graph):
        import torch

        from atomlab.potential import Terms

        self.calls += 1
        zero = 0.0 * graph.positions.to(torch.float64).sum()
        if self.calls > self.bad:
            zero = zero * float("nan")
        return Terms(zero.expand(graph.size), None)


def test_a_collision_on_the_way_is_found_and_its_frame_is_given() -> None:
    atoms = Atoms("Ar2", positions=[[0, 0, 0], [5, 0, 0]])
    atoms.set_velocities([[0.2, 0, 0], [-0.2, 0, 0]])
    made = []
    with pytest.raises(Breakdown, match="Atoms 0 .* and 1 .* at .* fs"):
        settings = MDSettings(
            ensemble="nve", velocities="keep", steps=999, timestep=1, frame_every=50, max_temperature=1e5
        )
        for frame in simulate(Ghost(), atoms, settings):
            made.append((frame.step, np.linalg.norm(np.diff(frame.atoms.positions, axis=0))))
    step, distance = made[-1]
    assert distance < 1.06  # half of twice the radius of 1.06 Å
    assert step % 50 != 0  # found between two frames


def test_a_runaway_temperature_and_a_value_that_is_no_number(germanium: Potential) -> None:
    with pytest.raises(Breakdown, match=r"temperature reached .* K .* the limit is 350 K") as caught:
        frames(germanium, crystal(), temperature=340, max_temperature=350, steps=500)
    assert caught.value.code == "too-hot"
    with pytest.raises(Breakdown, match="energy is nan at 16.0 fs"):
        frames(Ghost(bad=8), Atoms("Ar2", positions=[[0, 0, 0], [5, 0, 0]]), ensemble="nve", steps=50, timestep=2)


def test_the_timestep_is_compared_with_the_lightest_atom() -> None:
    with pytest.warns(Notice, match=r"1 fs is long for H, the lightest atom here: up to 0.5 fs"):
        check_timestep(molecule("CH4"), 1.0)
    assert check_timestep(bulk("Ge"), 2.0) == pytest.approx(4.24, abs=0.05)


def test_npt_needs_a_periodic_structure(germanium: Potential) -> None:
    atoms = crystal()
    atoms.pbc = [True, True, False]
    with pytest.raises(InputError, match="periodic in all three"):
        frames(germanium, atoms, ensemble="npt")


def test_a_check_at_every_step(germanium: Potential) -> None:
    calls = []
    list(simulate(germanium, crystal(), MDSettings(steps=7), check=lambda: calls.append(1)))
    assert len(calls) == 7
