"""What the benchmarks share: calls timed side by side, the machine in words, results as JSON.

Compared calls alternate in one process (a b c a b c ...), so that a machine that grows slower does so for all of them;
a time is CPU time of the process with one thread, and what is reported is medians and ratios of medians. glibc's
allocator is tuned for everybody (`tuned_allocator`).
"""

# ruff: noqa: E402 (threads come before the imports that start them)
from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import torch

from atomlab.kernels import available, use

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SHARED = Path(os.environ.get("ATOMLAB_SHARED") or HERE.parents[2] / "shared")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
ALLOCATOR = "glibc, M_MMAP_MAX 0, M_TRIM_THRESHOLD 2 GiB, M_TOP_PAD 64 MiB, for both sides (mallopt)"


def arguments(about: str, *names: str) -> argparse.Namespace:
    """--quick (a smoke run), --out FILE, and the cases by name (all of `names` if none is given)."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="few and small cases, to see that it works")
    parser.add_argument("--out", type=Path, help="where the JSON goes; by default beside the other results")
    parser.add_argument("--state", default="", help="a word on the machine's load, kept with the numbers")
    if names:
        parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)}; all if none is given")
    given = parser.parse_args()
    unknown = set(getattr(given, "cases", ())) - set(names)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; cases: {', '.join(names)}")
    if names and not given.cases:
        given.cases = list(names)
    return given


def begin(about: str, *names: str) -> tuple[argparse.Namespace, str]:
    """What a comparison of programs begins with: `arguments`, no chatter, one thread, the allocator and its words."""
    given = arguments(about, *names)
    quiet()
    one_thread()
    return given, tuned_allocator()


def tuned_allocator() -> str:
    """Freed memory stays in the process, so that nobody pays for page faults; what was set, in words."""
    if platform.libc_ver()[0] != "glibc":
        return "the system's"
    libc = ctypes.CDLL(None)
    done = [libc.mallopt(M_MMAP_MAX, 0), libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1), libc.mallopt(M_TOP_PAD, 2**26)]
    if not all(done):
        raise RuntimeError(f"mallopt refused: {done}")
    return ALLOCATOR


def one_thread() -> None:
    """Everything here in one thread."""
    torch.set_num_threads(1)


def backends() -> list[str]:
    """Our backends that can be compared on a CPU here."""
    ready = available()
    for name in ("numba",):
        if ready[name] != "ready":
            print(f"the kernels '{name}' are left out: {ready[name]}")
    return [name for name in ("reference", "numba") if ready[name] == "ready"]


def on(backend: str, call: Callable[[], Any]) -> Callable[[], Any]:
    """The call with that backend, waiting for its compilation and never answered by another."""
    from atomlab.kernels import repeated, steady

    def called():
        with use(backend), steady(), repeated():  # as a calculator calls
            return call()

    return called


def alternate(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int = 9,
    warm: int = 2,
    seconds: float = 30.0,
    least: int = 3,
    clock: Callable[[], float] = time.process_time,
    quick: bool = False,
) -> dict[str, list[float]]:
    """ms of each call, in turn: `rounds` times, fewer (but `least`) once that has taken `seconds`, after `warm` ones.

    A call faster than 20 ms is repeated within its turn, and the turn's mean is kept.
    """
    if quick:
        rounds, warm, least, seconds = 1, 1, 1, 0.0
    for _ in range(warm):
        for call in calls.values():
            call()
    repeats = {}
    for name, call in calls.items():
        start = clock()
        call()
        repeats[name] = 1 if quick else max(1, min(50, int(0.02 / max(clock() - start, 1e-6))))
    times: dict[str, list[float]] = {name: [] for name in calls}
    begun = time.monotonic()
    for done in range(rounds):
        if done >= least and time.monotonic() - begun > seconds:
            break
        for name, call in calls.items():
            start = clock()
            for _ in range(repeats[name]):
                call()
            times[name].append(1000 * (clock() - start) / repeats[name])
    return times


def summary(times: Mapping[str, list[float]]) -> dict[str, Any]:
    """Medians in ms, and how many turns there were."""
    return {"ms": {name: statistics.median(t) for name, t in times.items()}, "turns": len(next(iter(times.values())))}


def deviation(mine, reference) -> float:
    """max|mine - reference| / max|reference|."""
    mine, reference = np.asarray(mine, dtype=float), np.asarray(reference, dtype=float)
    top = np.abs(reference).max(initial=0.0)
    return float(np.abs(mine - reference).max(initial=0.0) / (top if top > 1e-9 else 1.0))


def machine() -> dict[str, Any]:
    """Processor, cores, memory, versions, commit, date and load."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [f for f in ("avx2", "avx512f", "avx512_vnni", "amx_tile") if f in fields.get("flags", "").split()]
    import numba

    return {
        "processor": fields.get("model name", platform.machine()),
        "instructions": flags,
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "numba": numba.__version__} | _peers(),
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _peers() -> dict[str, str]:
    from importlib import metadata

    found = {}
    for name in (
        "mace-torch",
        "e3nn",
        "symmetrix-xl",
        "chgnet",
        "torch-geometric",
        "matscipy",
        "ase",
        "vesin",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if find_spec("gptff"):  # from source there is no metadata
        found["gptff"] = getattr(import_module("gptff"), "__version__", "?")
    return found


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../../atomlab")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def write(name: str, rows: list[dict[str, Any]], given: argparse.Namespace, **more: Any) -> None:
    """results/NAME.json, or --out; a smoke run is written only where --out says so. Rows of cases that were not asked
    for stay as they were."""
    path = given.out or (None if given.quick else RESULTS / f"{name}.json")
    if path is None:
        print("a smoke run: nothing is written")
        return
    stamp = {**machine(), "state": given.state, "quick": given.quick}
    rows = [{**row, "machine": stamp} for row in rows]
    keys = {_key(row) for row in rows}
    if path.exists():
        kept = [row for row in json.loads(path.read_text())["rows"] if _key(row) not in keys]
        rows = kept + rows
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {"benchmark": name, **more, "rows": rows}
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {path}")


def _key(row: Mapping[str, Any]) -> tuple:
    return tuple(str(row.get(name)) for name in ("case", "shape", "dtype", "system"))


def say(row: Mapping[str, Any], against: str) -> None:
    """One line on the screen: all times, and the ratio of `against` to each of ours."""
    ms = row["ms"]
    words = [f"{name} {value:.3g}" for name, value in ms.items()]
    if against in ms:
        words += [f"{ms[against] / value:.1f}x {name}" for name, value in ms.items() if name.startswith("ours")]
    off = row.get("deviation")
    tail = "" if off is None else f"; off by {off:.1e}"
    label = " ".join(str(row[k]) for k in ("case", "shape", "dtype", "system") if row.get(k))
    print(f"  {label}: {', '.join(words)} (ms){tail}", flush=True)


def child(code: str, *args: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run Python code in a process of its own; its last line on stdout is JSON."""
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONWARNINGS": "ignore", **(env or {})}
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the measuring process failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


class Peak:
    """Peak memory of a block in MB above what the process held before it.

    Where the kernel lets the process reset its high-water mark, the mark counts; elsewhere ru_maxrss, which misses what
    stays below an earlier peak.
    """

    def __enter__(self) -> Peak:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.how = "VmHWM"
        except OSError:
            self.how = "ru_maxrss"
        self.base = self._status("VmRSS:") if self.how == "VmHWM" else self._most()
        return self

    def __exit__(self, *_) -> None:
        self.mb = (self._status("VmHWM:") if self.how == "VmHWM" else self._most()) - self.base

    @staticmethod
    def _most() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    @staticmethod
    def _status(field: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def quiet():
    """For `with`: notices of the library and warnings of other packages stay out of the output."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    return nullcontext()
