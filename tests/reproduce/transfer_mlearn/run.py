"""Transfer from Si to Ge on mlearn's DFT data: errors by number of structures, and molecular dynamics of the liquid.

    python tests/reproduce/transfer_mlearn/run.py [--scale small|paper] [--threads 1] [--only mace-10-] [--minutes 6]

The transfer learning paper (Röcken, Zavadlav; Figs. 5, 6, Table 1), with its DimeNet++ (a quarter of the original's
size, cutoff 4.3 Å) and with a small MACE beside it. Data: Zuo et al., J. Phys. Chem. A 124 (2020) 731, without slabs:
Si 182 + 20 and 23 to test, Ge a pool of 217 of which each seed draws 22 for validation, and 24 to test. Forces alone
are learned and the energy constant is fitted afterwards. Both arms have the same number of steps; the learning rate of
each is chosen once, at 10 structures with seed 0, on the validation forces, from a grid that both arms share: rates
within 5 % of the lowest error count as equal, since it is one seed's, and the middle one of them is taken (of two the
lower). The bases' rates (BASE_RATES) are not searched for.

The paper trains 5 models per size and runs 20 draws of velocities of each for 100 ps at 0.5 fs, 1200 K, Langevin 1/ps,
all from one liquid structure (here the pool's first one of 1816 K). A run is whole if it arrives and its g(r), without
the first tenth, is zero below 2.0 Å. Small: 3 models, 2 draws, 3 ps at 1 fs, with 1 structure too, since at the paper's
rates so short runs do not tell the arms apart with 10; the reference, trained from scratch on 195 structures, is one
model. The angles are those between bonds below 3.4 Å (the paper does not say its own).
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import atomlab
from atomlab import checkpoint
from atomlab.simulate import Breakdown, MDSettings, simulate
from atomlab.simulate.observables.adf import ADF
from atomlab.simulate.observables.rdf import RDF

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from arms import short, tuned  # noqa: E402
from rows import Rows, options, reference_data  # noqa: E402

KINDS = {
    "mace": {"cutoff": 5.0, "channels": 32, "l_edges": 2, "l_nodes": 1, "correlation": 2, "radial_hidden": [32, 32]},
    "dimenetpp": {"cutoff": 4.3},
}
RATES = {"mace": (0.001, 0.003, 0.01, 0.03, 0.1), "dimenetpp": (0.0001, 0.0003, 0.001, 0.003, 0.01)}
EQUAL = 1.05  # times the lowest error
BASE_RATES = {"mace": 0.01, "dimenetpp": 0.003}
ARMS = ("transfer", "scratch")
BASE_BATCH, BATCH = 2, {"mace": 2, "dimenetpp": 1}  # structures per step: DimeNet++ costs three times as much
LEARNING = {"energy_weight": 0.0, "forces_weight": 1.0, "energy_stage": 0.0}
SCALES = {
    "small": {
        "sizes": (1, 10, 40),
        "seeds": 3,
        "steps": {"mace": 1000, "dimenetpp": 600},
        "base_steps": {"mace": 3000, "dimenetpp": 2000},
        "md_sizes": (1, 10, 40),
        "draws": 2,
        "md": {"timestep": 1.0, "steps": 3000, "frame_every": 10},
    },
    "paper": {
        "sizes": (1, 10, 40, 100, 195),
        "seeds": 5,
        "steps": {"mace": 10_000, "dimenetpp": 10_000},
        "base_steps": {"mace": 20_000, "dimenetpp": 20_000},
        "md_sizes": (10, 40, 100, 195),
        "draws": 20,
        "md": {"timestep": 0.5, "steps": 200_000, "frame_every": 100},
    },
}
ALL, VALID = 195, 22  # of Ge's pool
HEAT = re.compile(r"normal structure at (\d+) K")  # in the description of molecular dynamics without a vacancy
TEMPERATURE, LIQUID, NEAREST, BOND = 1200.0, "normal structure at 1816 K", 2.0, 3.4  # K, of the first structure, Å, Å


class Study:
    """The data and the trainings of one architecture; models are kept in atomlab-runs/, where later rows find them."""

    def __init__(self, kind: str, given):
        self.kind, self.given, self.scale = kind, given, SCALES[given.scale]
        folder = reference_data("mlearn")
        parts = {(e, p): without_slabs(folder / f"{e}_{p}.extxyz") for e in ("Si", "Ge") for p in ("train", "test")}
        self.test, self.pool = parts["Ge", "test"], parts["Ge", "train"]
        self.si, self.si_test = parts["Si", "train"].split(valid=20, seed=0), parts["Si", "test"]

    def kept(self, name: str, make):
        """The model of that name, made if it is not there."""
        path = HERE / "atomlab-runs" / self.given.scale / f"{self.kind}-{name}.safetensors"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            potential, metrics = make()
            checkpoint.save(potential, path, {"metrics": metrics})
        return checkpoint.load(str(path), device="cpu"), checkpoint.header(str(path))["metadata"]["metrics"]

    def base(self):
        """The model of silicon, and its training's metrics."""
        return self.kept("base", self._base)

    def _base(self):
        train, steps = self.si.train, self.scale["base_steps"][self.kind]
        with tempfile.TemporaryDirectory() as folder:
            run = atomlab.train(
                self.kind,
                train,
                config=KINDS[self.kind],
                directory=Path(folder) / "run",
                valid_data=self.si.valid,
                batch_structures=BASE_BATCH,
                epochs=max(1, round(steps * BASE_BATCH / len(train))),
                learning_rate=BASE_RATES[self.kind],
                threads=self.given.threads,
                **LEARNING,
            )
            if run.state != "done":
                sys.exit(f"The training has {run.state}: this row is not written.")
            return run.result().potential, run.result().metrics

    def silicon(self) -> dict:
        """The base's errors on silicon's test structures."""
        potential, metrics = self.base()
        return {
            **short(potential, self.si_test),
            "parameters": sum(p.numel() for p in potential.parameters()),
            "learning_rate": BASE_RATES[self.kind],
            "training_seconds": metrics["seconds"],
        }

    def drawn(self, count: int, seed: int):
        """Training and validation structures of a seed; a larger set holds the smaller ones."""
        order = np.random.default_rng(seed).permutation(len(self.pool)).tolist()
        return self.pool[order[VALID : VALID + count]], self.pool[order[:VALID]]

    def trained(self, arm: str, count: int, seed: int, rate: float):
        """The model of one arm, and its errors on the validation structures."""
        train, valid = self.drawn(count, seed)
        steps = self.scale["steps"][self.kind]
        config = {"seed": seed, "learning_rate": rate, **LEARNING}
        base = self.base()[0]
        return self.kept(
            f"{count}-{arm}-{seed}-{rate:g}",
            lambda: tuned(base, train, valid, arm, self.given.threads, steps, min(BATCH[self.kind], count), **config),
        )

    def chosen(self, arm: str) -> dict:
        """The learning rate of an arm: the middle one of those with about the lowest force error in validation."""
        errors = {rate: self.trained(arm, 10, 0, rate)[1]["forces_rmse"] for rate in RATES[self.kind]}
        equal = [rate for rate in sorted(errors) if errors[rate] <= EQUAL * min(errors.values())]
        return {
            "learning_rate": equal[(len(equal) - 1) // 2],
            "forces_rmse": {str(k): v for k, v in errors.items()},
        }

    def errors(self, arm: str, count: int, seed: int, rate: float) -> dict:
        """The errors of one model on Ge's test structures, and what it has learned from."""
        potential, metrics = self.trained(arm, count, seed, rate)
        learned = self.drawn(count, seed)[0]
        kinds = Counter(atoms.info["config_type"] for atoms in learned)
        largest = max(float(np.abs(atoms.arrays["REF_forces"]).max()) for atoms in learned)
        return {
            **short(potential, self.test),
            "learned_from": dict(kinds),
            "largest_force_eV_A": largest,
            "best_epoch": metrics["best_epoch"],
            "training_seconds": metrics["seconds"],
        }

    def melting(self, models) -> dict:
        """How far models are off in the energy of the liquid above the crystal (eV/atom), by arm.

        Forces alone are learned: only the way from one to the other tells a model of this difference.
        """
        base, label = _melting(self.base()[0], self.si_test)
        found = {"silicon": base - label}
        for arm, *which in models:
            ours, label = _melting(self.trained(arm, *which)[0], self.test)
            found.setdefault(arm, []).append(ours - label)
        return {"label_eV_atom": label, "errors_eV_atom": found}

    def dynamics(self, arm: str, count: int, seed: int, rate: float) -> dict:
        """Runs of the liquid from different velocities: how each ended, and the structure of those that are whole."""
        potential, _ = self.trained(arm, count, seed, rate)
        runs = [_run(potential, self.liquid(), self.scale["md"], draw) for draw in range(self.scale["draws"])]
        whole = [run for run in runs if not run["end"]]
        mean = {key: np.mean([run[key] for run in whole], axis=0).round(4).tolist() for key in ("g", "angles") if whole}
        axes = {key: np.round(runs[0][key], 4).tolist() for key in ("r_A", "angle_deg")}
        return {
            "runs": len(runs),
            "whole": len(whole),
            "ends": [run["end"] for run in runs],
            "ps": [run["ps"] for run in runs],
            **axes,
            **mean,
        }

    def liquid(self):
        """The structure that all runs begin with."""
        return next(atoms for atoms in self.pool if atoms.info["description"].endswith(LIQUID))


def without_slabs(path: Path):
    """Everything but config_type Surface."""
    whole = atomlab.read(path)
    return whole[[k for k, atoms in enumerate(whole) if atoms.info["config_type"] != "Surface"]]


def _melting(potential, data) -> list[float]:
    """The mean energy of the hottest liquid above that of the coldest crystal, eV/atom: the model's, the label's."""
    heat = {k: float(found[1]) for k, atoms in enumerate(data) if (found := HEAT.search(atoms.info["description"]))}
    hot, cold = ([k for k, kelvin in heat.items() if kelvin == end] for end in (max(heat.values()), min(heat.values())))
    energies = atomlab.evaluate(potential, data, want=("energy",)).energy_per_atom()
    return [float(e[hot].mean() - e[cold].mean()) for e in energies]


def _run(potential, atoms, md: dict, draw: int) -> dict:
    """One run: why it ended before its time or is not whole (empty if it is), how long it was, g(r) and the angles."""
    rdf, adf, end, reached = RDF(6.0, 120), ADF(BOND, 60), "", 0.0
    settings = MDSettings(temperature=TEMPERATURE, thermostat_time=1000.0, seed=draw, **md)
    try:
        for frame in simulate(potential, atoms, settings):
            reached = frame.time_fs
            if frame.step > 0.1 * settings.steps:
                rdf.add(frame.atoms)
                adf.add(frame.atoms)
    except Breakdown as broken:
        end = str(broken)
    near = rdf.r < NEAREST
    if not end and rdf.g[near].any():
        end = f"g(r) is not zero below {NEAREST} Å: from {rdf.r[near][rdf.g[near] > 0][0]:.2f} Å on."
    return {"end": end, "ps": reached / 1000, "r_A": rdf.r, "g": rdf.g, "angle_deg": adf.angle, "angles": adf.density}


def measured(study: Study, rows: Rows) -> None:
    """All rows of one architecture, the most telling first."""
    kind, scale = study.kind, study.scale
    if rows.measure(f"{kind}-base", study.silicon) is None:
        return
    rates = {}
    for arm in ARMS:
        row = rows.measure(f"{kind}-choice-{arm}", lambda a=arm: study.chosen(a))
        if row is None:
            return
        rates[arm] = row["values"]["learning_rate"]
    work = [(arm, n, seed) for seed in range(scale["seeds"]) for n in scale["sizes"] for arm in ARMS]
    work += [("scratch", ALL, 0)] * (ALL not in scale["sizes"])
    found = {
        (a, n, s): rows.measure(f"{kind}-{n}-{a}-{s}", lambda a=a, n=n, s=s: study.errors(a, n, s, rates[a]), s)
        for a, n, s in work
    }
    for count in dict.fromkeys(n for _, n, _ in work):
        models = [(a, n, s, rates[a]) for a, n, s in work if n == count]
        if all(found[model[:3]] for model in models):
            rows.measure(f"{kind}-melting-{count}", lambda models=models: study.melting(models))
    for a, n, s in work:
        if n in (*scale["md_sizes"], ALL):
            rows.measure(f"{kind}-md-{n}-{a}-{s}", lambda a=a, n=n, s=s: study.dynamics(a, n, s, rates[a]), s)


def main() -> None:
    """Measure what is missing."""
    given = options(__doc__.splitlines()[0]).parse_args()
    rows = Rows(HERE, given)
    for kind in KINDS:
        measured(Study(kind, given), rows)


if __name__ == "__main__":
    main()
