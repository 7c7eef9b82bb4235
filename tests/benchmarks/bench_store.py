"""Memory and speed of a store: many small synthetic structures are written, read, checked and trained on.

`make bench`, or `python tests/benchmarks/bench_store.py [STRUCTURES]` (200,000 by default; minutes). Two numbers for
memory: `own` is what the process itself holds (RssAnon), `mapped` are pages of the store's file (RssFile), which the
system takes back when it needs them. Linux only: both are from /proc.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from ase.build import bulk

import atomlab
from atomlab.data import build_store, findings, statistics
from atomlab.data.entry import Entry
from atomlab.data.loader import batches
from atomlab.graph import Needs


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

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.before = memory()

    def __call__(self, name: str, work, structures: int):
        start = time.perf_counter()
        out = work()
        seconds, now = time.perf_counter() - start, memory()
        row = {"step": name, "structures": structures, "seconds": round(seconds, 1), **now}
        row["per_second"] = round(structures / seconds)
        self.rows.append(row)
        print(
            f"  {name:34s} {seconds:7.1f} s {row['per_second']:8d} structures/s   own {now['own']:5.0f} MB"
            f"   mapped {now['mapped']:5.0f} MB", flush=True,
        )  # fmt: skip
        return out


def trained(dataset, steps: int) -> int:
    """Some steps of a small model, from the middle of an epoch's order."""
    from atomlab.training import State, fit, prepare

    config = {"architecture": "mace", "channels": 4, "l_edges": 1, "correlation": 1, "cutoff": 3.5}
    settings = {"epochs": 1, "batch_structures": 16}
    plan = prepare("scratch", settings, config, dataset, None, device="cpu")
    state = State(plan)
    for _ in islice(fit(plan, state), steps):
        pass
    return 16 * state.step


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("structures", type=int, nargs="?", default=200_000)
    parser.add_argument("--json", help="write the table here")
    parser.add_argument("--quick", action="store_true", help="a smoke run: 2,000 structures")
    chosen = parser.parse_args()
    n, step = 2000 if chosen.quick else chosen.structures, Steps()
    print(f"before: own {step.before['own']:.0f} MB, mapped {step.before['mapped']:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.lmdb"
        step("write, one by one", lambda: build_store._build(path, frames(n), {"bench": n}, "many", [], None), n)
        size = path.stat().st_size / 1e6
        dataset = step("open", lambda: atomlab.read(path), n)
        step("sizes, energies, elements, hash", lambda: (dataset.sizes, dataset.elements, dataset.hash()), n)
        train = step("split", lambda: dataset.split(valid=0.1, seed=0).train, n)
        step("E0 by least squares", lambda: statistics.atomic_energies(dataset, "least-squares"), n)
        order = np.random.default_rng(1).permutation(n).tolist()
        step("read all, at random", lambda: sum(len(dataset.entries[k].atoms) for k in order), n)
        step("graphs of an epoch", lambda: sum(g.size for g in batches(dataset, Needs((4.0,)), 16, shuffle=True)), n)
        step("data doctor", lambda: len(findings(dataset)), n)
        seen = step("train 400 steps of 16", lambda: trained(train, 400), 6400)
    grown = step.rows[-1]["own"] - step.before["own"]
    print(f"file {size:.0f} MB; own memory grew by {grown:.0f} MB; {seen} structures were trained on; {sys.platform}")
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"file_mb": round(size), "steps": step.rows}, indent=1))


if __name__ == "__main__":
    main()
