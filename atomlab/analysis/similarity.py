"""How well a training set knows the atoms of other structures: MACE-MP-0's similarity (appendix C.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, nearest, notice
from .descriptors import as_frames, describe
from .environments import Environments
from .readout import hash_of
from .report import Report, Threshold

if TYPE_CHECKING:
    from ase import Atoms

    from ..potential import Potential

__all__ = ["compare", "sampled", "say_duplicates", "similarity", "stratified", "threshold_of"]

FILTERS = ("inclusive", "exclusive", "all")
NEIGHBOURS, CLOSEST = 5, 5
THRESHOLD_PERCENT = 1.0
THRESHOLD_SAMPLE = 20_000  # training environments whose own best match is searched: 2.5 min among a million
Each = Callable[[str, int, int], None]


def similarity(
    model: Potential | str | Path,
    test: Sequence[Atoms] | Any,
    train: Sequence[Atoms] | Any,
    elements: str = "inclusive",
    *,
    match: str = "any",
    seed: int = 0,
) -> Report:
    """How similar the atomic environments of `test` are to those of `train`, by the descriptors of `model`.

    Per atom: the highest cosine similarity to any training environment of the same element (0 where there is none), its
    five nearest training environments, and whether it is unknown: below the 1st percentile of the training
    environments' own best similarity to *other* training structures. Per test structure T and training structure S, as
    in the paper: k_a = max over the atoms b of S of cos(d_a, d_b), averaged over the atoms of each element of T, then
    over its elements; the five closest S are kept, and the plain mean beside it.

    Parameters
    ----------
    model: a potential with features, a name or a file. test, train: data sets, structures, names or files.
    elements: which training structures T is compared with. "inclusive": those that contain all elements of T, others
    allowed; "exclusive": those without any other element than T's; "all": every one.
    match: "any": k_a looks at all atoms of S, as the authors' program does; "same": at those of the atom's own element.
    seed: chooses the training environments for the threshold where there are more than 20,000.

    Returns
    -------
    A `Report`: arrays, `str(report)` as a table, `report.summary()` as JSON data.
    """
    test, train = as_frames(test), as_frames(train)
    say_duplicates(test, train)
    return compare(describe(model, test), describe(model, train), elements, match=match, seed=seed)


def say_duplicates(test: Sequence[Atoms], train: Sequence[Atoms]) -> None:
    """A notice where test structures are in the training set too: they look known, whatever the model is worth."""
    known = {hash_of(atoms) for atoms in train}
    count = sum(hash_of(atoms) in known for atoms in test)
    if count:
        notice(
            "similarity-duplicates",
            f"{count} of the {len(test)} test structures {'are' if count > 1 else 'is'} in the training set as well: "
            "their similarity is 1 and says nothing.",
        )


def compare(
    test: Environments,
    train: Environments,
    elements: str = "inclusive",
    *,
    match: str = "any",
    seed: int = 0,
    threshold: Threshold | None = None,
    each: Each | None = None,
) -> Report:
    """`similarity` of descriptors that are already there. each(what, done, total) is called after every block."""
    from .search import Filter, closest
    from .search import nearest as search

    _check(test, train, elements, match)
    allowed = Filter.of(elements, test, train)
    found = search(test, train, NEIGHBOURS, allowed, each=_named(each, "nearest environments"))
    k = min(CLOSEST, train.structures)
    structures = closest(test, train, k, allowed, match == "same", each=_named(each, "closest structures"))
    threshold = threshold_of(train, elements, seed, each) if threshold is None else threshold
    report = Report(
        elements=elements,
        match=match,
        number=test.number,
        frame=test.frame,
        atom=test.atom,
        similarity=found.similarity[:, 0],
        nearest_frame=_at(train.frame, found.row),
        nearest_atom=_at(train.atom, found.row),
        nearest_similarity=found.similarity,
        stratified=stratified(found.similarity[:, 0], test),
        closest_frame=structures.frame,
        closest_stratified=structures.stratified,
        closest_plain=structures.plain,
        closest_elements=structures.elements,
        closest_numbers=structures.numbers,
        threshold=threshold,
        training=_training(allowed),
    )
    _say(report, train)
    return report


def stratified(values: np.ndarray, environments: Environments) -> np.ndarray:
    """(structures,): mean over the atoms of each element, then over the elements, of per-atom values (A,)."""
    key = environments.frame * 119 + environments.number
    pairs, index = np.unique(key, return_inverse=True)
    means = np.bincount(index, weights=values) / np.bincount(index)
    frame = pairs // 119
    return np.bincount(frame, weights=means) / np.bincount(frame)


def threshold_of(
    train: Environments,
    elements: str = "all",
    seed: int = 0,
    each: Each | None = None,
    sample: int = THRESHOLD_SAMPLE,
) -> Threshold:
    """The 1st percentile of the training environments' own best similarity to other training structures.

    More than `sample` environments are sampled, with a notice.
    """
    from .search import Filter
    from .search import nearest as search

    rows = sampled(len(train), sample, seed)
    queries = train if len(rows) == len(train) else train.subset(rows)
    if len(rows) < len(train):
        notice(
            "similarity-threshold-sample",
            f"The threshold of similarity comes from {len(rows)} of the {len(train)} training environments, "
            f"chosen at random (seed {seed}).",
        )
    # the filter reads the elements of whole structures, so it is made from the whole set
    allowed = Filter.of(elements, train, train)
    found = search(queries, train, NEIGHBOURS, allowed, others=True, each=_named(each, "threshold"))
    own = found.similarity[:, 0][found.row[:, 0] >= 0]
    value = float(np.percentile(own, THRESHOLD_PERCENT)) if len(own) else float("nan")
    if not len(own):
        notice(
            "similarity-no-threshold",
            "There is no threshold of similarity: no training environment has one of its element in another training "
            "structure. With more training structures there is one.",
        )
    return Threshold(value, len(own), len(train), rows, found)


def sampled(count: int, limit: int, seed: int) -> np.ndarray:
    """Indices of at most `limit` of `count` things, in their order, chosen at random where there are more."""
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def _check(test: Environments, train: Environments, elements: str, match: str) -> None:
    if elements not in FILTERS:
        raise InputError(
            "There is no such filter of elements", got=elements, allowed=FILTERS, mend=nearest(elements, FILTERS)
        )
    if match not in ("any", "same"):
        raise InputError("There is no such rule of matching", got=match, allowed=("any", "same"))
    for name, these in (("test", test), ("training", train)):
        if not len(these):
            raise InputError(f"The {name} set holds no atom")
    if test.width != train.width:
        raise InputError(
            "The two sets were described by different models or layers",
            got=f"{test.width} and {train.width} numbers per atom",
        )


def _named(each: Each | None, what: str) -> Callable[[int, int], None] | None:
    return None if each is None else lambda done, total: each(what, done, total)


def _at(column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows >= 0, column[rows.clip(0)], -1)


def _training(allowed: Any) -> list[dict[str, Any]]:
    """For each set of elements in the test set: how many training structures have exactly, at least, only these."""
    from ase.data import chemical_symbols

    out = []
    if allowed.mode == "all":
        return out
    for g, mine in enumerate(allowed.sets):
        at_least, only = (allowed.keys | ~mine).all(1), (~allowed.keys | mine).all(1)
        out.append(
            {
                "elements": [chemical_symbols[z] for z in np.flatnonzero(mine)],
                "test_structures": int((allowed.group == g).sum()),
                "exactly": int((at_least & only).sum()),
                "at_least": int(at_least.sum()),
                "only": int(only.sum()),
            }
        )
    return out


def _say(report: Report, train: Environments) -> None:
    """What a reader must know before the numbers."""
    absent = sorted(set(report.number.tolist()) - set(train.number.tolist()))
    symbols = report.symbols(absent)
    if absent:
        notice(
            f"similarity-absent-{'-'.join(symbols)}",
            f"The training set has no {', '.join(symbols)}: the similarity of these atoms is set to 0.",
        )
    lonely = int((report.closest_frame[:, 0] < 0).sum())
    if lonely:
        rule = "contains all their elements" if report.elements == "inclusive" else "is made of their elements alone"
        notice(
            f"similarity-filtered-{report.elements}",
            f"For {lonely} of {len(report.closest_frame)} test structures no training structure {rule}: their "
            "similarity is 0. With elements='all' they are compared with every structure.",
        )
