"""How a MACE grows with the number of atoms, and what a second thread brings.

    python tests/benchmarks/bench_scaling.py [--quick] [sizes | threads ...]

sizes: energy + forces + stress of 8 to 10,648 Si, neighbours given, one thread. threads: 216 Si, medium shape, wall
time of one and of two threads in turn, 9 pairs, and in the same minute the ratio that two independent processes reach
together against one alone on matrix products: what this machine's second core is worth just then.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from shapes import created, silicon
from side import alternate, arguments, backends, on, one_thread, quiet, summary, tuned_allocator, write

from atomlab.build import build
from atomlab.potential import outputs

CASES = ("sizes", "threads")
SIZES = (8, 64, 216, 512, 1000, 4096, 10648)
WANT = ("energy", "forces", "stress")
MOST = 0.6  # of the free memory, that a run may need by what the size before it took
# ours of the reference keeps all intermediate results of an edge: larger cells only with the compiled kernels
LARGEST = {"reference": 1000, "numba": SIZES[-1]}


def sizes(quick: bool) -> list[dict]:
    """ms against size, both shapes in float32."""
    rows = []
    for shape in ("teaching", "medium"):
        model, held = created(shape), {}
        for n in SIZES[:2] if quick else SIZES:
            graph = build(silicon(n), model.needs).to(dtype=model.dtype)
            calls = {}
            for name in backends():
                if n > LARGEST[name] or held.get(name, 0.0) * n > MOST * free_mb():
                    continue
                calls[f"ours {name}"] = on(name, lambda graph=graph, model=model: outputs(model, graph, WANT))
                before = free_mb()
                calls[f"ours {name}"]()  # what it takes stays with the process: the allocator is told to keep it
                held[name] = max(before - free_mb(), 0.0) / n
            times = alternate(calls, rounds=5, warm=1 if n > 500 else 2, least=2, seconds=20, quick=quick)
            row = {"case": "sizes", "shape": shape, "dtype": "float32", "system": f"Si {n}", "atoms": n}
            row |= {**summary(times), "edges": len(next(iter(graph.edges.values())).i)}
            rows.append(row)
            words = [f"{name} {ms:.3g} ms, {ms / n:.3g} ms/atom" for name, ms in row["ms"].items()]
            print(f"  {shape} Si {n}: {'; '.join(words)}", flush=True)
    return rows


def free_mb() -> float:
    """Memory that can be had now."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable:"))


GEMM = """
import sys, time, torch
torch.set_num_threads(1)
a, b, c = torch.randn(576, 128), torch.randn(128, 128), torch.empty(576, 128)
print("ready", flush=True)
for line in sys.stdin:
    end, n = time.perf_counter() + float(line), 0
    while time.perf_counter() < end:
        for _ in range(20):
            torch.mm(a, b, out=c)
        n += 20
    print(n, flush=True)
"""


class Products:
    """A process of its own that multiplies matrices when asked to."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", GEMM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.answer()

    def ask(self, seconds: float) -> None:
        """Start."""
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """What it says next."""
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        self.process.wait()


def together(one: Products, two: Products, seconds: float) -> float:
    """Products of both processes at once, against one alone."""
    one.ask(seconds)
    alone = int(one.answer())
    for process in (one, two):
        process.ask(seconds)
    return (int(one.answer()) + int(two.answer())) / alone


def threads(quick: bool) -> list[dict]:
    """Wall time with one and two threads."""
    if (os.cpu_count() or 1) < 2:
        print("  one core only: no second thread to measure")
        return []
    rows, processes = [], (Products(), Products())
    for shape, dtype in [("medium", "float32")] + [("medium", "float64"), ("teaching", "float32")] * (not quick):
        model = created(shape, dtype)
        graph = build(silicon(64 if quick else 216), model.needs).to(dtype=model.dtype)
        for name in backends()[-1:]:
            call = on(name, lambda graph=graph, model=model: outputs(model, graph, WANT))
            gains, worth = [], []
            for count in (1, 2):
                timed(call, count)
            for _ in range(2 if quick else 9):
                one, two = timed(call, 1), timed(call, 2)
                gains.append(one / two)
                worth.append(together(*processes, 0.3))
            one_thread()
            gain, value = statistics.median(gains), statistics.median(worth)
            row = {"case": "threads", "shape": shape, "dtype": dtype, "system": f"Si {len(graph.numbers)}"}
            row |= {"backend": name, "gain": gain, "gemm_gain": value, "share": gain / value, "pairs": len(gains)}
            rows.append(row | {"gains": gains, "gemm_gains": worth})
            found = f"two threads {gain:.2f}x, two processes of products {value:.2f}x"
            print(f"  {shape} {dtype} {name}: {found}", flush=True)
    for process in processes:
        process.close()
    return rows


def timed(call, count: int) -> float:
    """Wall seconds of some calls with that many threads."""
    torch.set_num_threads(count)
    call()
    start, n = time.perf_counter(), 0
    while n < 2 or time.perf_counter() - start < 0.3:
        call()
        n += 1
    return (time.perf_counter() - start) / n


def main() -> None:
    """Both parts, or the one named."""
    given = arguments(__doc__.split("\n")[0], *CASES)
    quiet()
    one_thread()
    allocator = tuned_allocator()
    write("bench_scaling", [row for c in given.cases for row in globals()[c](given.quick)], given, allocator=allocator)


if __name__ == "__main__":
    main()
