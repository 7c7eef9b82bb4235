"""Reference energies of the elements (E0) and the size of the forces, each with the reason in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ..errors import InputError, notice
from .dataset import Dataset

__all__ = ["atomic_energies", "force_scale", "rank_check"]

BLOCK = 1 << 16  # structures whose compositions are looked at together
METHODS = ("auto", "isolated", "least-squares", "residuals")


def atomic_energies(
    dataset: Dataset,
    method: str | Mapping[int | str, float] = "auto",
    base_energies: Sequence[float] | np.ndarray | None = None,
) -> tuple[dict[int, float], list[str]]:
    """Energy of each element in eV, {atomic number: E0}, and in sentences where it is from.

    Parameters
    ----------
    method: "isolated": structures of a single atom in the data; "least-squares": the E0 that explain the energies best;
        "residuals": the same for what a base model leaves over (needs `base_energies`): the result is what must be
        *added* to the base model's E0; "auto": isolated atoms if there is one of each element, else least squares;
        or the values themselves, by atomic number or symbol.
    base_energies: (S,) eV, the base model's energies of these structures.

    Least squares: energies per atom, each structure with the same weight. Where the compositions cannot tell elements
    apart, the solution nearest to the mean energy per atom is taken, and the sentences say for which elements.
    """
    if isinstance(method, Mapping):
        return _given(dataset, method)
    if method not in METHODS:
        raise InputError("There is no such way to get E0", got=method, allowed=[*METHODS, "a table {element: eV}"])
    if method in ("auto", "isolated"):
        found, missing = _isolated(dataset)
        if not missing:
            return found, ["E0: energies of the isolated atoms in the data."]
        if method == "isolated":
            raise InputError(
                "The data hold no isolated atom of some elements", got=", ".join(chemical_symbols[z] for z in missing),
                mend="Add structures of one atom without periodicity, or choose 'least-squares'",
            )  # fmt: skip
    energies = dataset.energies
    if method == "residuals":
        energies = energies - _base(dataset, base_energies)
    found, reasons = _least_squares(dataset, energies)
    what = "what the base model leaves over (to be added to its E0)" if method == "residuals" else "the energies"
    first = f"E0: least squares on {what} of {int(np.isfinite(energies).sum())} structures."
    return found, [first, *reasons]


def _given(dataset: Dataset, values: Mapping[int | str, float]) -> tuple[dict[int, float], list[str]]:
    table: dict[int, float] = {}
    for element, value in values.items():
        symbol = str(element)
        if symbol not in atomic_numbers and not symbol.isdigit():
            raise InputError("There is no such element", got=element)
        table[atomic_numbers.get(symbol) or int(symbol)] = float(value)
    missing = [chemical_symbols[z] for z in dataset.elements if z not in table]
    if missing:
        raise InputError("E0 are given, but not for all elements of the data", got=f"none for {', '.join(missing)}")
    if not np.isfinite(list(table.values())).all():
        raise InputError("An E0 must be a finite number of eV", got=dict(values))
    return table, ["E0: given."]


def _isolated(dataset: Dataset) -> tuple[dict[int, float], list[int]]:
    found: dict[int, float] = {}
    for k in np.flatnonzero(dataset.sizes == 1).tolist():
        entry = dataset.entries[k]
        alone = not entry.atoms.pbc.any() or _roomy(entry)
        if alone and entry.label("energy") is not None:
            z, energy = int(entry.atoms.numbers[0]), float(entry.label("energy"))
            if abs(found.setdefault(z, energy) - energy) > 1e-6:
                notice(
                    f"isolated-{z}",
                    f"The data hold isolated {chemical_symbols[z]} atoms of different energies; the first is used.",
                )
    return found, [z for z in dataset.elements if z not in found]


def _roomy(entry) -> bool:
    """A single atom in a periodic box counts as isolated if it is said to be, or if its images are 6 Å away."""
    return "isolated" in str(entry.atoms.info.get("config_type", "")).lower() or entry.nearest[0] >= 6.0


def _base(dataset: Dataset, base_energies) -> np.ndarray:
    if base_energies is None:
        raise InputError(
            "Residuals need the base model's energies of the same structures", mend="Give base_energies=(S,) in eV"
        )
    base = np.asarray(base_energies, dtype=np.float64)
    if base.shape != (len(dataset),):
        raise InputError("base_energies has one value for each structure", got=base.shape, allowed=[(len(dataset),)])
    return base


def _least_squares(dataset: Dataset, energies: np.ndarray) -> tuple[dict[int, float], list[str]]:
    known = np.isfinite(energies)
    if not known.any():
        raise InputError("No structure has an energy to fit E0 to", mend="Give E0 as a table, or train on forces only")
    per_atom = energies / dataset.sizes
    mean = float(per_atom[known].mean())
    # E0 of the fractions: the triangle R of [fractions | energy per atom - mean] holds all that the fit needs
    triangle = _triangle(dataset, known, per_atom - mean)
    factor, target, rest = triangle[:-1, :-1], triangle[:-1, -1], triangle[-1, -1]
    rank, told = _rank(factor, dataset.elements)
    solution, *_ = np.linalg.lstsq(factor, target, rcond=1e-10)
    squares = float(np.sum((factor @ solution - target) ** 2) + rest**2)
    left = float(np.sqrt(squares / known.sum()))
    reasons = [*told, f"They leave {1000 * left:.1f} meV/atom over (RMS), which the model has to learn."]
    if told:
        notice(f"e0-rank-{rank}-{'-'.join(map(str, dataset.elements))}", told[0])
    return {z: float(x + mean) for z, x in zip(dataset.elements, solution)}, reasons


def _triangle(dataset: Dataset, known: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """R of the QR decomposition of [composition fractions | values], square, from blocks of rows: memory does not grow
    with the data set, and nothing is squared (normal equations would lose half of the digits)."""
    width = len(dataset.elements) + (values is not None)
    triangle = np.zeros((0, width))
    for start in range(0, len(dataset), BLOCK):
        rows = slice(start, start + BLOCK)
        counts = dataset.composition_matrix(rows)[known[rows]].astype(np.float64)
        block = counts / counts.sum(1, keepdims=True)
        if values is not None:
            block = np.column_stack([block, values[rows][known[rows]]])
        triangle = np.linalg.qr(np.concatenate([triangle, block]), mode="r")
    return np.concatenate([triangle, np.zeros((width - len(triangle), width))])


def rank_check(dataset: Dataset) -> list[str]:
    """Sentences that say which elements the compositions cannot tell apart; empty if they can."""
    return _rank(_triangle(dataset, np.ones(len(dataset), dtype=bool)), dataset.elements)[1]


def _rank(factor: np.ndarray, elements: Sequence[int]) -> tuple[int, list[str]]:
    """The number of independent compositions; `factor` has the singular values and rows' space of their fractions."""
    _, singular, vectors = np.linalg.svd(factor)
    rank = int((singular > 1e-10 * singular[0]).sum())
    if rank == len(elements):
        return rank, []
    # an element that no combination without effect involves is fixed by the data
    open_ones = [chemical_symbols[z] for z, w in zip(elements, np.abs(vectors[rank:]).max(0)) if w > 1e-8]
    text = (
        f"The compositions cannot tell apart {', '.join(open_ones)}: {len(elements)} elements, but only {rank} "
        "independent compositions. Of all E0 that fit equally well those nearest to the mean energy per atom (smallest "
        "norm) are taken: fine for these compositions, meaningless for others."
    )
    return rank, [text]


def force_scale(dataset: Dataset) -> float:
    """Root mean square of all force components in eV/Å."""
    total, n = 0.0, 0
    for entry in dataset.entries:
        forces = entry.label("forces")
        if forces is not None:
            total, n = total + float(np.square(forces).sum()), n + forces.size
    if not n:
        raise InputError("No structure has forces, so they have no scale", mend="Label some, or give the scale")
    return float(np.sqrt(total / n))
