"""The papers' results and ours, side by side, drawn from the committed rows: RESULTS.md and a figure per paper.

    python tests/reproduce/report.py [--scale small|paper]        (paper: into RESULTS-paper.md)

A folder says in claims.py what its paper found: CLAIMS, a list of (what, paper, ours), where `ours` makes a text of the
rows by name, or None while rows are missing; and, if there is something to look at, `figure(rows, path)`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
SCALES = ("small", "paper")


def rows_of(folder: Path, scale: str) -> dict[str, dict]:
    """{name: row} of what has been measured."""
    found = (json.loads(path.read_text()) for path in sorted((folder / "rows" / scale).glob("*.json")))
    return {row["name"]: row for row in found}


def claims_of(folder: Path) -> ModuleType:
    """The folder's claims.py."""
    spec = importlib.util.spec_from_file_location(f"claims_{folder.name}", folder / "claims.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def section(folder: Path, scale: str) -> list[str]:
    """A paper's part of RESULTS.md."""
    claims, rows = claims_of(folder), rows_of(folder, scale)
    lines = [f"## {claims.TITLE}", "", f"`python tests/reproduce/{folder.name}/run.py --scale {scale}`", ""]
    lines += ["| what | paper | ours |", "| --- | --- | --- |"]
    missing = 0
    for what, paper, ours in claims.CLAIMS:
        text = _told(ours, rows)
        missing += text is None
        lines.append(f"| {what} | {paper} | {text or 'not measured yet'} |")
    if rows:
        commits = sorted({row["commit"] for row in rows.values()})
        seconds = sum(row["seconds"] for row in rows.values())
        machines = sorted({row["machine"] for row in rows.values()})
        lines += [
            "",
            f"{len(rows)} rows, {seconds / 60:.0f} min in all, on {'; '.join(machines)}; commits {', '.join(commits)}.",
        ]
    if missing:
        lines += ["", f"{missing} of {len(claims.CLAIMS)} lines are missing."]
    if rows and hasattr(claims, "figure"):
        lines += ["", _figure(claims, rows, folder, scale)]
    return [*lines, ""]


def _figure(claims: ModuleType, rows: dict[str, dict], folder: Path, scale: str) -> str:
    """Draw a paper's figure; what stands in the report for it."""
    try:
        claims.figure(rows, folder / f"figure-{scale}.png")
    except (KeyError, ValueError, IndexError) as error:  # with the first rows alone there may be nothing to draw
        return f"No figure can be drawn of these rows yet ({type(error).__name__}: {error})."
    return f"![{claims.TITLE}]({folder.name}/figure-{scale}.png)"


def _told(ours, rows: dict[str, dict]) -> str | None:
    try:
        return ours(rows)
    except KeyError:  # a row that is not there yet
        return None


def main() -> None:
    """Write RESULTS.md, and print what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", choices=SCALES, default="small")
    scale = parser.parse_args().scale
    head = ["# The papers' results, ours beside theirs", ""]
    head += [f"Made by `python tests/reproduce/report.py --scale {scale}` from the committed rows.", ""]
    folders = sorted(path.parent for path in HERE.glob("*/claims.py"))
    text = "\n".join([*head, *(line for folder in folders for line in section(folder, scale))])
    (HERE / ("RESULTS.md" if scale == "small" else f"RESULTS-{scale}.md")).write_text(text.rstrip() + "\n")
    print(text)


if __name__ == "__main__":
    main()
