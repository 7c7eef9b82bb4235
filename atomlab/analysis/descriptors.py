"""Per-atom descriptors of any potential that gives features: the invariant part, per layer or all layers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, notice
from ..fields import reference_key
from .environments import Environments, Writer, filled, scratch_folder, stored

if TYPE_CHECKING:
    from ase import Atoms

    from ..graph import Graph
    from ..potential import Potential

__all__ = [
    "EDGES_PER_BATCH",
    "as_frames",
    "as_potential",
    "columns",
    "describe",
    "descriptors",
    "fingerprint",
    "graphs",
]

EDGES_PER_BATCH = 8192  # about 0.5 GB for forces of a 128-channel MACE: small enough for 2 GB, large enough to be fast
MEMORY_BYTES = 2**30


def descriptors(
    model: Potential | str | Path,
    dataset: Sequence[Atoms] | Any,
    invariant: bool = True,
    layers: str | int = "all",
    *,
    edges: int = EDGES_PER_BATCH,
    store: str | Path | None = None,
) -> list[np.ndarray]:
    """The descriptors of every atom: a list with one array (n_atoms, F) per structure, in the model's floating type.

    They are the model's node features (dimensionless; for MACE the layers' outputs). Translation, and the order of the
    atoms and structures, change nothing; rotation changes nothing where `invariant`.

    Parameters
    ----------
    model: a potential, a name or a file. dataset: a data set, structures, a name or a file.
    invariant: only the columns that a rotation leaves alone (for MACE the first K numbers of each layer's block, paper
    003 C.4); False gives all columns. layers: "all" (concatenated), or the number of one layer, 0 = first, -1 = last.
    edges: neighbour pairs computed at once, which bounds the memory. store: a folder to keep them in (mapped from disk
    and used again for the same model and data); without it, more than 1 GiB goes to a scratch folder, with a notice.

    Raises
    ------
    InputError: the model gives no per-atom features, has no such layer, or does not know an element.
    """
    return describe(model, dataset, invariant, layers, edges=edges, store=store).frames()


def describe(
    model: Potential | str | Path,
    dataset: Sequence[Atoms] | Any,
    invariant: bool = True,
    layers: str | int = "all",
    *,
    edges: int = EDGES_PER_BATCH,
    store: str | Path | None = None,
    errors: bool = False,
    each: Callable[[int, int], None] | None = None,
) -> Environments:
    """The same as `descriptors`, as `Environments`: with number, structure and index of each atom.

    errors=True adds |F - F_ref| in eV/Å of each atom, from the same pass (NaN without labels). each(done, total) is
    called after every batch of structures; what it raises ends the work, and no half-made store is left.
    """
    potential, frames = as_potential(model), as_frames(dataset)
    chosen = columns(potential, invariant, layers)

    def make(writer: Writer) -> None:
        done = 0
        for batch in graphs(potential, frames, edges):
            for values, numbers, wrong in _described(potential, batch, chosen, errors):
                writer.add(values, numbers, wrong)
                done += 1
            if each is not None:
                each(done, len(frames))

    if store is not None:
        return stored(Path(store), _key(potential, frames, invariant, layers, errors), make)
    return filled(Writer(_where(potential, frames, chosen)), "", make)


def columns(potential: Potential, invariant: bool = True, layers: str | int = "all") -> np.ndarray | None:
    """Indices of the feature columns that are meant; None = all of them.

    A model says in `feature_layout` what its columns are: blocks with `layer`, `l` (0 = invariant), `start` and `stop`.
    Without one, all its features are taken for the invariants of one layer.
    """
    layout = getattr(potential.parts()[0], "feature_layout", None)
    if layout is None:
        if layers != "all":
            raise InputError(
                "This model does not say which features belong to which layer",
                got=f"layers={layers!r}",
                allowed="'all'",
            )
        return None
    known = sorted({block.layer for block in layout})
    if isinstance(layers, int) and -len(known) <= layers < len(known):
        wanted = {known[layers]}
    elif layers == "all":
        wanted = set(known)
    else:
        raise InputError("The model has no such layer", got=repr(layers), allowed=["'all'", *range(len(known))])
    ranges = [np.arange(b.start, b.stop) for b in layout if b.layer in wanted and not (invariant and b.l)]
    return np.concatenate(ranges)


def as_potential(model: Potential | str | Path) -> Potential:
    """A potential from a potential, a name or a file."""
    if isinstance(model, str | Path):
        from ..checkpoint import load

        return load(model)
    if not hasattr(model, "parts"):
        raise InputError("A model is a potential, a name or a file", got=type(model).__name__)
    return model


def as_frames(dataset: Sequence[Atoms] | Any) -> Any:
    """Structures from a data set, a list, one structure, a name or a file."""
    if isinstance(dataset, str | Path):
        from ..data import read

        return read(dataset)
    if hasattr(dataset, "positions"):  # one ase.Atoms
        return [dataset]
    if not len(dataset):
        raise InputError("There is no structure to describe", got="an empty data set")
    return dataset


def graphs(
    potential: Potential, frames: Sequence[Atoms], edges: int = EDGES_PER_BATCH
) -> Iterator[tuple[list[Atoms], Graph]]:
    """Structures in their order, as many at once as `edges` allows but at least one, with their graph."""
    from ..build import build, check_elements
    from ..graph import collate

    waiting: list[tuple[Atoms, Graph]] = []
    size = 0

    def batch() -> tuple[list[Atoms], Graph]:
        return [a for a, _ in waiting], collate([g for _, g in waiting]).to(potential.device, potential.dtype)

    for atoms in frames:
        check_elements(atoms.numbers, potential.card.elements, f"'{potential.card.name}'")
        graph = build(atoms, potential.needs, potential.default_head)
        new = max((len(e.i) for e in graph.edges.values()), default=0) + len(atoms)
        if waiting and size + new > edges:
            yield batch()
            waiting, size = [], 0
        waiting.append((atoms, graph))
        size += new
    if waiting:
        yield batch()


def _described(
    potential: Potential, batch: tuple[list[Atoms], Graph], chosen: np.ndarray | None, errors: bool
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    frames, graph = batch
    labelled = errors and any(reference_key("forces") in a.arrays for a in frames)
    features, forces = _features(potential, graph, labelled)
    if chosen is not None:
        features = features[:, chosen]
    if not np.isfinite(features).all():
        raise InputError(
            f"'{potential.card.name}' gives descriptors that are not finite numbers",
            mend="Look for atoms that are too close, or for a model whose training diverged",
        )
    start = 0
    for atoms in frames:
        part = slice(start, start + len(atoms))
        start += len(atoms)
        wrong = _force_errors(atoms, None if forces is None else forces[part]) if errors else None
        yield np.ascontiguousarray(features[part]), atoms.numbers, wrong


def _features(potential: Potential, graph: Graph, with_forces: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Features (A, F) of the main model and, where wanted, forces (A, 3) of the whole: if possible in one pass."""
    import torch

    from ..potential import outputs

    main, forces, features = potential.parts()[0], None, None
    if with_forces:
        out = outputs(potential, graph, ("energy", "forces", "features"))
        forces = out.forces.cpu().numpy().astype(np.float64)
        # with corrections, or with fused forces, the features of that pass may be another part's, or none
        features = out.features if main is potential else None
    if features is None:
        with torch.no_grad():
            out = main.analytic(graph, ("features",))
            features = main(graph).features if out is None or out.features is None else out.features
    if features is None:
        raise InputError(
            f"'{potential.card.name}' gives no per-atom features, so its atoms have no descriptors",
            mend="Use a model with features, such as MACE",
        )
    return features.detach().cpu().numpy(), forces


