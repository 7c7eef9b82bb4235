"""The task map: where the atoms of a training set, a test set and an MD lie among each other, and which are unknown.

Writes map.npz twice: with principal components as soon as everything is described, and with the UMAP beside them.
Columns (N points): set, frame, atom, number, pca (N, 2), umap (N, 2), similarity, force_error (eV/Å, NaN without a
label), nearest_frame, nearest_atom, nearest_similarity (N, 5), time (fs, NaN without one). For training points,
similarity and neighbours are those in *other* training structures. Then threshold; structure_set, structure_frame and
structure_similarity, one for each test and MD structure; explained (2,), the share of variance of the components.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ... import checkpoint
from ...analysis.descriptors import describe
from ...analysis.environments import Environments
from ...analysis.projection import PCA, UMAP
from ...analysis.report import Report, Threshold
from ...analysis.search import Nearest
from ...analysis.similarity import compare, sampled, say_duplicates, threshold_of
from ...errors import InputError, notice
from ..directory import workspace
from ..events import Tail
from ..execute import RunIO
from ..inputs import located, prepare_torch
from .loading import load_data

__all__ = ["run"]

FILE, TRAJECTORY = "map.npz", "trajectory.traj"
MD_ENVIRONMENTS = 4000
_LOOK, _TELL = 0.1, 2.0  # seconds between two looks for a stop, between two words on long work
NAMES = {"train": "training set", "test": "test set", "md": "MD"}


@dataclass
class Part:
    """One set of structures: the frames that are mapped, their numbers in their source, their times in fs."""

    name: str
    frames: Any  # a sequence of ase.Atoms
    index: np.ndarray
    time: np.ndarray
    environments: Environments | None = None
    report: Report | None = None


def run(spec: Any, io: RunIO) -> None:
    """Make the map that `spec` describes."""
    prepare_torch(spec)
    potential = checkpoint.load(located(spec.model, io), device=spec.device, dtype=spec.dtype, head=spec.head)
    parts = [_set("train", spec.train, spec, io)]
    if spec.test:
        parts.append(_set("test", spec.test, spec, io))
        say_duplicates(parts[1].frames, parts[0].frames)
    parts += [_md(spec, io)] if spec.md else []
    layers = "all" if spec.layer is None else spec.layer
    for part in parts:
        io.check()
        part.environments = describe(
            potential, part.frames, layers=layers, edges=spec.edges, errors=part.name != "md", each=_told(io, part)
        )
    train = parts[0].environments
    each = _compared(io)
    threshold = threshold_of(train, spec.elements, spec.seed, each, spec.points)
    for part in parts[1:]:
        report = compare(part.environments, train, spec.elements, seed=spec.seed, threshold=threshold, each=each)
        part.report = replace(report, frame=part.index[report.frame])
    pca = PCA().fit(train.chunks)
    points = _points(parts, threshold, pca)
    _write(io, points, "pca")
    shown = [train.take(threshold.rows), *(part.environments.read(0, len(part.environments)) for part in parts[1:])]
    points["umap"] = np.concatenate(_umap(spec, io, train, shown, pca))
    _write(io, points, "umap")
    metrics = _summary(parts, threshold)
    io.result(metrics, _text(metrics))


def _set(name: str, source: str, spec: Any, io: RunIO) -> Part:
    """A data set. All of the training set is searched; of a test set, so many structures that the map can show them."""
    frames = load_data(source, io)
    rows = np.arange(len(frames))
    atoms = np.array([len(a) for a in frames])
    if name != "train" and atoms.sum() > spec.points:
        rows = sampled(len(frames), max(1, int(spec.points / atoms.mean())), spec.seed)
        notice(
            "map-test-sample",
            f"The map shows {len(rows)} of the {len(frames)} test structures, chosen at random (seed {spec.seed}): "
            f"about {spec.points} environments.",
        )
    chosen = [frames[int(k)] for k in rows] if len(rows) < len(frames) else frames
    return Part(name, chosen, rows, np.full(len(rows), np.nan))


def _md(spec: Any, io: RunIO) -> Part:
    """Every k-th frame of a trajectory, as far as it is written."""
    from ase.io.trajectory import TrajectoryReader

    folder = Path(located(spec.md, io))
    if not folder.exists() and (workspace() / folder).exists():
        folder = workspace() / folder
    path = folder / TRAJECTORY if folder.is_dir() else folder
    if not path.is_file():
        raise InputError("There is no trajectory of an MD", got=spec.md, mend="Give the directory of an MD run")
    with TrajectoryReader(str(path)) as trajectory:
        count = len(trajectory)
        if not count:
            raise InputError("The trajectory holds no frame yet", got=spec.md, mend="Wait for the first frames")
        every = spec.every or -(-count * len(trajectory[0]) // MD_ENVIRONMENTS)
        index = np.arange(0, count, every)
        frames = [trajectory[int(k)] for k in index]
    if every > 1 and spec.every is None:
        notice(
            "map-md-frames",
            f"The map shows one of every {every} of the {count} frames of the MD, at most {MD_ENVIRONMENTS} atoms.",
        )
    times = {e["index"]: e["time_fs"] for e in Tail(path.parent).read() if e["kind"] == "frame"}
    return Part("md", frames, index, np.array([times.get(int(k), np.nan) for k in index], dtype=float))


def _told(io: RunIO, part: Part) -> Callable[[int, int], None]:
    """Progress of describing a set, with the time left as measured."""
    began, told = time.monotonic(), [0.0]

    def each(done: int, total: int) -> None:
        io.check()
        now = time.monotonic()
        if now - told[0] < _TELL / 4 and done < total:
            return
        told[0] = now
        left, text = (now - began) * (total - done) / done, f"describing the {NAMES[part.name]}"
        io.emit("progress", done=done, total=total, unit="structure", left_s=left, text=text)

    return each


def _compared(io: RunIO) -> Callable[[str, int, int], None]:
    told = [0.0]

    def each(what: str, done: int, total: int) -> None:
        io.check()
        if time.monotonic() - told[0] > _TELL:
            told[0] = time.monotonic()
            io.emit("progress", done=done, total=total, unit="comparison", left_s=None, text=f"similarity: {what}")

    return each


def _points(parts: list[Part], threshold: Threshold, pca: PCA) -> dict[str, np.ndarray]:
    """All columns of the map but `umap`, which is NaN here."""
    tables = [_table(part, threshold, parts[0].environments, pca) for part in parts]
    points = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    compared = [part for part in parts if part.report is not None]
    lengths = [len(part.frames) for part in compared]
    empty = [np.zeros(0)]
    return {
        **points,
        "umap": np.full((len(points["number"]), 2), np.nan),
        "threshold": np.array(threshold.value),
        "explained": pca.explained,
        "structure_set": np.repeat(np.array([part.name for part in compared], dtype="U5"), lengths),
        "structure_frame": np.concatenate([part.index for part in compared] or empty).astype(np.int64),
        "structure_similarity": np.concatenate([part.report.stratified for part in compared] or empty),
    }


def _table(part: Part, threshold: Threshold, train: Environments, pca: PCA) -> dict[str, np.ndarray]:
    e = part.environments
    if part.report is None:  # the training set: the points that were searched among other structures
        rows, found = threshold.rows, threshold.own
        near = _named(found, train)
    else:
        rows, r = np.arange(len(e)), part.report
        near = (r.nearest_frame, r.nearest_atom, r.nearest_similarity)
    errors = np.full(len(rows), np.nan) if e.errors is None else e.errors[rows]
    return {
        "set": np.full(len(rows), part.name, dtype="U5"),
        "frame": part.index[e.frame[rows]],
        "atom": e.atom[rows],
        "number": e.number[rows],
        "pca": pca.transform(e.take(rows)),
        "similarity": near[2][:, 0],
        "force_error": errors,
        "nearest_frame": near[0],
        "nearest_atom": near[1],
        "nearest_similarity": near[2],
        "time": part.time[e.frame[rows]],
    }


def _named(found: Nearest, train: Environments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    here, rows = found.row >= 0, found.row.clip(0)
    return np.where(here, train.frame[rows], -1), np.where(here, train.atom[rows], -1), found.similarity


def _write(io: RunIO, points: dict[str, np.ndarray], ready: str) -> None:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **points)

    io.save(FILE, write)
    io.emit("map", file=FILE, ready=ready, points=len(points["number"]))


def _umap(spec: Any, io: RunIO, train: Environments, shown: list[np.ndarray], pca: PCA) -> list[np.ndarray]:
    """Coordinates of the points of each set, in a UMAP of training environments."""
    umap = UMAP(spec.neighbours, spec.min_dist, spec.metric, spec.seed, spec.fit_limit)
    rows = umap.choose(len(train))
    text = "UMAP: it compiles first, which takes about 15 s in a fresh process"
    umap.fit(train.take(rows), pca, _patiently(io, text))
    total: int = sum(len(v) for v in shown)
    places: list[np.ndarray] = []
    for values in shown:
        done = sum(len(p) for p in places)
        places.append(umap.transform(values, _patiently(io, "UMAP: placing the environments", done, total)))
    return places


def _patiently(io: RunIO, text: str, done: int = 0, total: int = 0) -> Callable[[Callable[[], Any]], Any]:
    """Carries out long work that cannot be interrupted in a thread, so that a stop is answered while it goes on.

    The thread of a stopped run ends by itself after some seconds; nobody reads what it makes.
    """
    began, told = time.monotonic(), [0.0]

    def carry_out(work: Callable[[], Any]) -> Any:
        found: dict[str, Any] = {}

        def target() -> None:
            try:
                found["value"] = work()
            except Exception as error:  # raised again in the task's own thread
                found["error"] = error

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        while thread.is_alive():
            now = time.monotonic()
            if now - told[0] > _TELL:
                told[0] = now
                so_far = f"{text} ({now - began:.0f} s so far)"
                io.emit("progress", done=done, total=total or None, unit="environment", left_s=None, text=so_far)
            io.check()
            thread.join(_LOOK)
        if "error" in found:
            raise found["error"]
        return found["value"]

    return carry_out


def _summary(parts: list[Part], threshold: Threshold) -> dict[str, Any]:
    value = None if np.isnan(threshold.value) else threshold.value
    metrics: dict[str, Any] = {"threshold": value, "training_environments": len(parts[0].environments)}
    for part in parts:
        errors = part.environments.errors
        if errors is not None and not np.isnan(errors).all():
            known = errors[~np.isnan(errors)]
            metrics[f"{part.name}_force_error"] = float(np.sqrt(np.mean(known**2)))  # root mean square of |F - F_ref|
        if part.report is not None:
            metrics[part.name] = part.report.summary()
    return metrics


def _text(metrics: dict[str, Any]) -> str:
    sentences = []
    for name in ("test", "md"):
        if name in metrics:
            m = metrics[name]
            sentences.append(
                f"{NAMES[name]}: similarity {m['similarity']:.4f}, {m['unknown']} of {m['atoms']} atoms unknown"
            )
    if not sentences:
        sentences = [f"{metrics['training_environments']} training environments"]
    below = "" if metrics["threshold"] is None else f" (below {metrics['threshold']:.4f})"
    text = "; ".join(sentences) + below
    return text[0].upper() + text[1:]
