"""The data doctor: what may be wrong with a data set, each finding with its frames and a way to mend it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from .distances import close_pairs

if TYPE_CHECKING:
    from .dataset import Dataset
    from .entry import Entry

__all__ = ["Finding", "findings"]

# Pairs closer than this share of the sum of their covalent radii. Multiple bonds (N2: 0.77), short ionic and metallic
# contacts go down to about 0.75; between the elements of SINGLE, which form none of these, 0.85 is already rare.
CLOSE, CLOSE_SINGLE = 0.70, 0.85
SINGLE = frozenset(atomic_numbers[s] for s in "Al Si Ga Ge As In Sn Sb Te Tl Pb Bi".split())
# Robust deviations (median, scaled MAD) from which a value counts as an outlier.
OUTLIER = 8.0
NET_FORCE = 0.05  # eV/Å, of the whole structure


@dataclass(frozen=True)
class Finding:
    """`code` for programs, `text` a sentence, `frames` the structures (indices), `mend` what one can do.

    `severity`: "error" (training on it will go wrong), "warning" (look at it), "note".
    """

    code: str
    text: str
    frames: tuple[int, ...]
    mend: str
    severity: str = "warning"


def findings(dataset: Dataset) -> list[Finding]:
    """All that was found, most severe first; an empty list is a clean bill of health."""
    checks: tuple[Callable[[Dataset], list[Finding]], ...] = (
        _close, _forces, _energies, _duplicates, _missing, _net_force
    )  # fmt: skip
    found = [finding for check in checks for finding in check(dataset)]
    return sorted(found, key=lambda f: ("error", "warning", "note").index(f.severity))


def closest(entry: Entry) -> tuple[float, float, int, int] | None:
    """(distance / what is usual at least, distance in Å, atom, atom) of the worst pair that is too close, if there is
    one."""
    atoms = entry.atoms
    radii = covalent_radii[atoms.numbers]
    single = np.isin(atoms.numbers, list(SINGLE))
    cutoff = 2.0 * float(radii.max()) * CLOSE_SINGLE
    if entry.nearest[0] >= cutoff:
        return None
    i, j, distance = close_pairs(atoms, cutoff)
    share = distance / ((radii[i] + radii[j]) * np.where(single[i] & single[j], CLOSE_SINGLE, CLOSE))
    if not len(share) or share.min() >= 1.0:
        return None
    k = int(share.argmin())
    return float(share[k]), float(distance[k]), int(i[k]), int(j[k])


def _close(dataset: Dataset) -> list[Finding]:
    close = {k: worst for k, entry in enumerate(dataset.entries) if (worst := closest(entry))}
    if not close:
        return []
    frame = min(close, key=lambda k: close[k][0])
    _, distance, a, b = close[frame]
    numbers = dataset.entries[frame].atoms.numbers
    symbols = "-".join(chemical_symbols[numbers[x]] for x in (a, b))
    bond = float(covalent_radii[numbers[a]] + covalent_radii[numbers[b]])
    return [
        Finding(
            "close-pairs",
            f"{_n(len(close))} of {len(dataset)} hold an unusually close atom pair; the closest is {symbols} at "
            f"{distance:.2f} Å in frame {frame} ({distance / bond:.0%} of the covalent bond length of {bond:.2f} Å).",
            tuple(sorted(close, key=lambda k: close[k][0])),
            "Look at them. Leave them out if they are artefacts; keep them if the model must know how atoms repel.",
            "error" if distance < 0.5 * bond else "warning",
        )
    ]


def _robust(values: np.ndarray) -> np.ndarray:
    """Deviations from the median in units of the scaled median absolute deviation, NaN where unknown."""
    finite = values[np.isfinite(values)]
    if len(finite) < 8:
        return np.full(len(values), np.nan)
    middle = np.median(finite)
    spread = 1.4826 * np.median(np.abs(finite - middle))
    return (values - middle) / spread if spread > 0 else np.full(len(values), np.nan)


def _forces(dataset: Dataset) -> list[Finding]:
    largest = np.array([entry.largest_force[0] for entry in dataset.entries])
    with np.errstate(divide="ignore"):
        far = _robust(np.log(largest))
    bad = np.flatnonzero((far > OUTLIER) | (largest > 100.0))
    if not len(bad):
        return []
    worst = int(bad[np.argmax(largest[bad])])
    return [
        Finding(
            "large-forces",
            f"{_n(len(bad))} of {len(dataset)} have far larger forces than the others: up to {largest[worst]:.1f} "
            "eV/Å on atom "
            f"{dataset.entries[worst].largest_force[1]} of frame {worst} (median {np.nanmedian(largest):.2f}).",
            tuple(bad[np.argsort(-largest[bad])].tolist()),
            "Leave them out, or use a Huber loss, which does not let them rule the training.",
        )
    ]


def _energies(dataset: Dataset) -> list[Finding]:
    energy = dataset.energies / dataset.sizes
    compositions = np.array([entry.composition for entry in dataset.entries])
    found = []
    for composition in sorted(set(compositions.tolist())):
        mine = np.flatnonzero(compositions == composition)
        far = np.abs(_robust(energy[mine]))
        bad = mine[far > OUTLIER]
        if len(bad):
            worst = int(bad[np.argmax(np.abs(energy[bad] - np.nanmedian(energy[mine])))])
            found.append(
                Finding(
                    "energy-outliers",
                    f"{_n(len(bad))} of {composition} have an energy far from the others: {energy[worst]:.3f} eV/atom "
                    "in frame "
                    f"{worst}, the median is {np.nanmedian(energy[mine]):.3f}.",
                    tuple(bad.tolist()),
                    "Look whether the calculation converged, and whether it was made with the same settings.",
                )
            )
    return found


def _duplicates(dataset: Dataset) -> list[Finding]:
    groups = dataset.duplicates()
    if not groups:
        return []
    content = dataset.entries.column("content")
    different = [g for g in groups if len({content[k].tobytes() for k in g}) > 1]
    found = [
        Finding(
            "duplicates",
            f"{sum(len(g) - 1 for g in groups)} structures occur more than once, for example frames {groups[0][:4]}.",
            tuple(k for g in groups for k in g[1:]),
            "Leave the repetitions out; a random split keeps them on one side.",
        )
    ]
    if different:
        found.append(
            Finding(
                "contradictory-duplicates",
                f"{len(different)} structures occur several times with different labels, for example frames "
                f"{different[0][:4]}.",
                tuple(k for g in different for k in g),
                "Keep the one whose calculation you trust: a model can't learn both.",
                "error",
            )
        )
    return found


def _missing(dataset: Dataset) -> list[Finding]:
    found = []
    for name in ("energy", "forces", "stress"):
        missing = tuple(np.flatnonzero(~dataset.has(name)).tolist())
        if 0 < len(missing) < len(dataset):
            found.append(
                Finding(
                    f"missing-{name}", f"{_n(len(missing))} of {len(dataset)} have no {name}.", missing,
                    "Nothing must be done: what is missing does not count in the loss.", "note",
                )
            )  # fmt: skip
    if "energy" not in dataset.labels and "forces" not in dataset.labels:
        found.append(
            Finding(
                "no-labels", "No structure has an energy or forces.", tuple(range(len(dataset))),
                "Label them, or read the file again and say under which keys the labels stand.", "error",
            )
        )  # fmt: skip
    return found


def _net_force(dataset: Dataset) -> list[Finding]:
    net = np.array(
        [np.nan if (f := e.label("forces")) is None else float(np.linalg.norm(f.sum(0))) for e in dataset.entries]
    )
    bad = np.flatnonzero(net > NET_FORCE)
    if not len(bad):
        return []
    worst = int(bad[np.argmax(net[bad])])
    return [
        Finding(
            "net-force",
            f"The forces of {_n(len(bad))} of {len(dataset)} don't add up to zero: {net[worst]:.3f} eV/Å in frame "
            f"{worst}.",
            tuple(bad.tolist()),
            "Something outside the structure acts on it (a fixed atom, a field), or the calculation was not converged.",
            "note" if net[worst] < 10 * NET_FORCE else "warning",
        )
    ]


def _n(count: int) -> str:
    return f"{count} structure" + ("" if count == 1 else "s")
