"""From scratch, base, fine-tuned with and without replay: errors on five tasks, and what is forgotten of all others.

    python tests/reproduce/forgetting/run.py [--scale small|paper] [--threads 1]

The MACE-MP-0 paper (arXiv:2401.00096, III and C.2) fine-tunes foundation models on tasks of about 100 structures: force
errors 4 to 10 times below those from scratch, and RMSE(fine-tuned) / RMSE(base) of forces on other tasks of about 4
(naive) against 1.1 to 1.4 (replay). Here: the embedded `atomlab-tiny` (18 elements, taught by CHGNet) on mlearn's Si,
Ge, Li and Mo (PBE) and C5H4 (B3LYP/6-31G). Forgetting is told on the other tasks, and on the base's own ground: a fifth
of `atomlab-tiny-set`, which the base has learned from and no replay here, without forces above 10 eV/Å. `level`: a MACE
that learned C5H4 from GFN2-xTB goes on to B3LYP/6-31G. `gptff`: the same for GPTFF v2 on germanium, its own ground
being MPtrj frames that hold none; replayed with labels of its own, since its training data are not at hand. All arms of
a task have the same number of steps, with the same number of new structures in each; `long` has three times as many.
"""

from __future__ import annotations

import sys
from functools import cache, partial
from pathlib import Path

import numpy as np

import atomlab
from atomlab.data import Dataset
from atomlab.potential import Potential
from atomlab.training.forgetting import ratios, ratios_by_structure

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from arms import gptff_weights, learned, replaying, short, started, tuned  # noqa: E402
from rows import Rows, options, reference_data  # noqa: E402

TASKS = ("si", "ge", "li", "mo", "c5h4")
ARMS = ("scratch", "base", "naive", "replay", "replay-even")
LONG, LONGER = ("naive-long", "replay-long"), 3
LOSS = {
    "loss": "conditional_huber",
    "huber_delta": 0.02,
}  # the base's: squares of its dimers' forces would drown a task
STEPS = {"small": 400, "paper": 5000}
SEEDS = {"small": 1, "paper": 5}
BATCH, LEARNED, REPLAYED = 4, 40, 200
MILD = 10.0  # eV/Å: dimers and random heaps beyond would decide every root mean square
LEVEL_LEARNED = (10, 40)
LEVEL = {"channels": 16, "cutoff": 5.0}
LEVEL_EPOCHS, LEVEL_STEPS = {"small": 20, "paper": 300}, {"small": 500, "paper": 5000}


@cache
def parts(task: str) -> tuple[Dataset, Dataset, Dataset]:
    """To learn from, to watch, to test; mlearn's own test set, or other random geometries of C5H4."""
    if task == "c5h4":
        whole = atomlab.read(reference_data("cumulene") / "c5h4_random_rib3lyp_631g.extxyz")
        found = whole.split(train=LEARNED, valid=20, test=100, seed=0)
        return found.train, found.valid, found.test
    folder = reference_data("mlearn")
    few = atomlab.read(folder / f"{task.title()}_train.extxyz").split(train=LEARNED, valid=10, seed=0)
    return few.train, few.valid, atomlab.read(folder / f"{task.title()}_test.extxyz")


@cache
def ground() -> tuple[Dataset, Dataset]:
    """What may be replayed of atomlab-tiny's own data, and what is kept for the forgetting."""
    found = atomlab.read("atomlab-tiny-set").split(valid=0.2, seed=0)
    mild = [k for k, atoms in enumerate(found.valid) if np.abs(atoms.arrays["REF_forces"]).max() < MILD]
    return found.train, found.valid[mild]


def arm(task: str, name: str, given, seed: int) -> dict:
    """One model: errors on its task, and what it forgot."""
    train, valid, test = parts(task)
    base, steps = atomlab.load("atomlab-tiny", device="cpu"), STEPS[given.scale] * (LONGER if name in LONG else 1)
    if name == "base":
        own = ground()[1]
        return {
            "test": short(started(base, train), test),
            "own": short(base, own),
            "labels": {"test": size(test), "own": size(own)},
        }
    own, settings = ground(), {}
    if name.startswith("replay"):
        settings = {"replay": own[0], **replaying(len(train), REPLAYED, steps, BATCH)}
    if name == "replay-even":  # the base head's loss weighs as much as the new one's, however large it is
        settings["replay_weight"] = 1.0
    model, told = tuned(
        base, train, valid, name.split("-")[0], given.threads, steps, BATCH, seed=seed, **LOSS, **settings
    )
    row = {"test": short(model, test), "training_seconds": told["seconds"]}
    if name == "scratch":
        return row
    others = {other: parts(other)[2] for other in TASKS if other != task}
    return row | {"forgetting": forgotten(base, model, {"own": own[1], **others})}


def size(data: Dataset) -> float:
    """The root mean square force (eV/Å): the error of a model that says 0."""
    return float(np.sqrt(np.mean(np.concatenate([atoms.arrays["REF_forces"] for atoms in data]) ** 2)))


