"""What a data set holds, as plain numbers and numpy arrays: for the table, the histograms and the command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import chemical_symbols

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["columns", "histogram", "summary"]


def columns(dataset: Dataset, nearest: bool = True) -> dict[str, np.ndarray]:
    """One array (S,) each: frame, formula, composition, atoms, config_type, group, energy (eV/atom), force (largest,
    eV/Å), force_atom, pressure (GPa, -trace/3 of the stress), nearest (Å). NaN where unknown, "" for no text."""
    rows = []
    for e in dataset.entries:  # once: a store reads each structure for this
        stress = e.label("stress")
        pressure = np.nan if stress is None else -160.21766208 * float(np.mean(stress[:3]))
        group, kind = (e.atoms.info.get(key) for key in ("group", "config_type"))
        texts = (e.formula, e.composition, "" if kind is None else str(kind), "" if group is None else str(group))
        rows.append((*texts, *e.largest_force, pressure, e.nearest[0] if nearest else np.nan))
    names = ("formula", "composition", "config_type", "group", "force", "force_atom", "pressure", "nearest")
    found = {name: np.array([row[k] for row in rows]) for k, name in enumerate(names) if nearest or name != "nearest"}
    order = ("formula", "composition", "atoms", "config_type", "group", "energy", "force", "force_atom", "pressure")
    found |= {"atoms": dataset.sizes, "energy": dataset.energies / dataset.sizes}
    last = ("nearest",) * nearest
    return {"frame": np.arange(len(dataset)), **{name: found[name] for name in (*order, *last)}}


def histogram(values: np.ndarray, bins: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """(counts (bins,), edges (bins + 1,)) of the finite values."""
    finite = values[np.isfinite(values)]
    return np.histogram(finite, bins=bins) if len(finite) else (np.zeros(bins, int), np.linspace(0, 1, bins + 1))


def summary(dataset: Dataset, nearest: bool = True) -> dict[str, Any]:
    """See `Dataset.summary`. Ranges are (smallest, mean, largest); units: eV/atom, eV/Å, GPa, Å."""
    table = columns(dataset, nearest)
    rms, force_histogram = _forces(dataset)
    elements = dict(zip(dataset.elements, dataset.composition_matrix().sum(0).tolist()))
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
        "labels": {name: int(dataset.has(name).sum()) for name in ("energy", "forces", "stress")},
        "energy": _range(table["energy"]),
        "force": _range(table["force"]),
        "force_rms": rms,
        "pressure": _range(table["pressure"]),
        "extreme_forces": _extreme(table),
        "duplicates": sum(len(group) - 1 for group in dataset.duplicates()),
        "reading": list(dataset.reading),
        "histograms": {
            "energy": histogram(table["energy"]),
            "force": force_histogram,
            "atoms": histogram(table["atoms"].astype(float)),
        },
    }
    if nearest:
        out["nearest"] = _range(table["nearest"])
        out["histograms"]["nearest"] = histogram(table["nearest"])
    return out


def _forces(dataset: Dataset, bins: int = 50) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """Root mean square of the components, and the histogram of the norms. Goes through the data twice, so that no more
    than one structure's forces are held."""
    squares, count, least, most = 0.0, 0, np.inf, -np.inf
    for norms in _norms(dataset):
        squares, count = squares + float(np.sum(norms**2)), count + len(norms)
        least, most = min(least, float(norms.min())), max(most, float(norms.max()))
    if not count:
        return float("nan"), histogram(np.zeros(0))
    edges = np.histogram_bin_edges([least, most], bins=bins)
    counts = sum(np.histogram(norms, bins=edges)[0] for norms in _norms(dataset))
    return float(np.sqrt(squares / (3 * count))), (counts, edges)


def _norms(dataset: Dataset) -> Iterator[np.ndarray]:
    for entry in dataset.entries:
        forces = entry.label("forces")
        if forces is not None:
            yield np.linalg.norm(forces, axis=1)


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
