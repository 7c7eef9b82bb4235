"""The kernels for GPUs on a GPU: are they right there, and how long does a step take.

    python tests/benchmarks/bench_gpu.py [--quick] [operations | parity | step | train ...]

operations: the comparison of every operation with the reference (tests/kernels), on the GPU. parity: energy, forces and
virial of 64 Si with random weights, Triton's kernels against the reference, both on the GPU. step: ms for energy and
forces of 64, 512 and 4096 Si, float32, neighbours given; train: ms for these and the gradient of a loss on both with
respect to the parameters. Both backends in turn on one GPU, wall time with the GPU's work done; the first call, which
compiles, is told apart. Writes results/gpu.json with the commit and the GPU's name.

Where there is no GPU it says so and measures nothing: Triton's interpreter says nothing about speed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from shapes import created, silicon
from side import HERE, alternate, arguments, deviation, on, summary, write

from atomlab.build import build
from atomlab.kernels import available
from atomlab.potential import outputs

CASES = ("operations", "parity", "step", "train")
DEVICE = "cuda"
SIZES = {"step": (64, 512, 4096), "train": (64, 512)}
WANT = ("energy", "forces", "virial")


def wall() -> float:
    """Seconds, with everything done that the GPU was given."""
    torch.cuda.synchronize()
    return time.perf_counter()


def gpu() -> dict[str, Any]:
    """The GPU in words, and what drives it."""
    import triton

    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_gb": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        "triton": triton.__version__,
    }


def operations(quick: bool) -> list[dict]:
    """The harness of tests/kernels on the GPU: what passed, what failed by name."""
    chosen = "triton and tiny" if quick else "triton"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen]
    done = subprocess.run(
        [*command, "tests/kernels/test_backends.py"], cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1] if lines else "")}
    failed = [line.split(" - ")[0].removeprefix("FAILED ") for line in lines if line.startswith("FAILED ")]
    print(f"  operations: {lines[-1] if lines else done.stderr[-500:]}", *failed, sep="\n    ")
    return [{"case": "operations", "status": done.returncode, "counts": counts, "failed": failed}]


def parity(quick: bool) -> list[dict]:
    """Relative deviation of the kernels from the reference, both types."""
    rows = []
    for shape in ("teaching",) if quick else ("teaching", "medium"):
        for dtype in ("float64", "float32"):
            model = created(shape, dtype).to(DEVICE)
            graph = build(silicon(64), model.needs).to(DEVICE, model.dtype)
            found = [on(name, lambda m=model, g=graph: outputs(m, g, WANT))() for name in ("triton", "reference")]
            off = {want: deviation(*(getattr(out, want).detach().cpu() for out in found)) for want in WANT}
            rows.append({"case": "parity", "shape": shape, "dtype": dtype, "system": "Si 64", "deviation": off})
            print(f"  parity {shape} {dtype}: " + ", ".join(f"{want} {value:.1e}" for want, value in off.items()))
    return rows


def calls_of(case: str, model, graph) -> dict[str, Callable[[], Any]]:
    """The step with each backend."""

    def step():
        return outputs(model, graph, ("energy", "forces"))

    def train():
        model.zero_grad()
        out = outputs(model, graph, ("energy", "forces"), create_graph=True)
        (out.energy.square().sum() + out.forces.square().sum()).backward()

    return {name: on(name, step if case == "step" else train) for name in ("reference", "triton")}


def steps(case: str, quick: bool) -> list[dict]:
    """ms by size, shape and backend; a size that does not fit into the GPU's memory is named."""
    rows = []
    for shape in ("teaching",) if quick else ("teaching", "medium"):
        model = created(shape).to(DEVICE)
        for atoms in SIZES[case][: 1 if quick else None]:
            graph = build(silicon(atoms), model.needs).to(DEVICE, model.dtype)
            row = {"case": case, "shape": shape, "dtype": "float32", "system": f"Si {atoms}", "atoms": atoms}
            row["first_call_s"], calls = {}, {}
            for name, call in calls_of(case, model, graph).items():
                start = wall()
                try:
                    call()
                    row["first_call_s"][name], calls[name] = wall() - start, call
                except torch.cuda.OutOfMemoryError:
                    row.setdefault("out_of_memory", []).append(name)
            row |= summary(alternate(calls, rounds=15, clock=wall, quick=quick)) if calls else {"ms": {}}
            rows.append(row)
            words = [f"{name} {ms:.3g} ms" for name, ms in row["ms"].items()]
            words += [f"{name}: out of memory" for name in row.get("out_of_memory", [])]
            print(f"  {case} {shape} Si {atoms}: {'; '.join(words)}", flush=True)
    return rows


def main() -> None:
    given = arguments(__doc__.splitlines()[0], *CASES)
    state = available()["triton"]
    if not torch.cuda.is_available() or state != "ready":
        reason = "there is no CUDA device here" if not torch.cuda.is_available() else f"triton {state}"
        print(f"Nothing is measured: {reason}. These numbers are for a GPU.")
        return
    print(gpu())
    rows = []
    for case in given.cases:
        made = {"operations": operations, "parity": parity}.get(case)
        rows += made(given.quick) if made else steps(case, given.quick)
    write("gpu", [row | {"device": gpu()} for row in rows], given)


if __name__ == "__main__":
    main()