def forgotten(base: Potential, model: Potential, tasks: dict[str, Dataset]) -> dict[str, dict[str, float]]:
    """RMSE(fine-tuned) / RMSE(base) of the forces on the base's head, and the median over the structures."""
    head = base.card.heads[base.head_index(None)]
    head = head if head in model.card.heads else None
    out = {}
    for name, data in tasks.items():
        before, after = (atomlab.evaluate(p, data, want=("energy", "forces"), head=h)
                         for p, h in ((base, None), (model, head)))  # fmt: skip
        each = ratios_by_structure(before, after)
        out[name] = {"forces": ratios(before, after)["forces"], "median": float(np.nanmedian(each))}
    return out


def level(count: int, given) -> dict:
    """C5H4 from GFN2-xTB to B3LYP/6-31G: scratch, naive, replay; no geometry of the tests was learned at any level."""
    folder, steps = reference_data("cumulene"), LEVEL_STEPS[given.scale]
    new = atomlab.read(folder / "c5h4_random_rib3lyp_631g.extxyz").split(train=count, valid=20, test=300, seed=0)
    gfn2 = atomlab.read(folder / "c5h4_random_gfn2.extxyz")
    seen = {*new.test.info("index"), *new.valid.info("index")}
    free = gfn2[[k for k, index in enumerate(gfn2.info("index")) if index not in seen]]
    first = free.split(train=1000, valid=100, test=300, seed=0)
    base = learned("mace", first.train, first.valid, given.threads, config=LEVEL, epochs=LEVEL_EPOCHS[given.scale])
    out = {"base": {"test": short(started(base, new.train), new.test), "own": short(base, first.test)}}
    for name in ("scratch", "naive", "lora", "replay", "replay-narrow", "replay-pseudo"):
        settings = {}
        if name.startswith("replay"):
            settings = {"replay": first.train, **replaying(len(new.train), REPLAYED, steps, BATCH)}
        if name == "replay-narrow":  # as many structures in a step as naive, half of them new
            wide = settings["batch_structures"]
            settings |= {"batch_structures": BATCH, "epochs": max(1, round(settings["epochs"] * BATCH / wide))}
        if name == "replay-pseudo":  # the replayed structures' labels are the base's
            settings["replay_labels"] = "base"
        strategy = name.split("-")[0]
        model, told = tuned(base, new.train, new.valid, strategy, given.threads, steps, BATCH, **settings)
        out[name] = {"test": short(model, new.test), "training_seconds": told["seconds"]}
        if name != "scratch":
            out[name]["forgetting"] = forgotten(base, model, {"own": first.test})
    return out


def share(base: Potential, data: Dataset) -> dict[str, float]:
    """Errors, size of the labels, and how much of the true force the model gives: the slope through the origin."""
    found = np.concatenate(atomlab.evaluate(base, data, want=("energy", "forces")).forces)
    true = np.concatenate([atoms.arrays["REF_forces"] for atoms in data])
    return short(base, data) | {"labels": size(data), "share": float(np.sum(found * true) / np.sum(true**2))}


def published(name: str, given) -> dict:
    """GPTFF v2 as it is, or on germanium: naive, or with structures replayed that it has labelled itself."""
    frames = atomlab.read(reference_data("mptrj") / "mptrj-random-1k.xyz")
    few = frames[[k for k, n in enumerate(frames.sizes) if n <= 20]].split(by="group", valid=60, seed=0)
    held = few.valid[[k for k, z in enumerate(few.valid) if 32 not in z.numbers]]
    (train, valid, test), steps = parts("ge"), STEPS[given.scale]
    base, settings = atomlab.load(gptff_weights("v2"), device="cpu"), {}
    if name == "base":
        return {other: share(base, data) for other, data in {"own": held, **{t: parts(t)[2] for t in TASKS}}.items()}
    if name == "replay":
        settings = {
            "replay": few.train, "replay_labels": "base", **replaying(len(train), REPLAYED, steps, BATCH),
        }  # fmt: skip
    model, told = tuned(base, train, valid, name, given.threads, steps, BATCH, **settings)
    return {
        "test": short(model, test),
        "training_seconds": told["seconds"],
        "forgetting": forgotten(base, model, {"own": held, **{t: parts(t)[2] for t in TASKS if t != "ge"}}),
    }


def main() -> None:
    """Measure what is missing."""
    given = options(__doc__.splitlines()[0]).parse_args()
    rows = Rows(HERE, given)
    for count in LEVEL_LEARNED:
        rows.measure(f"level-{count}", partial(level, count, given))
    for name in ("base", "naive", "replay"):
        rows.measure(f"gptff-ge-{name}", partial(published, name, given))
    for seed in range(SEEDS[given.scale]):
        for task in TASKS:
            for name in (*ARMS, *LONG):
                row = rows.measure(f"{task}-{name}-{seed}", partial(arm, task, name, given, seed), seed)
                if row:
                    v = row["values"]
                    lost = ", ".join(f"{k} {x['forces']:.2f}" for k, x in v.get("forgetting", {}).items())
                    error = 1e3 * v["test"]["forces_rmse_eV_A"]
                    print(f"{row['name']:16s} force RMSE {error:.0f} meV/Å; forgetting {lost}", flush=True)


if __name__ == "__main__":
    main()