def _force_errors(atoms: Atoms, forces: np.ndarray | None) -> np.ndarray:
    label = atoms.arrays.get(reference_key("forces"))
    if label is None or forces is None:
        return np.full(len(atoms), np.nan)
    return np.linalg.norm(forces - label, axis=1)


def _where(potential: Potential, frames: Sequence[Atoms], chosen: np.ndarray | None) -> Path | None:
    """None = in memory; a scratch folder where the descriptors would fill too much of it."""
    import torch

    if chosen is None:  # then a pass over one structure tells the width
        _, first = next(graphs(potential, [frames[0]]))
        width = _features(potential, first, False)[0].shape[1]
    else:
        width = len(chosen)
    size = sum(len(a) for a in frames) * width * torch.finfo(potential.dtype).bits // 8
    if size <= MEMORY_BYTES:
        return None
    folder = scratch_folder()
    notice(
        "descriptors-on-disk",
        f"The descriptors take {size / 2**30:.1f} GiB: they are kept in {folder.parent} until this process ends. "
        "Give `store` a folder to keep them for the next time.",
    )
    return folder


def _key(potential: Potential, frames: Sequence[Atoms], invariant: bool, layers: str | int, errors: bool) -> str:
    """SHA-256 of all that the descriptors depend on."""
    choice = [fingerprint(potential), invariant, layers, errors]
    sha = hashlib.sha256(json.dumps(choice).encode())
    for atoms in frames:
        label = atoms.arrays.get(reference_key("forces")) if errors else None
        parts = [atoms.numbers, atoms.positions, np.asarray(atoms.cell.array), np.asarray(atoms.pbc), label]
        for part in parts:
            sha.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()


def fingerprint(potential: Potential) -> str:
    """SHA-256 of a potential: what it is, its numbers, its floating type and the head that is meant."""
    choice = [potential.describe(), potential.default_head, str(potential.dtype)]
    sha = hashlib.sha256(json.dumps(choice, sort_keys=True, default=str).encode())
    for name, tensor in sorted(potential.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()
