"""Evaluate a potential on a data set, in batches, and compare with the labels. Training validates with it too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.data import chemical_symbols

from .build import check_elements
from .data.loader import graph_of
from .errors import InputError
from .graph import Graph, collate
from .potential import Potential, outputs

if TYPE_CHECKING:
    from ase import Atoms

    from .data import Dataset

__all__ = ["Predictions", "budget", "evaluate"]

# bytes that one batch may hold for its backward pass; small enough for a 2 GB machine beside everything else
MEMORY = 256 * 2**20
MOST_EDGES = 60_000  # beyond this a larger batch is no faster on any machine we measured
CACHE_ATOMS = 200_000  # the graphs of larger data sets are built anew each time, so that memory stays bounded
ALLOWED = ("energy", "forces", "stress")


@dataclass
class Predictions:
    """What a potential says about S structures, in their order, beside what their labels say (NaN = missing).

    energy (S,) eV; forces S arrays (n, 3) eV/Å or None; stress (S, 6) eV/Å^3, NaN without a volume, or None; labels the
    same under 'energy', 'forces', 'stress'; numbers S arrays (n,); config_types S names or None.
    """

    energy: np.ndarray
    forces: list[np.ndarray] | None
    stress: np.ndarray | None
    labels: dict[str, Any]
    numbers: list[np.ndarray]
    config_types: list[str | None]

    def __len__(self) -> int:
        return len(self.energy)

    def errors(self) -> dict[str, dict[str, Any]]:
        """MAE and RMSE by property; a property without labels is absent.

        {'energy': {'mae', 'rmse', 'count', 'per_config_type': {...}}, 'forces': {..., 'per_element': {...}},
        'stress': {...}} in eV/atom, eV/Å per component, eV/Å^3 per component.
        """
        found = {"energy": self._energy_errors(), "forces": self._force_errors(), "stress": self._stress_errors()}
        return {name: value for name, value in found.items() if value is not None}

    def energy_per_atom(self) -> tuple[np.ndarray, np.ndarray]:
        """Predicted and labelled energies (S,) in eV/atom."""
        n = np.array([len(z) for z in self.numbers], dtype=float)
        return self.energy / n, self.labels["energy"] / n

    def force_errors(self) -> list[np.ndarray]:
        """Norm of the force error of every atom, S arrays (n,) in eV/Å, NaN where there is no label."""
        if self.forces is None:
            raise InputError("These predictions hold no forces", mend="Ask for them: want=('energy', 'forces')")
        return [np.linalg.norm(f - g, axis=1) for f, g in zip(self.forces, self.labels["forces"])]

    def _energy_errors(self) -> dict[str, Any] | None:
        predicted, label = self.energy_per_atom()
        return _statistics(predicted - label, per_config_type=self.config_types)

    def _force_errors(self) -> dict[str, Any] | None:
        if self.forces is None or not self.forces:
            return None
        wrong = np.concatenate([f - g for f, g in zip(self.forces, self.labels["forces"])])
        kinds = np.concatenate(
            [np.full(len(z), "" if t is None else t) for z, t in zip(self.numbers, self.config_types)]
        )
        symbols = [chemical_symbols[z] for z in np.concatenate(self.numbers)]
        return _statistics(wrong, per_element=symbols, per_config_type=[k or None for k in kinds])

    def _stress_errors(self) -> dict[str, Any] | None:
        if self.stress is None:
            return None
        return _statistics(self.stress - self.labels["stress"], per_config_type=self.config_types)


def _statistics(wrong: np.ndarray, **groups: Sequence[str | None]) -> dict[str, Any] | None:
    """MAE, RMSE and number of rows with a label, over all and by group; None without any."""
    has = ~np.isnan(wrong).reshape(len(wrong), -1).any(1)
    if not has.any():
        return None
    out: dict[str, Any] = _two(wrong[has])
    for title, names in groups.items():
        names = np.array(["" if n is None else str(n) for n in names])
        out[title] = {str(n): _two(wrong[has & (names == n)]) for n in np.unique(names[has]) if n}
    return out


def _two(wrong: np.ndarray) -> dict[str, float]:
    return {"mae": float(np.abs(wrong).mean()), "rmse": float(np.sqrt((wrong**2).mean())), "count": len(wrong)}


def evaluate(
    potential: Potential,
    dataset: Dataset | Sequence[Atoms],
    batch: int | str = "auto",
    want: Sequence[str] = ALLOWED,
    head: str | int | None = None,
) -> Predictions:
    """Energies, forces and stresses of all structures, in their order.

    Parameters
    ----------
    dataset: a Dataset, or a list of ase.Atoms. batch: the largest number of edges in one batch (a structure larger than
    this is a batch of its own); 'auto' measures the first structure and fits the batch into 256 MB. want: of 'energy',
    'forces', 'stress'. head: by name, the potential's default if none is given.

    Raises InputError for elements that the potential does not know.
    """
    dataset = _as_dataset(dataset)
    if not len(dataset):
        raise InputError("There is no structure to evaluate", got="an empty data set")
    wrong = sorted(set(want) - set(ALLOWED))
    if wrong:
        raise InputError("This cannot be evaluated", got=", ".join(wrong), allowed=ALLOWED)
    check_elements(np.array(sorted(dataset.elements)), potential.card.elements, f"'{potential.card.name}'")
    row = potential.head_index(head)
    training = potential.training
    potential.eval()  # a dropout must not make predictions random
    try:
        edges = budget(potential, dataset, want, row) if batch == "auto" else int(batch)
        parts = [_one(potential, graph, want) for graph in _graphs(potential, dataset, edges, row)]
    finally:
        potential.train(training)
    return _joined(parts, dataset.info("config_type"), want)


def _as_dataset(dataset: Dataset | Sequence[Atoms]) -> Dataset:
    from .data import Dataset, read

    if isinstance(dataset, Dataset):
        return dataset
    return read(dataset)


def _graphs(potential: Potential, dataset: Dataset, edges: int, head: int) -> Iterator[Graph]:
    """Batches of at most so many edges, in the data set's order."""
    cache = dataset.sizes.sum() <= CACHE_ATOMS
    waiting: list[Graph] = []
    filled = 0
    for entry in dataset.entries:
        graph = graph_of(entry, potential.needs, head, cache)
        cost = _edges(graph)
        if waiting and filled + cost > edges:
            yield collate(waiting).to(potential.device, potential.dtype)
            waiting, filled = [], 0
        waiting.append(graph)
        filled += cost
    yield collate(waiting).to(potential.device, potential.dtype)


