"""AtomFT on MBNN: what a correction costs and what it brings on a narrow domain, elsewhere, and for defects' energies.

    python tests/reproduce/atomft/run.py [--scale small|paper] [--threads 1] [--work FOLDER]

The AtomFT paper takes MBNNs of broad DFT sets (Ti-O, C-H-O-N) to oxides with defects. Here the teacher of both is
Stillinger-Weber silicon (`structures.py`): the base learns crystals of four kinds, random cells, heaps and slabs, none
a diamond with a defect. The narrow domain, as the paper's, is the dynamics of ten structures with pairs of defects
(and of the perfect crystal) at 600 K; tested on other trajectories, and on the ten structures themselves, relaxed. The
domain left out is a broad set that neither has seen. The bases are kept in FOLDER (by default a temporary one), so that
rows that are missing need no new base.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

import atomlab
from atomlab.architectures import create
from atomlab.architectures.atomft import AtomFT
from atomlab.architectures.manybody import default_functions
from atomlab.build import build
from atomlab.potential import outputs

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import structures  # noqa: E402
from rows import Rows, options  # noqa: E402

# frames of the broad set, of each trajectory of the narrow one; epochs of base and correction
SIZES = {
    "small": {"broad": 350, "narrow": 6, "base_epochs": 60, "epochs": 200},
    "paper": {"broad": 3500, "narrow": 40, "base_epochs": 1000, "epochs": 1000},
}
HELD = 70  # frames of the broad set that are left out
HIDDEN = (64, 64)
# by the paper's counts: one single-body and four two-body functions against its 45
FIVE = [row for row in default_functions() if row["kind"] == "single"] + default_functions()[1:5]
FUNCTIONS = {5: FIVE, 45: default_functions()}


class Study:
    """Data and bases, each made when it is first needed."""

    def __init__(self, given):
        self.given, self.sizes, self.work = given, SIZES[given.scale], Path(given.work or tempfile.mkdtemp())

    @cached_property
    def broad(self):
        """Training frames and those left out."""
        return structures.broad(self.sizes["broad"], 0), structures.broad(HELD, 1)

    @cached_property
    def narrow(self):
        """Training frames and those of other trajectories."""
        return structures.narrow(self.sizes["narrow"], 0), structures.narrow(3, 1)

    def base(self, functions: int):
        """The base with that many many-body functions, and what its training told."""
        directory = self.work / f"base-{functions}-{self.given.scale}"
        if not directory.exists():
            run = atomlab.train(
                {"architecture": "mbnn", "hidden": HIDDEN, "functions": FUNCTIONS[functions]},
                self.broad[0],
                directory=directory,
                valid=0.1,
                epochs=self.sizes["base_epochs"],
                batch_structures=8,
                learning_rate=0.003,
                threads=self.given.threads,
            )
            _done(run)
        result = atomlab.attach(directory).result()
        return result.potential, result.metrics

    def based(self, functions: int) -> dict:
        """Errors of a base on its own domain, on frames left out."""
        potential, metrics = self.base(functions)
        found = errors(potential, self.broad[1])
        return {
            "parameters": sum(p.numel() for p in potential.parameters()),
            "seconds_per_epoch": metrics["seconds"] / metrics["epochs"],
            **{f"held_{name}": value for name, value in found.items()},
        }

    def tuned(self, blocks: int) -> dict:
        """A correction on the base of 45 functions: errors of both on the narrow domain, elsewhere, and for pairs."""
        base, _ = self.base(45)
        (train, test), (_, held) = self.narrow, self.broad
        with tempfile.TemporaryDirectory() as folder:
            run = atomlab.finetune(
                base,
                train,
                "atomft",
                directory=Path(folder) / "run",
                blocks=blocks,
                alpha=0.1,
                valid=0.1,
                epochs=self.sizes["epochs"],
                batch_structures=2,
                energy_weight=1000,  # 1 meV/atom is worth 10 meV/Å, and in the last third 30
                energy_stage=0.33,
                # a larger jump, or at a larger step, drove the tanh to its bound: no gradient leads back from there
                energy_stage_factor=10,
                energy_stage_rate=0.5,
                learning_rate=0.005 / blocks**2,  # with two blocks 0.005 drove it there too
                threads=self.given.threads,
            )
            _done(run)
            tuned, metrics = run.result().potential, run.result().metrics
        values: dict = {
            "epochs": metrics["epochs"],
            "seconds_per_epoch": metrics["seconds"] / metrics["epochs"],
            "frames": [len(train), len(test)],
        }
        for name, data in {"train": train, "test": test, "elsewhere": held}.items():
            values |= {f"{who}_{name}": errors(model, data) for who, model in {"base": base, "tuned": tuned}.items()}
        return values | self.formation(base, tuned)

    def formation(self, base, tuned) -> dict:
        """Formation energies of the pairs of defects (eV), by the teacher, the base and the tuned model."""
        pairs, perfect = structures.pairs(), structures.diamond()
        models = {"teacher": structures.teacher(), "base": base, "tuned": tuned}
        energy = {name: atomlab.evaluate(m, [perfect, *pairs], want=("energy",)).energy for name, m in models.items()}
        count = np.array([len(atoms) for atoms in pairs])
        formed = {name: e[1:] - count * e[0] / len(perfect) for name, e in energy.items()}
        wrong = {name: (formed[name] - formed["teacher"]) / count for name in ("base", "tuned")}
        return {
            "pairs": [atoms.info["config_type"] for atoms in pairs],
            **{f"{name}_formation_eV": e.tolist() for name, e in formed.items()},
            **{f"{name}_formation_rmse_eV_atom": float(np.sqrt(np.mean(w**2))) for name, w in wrong.items()},
        }


def errors(potential, data) -> dict:
    """Root mean square errors."""
    found = atomlab.evaluate(potential, data, want=("energy", "forces")).errors()
    return {"energy_eV_atom": found["energy"]["rmse"], "forces_eV_A": found["forces"]["rmse"]}


def _done(run) -> None:
    if run.state != "done":
        sys.exit(f"The training has {run.state}: this row is not written.")


def counts() -> dict:
    """Parameters of the paper's two bases and of what is on them, with as many descriptors as it has."""

    def rows(n: int) -> list[dict]:
        return [{"kind": "S1", "n": k % 7, "cutoff": 5.0} for k in range(n)]

    shapes = {
        "Ti-O": ([22, 8], rows(87), {22: 174, 8: 173}, (128, 128, 80), (144, 80)),
        "C-H-O-N": ([6, 1, 8, 7], rows(134), dict.fromkeys((6, 1, 8, 7), 535), (144, 144, 144), (80, 80)),
    }
    found = {}
    for name, (elements, descriptors, count, hidden, readout) in shapes.items():
        base = create("mbnn", elements=elements, descriptors=descriptors, descriptor_count=count, hidden=hidden)
        size = sum(p.numel() for p in base.parameters())
        more = []
        for blocks in (0, 1):
            model = AtomFT(base, blocks=blocks, readout=readout)
            more.append(sum(p.numel() for p in model.parameters() if p.requires_grad))
        found[name] = {"base": size, "constant": more[0], "per_block": more[1] - more[0]}
    return found


