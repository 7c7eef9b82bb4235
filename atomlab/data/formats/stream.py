"""The frames of a file one at a time, where its format allows that: extended XYZ, ASE's .db and .traj."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ase import Atoms

from .ase_files import lift_results, row_frames, stale_sentence
from .extxyz import iterate_extxyz

__all__ = ["stream_file"]


def stream_file(path: Path, said: list[str]) -> Iterator[Atoms]:
    """Frames as `read_file` gives them; its sentences are added to `said` at the end. Other formats than the three
    above are read as a whole."""
    from . import read_file

    name = path.name.lower()
    if name.removesuffix(".gz").endswith((".extxyz", ".xyz")) and path.stat().st_size:
        yield from iterate_extxyz(path)
    elif name.endswith((".db", ".traj")) and path.stat().st_size:
        stale = 0
        for atoms in row_frames(path, "db") if name.endswith(".db") else _trajectory(path):
            stale += lift_results(atoms)
            yield atoms
        said += stale_sentence(stale)
    else:
        frames, more = read_file(path)
        said += more
        yield from frames


def _trajectory(path: Path) -> Iterator[Atoms]:
    from ase.io.trajectory import TrajectoryReader

    with TrajectoryReader(str(path)) as frames:
        yield from frames