def _edges(graph: Graph) -> int:
    """Edges of the longest list; atoms, for a model without edges."""
    return max((len(e.i) for e in graph.edges.values()), default=len(graph.numbers))


def budget(potential: Potential, dataset: Dataset, want: Sequence[str] = ALLOWED, head: int = 0) -> int:
    """How many edges of this model fit into one batch, after the bytes that autograd keeps for the first structure."""
    graph = next(_graphs(potential, dataset[:1], 1, head))
    edges = max(1, _edges(graph))
    kept = {t.data_ptr(): 0 for t in (*potential.parameters(), *potential.buffers())}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in kept:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        outputs(potential, graph, want)
    memory = MEMORY
    if potential.device.type == "cuda":
        memory = max(memory, torch.cuda.mem_get_info(potential.device)[0] // 4)
    # as much again is needed for the gradients that flow back
    return max(1, min(MOST_EDGES, int(memory * edges / (2 * sum(kept.values()) + 1))))


def _one(potential: Potential, graph: Graph, want: Sequence[str]) -> dict[str, Any]:
    out = outputs(potential, graph, want)
    counts = graph.counts.tolist()
    part: dict[str, Any] = {"numbers": _split(graph.numbers, counts), "energy": _array(out.energy)}
    part["REF_energy"] = _label(graph, "energy", (graph.size,))
    if "forces" in want:
        part["forces"] = _split(out.forces, counts)
        part["REF_forces"] = _split(torch.from_numpy(_label(graph, "forces", (len(graph.numbers), 3))), counts)
    if "stress" in want:
        part["stress"] = _array(out.stress)
        part["REF_stress"] = _label(graph, "stress", (graph.size, 6))
    return part


def _joined(parts: list[dict[str, Any]], config_types: list[str | None], want: Sequence[str]) -> Predictions:
    def rows(name: str) -> np.ndarray:
        return np.concatenate([part[name] for part in parts])

    def lists(name: str) -> list[np.ndarray]:
        return [row for part in parts for row in part[name]]

    labels: dict[str, Any] = {"energy": rows("REF_energy")}
    forces = stress = None
    if "forces" in want:
        forces, labels["forces"] = lists("forces"), lists("REF_forces")
    if "stress" in want:
        stress, labels["stress"] = rows("stress"), rows("REF_stress")
    return Predictions(rows("energy"), forces, stress, labels, lists("numbers"), config_types)


def _label(graph: Graph, name: str, shape: tuple[int, ...]) -> np.ndarray:
    value = graph.labels.get(name)
    return np.full(shape, np.nan) if value is None else _array(value)


def _split(value: torch.Tensor, counts: list[int]) -> list[np.ndarray]:
    return [_array(part) for part in value.split(counts)]


def _array(value: torch.Tensor) -> np.ndarray:
    array = value.detach().cpu().numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array
