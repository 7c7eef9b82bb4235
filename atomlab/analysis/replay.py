"""Which structures of a large set are replayed beside a fine-tuning: shared elements, random padding, farthest points.

Batatia et al., arXiv:2401.00096, C.2 (equation C4). One pass reads elements and labels, a second one the structures
that may be taken. Held at once are one number for each candidate, and the structures of one piece with those chosen so
far: a set of a million structures (a store, `.lmdb`) need not fit into memory.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .descriptors import describe
from .select import averages, farthest_points

if TYPE_CHECKING:
    from ase import Atoms

    from ..data import Dataset
    from ..potential import Potential

__all__ = ["select_replay"]

ROWS = 4096  # structures whose elements are looked at together
PIECE = 1000  # least structures described together
METHODS = ("farthest", "random")

Told = dict[str, tuple[Any, str]]
Each = Callable[[int, int], None]


def select_replay(
    source: Dataset,
    base: Potential,
    *,
    elements: Sequence[int],
    count: int,
    method: str = "farthest",
    pool: int | None = None,
    labelled: bool = True,
    seed: int = 0,
    each: Each | None = None,
) -> tuple[Dataset, Told]:
    """`count` structures of `source`, and what was decided: {name: (value, its reason)}.

    Candidates are those with at least two of `elements` (where there is one element only: those that contain it), made
    of elements that `base` knows, and with an energy or forces if `labelled`. Too few are padded with others, drawn at
    random; of too many the farthest points of their mean descriptors are taken, among `pool` of them drawn at random.
    method 'random': all of it at random. "Random" is SHA-256(seed, index): the same anywhere. each(done, total) is
    called now and then while descriptors are computed; what it raises ends the work.

    Farthest points are sought piece by piece (each time among those chosen so far and the next piece): exact where all
    candidates fit into one piece, and at most a small factor less spread out else.
    """
    from ..data import Dataset as Structures

    if method not in METHODS:
        raise InputError("There is no such way to select replay structures", got=method, allowed=METHODS)
    if count < 1:
        raise InputError("At least one structure must be replayed", got=count)
    room = max(count, pool or 20 * count)
    survey = _surveyed(source, set(base.card.elements), set(elements), labelled, method, count, room, seed)
    found = sorted(survey.candidates.kept())
    told = {"replay_rule": (method, survey.rule(method, elements, source.name))}
    if len(found) <= count or method == "random":
        rows, padding = found, survey.others.kept()[: count - len(found)]
        told |= _padded(len(found), padding, count, method)
        return source[sorted([*rows, *padding])], told
    frames = _farthest(source, base, found, count, each)
    drawn = f" drawn at random of {survey.candidates.seen}" if survey.candidates.dropped else ""
    among = f"{len(found)}{drawn}"
    how = f"{len(frames)} by farthest points of the base's mean descriptors, among the {among}"
    if len(frames) < count:
        how += f"; the other {count - len(frames)} wanted would repeat them"
    return Structures(frames, f"{source.name}, {len(frames)} selected"), {**told, "replay_selected": (len(frames), how)}


@dataclass
class _Lowest:
    """The `size` indices with the lowest ranks of a stream, at most so many held at once."""

    size: int
    seen: int = 0
    heap: list[tuple[int, int]] = field(default_factory=list)

    def add(self, rank: int, index: int) -> None:
        self.seen += 1
        if len(self.heap) < self.size:
            heapq.heappush(self.heap, (-rank, index))
        elif self.heap and -rank > self.heap[0][0]:
            heapq.heapreplace(self.heap, (-rank, index))

    @property
    def dropped(self) -> int:
        return self.seen - len(self.heap)

    def kept(self) -> list[int]:
        """Indices by rank, the lowest first."""
        return [index for _, index in sorted(self.heap, reverse=True)]


@dataclass
class _Survey:
    """What one pass over the elements and labels found."""

    candidates: _Lowest
    others: _Lowest
    total: int = 0
    foreign: int = 0
    unlabelled: int = 0

    def rule(self, method: str, elements: Sequence[int], name: str) -> str:
        """Which structures count as candidates, and how many there are."""
        from ase.data import chemical_symbols

        symbols = " ".join(chemical_symbols[z] for z in sorted(elements))
        if method == "random":
            what = "Any structures, at random, whatever their elements, as set"
        elif len(set(elements)) > 1:
            what = f"Structures with at least two of the elements {symbols} (arXiv:2401.00096, C4)"
        else:
            what = f"Structures that contain {symbols}: two shared elements (arXiv:2401.00096, C4) cannot be had of one"
        left = [f"{n} {why}" for n, why in ((self.foreign, "with elements that the base does not know"),
                                            (self.unlabelled, "without energy and forces")) if n]  # fmt: skip
        out = f"; left out: {', '.join(left)}" if left else ""
        return f"{what}: {self.candidates.seen} of the {self.total} in '{name}'{out}"


def _surveyed(
    source: Dataset, known: set[int], wanted: set[int], labelled: bool, method: str, count: int, room: int, seed: int
) -> _Survey:
    least = 0 if method == "random" else min(2, len(wanted))
    out = _Survey(_Lowest(count if method == "random" else room), _Lowest(count))
    for start in range(0, len(source), ROWS):
        part = source[start : start + ROWS]
        there = part.composition_matrix() > 0
        foreign = there[:, [z not in known for z in part.elements]].any(1)
        shared = there[:, [z in wanted for z in part.elements]].sum(1) >= least
        labels = part.has("energy") | part.has("forces") if labelled else np.ones(len(part), dtype=bool)
        out.total += len(part)
        out.foreign += int(foreign.sum())
        out.unlabelled += int((~labels & ~foreign).sum())
        for k in np.flatnonzero(~foreign & labels):
            (out.candidates if shared[k] else out.others).add(_rank(seed, start + int(k)), start + int(k))
    if not out.candidates.seen + out.others.seen:
        raise InputError(
            f"No structure of '{source.name}' can be replayed",
            got=f"{out.foreign} of {out.total} with elements that the base does not know, {out.unlabelled} without "
            "energy and forces",
            mend="Give data like those that the base learned from; for structures without labels, replay_labels='base'",
        )
    return out


def _rank(seed: int, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:8], "big")


def _padded(candidates: int, padding: Sequence[int], count: int, method: str) -> Told:
    taken = min(candidates, count)
    if method == "random" or not padding:
        short = f"; {count} were wanted, and there are no more" if taken < count else ""
        return {"replay_selected": (taken, f"{taken} structures{short}")}
    total = taken + len(padding)
    short = f"; {count} were wanted, and there are no more" if total < count else ""
    how = f"{taken} candidates, too few, so {len(padding)} others were added at random{short}"
    return {"replay_selected": (total, how), "replay_padding": (len(padding), f"{len(padding)} structures at random")}


def _farthest(source: Dataset, base: Potential, rows: Sequence[int], count: int, each: Each | None) -> list[Atoms]:
    """Farthest points of the mean descriptors, piece by piece: chosen so far and the next piece compete."""
    frames: list[Atoms] = []
    values: np.ndarray | None = None
    done = 0
    for piece in _pieces(source, rows, max(count, PIECE)):
        new = averages(describe(base, piece, each=_moved(each, done, len(rows))))
        frames, values = [*frames, *piece], new if values is None else np.concatenate([values, new])
        done += len(piece)
        if len(frames) > count or done == len(rows):
            order, _ = farthest_points(values, min(count, len(frames)))
            frames, values = [frames[k] for k in order], values[order]
    return frames


def _pieces(source: Dataset, rows: Sequence[int], size: int) -> Iterator[list[Atoms]]:
    for start in range(0, len(rows), size):
        yield [source[k] for k in rows[start : start + size]]


def _moved(each: Each | None, done: int, total: int) -> Each | None:
    return None if each is None else lambda here, _: each(done + here, total)