def cost() -> dict:
    """Time of an inference and of a training step for NI = 0 to 4: as `tests/benchmarks/bench_atomft.py` does it."""
    path = HERE.parents[1] / "benchmarks" / "bench_atomft.py"
    spec = importlib.util.spec_from_file_location("bench_atomft", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    cell = bulk("Si", "diamond", a=structures.LATTICE, cubic=True)
    cell.rattle(0.05, seed=1)
    torch.manual_seed(0)
    base = create("mbnn", elements=["Si"], hidden=(128, 128, 80))
    graph = build(cell * 2, base.needs).to(dtype=torch.float32)
    models = [base, *(AtomFT(base, blocks=n) for n in bench.BLOCKS)]
    inference, step = (
        [bench.best(lambda m=model, c=call: c(m, graph), 7) for model in models] for call in (outputs, bench.step)
    )
    return {
        "atoms": 8 * len(cell),
        "base_inference_ms": inference[0],
        "base_step_ms": step[0],
        "inference_ms": inference[1:],
        "step_ms": step[1:],
        "inference_slope_by_base": bench.line(inference[1:])[0] / inference[0],
        "step_slope_by_base": bench.line(step[1:])[0] / step[0],
    }


def main() -> None:
    """Measure what is missing, and print it."""
    parser = options(__doc__.splitlines()[0])
    parser.add_argument("--work", default="", help="folder that keeps the bases")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows, study = Rows(HERE, given), Study(given)
    work = {"parameters": counts, "cost": cost}
    work |= {f"base-{n}": partial(study.based, n) for n in (45, 5)}
    work |= {f"atomft-{n}": partial(study.tuned, n) for n in (1, 2)}
    for name, call in work.items():
        row = rows.measure(name, call)
        if row:
            print(name, {k: v for k, v in row["values"].items() if not isinstance(v, list)}, flush=True)


if __name__ == "__main__":
    main()
