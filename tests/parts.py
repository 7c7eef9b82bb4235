"""Run the checks in parts, time each, and say at the end what ran, what was skipped and why.

`make test` calls this with the machine's own Python before .venv exists, so: standard library only.
Each part is a process of its own. A crash in one (compiled kernels, a browser) cannot hide the others, and
memory is given back in between.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".test-parts"
PYTHON = str(ROOT / ".venv" / "bin" / "python")
PYTEST = [PYTHON, "-m", "pytest", "--durations=5"]

# Two processes, a file to each in turn: tests have one torch thread, so the second core would be idle.
PARALLEL = ["-n", "2", "--dist", "loadfile"]

# name -> (minutes it may take on two cores, commands). The minutes add up to 25.
PARTS: dict[str, tuple[float, list[list[str]]]] = {
    "install": (6, [["make", "--no-print-directory", "install-test", "browser"]]),
    "lint": (2, [[PYTHON, "-m", "ruff", "check", "."], [PYTHON, "-m", "mypy"]]),
    "unit+golden": (7, [[*PYTEST, "tests", "--ignore=tests/kernels", "--ignore=tests/e2e", *PARALLEL]]),
    "kernels": (4, [[*PYTEST, "tests/kernels"]]),
    "e2e": (6, [[*PYTEST, "tests/e2e"]]),
}
# A part that only runs late is reported; one that takes three times its minutes hangs, and is ended.
HANGS = 3
NO_TESTS = 5  # pytest's exit status where a folder holds no test (yet)


@dataclass
class Result:
    name: str
    limit: float
    ok: bool = True
    wall: float = 0.0
    note: str = ""
    closing: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    skips: dict[str, int] = field(default_factory=dict)


def main(arguments: list[str]) -> int:
    chosen, extra = (arguments[:1] or ["all"])[0], arguments[1:]
    if chosen != "all" and chosen not in PARTS:
        print(f"there is no part {chosen!r}; parts: all, {', '.join(PARTS)}")
        return 2
    results = []
    for name in PARTS if chosen == "all" else [chosen]:
        results.append(run_part(name, extra))
        if name == "install" and not results[-1].ok:
            break
    return summary(results, tests_expected=chosen == "all")


def run_part(name: str, extra: list[str]) -> Result:
    minutes, commands = PARTS[name]
    result = Result(name, minutes * 60)
    report = REPORTS / f"{name}.json"
    report.unlink(missing_ok=True)
    print(f"\n##### {name} (limit {minutes:g} min)", flush=True)
    start = time.monotonic()
    for command in commands:
        is_pytest = command[: len(PYTEST)] == PYTEST
        if is_pytest and not (ROOT / command[len(PYTEST)]).is_dir():
            result.note = "holds no test"
            continue
        status, last = stream(command + (extra if is_pytest else []), report, minutes * 60 * HANGS)
        if is_pytest:
            result.closing = last
        if is_pytest and status == NO_TESTS:
            result.note = "holds no test"
        elif status:
            result.ok = False
            result.note = f"exit status {status}" if status > 0 else "ended: it hung or crashed"
    result.wall = time.monotonic() - start
    if report.exists():
        told = json.loads(report.read_text())
        result.counts, result.skips = told["counts"], told["skips"]
    if result.wall > result.limit:
        result.note = (result.note + "; " if result.note else "") + "OVER ITS LIMIT"
    return result


def stream(command: list[str], report: Path, patience: float) -> tuple[int, str]:
    """Run a command, pass its output on as it comes; its exit status and its last line."""
    environment = dict(os.environ, ATOMLAB_TEST_REPORT=str(report), PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, errors="replace", start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    watch = threading.Timer(patience, end, [process])
    watch.daemon = True
    watch.start()
    last = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
        return process.wait(), last
    except KeyboardInterrupt:
        end(process)
        raise
    finally:
        watch.cancel()


def end(process: subprocess.Popen) -> None:
    """End the command and all that it started (servers, browsers, workers)."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def summary(results: list[Result], tests_expected: bool) -> int:
    total = {key: sum(r.counts.get(key, 0) for r in results) for key in ("passed", "failed", "skipped")}
    print(f"\n##### summary\n{'part':<14}{'wall':>8}{'limit':>8}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for r in results:
        cells = [r.counts.get(key, "-") if r.counts else "-" for key in ("passed", "failed", "skipped")]
        row = f"{r.name:<14}{r.wall:>7.0f}s{r.limit:>7.0f}s{cells[0]:>8}{cells[1]:>8}{cells[2]:>9}"
        print(row + ("" if r.ok else "  FAILED") + (f"  ({r.note})" if r.note else ""))
    print(f"{'in all':<14}{sum(r.wall for r in results):>7.0f}s{sum(r.limit for r in results):>7.0f}s")
    skips = {f"{r.name}: {reason}": n for r in results for reason, n in r.skips.items()}
    for reason, n in sorted(skips.items(), key=lambda item: -item[1]):
        print(f"skipped {n:>4} in {reason}")
    for r in results:
        if r.closing:
            print(r.closing)
    ok = all(r.ok for r in results)
    if tests_expected:
        ok = ok and total["passed"] > 0
        # A part that failed without a failed test (a linter, a crash, a hang) still counts as one failure.
        broken = sum(1 for r in results if not r.ok and not r.counts.get("failed"))
        print(f"{total['passed']} passed, {total['failed'] + broken} failed, {total['skipped']} skipped")
    return 0 if ok else 1


if __name__ == "__main__":
    REPORTS.mkdir(exist_ok=True)
    sys.exit(main(sys.argv[1:]))
