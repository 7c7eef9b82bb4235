"""Every task: its spec and its function. Commands, forms, checks and documents are made from this table.

Importing it imports no torch: a task's function is fetched from `recipes` when it is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from ..analysis.settings import MapSettings
from ..simulate.settings import MDSettings
from ..training.settings import FinetuneSettings, ScratchSettings
from .recipes.generate_settings import GenerateSettings
from .recipes.probe_settings import ProbeSettings
from .recipes.sweep_settings import SweepSettings
from .spec import ModelSpec, Spec, setting

if TYPE_CHECKING:
    from .execute import RunIO

__all__ = [
    "TASKS",
    "CheckSpec",
    "EvaluateSpec",
    "FinetuneSpec",
    "GenerateSpec",
    "MDSpec",
    "MapSpec",
    "SweepSpec",
    "TrainSpec",
]


class _Data(BaseModel):
    """Which structures are learned from, which the errors are measured on, and by how many processes."""

    model_config = ConfigDict(extra="forbid")

    train: int | float | None = setting(
        None, "Structures to learn from: a number or a share; by default all that are not for validation",
        "structures", main=True, gt=0,
    )  # fmt: skip
    valid: int | float = setting(
        0.1,
        "Structures that errors are measured on: a number (40) or a share (0.1); 0 = none",
        "structures",
        main=True,
        ge=0,
    )
    valid_data: str | None = setting(
        None, "Another data set to measure errors on, instead of a part of this one", role="data"
    )
    split: str = setting(
        "random",
        "What stays together: random (single structures), group, composition, config_type or another key, given",
    )
    left_out: list[int] = setting([], "Numbers of frames that take no part")
    processes: int = setting(
        1,
        "Processes that share every batch, each with a GPU of its own or its part of the cores; the curve is that "
        "of one process",
        ge=1,
        le=1024,
    )


class FinetuneSpec(ModelSpec, _Data, FinetuneSettings, ProbeSettings):
    """Go on from a trained model with new data."""

    kind: Literal["finetune"] = "finetune"
    model: str = setting(..., "Base model, by name or file", role="model", first=True)
    data: str = setting(..., "Data set, by name or file", role="data", first=True)
    strategy: Literal["naive", "transfer", "replay", "lora", "atomft", "scratch"] = setting(
        "naive",
        "naive: all weights go on learning. transfer: elements that the base does not know start from their relatives. "
        "replay: a new head learns the new data while data of the base's kind keep the base's head what it is. "
        "lora: low-rank additions to the base's matrices are learned, and merged in the end. "
        "atomft: the base stays as it is, and a bounded correction is learned on top. "
        "scratch: random weights in the base's shape, to compare with",
        main=True,
    )
    head: str | None = setting(None, "Head of the base to go on from; by default its first")
    replay: str | None = setting(
        None,
        "Strategy replay: data of the kind that the base learned from, by name or file; a set that is larger than the "
        "memory as a store (.lmdb)",
        role="data",
    )
    scratch_twin: bool = setting(
        False,
        "Train the same model from random weights beside it, to see what the base is worth; twice the time",
        main=True,
    )


class TrainSpec(ModelSpec, _Data, ScratchSettings):
    """Train a model from random weights."""

    kind: Literal["train"] = "train"
    model: str = setting(
        "mace", "Architecture (atomlab models), or a model whose shape is taken", role="model", first=True
    )
    data: str = setting(..., "Data set, by name or file", role="data", first=True)
    config: dict[str, Any] = setting({}, "Shape of the architecture, such as {channels: 32, l_max: 2}", main=True)


class MDSpec(ModelSpec, MDSettings):
    """Molecular dynamics with a model, from a structure."""

    kind: Literal["md"] = "md"
    model: str = setting(..., "Model, by name or file; with corrections: NAME+d3:pbe+zbl", role="model", first=True)
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


class MapSpec(ModelSpec, MapSettings):
    """Map of atomic environments: those of a test set and an MD among those of a training set, and how similar."""

    kind: Literal["map"] = "map"
    model: str = setting(..., "Model whose descriptors are compared, by name or file", role="model", first=True)
    train: str = setting(
        ...,
        "Training set, by name or file; RUN#train are the structures that a run learned from",
        role="data",
        first=True,
    )
    test: str | None = setting(
        None, "Data set to compare, by name or file; RUN#valid are a run's others", role="data", main=True
    )
    md: str | None = setting(None, "Directory or trajectory of an MD run to compare", role="run", main=True)
    head: str | None = setting(None, "Head of the model; by default its first")


class EvaluateSpec(ModelSpec):
    """Errors of a model on a data set, by property, element and config_type."""

    kind: Literal["evaluate"] = "evaluate"
    model: str = setting(..., "Model, by name or file; with corrections: NAME+d3:pbe+zbl", role="model", first=True)
    data: str = setting(..., "Data set with labels, by name or file", role="data", first=True)
    head: str | None = setting(None, "Head of the model; by default its first")


class CheckSpec(ModelSpec):
    """Health of a model: derivatives, symmetry, extensivity, continuity, dimers, compression, isolated atoms, speed."""

    kind: Literal["check"] = "check"
    model: str = setting(..., "Model, by name or file; with corrections: NAME+d3:pbe+zbl", role="model", first=True)
    elements: list[str] = setting([], "Elements to probe it with, by symbol; well-known ones of the model by default")


class GenerateSpec(Spec, GenerateSettings):
    """Make a labelled data set with a Stillinger-Weber potential: crystal and melt over a range of temperatures."""

    kind: Literal["generate"] = "generate"


class SweepSpec(ModelSpec, SweepSettings):
    """Learning curves: sizes x seeds x strategies from one spec, resumable, by several workers."""

    kind: Literal["sweep"] = "sweep"
    model: str = setting(..., "Base model, by name or file", role="model", first=True)
    data: str = setting(..., "Data set, by name or file", role="data", first=True)


def _recipe(module: str) -> Callable[[Any, RunIO], None]:
    def run(spec: Any, io: RunIO) -> None:
        importlib.import_module(f"{__package__}.recipes.{module}").run(spec, io)

    return run


TASKS: dict[str, tuple[type[Spec], Callable[[Any, RunIO], None]]] = {
    "finetune": (FinetuneSpec, _recipe("finetune")),
    "train": (TrainSpec, _recipe("train")),
    "md": (MDSpec, _recipe("md")),
    "map": (MapSpec, _recipe("map")),
    "sweep": (SweepSpec, _recipe("sweep")),
    "generate": (GenerateSpec, _recipe("generate")),
    "evaluate": (EvaluateSpec, _recipe("evaluate")),
    "check": (CheckSpec, _recipe("check")),
}
