"""What a fine-tuned model forgets, with and without replay: si-base to germanium, and to another level of theory.

    python tests/reproduce/replay_sw/run.py [--scale small|paper] [--threads 1]

The MACE-MP-0 paper (arXiv:2401.00096, III and C.2) fine-tunes foundation models on one task and measures RMSE
(fine-tuned) / RMSE(base) on others. Here the base is the embedded `si-base`; the tasks are ten frames of `sw-ge`
("element"), and twenty frames of `sw-si` with Stillinger-Weber labels of other parameters, 2 eV/atom lower ("level").
Replayed are frames that si-base has learned from; forgetting is measured on its validation frames, which neither has
seen. All arms of a task have the same number of steps with the same number of new structures in each; but for
`replay-narrow`, whose steps have as many structures in all as naive's, so that only half of them are new (and for the
new element a naive fine-tuning's learning rate, half of a transfer's): what replay's own choices were at first.
`long` has three times as many steps.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import yaml

import atomlab
from atomlab import checkpoint
from atomlab.architectures.classical import StillingerWeber
from atomlab.data import Dataset
from atomlab.training.forgetting import forgetting

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from arms import replaying, tuned  # noqa: E402
from rows import Rows, options  # noqa: E402

STEPS = {"small": 500, "paper": 3000}
SEEDS = {"small": 1, "paper": 5}
OTHER = {"Si": {"epsilon": 2.6, "sigma": 2.15, "lambda": 24.0}}
LOWER = 2.0  # eV/atom
BATCH, REPLAYED, LONGER = 4, 90, 3
ARMS = {
    "element": {
        "naive": ("transfer", {}),
        "replay": ("replay", {}),
        "replay-narrow": ("replay", {"batch_structures": BATCH, "epochs": 11, "learning_rate": 0.0047}),
    },
    "level": {
        "naive": ("naive", {}),
        "lora": ("lora", {}),
        "replay": ("replay", {}),
        "replay-narrow": ("replay", {"batch_structures": BATCH, "epochs": 11}),
        "naive-long": ("naive", {}),
        "replay-long": ("replay", {}),
        "replay-heavy": ("replay", {"replay_weight": 4.0}),
        "pseudo": ("replay", {"replay_labels": "base"}),
    },
}


class Study:
    """The data of both tasks and what the base is worth on its own."""

    def __init__(self, given):
        self.given = given
        about = yaml.safe_load((checkpoint.EMBEDDED / "si-base.yaml").read_text())
        own = atomlab.read(about["data"]).split(valid=about["valid"])
        self.base = atomlab.load("si-base", device="cpu")
        self.replay, self.held = own.train, own.valid
        ge = atomlab.read("sw-ge").split(train=10, valid=40, seed=0)
        few = own.train.split(train=20, valid=40, seed=0)
        self.tasks = {"element": (ge.train, ge.valid), "level": (relabelled(few.train), relabelled(few.valid))}

    def arm(self, task: str, name: str, seed: int) -> dict:
        """One fine-tuning: errors on the new task, and what it forgot of silicon."""
        (train, valid), (strategy, settings) = self.tasks[task], ARMS[task][name]
        steps = STEPS[self.given.scale] * (LONGER if name.endswith("-long") else 1)
        if strategy == "replay":
            settings = {"replay": self.replay, **replaying(len(train), REPLAYED, steps, BATCH), **settings}
        model, metrics = tuned(
            "si-base", train, valid, strategy, self.given.threads, steps, BATCH, seed=seed, **settings
        )
        lost = forgetting(self.base, model, {"silicon": self.held})["silicon"]
        return {
            "forces_rmse_eV_A": metrics["forces_rmse"],
            "energy_rmse_eV_atom": metrics["energy_rmse"],
            "training_seconds": metrics["seconds"],
            **{f"forgetting_{name}": value for name, value in lost.items()},
        }


def relabelled(data: Dataset) -> Dataset:
    """The structures with the labels of the other level."""
    found, frames = atomlab.evaluate(StillingerWeber(["Si"], OTHER), data), []
    for k, atoms in enumerate(data):
        atoms.info["REF_energy"] = found.energy[k] - LOWER * len(atoms)
        atoms.arrays["REF_forces"], atoms.info["REF_stress"] = found.forces[k], found.stress[k]
        frames.append(atoms)
    return Dataset(frames, name="sw-si, another level")


def main() -> None:
    """Measure what is missing, and print it."""
    given = options(__doc__.splitlines()[0]).parse_args()
    rows, study = Rows(HERE, given), Study(given)
    for task, arms in ARMS.items():
        for name in arms:
            for seed in range(SEEDS[given.scale]):
                row = rows.measure(f"{task}-{name}-{seed}", partial(study.arm, task, name, seed), seed)
                if row:
                    v = row["values"]
                    print(
                        f"{row['name']:22s} force RMSE {1e3 * v['forces_rmse_eV_A']:.0f} meV/Å; forgetting: energy "
                        f"{v['forgetting_energy']:.2f}, forces {v['forgetting_forces']:.2f}, stress "
                        f"{v['forgetting_stress']:.2f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
