"""What a data set holds, as plain numbers and numpy arrays: for the table, the histograms and the command line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["columns", "histogram", "summary"]


def columns(dataset: Dataset, nearest: bool = True) -> dict[str, np.ndarray]:
    """One array (S,) each: frame, formula, composition, atoms, config_type, group, energy (eV/atom), force (largest,
    eV/Å), force_atom, pressure (GPa, -trace/3 of the stress), nearest (Å). NaN where unknown, "" for no text."""
    entries = dataset.entries
    stress = [e.label("stress") for e in entries]
    out = {
        "frame": np.arange(len(entries)),
        "formula": np.array([e.formula for e in entries]),
        "composition": np.array([e.composition for e in entries]),
        "atoms": dataset.sizes,
        "config_type": np.array(["" if v is None else str(v) for v in dataset.info("config_type")]),
        "group": np.array(["" if v is None else str(v) for v in dataset.info("group")]),
        "energy": dataset.energies / dataset.sizes,
        "force": np.array([e.largest_force[0] for e in entries]),
        "force_atom": np.array([e.largest_force[1] for e in entries]),
        "pressure": np.array([np.nan if s is None else -160.21766208 * float(np.mean(s[:3])) for s in stress]),
    }
    if nearest:
        out["nearest"] = np.array([e.nearest[0] for e in entries])
    return out


def histogram(values: np.ndarray, bins: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """(counts (bins,), edges (bins + 1,)) of the finite values."""
    finite = values[np.isfinite(values)]
    return np.histogram(finite, bins=bins) if len(finite) else (np.zeros(bins, int), np.linspace(0, 1, bins + 1))


def summary(dataset: Dataset, nearest: bool = True) -> dict[str, Any]:
    """See `Dataset.summary`. Ranges are (smallest, mean, largest); units: eV/atom, eV/Å, GPa, Å."""
    table = columns(dataset, nearest)
    forces = [f for f in (e.label("forces") for e in dataset.entries) if f is not None]
    components = np.concatenate([f.ravel() for f in forces]) if forces else np.zeros(0)
    elements = Counter(int(z) for e in dataset.entries for z in e.atoms.numbers)
    out: dict[str, Any] = {
        "name": dataset.name,
        "structures": len(dataset),
        "atoms": int(table["atoms"].sum()),
        "elements": {chemical_symbols[z]: elements[z] for z in sorted(elements)},
        "compositions": dict(Counter(table["composition"].tolist()).most_common()),
        "sizes": _range(table["atoms"]),
        "config_types": dict(Counter(t for t in table["config_type"].tolist() if t).most_common()),
        "groups": len({g for g in table["group"].tolist() if g}),
        "periodic": int(sum(bool(e.atoms.pbc.all()) for e in dataset.entries)),
        "labels": {
            name: sum(e.label(name) is not None for e in dataset.entries) for name in ("energy", "forces", "stress")
        },
        "energy": _range(table["energy"]),
        "force": _range(table["force"]),
        "force_rms": float(np.sqrt(np.mean(components**2))) if len(components) else float("nan"),
        "pressure": _range(table["pressure"]),
        "extreme_forces": _extreme(table),
        "duplicates": sum(len(group) - 1 for group in dataset.duplicates()),
        "reading": list(dataset.reading),
        "histograms": {
            "energy": histogram(table["energy"]),
            "force": histogram(np.concatenate([np.linalg.norm(f, axis=1) for f in forces]) if forces else np.zeros(0)),
            "atoms": histogram(table["atoms"].astype(float)),
        },
    }
    if nearest:
        out["nearest"] = _range(table["nearest"])
        out["histograms"]["nearest"] = histogram(table["nearest"])
    return out


def _range(values: np.ndarray) -> tuple[float, float, float] | None:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.mean()), float(finite.max())) if len(finite) else None


def _extreme(table: dict[str, np.ndarray], n: int = 5) -> list[dict[str, Any]]:
    """The structures with the largest forces, largest first."""
    order = np.argsort(-np.nan_to_num(table["force"], nan=-1.0), kind="stable")[:n]
    return [
        {"frame": int(k), "atom": int(table["force_atom"][k]), "force": float(table["force"][k])}
        for k in order
        if np.isfinite(table["force"][k])
    ]
