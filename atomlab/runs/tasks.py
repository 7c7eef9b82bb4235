"""Every task: its spec and its function. Commands, forms, checks and documents are made from this table.

Importing it imports no torch: a task's function is fetched from `recipes` when it is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from ..analysis.settings import MapSettings
from ..simulate.settings import MDSettings
from .spec import Spec, setting

if TYPE_CHECKING:
    from .execute import RunIO

__all__ = ["TASKS", "CheckSpec", "MDSpec", "MapSpec"]


class MDSpec(Spec, MDSettings):
    """Molecular dynamics with a model, from a structure."""

    kind: Literal["md"] = "md"
    model: str = setting(..., "Model, by name or file", role="model", first=True)
    structure: str = setting(
        "bulk:Ge,size=2x2x2",
        "What to start from: a file, a frame of a data set (sw-ge#12), bulk:Ge, slab:Si,facet=111, molecule:H2O",
        main=True,
        role="structure",
    )
    supercell: str = setting(
        "1x1x1", "Repeat the structure along its cell vectors", pattern=r"^\d{1,3}x\d{1,3}x\d{1,3}$"
    )
    head: str | None = setting(None, "Head of the model; by default its first")


class CheckSpec(Spec):
    """Health of a model: derivatives, symmetry, extensivity, continuity, dimers, compression, isolated atoms, speed."""

    kind: Literal["check"] = "check"
    model: str = setting(..., "Model, by name or file", role="model", first=True)
    elements: list[str] = setting([], "Elements to probe it with, by symbol; well-known ones of the model by default")


class MapSpec(Spec, MapSettings):
    """Map of atomic environments: those of a test set and an MD among those of a training set, and how similar."""

    kind: Literal["map"] = "map"
    model: str = setting(..., "Model whose descriptors are used, by name or file", role="model", first=True)
    train: str = setting(..., "Training set: the map is fitted to it", role="data", first=True)
    test: str | None = setting(None, "Structures to compare with the training set", main=True, role="data")
    md: str | None = setting(None, "MD run to compare with it: its directory or name", main=True, role="run")
    head: str | None = setting(None, "Head of the model; by default its first")


def _recipe(module: str) -> Callable[[Any, RunIO], None]:
    def run(spec: Any, io: RunIO) -> None:
        importlib.import_module(f"{__package__}.recipes.{module}").run(spec, io)

    return run


TASKS: dict[str, tuple[type[Spec], Callable[[Any, RunIO], None]]] = {
    "md": (MDSpec, _recipe("md")),
    "map": (MapSpec, _recipe("map")),
    "check": (CheckSpec, _recipe("check")),
}
