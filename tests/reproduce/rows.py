"""Rows of a reproduction: each is measured once, a JSON file of its own, and never measured again while it is there.

A run of a paper's folder that was stopped goes on where it was; `--again` measures anew. The tables are drawn from the
files alone (`python tests/reproduce/report.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCALES = ("small", "paper")


def options(text: str) -> argparse.ArgumentParser:
    """The options that every folder's run.py takes."""
    parser = argparse.ArgumentParser(description=text)
    scale = os.environ.get("SCALE") or "small"
    if scale not in SCALES:  # argparse looks at what is given, not at defaults
        sys.exit(f"There is no scale '{scale}'; there are: {', '.join(SCALES)}.")
    parser.add_argument("--scale", choices=SCALES, default=scale)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="measure only rows whose name holds this")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no row after so long")
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    return parser


def reference_data(name: str) -> Path:
    """A folder of the data by others; the program ends with a sentence where it is absent."""
    shared = Path(os.environ.get("ATOMLAB_SHARED", HERE.parents[2] / "shared"))
    folder = shared / "data" / name
    if not folder.is_dir():
        sys.exit(f"Skipped: there is no {folder} (set ATOMLAB_SHARED to where the reference data are).")
    return folder


class Rows:
    """The rows of one paper, in `FOLDER/rows/SCALE/NAME.json`."""

    def __init__(self, folder: Path, given: argparse.Namespace):
        self.folder, self.given = folder / "rows" / given.scale, given
        self.begun = time.perf_counter()

    def measure(self, name: str, work: Callable[[], dict[str, Any]], seed: int = 0) -> dict[str, Any] | None:
        """The row of that name: read, or measured by `work` and written. None if it was not asked for."""
        path = self.folder / f"{name}.json"
        asked = self.given.only in name
        if path.exists() and not (asked and self.given.again):
            return json.loads(path.read_text())
        if not asked or time.perf_counter() - self.begun > 60 * self.given.minutes:
            return None
        print(f"-- {name}", flush=True)
        start = time.perf_counter()
        values = work()
        row = {
            "name": name,
            "scale": self.given.scale,
            "seed": seed,
            "values": values,
            "seconds": round(time.perf_counter() - start, 1),
            "command": shlex.join(["python", *_relative(sys.argv)]),
            "commit": _commit(),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {self.given.threads} of {os.cpu_count()} cores",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(row, indent=1, default=float) + "\n")
        part.replace(path)
        return row


def _relative(words: list[str]) -> list[str]:
    root = HERE.parents[1]
    program = Path(words[0]).resolve()
    given = [Path(word).name if Path(word).is_absolute() else word for word in words[1:]]  # no machine's own paths
    return [str(program.relative_to(root)) if program.is_relative_to(root) else program.name, *given]


def _commit() -> str:
    git = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
