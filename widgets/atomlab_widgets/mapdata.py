"""map.npz of a map run: points (atomic environments), what is known of each, the way between points and atoms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atomlab.runs.directory import read_spec

from .frames import SYMBOLS
from .session import Selection

SETS = ("train", "valid", "test", "md")
NAMES = {"train": "training", "valid": "validation", "test": "test", "md": "MD"}


class MapData:
    """The arrays of the file, with `selection_of(point)` and `point_of(selection, atom)`."""

    def __init__(self, path: Path, stamp: int, spec: Mapping[str, Any]):
        self.stamp, self.spec = stamp, dict(spec)
        self.sources = self._sources(path.parent.parent)
        with np.load(path, allow_pickle=False) as file:
            self.arrays = {name: file[name] for name in file.files}
        a = self.arrays
        self.sets = a["set"].astype(str)
        self.frame, self.atom, self.number = a["frame"].astype(int), a["atom"].astype(int), a["number"].astype(int)
        self.similarity = a["similarity"].astype(float)
        n = len(self.sets)
        self.force_error = a["force_error"].astype(float) if "force_error" in a else np.full(n, np.nan)
        self.time = a["time"].astype(float) if "time" in a else np.full(n, np.nan)
        self.threshold = float(a["threshold"]) if "threshold" in a else float("nan")
        places = zip(self.sets.tolist(), map(self.frame_of, range(len(self))), self.atom.tolist())
        self._place = {key: point for point, key in enumerate(places)}

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def has_umap(self) -> bool:
        return (
            "umap" in self.arrays
            and len(self.arrays["umap"]) == len(self)
            and bool(np.isfinite(self.arrays["umap"]).all())
        )

    def xy(self, projection: str) -> np.ndarray:
        """(N, 2) of "umap" or "pca"."""
        return self.arrays["umap" if projection == "umap" and self.has_umap else "pca"]

    @property
    def md_run(self) -> str:
        """Name of the run whose trajectory the MD points are from, "" if none."""
        path = Path(str(self.spec.get("md") or ""))
        return path.parent.name if path.suffix == ".traj" else path.name

    def _sources(self, workspace: Path) -> dict[str, tuple[str, list[int] | None]]:
        """Set -> (data set, numbers of its frames there): `RUN#train` counts the structures that a run learned from."""
        found: dict[str, tuple[str, list[int] | None]] = {}
        for name in ("train", "test"):
            source, mark, part = str(self.spec.get(name) or "").rpartition("#")
            folder = Path(source) if Path(source).is_absolute() else workspace / source
            if mark and part in ("train", "valid") and (folder / "split.json").is_file():
                split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
                other = split.get("valid_data") if part == "valid" else None
                found[name] = (str(other or read_spec(folder)["data"]), [int(k) for k in split[part]])
            else:
                found[name] = (source + mark + part, None)
        return found

    def data_of(self, point: int) -> str:
        """The data set that a point of the training or test set is from."""
        return self.sources.get(self.sets[point], ("", None))[0]

    def frame_of(self, point: int) -> int:
        """The number of a point's frame in its data set or trajectory."""
        numbers = self.sources.get(self.sets[point], ("", None))[1]
        frame = int(self.frame[point])
        return frame if numbers is None else numbers[frame]

    @property
    def unknown(self) -> np.ndarray:
        """Points (MD and test) whose best similarity to the training set lies below the threshold."""
        return np.flatnonzero((self.similarity < self.threshold) & (self.sets != "train"))

    def selection_of(self, points: np.ndarray) -> tuple[Selection, int]:
        """The frame with most of these points, its atoms among them, and how many points lie in other frames."""
        keys = [(s, f) for s, f in zip(self.sets[points].tolist(), self.frame[points].tolist())]
        best = max(dict.fromkeys(keys), key=keys.count)
        here = [int(p) for p, key in zip(points, keys) if key == best]
        source = (self.md_run or "dataset") if best[0] == "md" else "dataset"
        return Selection(source, self.frame_of(here[0]), tuple(sorted(int(self.atom[p]) for p in here))), len(
            keys
        ) - len(here)

    def _sets_of(self, source: str) -> tuple[str, ...]:
        return ("md",) if source != "dataset" else ("train", "valid", "test")

    def point_of(self, chosen: Selection, atom: int) -> int | None:
        """The point of an atom of the selected frame, None if it is not on the map."""
        if chosen.source not in ("dataset", self.md_run):
            return None
        found = (self._place.get((s, chosen.frame, int(atom))) for s in self._sets_of(chosen.source))
        return next((p for p in found if p is not None), None)

    def of_frame(self, chosen: Selection, n: int, values: np.ndarray) -> np.ndarray | None:
        """`values` of the atoms of the selected frame (NaN where unknown), None if it is not on the map."""
        points = [self.point_of(chosen, atom) for atom in range(n)]
        if all(p is None for p in points):
            return None
        return np.array([np.nan if p is None else values[p] for p in points])

    def frame_name(self, point: int) -> str:
        """The frame of a point: MD frame 12."""
        return f"{NAMES.get(self.sets[point], self.sets[point])} frame {self.frame_of(point)}"

    def name_of(self, point: int) -> str:
        """The atom of a point: MD frame 12, atom 5 (Ge)."""
        return f"{self.frame_name(point)}, atom {self.atom[point]} ({SYMBOLS[self.number[point]]})"

    def short_name(self, point: int) -> str:
        """The same in few letters: MD 12, atom 5."""
        return f"{NAMES.get(self.sets[point], self.sets[point])} {self.frame_of(point)}, atom {self.atom[point]}"

    def neighbours(self, point: int) -> list[tuple[int, int, float]]:
        """(frame, atom, similarity) of the five nearest training environments."""
        a = self.arrays
        if "nearest_frame" not in a:
            return []
        rows = zip(a["nearest_frame"][point], a["nearest_atom"][point], a["nearest_similarity"][point])
        numbers = self.sources["train"][1]
        return [(numbers[f] if numbers else int(f), int(i), float(s)) for f, i, s in rows if f >= 0]

    def stratified(self) -> list[tuple[str, str, int, float, int]]:
        """Per set and element: (set, symbol, environments, mean best similarity, below the threshold)."""
        rows = []
        for name in SETS:
            for z in np.unique(self.number[self.sets == name]):
                here = (self.sets == name) & (self.number == z)
                below = int((self.similarity[here] < self.threshold).sum())
                rows.append((NAMES[name], SYMBOLS[z], int(here.sum()), float(np.nanmean(self.similarity[here])), below))
        return rows
