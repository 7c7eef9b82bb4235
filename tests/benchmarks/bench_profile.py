"""Where the time goes in each call that the table of targets names, and how far it stands from the floor.

    python tests/benchmarks/bench_profile.py [--quick] [CASE ...]

Shares of a call's time under torch's profiler: torch's operations by name, compiled kernels by theirs, and what is left
(Python between them). Floor: operations at the rate of this machine's matrix product, bytes at that
of a triad, the larger of both (`floor.py`): for MACE's inference what it takes at least, for other models what the
reference's operations come to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from against_others import PAPER, cumulene
from floor import counted, mace_work, rates
from named import kernels
from shapes import created, silicon, water
from side import SHARED, alternate, backends, begin, on, summary, write
from torch.profiler import ProfilerActivity, profile, record_function

import atomlab
from atomlab.architectures.mace import MACE
from atomlab.architectures.published import gptff, reann
from atomlab.build import build
from atomlab.kernels import use
from atomlab.potential import outputs

WANT = ("energy", "forces", "stress")
TOP = 10


def inference(model, atoms, want=WANT) -> tuple[Callable, Any, Any]:
    """The call, its model and its graph."""
    graph = build(atoms, model.needs).to(dtype=model.dtype)
    return lambda: outputs(model, graph, want), model, graph


def step(model, frames) -> tuple[Callable, Any, Any]:
    """A training step without its optimiser."""
    model.train()
    graph = build(frames, model.needs).to(dtype=model.dtype)

    def call():
        out = outputs(model, graph, ("energy", "forces"), create_graph=True)
        (out.energy.square().mean() + out.forces.square().mean()).backward()

    return call, model, graph


def cells() -> list:
    """4 x 64 Si."""
    return [silicon(64, seed) for seed in range(1, 5)]


def of_cumulenes(name: str) -> tuple[Callable, Any, Any]:
    """A step of REANN or EquiREANN on 64 C7H4, as in `against_others.py epoch`."""
    rng = np.random.default_rng(0)
    return step(atomlab.create(name, **PAPER), [cumulene(rng) for _ in range(64)])


def published(read: Callable, path: str, atoms, want=WANT, **options) -> tuple[Callable, Any, Any] | None:
    """With the published weights, where they are at hand."""
    file = SHARED / path
    if not file.exists():
        return None
    return inference(read(file, **options).float().eval(), atoms, want)


def quarter(dtype: str):
    """DimeNet++ of a quarter of its size, as beside torch_geometric."""
    return atomlab.create("dimenetpp", elements=[14], form="common").to(getattr(torch, dtype)).eval()


CASES: dict[str, Callable[[], tuple[Callable, Any, Any] | None]] = {
    "medium": lambda: inference(created("medium"), silicon(64)),
    "medium-64bit": lambda: inference(created("medium", "float64"), silicon(64)),
    "medium-water": lambda: inference(created("medium"), water(192)),
    "teaching": lambda: inference(created("teaching"), silicon(64)),
    "teaching-64bit": lambda: inference(created("teaching", "float64"), silicon(64)),
    "teaching-water": lambda: inference(created("teaching"), water(192)),
    "step-medium": lambda: step(created("medium"), cells()),
    "step-teaching": lambda: step(created("teaching"), cells()),
    "step-reann": lambda: of_cumulenes("reann"),
    "step-equireann": lambda: of_cumulenes("equireann"),
    "gptff": lambda: published(gptff.read, "weights/gptff/gptff_v2.pth", silicon(64)),
    "gptff-water": lambda: published(gptff.read, "weights/gptff/gptff_v2.pth", water(96)),
    "teaching-64bit-water": lambda: inference(created("teaching", "float64"), water(192)),
    "dimenetpp": lambda: inference(quarter("float32"), silicon(64), WANT[:2]),
    "dimenetpp-64bit": lambda: inference(quarter("float64"), silicon(64), WANT[:2]),
    "reann": lambda: published(
        reann.read, "golden/reann_h2o_weights.npz", water(96), WANT[:2], activation="relu_like"
    ),
}  # fmt: skip


def profiled(call: Callable[[], Any], seconds: float) -> list[dict[str, Any]]:
    """Shares of the call by name, the largest first, and what no name accounts for."""
    start = time.process_time()
    call()
    repeats = max(1, min(50, int(seconds / max(time.process_time() - start, 1e-6))))
    with kernels(lambda name: record_function(f"kernel {name}")), profile(activities=[ProfilerActivity.CPU]) as found:
        begun = time.perf_counter()  # the profiler's clock
        for _ in range(repeats):
            call()
        whole = 1e6 * (time.perf_counter() - begun)
    rows = [(e.key, e.self_cpu_time_total / whole, e.count / repeats) for e in found.key_averages()]
    rows.sort(key=lambda row: -row[1])
    listed = [{"name": name, "share": share, "calls": count} for name, share, count in rows[:TOP]]
    rest = sum(share for _, share, _ in rows[TOP:])
    left = max(1.0 - sum(share for _, share, _ in rows), 0.0)
    return [
        *listed,
        {"name": f"{max(len(rows) - TOP, 0)} others", "share": rest, "calls": sum(n for *_, n in rows[TOP:])},
        {"name": "between them (Python)", "share": left, "calls": 0},
    ]


def system(graph) -> str:
    """In words."""
    name = "C7H4" if 6 in graph.numbers else "water" if 8 in graph.numbers else "Si"
    each = len(graph.numbers) // graph.size
    return f"{graph.size} x {name} {each}" if graph.size > 1 else f"{name} {each}"


def floor_of(model, graph, call: Callable[[], Any], speed: dict[str, float]) -> dict[str, Any]:
    """The operations and bytes of a call, and the ms below which they cannot be done at these rates."""
    dtype = str(model.dtype).removeprefix("torch.")

    def least(mflop: float, mb: float) -> float:
        return max(mflop / speed[f"gflops_{dtype}"], mb / speed["gbytes"])

    if isinstance(model, MACE) and not model.training:
        work = mace_work(model, graph)
        floor = {"all": least(work["total"], work["mb"])}
        floor["without the radial network"] = least(work["without_mlp"], work["mb"])
    else:
        with use("reference"):
            work = counted(call)
        floor = {"all": least(work["total"], work["mb"])}
    return {"work": work, "floor_ms": floor}


def row(name: str, speed: dict[str, float], quick: bool) -> dict[str, Any] | None:
    """Time, profile and floor of one case with each backend."""
    torch.manual_seed(0)
    made = CASES[name]()
    if made is None:
        print(f"  {name}: its published weights are not here", flush=True)
        return None
    call, model, graph = made
    calls = {f"ours {backend}": on(backend, call) for backend in backends()}
    found = {
        "case": "profile",
        "shape": name,
        "dtype": str(model.dtype).removeprefix("torch."),
        "system": system(graph),
    }
    found |= summary(alternate(calls, rounds=5, warm=2, least=2, seconds=15, quick=quick))
    found["profile"] = {who: profiled(each, 0.1 if quick else 1.0) for who, each in calls.items()}
    found |= floor_of(model, graph, call, speed)
    for who, ms in found["ms"].items():
        top = ", ".join(f"{r['name']} {100 * r['share']:.0f} %" for r in found["profile"][who][:5])
        against = f", {ms / found['floor_ms']['all']:.1f} of the floor" if "floor_ms" in found else ""
        print(f"  {name} {who}: {ms:.2f} ms{against}; {top}", flush=True)
    return found


def main() -> None:
    """All cases, or those named."""
    given, allocator = begin(__doc__.split("\n")[0], *CASES)
    speed = rates()
    print("  " + ", ".join(f"{name} {value:.0f}" for name, value in speed.items()))
    rows = [row(name, speed, given.quick) for name in given.cases]
    write("bench_profile", [r for r in rows if r], given, allocator=allocator, rates=speed)


if __name__ == "__main__":
    main()
