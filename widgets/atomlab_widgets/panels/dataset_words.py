"""What the Data panel says about a data set: its columns, labels and elements, how it will be divided, and its E0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..frames import SYMBOLS
from ..hub import short
from ..markup import safe, small_table
from ..source import Source

COLUMNS = [
    {
        "name": "frame",
        "label": "frame",
        "width": 56,
        "grow": 0,
        "right": True,
        "title": "its number, counted from 0 as in Python",
    },
    {"name": "group", "label": "group", "width": 72},
    {"name": "formula", "label": "composition", "width": 92, "grow": 0},
    {"name": "atoms", "label": "atoms", "width": 56, "grow": 0, "right": True},
    {
        "name": "energy",
        "label": "E (eV/atom)",
        "width": 96,
        "grow": 0,
        "right": True,
        "title": "energy per atom, as labelled",
    },
    {
        "name": "force",
        "label": "max |F| (eV/Å)",
        "width": 112,
        "grow": 0,
        "right": True,
        "title": "the largest force on an atom",
    },
    {
        "name": "nearest",
        "label": "nearest (Å)",
        "width": 88,
        "grow": 0,
        "right": True,
        "title": "shortest distance of two atoms, images included",
    },
    {"name": "warnings", "label": "warnings", "width": 80, "grow": 2},
]
# Ten structures to learn from: what the embedded pair of model and data is there to show.
FEW = {"sw-ge": (10, 40)}


def labels(c: Any) -> str:
    """What is labelled, in words."""
    have = [word for word, values in (("energies", c.energy), ("forces", c.force)) if np.isfinite(values).any()]
    have += ["stresses"] if c.stress else []
    return f"with {', '.join(have[:-1])}{' and ' * (len(have) > 1)}{have[-1]}" if have else "without labels"


def source_elements(dataset: Any) -> list[str]:
    """Symbols of the elements in a data set."""
    return [e if isinstance(e, str) else SYMBOLS[int(e)] for e in dataset.elements]


def suggested_split(data: str, frames: int) -> dict[str, tuple[Any, str]]:
    """Another division than the task's own default, with its reason, for an embedded set."""
    if data not in FEW or frames < sum(FEW[data]):
        return {}
    train, valid = FEW[data]
    return {
        "train": (train, "Ten structures show what a base model is worth (Si to Ge transfer paper)"),
        "valid": (valid, "Forty others measure the error well enough"),
    }


def divided(source: Source, left_out: Sequence[int], settings: Mapping[str, Any]) -> str:
    """Tables of the parts that a fine-tune with these settings learns from and is measured on, and of E0, as HTML."""
    from atomlab.data.statistics import atomic_energies
    from atomlab.errors import AtomLabError
    from atomlab.runs.recipes.loading import as_count, numbers

    whole, gone = source.dataset, set(left_out)
    kept = whole[[k for k in range(len(whole)) if k not in gone]] if gone else whole
    train, valid = as_count(settings.get("train")), as_count(settings.get("valid", 0.1))
    by, seed, other = settings.get("split", "random"), int(settings.get("seed", 0)), settings.get("valid_data")
    try:
        parts = kept.split(valid=0 if other else valid, train=train, by=by, seed=seed)
    except AtomLabError as error:
        return f"<div>{safe(error)}</div>"
    rows = [_row("to learn from", source, numbers(whole, parts.train))]
    if other:
        rows.append([f"to measure on: {short(other)}", *["-"] * 4])
    elif len(parts.valid):
        rows.append(_row("to measure the error on", source, numbers(whole, parts.valid)))
    rest = len(kept) - len(parts.train) - (0 if other else len(parts.valid))
    rows += [["not used", str(rest), "-", "-", "-"]] if rest else []
    head = ["", "structures", "atoms", "energy (eV/atom)", "max |F| (eV/Å)"]
    told = f"{safe(' '.join(parts.reasons))} So say the settings of Fine-tune."
    try:
        energies, reasons = atomic_energies(parts.train)
    except AtomLabError as error:
        return f"{small_table(head, rows)}<div class=al-told>{told}<br>No E0: {safe(error)}</div>"
    shown = ", ".join(f"{SYMBOLS[z]} <b>{e:.4f} eV</b>" for z, e in energies.items())
    why = " ".join(reason.removeprefix("E0: ") for reason in reasons)
    more = "A fine-tune on data without isolated atoms fits what the base leaves over instead; its plan says which."
    return f"{small_table(head, rows)}<div class=al-told>{told}<br>E0: {shown}, {safe(why)} {more}</div>"


def _row(name: str, source: Source, rows: np.ndarray) -> list[str]:
    c = source.columns
    assert c is not None
    energy, force = c.energy[rows], c.force[rows]
    mean = f"{np.nanmean(energy):.3f} ± {np.nanstd(energy):.3f}" if np.isfinite(energy).any() else "-"
    highest = f"{np.nanmax(force):.2f}" if np.isfinite(force).any() else "-"
    return [name, str(len(rows)), str(int(c.atoms[rows].sum())), mean, highest]
