"""Transfer from Si to Ge on the Stillinger-Weber sets: data efficiency, one sample for all temperatures, vibrations.

    python tests/reproduce/transfer_sw/run.py [--scale small|paper] [--threads 1]

The transfer learning paper (Röcken, Zavadlav; Figs. 2 to 4) does this with DimeNet++ and Stillinger-Weber parameters of
its own; here the base is the embedded MACE `si-base` and the data the embedded `sw-ge` (64 atoms, 300 to 3600 K, a box
for each temperature). Forces alone are learned and the energy constant is fitted afterwards, as there. Every third
frame is the test set, 20 others choose the weights that are kept. Both arms have the same number of steps (small: 500
of two frames, paper: 10,000 of five); the learning rate of each is chosen once, at 10 frames with seed 0, on the
validation errors.
"""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path

import numpy as np
from ase.build import bulk

import atomlab
from atomlab.architectures.classical import StillingerWeber
from atomlab.potential import Potential
from atomlab.simulate import MDSettings, simulate
from atomlab.simulate.observables.vdos import vibrations

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from arms import tuned  # noqa: E402
from rows import Rows, options  # noqa: E402

ARMS = ("transfer", "scratch")
SIZES = {"small": (1, 10, 50), "paper": (1, 5, 10, 25, 50, 100)}
SEEDS = {"small": 3, "paper": 5}
STEPS = {"small": 500, "paper": 10_000}
BATCH = {"small": 2, "paper": 5}
LEARNING = {"energy_weight": 0.0, "forces_weight": 1.0, "energy_stage": 0.0}
RATES = (0.003, 0.01, 0.03)
TEMPERATURE, CELLS = 2000.0, 2


class Study:
    """The data, divided once, and the trainings on them."""

    def __init__(self, given):
        self.given = given
        whole = atomlab.read("sw-ge")
        rest = [k for k in range(len(whole)) if k % 3]
        self.test = whole[list(range(0, len(whole), 3))]
        order = np.random.default_rng(0).permutation(rest)
        self.valid, self.pool = whole[order[:20].tolist()], whole[order[20:].tolist()]
        self.of_one_frame: dict[tuple[str, int], Potential] = {}

    def trained(self, arm: str, frames, seed: int, rate: float):
        """The model of one arm, and its errors on the validation frames."""
        config = {"learning_rate": rate, "seed": seed, **LEARNING}
        steps, batch = STEPS[self.given.scale], min(BATCH[self.given.scale], len(frames))
        return tuned("si-base", frames, self.valid, arm, self.given.threads, steps, batch, **config)

    def chosen(self, arm: str) -> dict:
        """The learning rate of an arm: the one with the lowest force error on the validation frames."""
        frames = self.picked(10, 0)
        errors = {rate: self.trained(arm, frames, 0, rate)[1]["forces_rmse"] for rate in RATES}
        return {"learning_rate": min(errors, key=errors.get), "forces_rmse": {str(k): v for k, v in errors.items()}}

    def picked(self, count: int, seed: int):
        """Training frames, drawn by the seed."""
        return self.pool[np.random.default_rng(100 + seed).permutation(len(self.pool))[:count].tolist()]

    def one_hot_frame(self, seed: int):
        """One frame of 2000 K."""
        hot = [k for k, atoms in enumerate(self.pool) if atoms.info["temperature"] == TEMPERATURE]
        return self.pool[[hot[seed % len(hot)]]]

    def of_one(self, arm: str, seed: int, rate: float):
        """The model of one frame of 2000 K: two rows look at the same one."""
        if (arm, seed) not in self.of_one_frame:
            self.of_one_frame[arm, seed] = self.trained(arm, self.one_hot_frame(seed), seed, rate)[0]
        return self.of_one_frame[arm, seed]

    @cached_property
    def reference(self) -> np.ndarray:
        """The density of states of the potential that made the labels."""
        return density_of_states(StillingerWeber(["Ge"]), self.given.scale)[1]

    def errors(self, potential) -> dict:
        """Mean absolute errors on the test frames, in all and by temperature."""
        found = atomlab.evaluate(potential, self.test, want=("energy", "forces")).errors()
        by = {t[:-1]: v["mae"] for t, v in found["forces"]["per_config_type"].items()}
        return {
            "forces_mae_eV_A": found["forces"]["mae"],
            "energy_mae_eV_atom": found["energy"]["mae"],
            "forces_mae_by_temperature": by,
        }


def density_of_states(potential, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Vibrations of crystalline Ge at 300 K: frequencies (THz) and density, from an NVE run after a thermostat."""
    cell = bulk("Ge", "diamond", a=5.654, cubic=True).repeat((CELLS,) * 3)
    steps = {"small": 2000, "paper": 20_000}[scale]
    settings = MDSettings(temperature=300.0, timestep=2.0, steps=500, frame_every=500, seed=1)
    atoms = [frame.atoms.copy() for frame in simulate(potential, cell, settings)][-1]
    settings = MDSettings(ensemble="nve", velocities="keep", timestep=2.0, steps=steps, frame_every=5)
    velocities = np.array([frame.atoms.get_velocities() for frame in simulate(potential, atoms, settings)])
    return vibrations(velocities, cell.get_masses(), 10.0)


def vibrated(study: Study, arm: str, seed: int, rate: float) -> dict:
    """How far the vibrations of a model of one sample are from the reference's: half the area between the two."""
    frequency, density = density_of_states(study.of_one(arm, seed, rate), study.given.scale)
    density, reference = (d / np.trapezoid(d, frequency) for d in (density, study.reference))
    keep = frequency < 15.0
    return {
        "distance": 0.5 * float(np.trapezoid(np.abs(density - reference), frequency)),
        "frequency_THz": frequency[keep].round(3).tolist(),
        "density": density[keep].round(5).tolist(),
        "reference": reference[keep].round(5).tolist(),
    }


def main() -> None:
    """Measure what is missing."""
    given = options(__doc__.splitlines()[0]).parse_args()
    rows, study = Rows(HERE, given), Study(given)
    rates = {}
    for arm in ARMS:
        row = rows.measure(f"choice-{arm}", lambda a=arm: study.chosen(a))
        if row is None:
            return
        rates[arm] = row["values"]["learning_rate"]
    for seed in range(SEEDS[given.scale]):
        for arm in ARMS:
            for count in SIZES[given.scale]:
                rows.measure(
                    f"frames-{count}-{arm}-{seed}",
                    lambda a=arm, n=count, s=seed: study.errors(study.trained(a, study.picked(n, s), s, rates[a])[0]),
                    seed,
                )
            rows.measure(
                f"temperature-{arm}-{seed}",
                lambda a=arm, s=seed: study.errors(study.of_one(a, s, rates[a])),
                seed,
            )
            rows.measure(f"vibrations-{arm}-{seed}", lambda a=arm, s=seed: vibrated(study, a, s, rates[a]), seed)


if __name__ == "__main__":
    main()
