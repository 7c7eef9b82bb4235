"""Cold start: the first call of a loaded calculator, with and without compiled kernels on disk.

    python tests/benchmarks/bench_start.py [--quick]

Each row is a process of its own. With an empty cache folder the reference answers while kernels are compiled in the
background; `settled` is when a call first took less than 1.5 times the fastest of the last calls.
"""

from __future__ import annotations

import tempfile

from side import arguments, child, quiet, write

START = """
import json, sys, threading, time
from side import one_thread, quiet
quiet()
one_thread()
shape, backend, limit = sys.argv[1], sys.argv[2], float(sys.argv[3])
from shapes import created, silicon
import atomlab
from atomlab.kernels import use
model = atomlab.load("si-base", device="cpu") if shape == "si-base" else created(shape)
atoms = silicon(64)
atoms.calc = model.calculator()
calls = []
with use(backend):
    begun = time.perf_counter()
    idle = 0  # calls since the last one during which something was being compiled
    while idle < 20:
        atoms.positions[0, 0] += 1e-4
        wall, cpu = time.perf_counter(), time.process_time()
        atoms.get_forces()
        calls.append((time.perf_counter() - begun, time.perf_counter() - wall, time.process_time() - cpu))
        busy = any(thread.name.startswith("compile") for thread in threading.enumerate())
        idle = 0 if busy else idle + 1
        if calls[-1][0] > limit:
            break
fast = min(wall for _, wall, _ in calls[-20:])
settled = next(end for end, wall, _ in calls if wall < 1.5 * fast)
print(json.dumps({"first_s": calls[0][1], "first_cpu_s": calls[0][2], "settled_s": settled, "last_ms": 1000 * fast}))
"""


def main() -> None:
    """Empty and filled cache, each model."""
    given = arguments(__doc__.split("\n")[0])
    quiet()
    rows = []
    for shape in ["si-base"] if given.quick else ["si-base", "teaching", "medium"]:
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("empty", "filled"):
                limit = "10" if given.quick else "300"
                found = child(START, shape, "numba", limit, env={"ATOMLAB_CACHE": folder})
                rows.append({"case": "start", "shape": shape, "dtype": "float32", "system": f"Si 64, {cache} cache"})
                rows[-1] |= found
                first = f"first call {found['first_s']:.2f} s ({found['first_cpu_s']:.2f} s CPU)"
                after = f"settled after {found['settled_s']:.1f} s at {found['last_ms']:.1f} ms"
                print(f"  {shape}, {cache} cache: {first}, {after}", flush=True)
    write("bench_start", rows, given)


if __name__ == "__main__":
    main()
