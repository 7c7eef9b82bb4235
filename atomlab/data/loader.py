"""Batches of graphs: built once for each structure, ordered by (seed, epoch), packed by structures, atoms or edges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ..build import build
from ..errors import InputError, notice
from ..graph import Graph, Needs, collate
from .dataset import Dataset
from .entry import Entry

NO_NEEDS = Needs()

__all__ = ["batch_indices", "batches", "gathered", "graph_of"]


def graph_of(entry: Entry, needs: Needs, head: int = 0, cache: bool = True) -> Graph:
    """The graph of one structure, float64, with its labels; kept with the structure if `cache`."""
    graph = entry.graphs.get(needs)
    if graph is None:
        graph = build(entry.atoms, needs)
        if cache:
            entry.graphs[needs] = graph
    return graph if head == 0 else replace(graph, head=torch.full_like(graph.head, head))


def batches(
    dataset: Dataset,
    needs: Needs,
    structures: int | None = None,
    atoms: int | None = None,
    edges: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = False,
    head: int | Sequence[int] = 0,
    cache: bool = True,
    start: int = 0,
) -> Iterator[Graph]:
    """Batches with at most so many structures, atoms, or edges (of the longest cutoff); one structure each if none is
    given.

    shuffle: order by SHA-256(seed, epoch, index), the same on any machine; else the data set's own order. head: index
    into the model's heads, one for all or one for each structure. cache=False builds the graphs anew each time (large
    data sets). start: the first batch that is wanted; those before it are not built.
    """
    heads = [head] * len(dataset) if isinstance(head, int) else list(head)
    if len(heads) != len(dataset):
        raise InputError("`head` is one index, or one for each structure", got=len(heads), allowed=len(dataset))
    for chosen in batch_indices(dataset, needs, structures, atoms, edges, seed, epoch, shuffle, cache)[start:]:
        yield gathered(dataset, chosen, needs, heads, cache)


def gathered(
    dataset: Dataset, chosen: Sequence[int], needs: Needs, head: int | Sequence[int] = 0, cache: bool = True
) -> Graph:
    """One graph of the structures `chosen`; head and cache as in `batches`."""
    heads = [head] * len(chosen) if isinstance(head, int) else [head[k] for k in chosen]
    return collate([graph_of(dataset.entries[k], needs, h, cache) for k, h in zip(chosen, heads)])


def batch_indices(
    dataset: Dataset,
    needs: Needs = NO_NEEDS,
    structures: int | None = None,
    atoms: int | None = None,
    edges: int | None = None,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = False,
    cache: bool = True,
) -> list[list[int]]:
    """Which structures go into which batch; arguments as in `batches`."""
    limits = {"structures": structures, "atoms": atoms, "edges": edges}
    for name, limit in limits.items():
        if limit is not None and limit < 1:
            raise InputError(f"A batch holds at least one of '{name}'", got=limit)
    if all(limit is None for limit in limits.values()):
        limits["structures"] = 1
    order = list(range(len(dataset)))
    if shuffle:
        order.sort(key=lambda k: hashlib.sha256(f"{seed}:{epoch}:{k}".encode()).digest())
    costs = _costs(dataset, order, needs, limits, cache)
    return _packed(order, costs, [limit for limit in limits.values() if limit is not None])


def _costs(
    dataset: Dataset, order: Sequence[int], needs: Needs, limits: dict[str, int | None], cache: bool
) -> list[list[int]]:
    """What each structure takes of each limit, in that order. Only a limit on edges needs the structures themselves."""
    columns = []
    if limits["structures"] is not None:
        columns.append([1] * len(order))
    if limits["atoms"] is not None:
        columns.append(dataset.sizes[order].tolist())
    if limits["edges"] is not None:
        graphs = (graph_of(dataset.entries[k], needs, cache=cache) for k in order)
        columns.append([max((len(e.i) for e in graph.edges.values()), default=0) for graph in graphs])
    return [list(cost) for cost in zip(*columns)]


def _packed(order: Sequence[int], costs: list[list[int]], limits: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    filled: list[int] = []
    for k, cost in zip(order, costs):
        if any(c > limit for c, limit in zip(cost, limits)):
            notice(
                f"batch-too-small-{limits}",
                f"Structure {k} alone is larger than a batch may be ({cost} against {limits}): it is a batch of its "
                "own.",
            )
        if found and all(f + c <= limit for f, c, limit in zip(filled, cost, limits)):
            found[-1].append(k)
            filled = [f + c for f, c in zip(filled, cost)]
        else:
            found.append([k])
            filled = list(cost)
    return found
