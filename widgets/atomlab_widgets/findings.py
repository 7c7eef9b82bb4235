"""What a health check says, as words, curves and a periodic table. No widgets, no torch: numbers and HTML only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .frames import SYMBOLS
from .markup import safe
from .runlog import number

# A mark and a word stand beside each colour: the colour alone says nothing to one reader in twelve.
MARKS = {"pass": "✓ passed", "fail": "✗ failed", "not claimed": "– not claimed"}
COLOURS = {"pass": "var(--al-good)", "fail": "var(--al-bad)", "not claimed": "var(--al-quiet)"}
WORDS = {
    "forces": "forces = -dE/dx",
    "stress": "stress = dE/dstrain",
    "rotation": "the same when turned",
    "translation_and_order": "when moved, renumbered",
    "batch": "the same in a batch",
    "extensivity": "supercells add up",
    "locality": "distant parts add up",
    "continuity": "no jump at a cutoff",
    "isolated_atoms": "isolated atoms",
    "dimers": "dimers repel",
    "compression": "squeezing costs energy",
    "elements": "elements",
    "speed": "speed here",
}
Lines = dict[str, tuple[list[float], list[float]]]


class Curve(NamedTuple):
    """What a picture of a finding needs: axis titles with units, and (x, y) by name. `low` to `high` is shown."""

    x: str
    y: str
    lines: Lines
    low: float | None = None
    high: float | None = None


def model_files(workspace: Path) -> list[str]:
    """Model files (*.safetensors) beside the notebook and in the workspace, each also in a folder `models` there."""
    here = Path.cwd()
    folders = dict.fromkeys((here, here / "models", workspace, workspace / "models"))
    return [str(path) for folder in folders for path in sorted(folder.glob("*.safetensors")) if path.is_file()]


def same_model(said: object, name: str) -> bool:
    """Whether a run's spec means the model `name`: a file stands there with its full path."""
    return str(said) in (name, str(Path(name).absolute()))


def marked(finding: Mapping[str, Any]) -> str:
    """Its status: mark and word, coloured."""
    status = str(finding.get("status", ""))
    return f"<b style='color:{COLOURS.get(status, 'inherit')}'>{safe(MARKS.get(status, status))}</b>"


def said(finding: Mapping[str, Any]) -> str:
    """A finding in full, as HTML."""
    name = str(finding["name"]).replace("_", " ")
    text = str(finding.get("text", ""))
    return f"<b>{safe(name)}</b>: {marked(finding)}. {safe(text[:1].upper() + text[1:])}."


def counted(findings: Iterable[Mapping[str, Any]]) -> str:
    """How many passed, failed and were not claimed, in words."""
    status = [f.get("status") for f in findings]
    parts = [f"{status.count('pass')} passed", f"{status.count('fail')} failed"]
    return ", ".join([*parts, f"{n} not claimed"] if (n := status.count("not claimed")) else parts)


def curve(finding: Mapping[str, Any] | None) -> Curve | None:
    """The picture of a finding; None where it has none."""
    if finding is None or not finding.get("curve"):
        return None
    make = _CURVES.get(str(finding["name"]))
    return make(finding["curve"]) if make else None


def _dimers(data: Mapping[str, Any]) -> Curve:
    """The wall at short distance is hundreds of eV high: the well is what one wants to see."""
    lines = {f"{name} dimer": (list(c["r"]), list(c["e"])) for name, c in data.items()}
    finite = [v for _, energies in lines.values() for v in _finite(energies)]
    lowest, highest = min(finite, default=0.0), max(finite, default=0.0)
    depth = max(-lowest, min(0.5, highest) or 0.5)
    high = min(3 * max(depth, 1.0), 1.2 * highest if highest > 0 else 3.0)
    return Curve("distance (Å)", "energy (eV)", lines, -1.4 * depth, high)


def _compression(data: Mapping[str, Any]) -> Curve:
    lines = {name: ([100 * s for s in c["scale"]], _against_last(c["e"])) for name, c in data.items()}
    return Curve("length (% of uncompressed)", "energy (eV/atom)", lines)


def _against_last(values: Sequence[float | None]) -> list[float]:
    last = number(values[-1])
    return [number(v) - last for v in values]


def _extensivity(data: Mapping[str, Any]) -> Curve:
    return Curve("cells in the supercell", "change (meV/atom)", {"": (list(data["cells"]), list(data["effect"]))})


_CURVES = {"dimers": _dimers, "compression": _compression, "extensivity": _extensivity}


def _finite(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None and v == v and abs(v) != float("inf")]


_PERIODS = ((7, 87), (6, 55), (5, 37), (4, 19), (3, 11), (2, 3), (1, 1))  # each with its first element


def place(number: int) -> tuple[int, int]:
    """(row, column) of an element in the periodic table, both from 1; lanthanides and actinides in rows 8 and 9."""
    for row, (first, last) in {8: (57, 71), 9: (89, 103)}.items():
        if first <= number <= last:
            return row, 4 + number - first
    period, start = next((period, first) for period, first in _PERIODS if number >= first)
    k = number - start
    if period == 1:
        return 1, 1 + 17 * k
    if period <= 3:
        return period, k + 1 + (10 if k > 1 else 0)
    return period, k + 1 - (14 if period >= 6 and k > 2 else 0)


def periodic_table(covered: Iterable[int]) -> str:
    """All elements, those covered in bold in a frame (so that it does not need the colour); a sentence for a reader."""
    known = set(covered)
    names = ", ".join(SYMBOLS[z] for z in sorted(known))
    cells = []
    for z in range(1, 104):
        row, column = place(z)
        css = " class=al-on" if z in known else ""
        cells.append(f"<span{css} style='grid-area:{row}/{column}' title='{SYMBOLS[z]} ({z})'>{SYMBOLS[z]}</span>")
    label = f"covers {len(known)} elements: {names}" if known else "which elements it covers is not known yet"
    return f"<div class=al-periodic role=img aria-label='{label}'>{''.join(cells)}</div>"
