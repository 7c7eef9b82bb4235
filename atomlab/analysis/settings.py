"""What can be set for a map: the form, the command and the docs are made from this. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MapSettings"]


def _field(default: Any, title: str, reason: str, unit: str = "", main: bool = False, **limits: Any) -> Any:
    extra = {"unit": unit, "main": main}
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
    layers: int | Literal["all"] = _field(
        "all", "Layers", "Layers of the model that describe an atom: all, as in MACE-MP-0's C.4, or one by its number "
        "(0 = the first, which sees the nearest surroundings only).", ge=-16, le=16,
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
        4000, "Environments fitted", "Training environments that UMAP is fitted to, the others are placed; above 4,095 "
        "it compiles half a minute longer.", "environments", ge=10, le=200_000,
    )  # fmt: skip
    points: int = _field(
        20_000, "Points per set", "Environments of each set that are searched and drawn; more are sampled at random.",
        "environments", ge=100, le=200_000,
    )  # fmt: skip
    edges: int = _field(
        8192, "Pairs at once", "Neighbour pairs computed at once: bounds the memory.", "pairs", ge=256, le=10_000_000
    )
