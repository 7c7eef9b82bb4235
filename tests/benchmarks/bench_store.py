"""Memory and speed of a store: 200,000 small synthetic structures are written, read, checked and trained on.

    python tests/benchmarks/bench_store.py [--quick] [read | train ...]

`read` goes through every structure (statistics, graphs, the data doctor), `train` takes steps of a training. Two
numbers for memory: `own` is what the process itself holds (RssAnon), `mapped` are pages of files (RssFile), the store's
among them, which the system takes back when it needs them. Linux only: both are from /proc. That a training from a
store is the training from memory, number by number, is a test (tests/data/test_store_training.py).
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from ase.build import bulk
from side import arguments, one_thread, quiet, write

import atomlab
from atomlab.data import build_store, findings, statistics
from atomlab.data.entry import Entry
from atomlab.data.loader import batches
from atomlab.graph import Needs

BATCH, PART, PARTS = 16, 400, 5


def frames(count):
    """Rattled Si-Ge crystals of eight atoms with made-up labels, none of which is held."""
    rng = np.random.default_rng(0)
    for k in range(count):
        atoms = bulk("Si", cubic=True)
        atoms.numbers[rng.random(8) < 0.5] = 32
        atoms.positions += 0.1 * rng.standard_normal((8, 3))
        atoms.info = {"REF_energy": float(-40.0 + rng.normal()), "config_type": "abcd"[k % 4]}
        atoms.arrays["REF_forces"] = rng.normal(size=(8, 3))
        yield Entry(atoms)


def memory() -> dict[str, float]:
    """MB of this process now."""
    text = Path("/proc/self/status").read_text()
    found = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Rss")}
    return {"own": round(found["RssAnon"]), "mapped": round(found["RssFile"])}


class Steps:
    """What each step took, printed and kept."""

    def __init__(self, count: int) -> None:
        self.rows: list[dict] = []
        self.system = f"{count} structures"
        self.before = memory()

    def __call__(self, name: str, work, structures: int):
        start = time.perf_counter()
        out = work()
        seconds, now = time.perf_counter() - start, memory()
        row = {"case": name, "system": self.system, "structures": structures, "seconds": round(seconds, 1), **now}
        row["per_second"] = round(structures / seconds)
        self.rows.append(row)
        print(
            f"  {name:34s} {seconds:7.1f} s {row['per_second']:8d} structures/s   own {now['own']:5.0f} MB"
            f"   mapped {now['mapped']:5.0f} MB", flush=True,
        )  # fmt: skip
        return out


def read(dataset, step: Steps) -> None:
    """What asks for every structure, in blocks or one by one."""
    n = len(dataset)
    step("E0 by least squares", lambda: statistics.atomic_energies(dataset, "least-squares"), n)
    order = np.random.default_rng(1).permutation(n).tolist()
    step("read all, at random", lambda: sum(len(dataset.entries[k].atoms) for k in order), n)
    step("graphs of an epoch", lambda: sum(g.size for g in batches(dataset, Needs((4.0,)), 16, shuffle=True)), n)
    step("data doctor", lambda: len(findings(dataset)), n)


def trained(dataset, step: Steps) -> None:
    """Steps of a small model in the random order of an epoch; memory after each part of them."""
    from atomlab.training import State, fit, prepare

    config = {"architecture": "mace", "channels": 4, "l_edges": 1, "correlation": 1, "cutoff": 3.5}
    settings = {"epochs": 1, "batch_structures": BATCH}
    make = partial(prepare, "scratch", settings, config, dataset, device="cpu")
    plan = step("prepare the training", make, len(dataset))
    state, part = State(plan), min(PART, len(dataset) // BATCH // PARTS)
    events = fit(plan, state)
    for k in range(PARTS):
        until = (k + 1) * part
        work = lambda: next(e for e in events if state.step >= until)  # noqa: B023, E731 (called before the next turn)
        step(f"train, steps {k * part + 1} to {until}", work, part * BATCH)


def main() -> None:
    given = arguments(__doc__.split("\n")[0], "read", "train")
    quiet()
    one_thread()
    n = 2000 if given.quick else 200_000
    step = Steps(n)
    print(f"before: own {step.before['own']:.0f} MB, mapped {step.before['mapped']:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.lmdb"
        step("write, one by one", lambda: build_store._build(path, frames(n), {"bench": n}, "many", [], None), n)
        size = path.stat().st_size / 1e6
        dataset = step("open", lambda: atomlab.read(path), n)
        step("sizes, energies, elements, hash", lambda: (dataset.sizes, dataset.elements, dataset.hash()), n)
        train = step("split", lambda: dataset.split(valid=0.1, seed=0).train, n)
        if "read" in given.cases:
            read(dataset, step)
        if "train" in given.cases:
            trained(train, step)
    grown = step.rows[-1]["own"] - step.before["own"]
    print(f"file {size:.0f} MB; own memory grew by {grown:.0f} MB")
    write("bench_store", step.rows, given, file_mb=round(size), before=step.before)


if __name__ == "__main__":
    main()
