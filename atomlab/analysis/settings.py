"""What can be set for a map: the form, the command and the docs are made from this. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MapSettings"]


def _field(default: Any, title: str, reason: str, unit: str = "", main: bool = False, **limits: Any) -> Any:
    extra: dict[str, Any] = {"unit": unit, "main": main}
    return Field(default, title=title, description=reason, json_schema_extra=extra, **limits)


class MapSettings(BaseModel):
    """How environments are compared and drawn."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    every: int | None = _field(
        None, "Every k-th frame", "Which frames of the MD are mapped; by default as many as give 4,000 environments.",
        "frames", main=True, ge=1, le=1_000_000,
    )  # fmt: skip
    elements: Literal["all", "inclusive", "exclusive"] = _field(
        "all", "Compare with", "Training structures that each structure is compared with: all; those with at least its "
        "elements (inclusive); those with no others (exclusive) (MACE-MP-0, C.4). Atoms are always compared with atoms "
        "of their own element.", main=True,
    )  # fmt: skip
    layer: int | None = _field(
        None, "Layer", "One layer of the model to describe the atoms by (0 = the first, which sees the nearest "
        "surroundings only); by default all of them, as in MACE-MP-0's C.4.", ge=-16, le=16,
    )  # fmt: skip
    neighbours: int = _field(
        50, "Neighbours", "How many neighbours UMAP keeps together; more shows the large shape, fewer the detail "
        "(50 in the program of MACE-MP-0).", "environments", main=True, ge=2, le=500,
    )  # fmt: skip
    min_dist: float = _field(
        0.1, "Spacing", "How closely UMAP packs similar environments (0.1 in the program of MACE-MP-0).", ge=0, le=1
    )
    metric: Literal["euclidean", "manhattan", "cosine"] = _field(
        "euclidean", "Distance", "What UMAP calls near (MACE-MP-0: euclidean in the program, manhattan in figure 75)."
    )
    fit_limit: int = _field(
        4000, "Environments fitted", "Training environments that UMAP is fitted to; the others are placed. All "
        "distances between them are held in memory, 64 MB for 4,000.", "environments", ge=10, le=4095,
    )  # fmt: skip
    points: int = _field(
        5000, "Points per set", "Environments of each set that are searched and drawn; more are sampled at random.",
        "environments", ge=100, le=200_000,
    )  # fmt: skip
    edges: int = _field(
        8192, "Pairs at once", "Neighbour pairs computed at once: bounds the memory.", "pairs", ge=256, le=10_000_000
    )
