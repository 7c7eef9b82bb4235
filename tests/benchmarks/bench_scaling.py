"""How a MACE grows with the number of atoms, and what a second thread brings.

    python tests/benchmarks/bench_scaling.py [--quick] [sizes | threads ...]

sizes: energy + forces + stress of 8 to 10,648 Si, neighbours given, one thread. threads: 216 Si, wall time of one and
of two threads in turn, 9 pairs, and in the same minute the ratio that two independent processes reach together against
one alone on matrix products (what this machine's second core is worth just then) and on sums of long arrays (what its
memory gives two). Beside it, where the second thread goes, in CPU time, which other programs do not disturb: of each
kernel the longer share, and of everything else what the first thread does.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from named import Clock, kernels
from shapes import created, silicon
from side import alternate, backends, begin, on, one_thread, summary, write

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


ALONE = """
import sys, time, torch
torch.set_num_threads(1)
if sys.argv[1] == "products":
    a, b, c = torch.randn(576, 128), torch.randn(128, 128), torch.empty(576, 128)
    call = lambda: torch.mm(a, b, out=c)
else:
    a, b, c = (torch.ones(2**21, dtype=torch.float64) for _ in range(3))
    call = lambda: torch.add(a, b, alpha=2.0, out=c)
print("ready", flush=True)
for line in sys.stdin:
    end, n = time.perf_counter() + float(line), 0
    while time.perf_counter() < end:
        for _ in range(5):
            call()
        n += 5
    print(n, flush=True)
"""


class Alone:
    """A process of its own that multiplies matrices ("products") or adds long arrays ("sums") when asked to."""

    def __init__(self, what: str):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        words = [sys.executable, "-c", ALONE, what]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
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


def together(one: Alone, two: Alone, seconds: float) -> float:
    """What both processes do at once, against one alone."""
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
    rows, products, sums = [], (Alone("products"), Alone("products")), (Alone("sums"), Alone("sums"))
    for shape, dtype in [("medium", "float32")] + [("medium", "float64"), ("teaching", "float32")] * (not quick):
        model = created(shape, dtype)
        graph = build(silicon(64 if quick else 216), model.needs).to(dtype=model.dtype)
        for name in backends()[-1:]:
            call = on(name, lambda graph=graph, model=model: outputs(model, graph, WANT))
            gains, worth, memory = [], [], []
            for count in (1, 2):
                timed(call, count)
            for _ in range(2 if quick else 9):
                one, two = timed(call, 1), timed(call, 2)
                gains.append(one / two)
                worth.append(together(*products, 0.3))
                memory.append(together(*sums, 0.2))
            gain, value = statistics.median(gains), statistics.median(worth)
            row = {"case": "threads", "shape": shape, "dtype": dtype, "system": f"Si {len(graph.numbers)}"}
            row |= {"backend": name, "gain": gain, "gemm_gain": value, "share": gain / value, "pairs": len(gains)}
            row |= {"gains": gains, "gemm_gains": worth, "memory_gain": statistics.median(memory)}
            rows.append(row | parted(call, 2 if quick else 25))
            found = f"two threads {gain:.2f}x (by CPU time {rows[-1]['cpu_gain']:.2f}x), two processes of products"
            print(f"  {shape} {dtype} {name}: {found} {value:.2f}x, of sums {row['memory_gain']:.2f}x", flush=True)
            one_thread()
    for process in (*products, *sums):
        process.close()
    return rows


def parted(call, turns: int) -> dict:
    """CPU ms of the first thread and of the process with one and two threads, and of each kernel the longer share."""
    whole: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(turns):
        for count in whole:
            torch.set_num_threads(count)
            call()
            mine, every = time.thread_time(), time.process_time()
            call()
            whole[count].append((1000 * (time.thread_time() - mine), 1000 * (time.process_time() - every)))
    first = {n: min(t for t, _ in found) for n, found in whole.items()}  # other programs empty caches: the fastest turn
    process = {n: min(t for _, t in found) for n, found in whole.items()}
    clocks, named = {1: Clock(), 2: Clock()}, {}
    for count, clock in clocks.items():
        torch.set_num_threads(count)
        with kernels(clock):
            begun = time.thread_time()
            for _ in range(turns):
                call()
            named[count] = time.thread_time() - begun
    one, two = ({name: 1000 * t / turns for name, t in clocks[n].longest().items()} for n in (1, 2))
    parts = [{"name": n, "one_ms": one[n], "two_ms": two.get(n, 0.0)} for n in sorted(one, key=lambda n: -one[n])]
    rest = {n: 1000 * (named[n] - sum(clocks[n].here().values())) / turns for n in (1, 2)}
    parts.append({"name": "everything else", "one_ms": rest[1], "two_ms": rest[2]})
    return {"cpu_gain": first[1] / first[2], "first_ms": first, "process_ms": process, "parts": parts}


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
    given, allocator = begin(__doc__.split("\n")[0], *CASES)
    write("bench_scaling", [row for c in given.cases for row in globals()[c](given.quick)], given, allocator=allocator)


if __name__ == "__main__":
    main()
