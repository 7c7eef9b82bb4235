"""Measure what is missing of the papers' tables, within a time, and draw them: what `make reproduce` calls.

    python tests/reproduce/all.py [FOLDER ...] [--scale small|paper] [--minutes 150] [--workers 2]

Without names: every folder that holds a paper's claims (claims.py). The others train or measure the models that AtomLab
ships, and run only by name. Rows that are there are not measured again. As many folders as there are cores are at work
at a time. The time is shared equally among them; what one leaves, the next ones get. The small scale ends within 150
minutes; the scale of the papers has no limit. A call that was stopped or has run out of time is gone on with by the
next one.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCALES = ("small", "paper")
LIMIT = {"small": 150.0, "paper": math.inf}  # minutes
LAST = 3.0  # minutes that are kept for the tables and figures
LEAST = 0.5  # minutes: with less no folder is begun


@dataclass
class Job:
    """A folder that is measured, and how it went."""

    folder: Path
    paper: bool
    told: str = ""
    failed: bool = False

    def count(self, scale: str) -> int:
        """Rows that are there."""
        return len(list((self.folder / "rows" / scale).glob("*.json")))


def jobs(root: Path, names: Sequence[str]) -> list[Job]:
    """The folders of these names, or all that belong to a paper."""
    found = {path.parent.name: path.parent for path in sorted(root.glob("*/run.py"))}
    papers = [name for name, folder in found.items() if (folder / "claims.py").is_file()]
    unknown = [name for name in names if name not in found]
    if unknown:
        sys.exit(f"There is no folder '{unknown[0]}' here. There are: {', '.join(found)}.")
    return [Job(found[name], name in papers) for name in names or papers]


def measure(work: Sequence[Job], scale: str, minutes: float, workers: int = 1) -> None:
    """Let each folder measure for its share of the time, again and again until all have ended or the time is over."""
    begun = time.monotonic()
    waiting = list(work)

    def turn(n: int) -> bool:
        """The n-th of those that wait, with its share of what is left: whether it has ended."""
        job, left = waiting[n], minutes - LAST - (time.monotonic() - begun) / 60
        if left < LEAST and job.paper:
            job.told = job.told or "no time was left for it"
            return True
        return _ended(job, scale, left / math.ceil((len(waiting) - n) / workers), left)

    while waiting:
        with ThreadPoolExecutor(workers) as pool:
            ended = list(pool.map(turn, range(len(waiting))))
        waiting = [job for job, over in zip(waiting, ended) if not over]


def _ended(job: Job, scale: str, share: float, left: float) -> bool:
    """Run a folder's program; whether it has nothing more to do (or cannot)."""
    before, start = job.count(scale), time.monotonic()
    command = [sys.executable, str(job.folder / "run.py")]
    if job.paper:
        command += ["--scale", scale, *(["--minutes", f"{share:.2f}"] if math.isfinite(share) else [])]
    limit = f", no new row after {share:.0f} min" if math.isfinite(share) and job.paper else ""
    print(f"== {job.folder.name}: {before} rows are there{limit}", flush=True)
    patience = 60 * left if math.isfinite(left) and job.paper else None
    code, last = _run(command, patience)
    spent = (time.monotonic() - start) / 60
    new = f"{job.count(scale) - before} new rows in {spent:.1f} min"
    if code is None:
        job.told = f"{new}; ended at the limit of the whole, its last row is lost"
    elif code and last.startswith("Skipped:"):
        job.told = f"{new}; {last}"
    elif code:
        job.told, job.failed = f"{new}; FAILED with status {code}: {last}", True
    else:
        cut = job.paper and spent >= share
        job.told = f"{new}; {'its time was over' if cut else 'nothing is left to measure'}"
        print(f"-- {job.folder.name}: {job.told}", flush=True)
        return not cut
    print(f"-- {job.folder.name}: {job.told}", flush=True)
    return True


def _run(command: Sequence[str], patience: float | None) -> tuple[int | None, str]:
    """Exit status (None: it was ended after so many seconds) and the last line that the program wrote as an error."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        _, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, ""
    lines = errors.strip().splitlines()
    code = process.returncode
    if code and not (lines and lines[-1].startswith("Skipped:")):
        print(errors, file=sys.stderr, flush=True)
    return code, lines[-1] if lines else ""


def summary(work: Sequence[Job]) -> Iterator[str]:
    """A line for each folder."""
    yield "\n== what was done"
    yield from (f"{job.folder.name:<16} {job.told}" for job in work)


def main(words: Sequence[str] | None = None, root: Path = HERE) -> int:
    """Measure, report; 0 if no folder has failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="by default every paper's")
    parser.add_argument("--scale", default=os.environ.get("SCALE") or "small")
    parser.add_argument("--minutes", type=float, default=None, help="time for all (small: 150, paper: no limit)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="folders at a time")
    given = parser.parse_args(words)
    if given.workers < 1:
        sys.exit(f"At least one folder is at work at a time, not {given.workers}.")
    if given.scale not in SCALES:
        sys.exit(f"There is no scale '{given.scale}'; there are: {', '.join(SCALES)}.")
    work = jobs(root, given.folders)
    measure(work, given.scale, given.minutes or LIMIT[given.scale], given.workers)
    if any(job.paper for job in work):
        report = [sys.executable, str(root / "report.py"), "--scale", given.scale]
        if subprocess.run(report, check=False).returncode:
            work = [*work, Job(root / "report.py", paper=False, told="FAILED", failed=True)]
    print("\n".join(summary(work)), flush=True)
    return 1 if any(job.failed for job in work) else 0


if __name__ == "__main__":
    sys.exit(main())
