"""What goes into a run: names stay names, files get their full path, objects in memory are written into RUN/inputs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..corrections import split
from ..errors import InputError, nearest
from .directory import is_run, workspace
from .machine import threads
from .spec import INPUTS, Spec, inputs_of

if TYPE_CHECKING:
    from .execute import RunIO

__all__ = ["keep", "located", "prepare_torch", "referred"]

_SUFFIX = {"model": ".safetensors", "data": ".extxyz", "structure": ".traj"}


def referred(
    kind: type[Spec], values: Mapping[str, Any], base: Path | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values as they stand in the spec, and the objects to be written into the run, by their path in it.

    `base`: where else relative paths are looked for (the folder of a spec.yaml).
    """
    out, objects = dict(values), {}
    for name, role in inputs_of(kind).items():
        value = out.get(name)
        if value is None:
            continue
        if isinstance(value, str | os.PathLike):
            text, words = split(value) if role == "model" else (os.fspath(value), ())
            out[name] = "+".join([_absolute(text, base), *words])
        else:
            out[name] = f"{INPUTS}/{name}{_SUFFIX[role]}"
            objects[out[name]] = (role, value)
    return out, objects


def _absolute(text: str, base: Path | None) -> str:
    if text.startswith(f"{INPUTS}/"):
        return text
    path, hash_, frames = text.rpartition("#") if "#" in text else (text, "", "")
    for folder in (Path(), *([base] if base else [])):
        if (folder / path).exists():
            return str((folder / path).absolute()) + hash_ + frames
    if path and is_run(workspace() / path):
        return str(workspace() / path) + hash_ + frames  # what a run has made, by the run's name
    if os.sep in path and ":" not in path.partition(os.sep)[0]:  # slab:Si,a=5.4/2 is no path
        raise InputError("There is no such file", got=text, mend=_neighbour(Path(path)))
    return text  # a name, or a mistake that is answered with the names there are


def _neighbour(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist"
    return nearest(path.name, [entry.name for entry in folder.iterdir()])


def keep(directory: Path, objects: Mapping[str, tuple[str, Any]]) -> None:
    """Write objects in memory (a model, a data set, frames, a structure) into the run."""
    for name, (role, value) in objects.items():
        path = Path(directory) / name
        path.parent.mkdir(exist_ok=True)
        _WRITERS[role](value, path)


def _model(value: Any, path: Path) -> None:
    from .. import checkpoint
    from ..potential import Potential

    if not isinstance(value, Potential):
        raise InputError("A model is a name, a file or a Potential", got=type(value).__name__)
    checkpoint.save(value, path)


def _data(value: Any, path: Path) -> None:
    from .. import data

    dataset = value if isinstance(value, data.Dataset) else data.read(value)
    dataset.write(path)


def _structure(value: Any, path: Path) -> None:
    from ase import Atoms

    if not isinstance(value, Atoms):
        raise InputError("A structure is a text, a file or an ase.Atoms", got=type(value).__name__)
    value = value.copy()  # without its calculator
    value.write(path)


_WRITERS = {"model": _model, "data": _data, "structure": _structure}


def located(value: str, io: RunIO) -> str:
    """The path of an input in this run, or the name as it is."""
    return str(io.path(value)) if value.startswith(f"{INPUTS}/") else value


def prepare_torch(spec: Spec) -> None:
    """Threads, memory and seed of this run; its processes share the machine's cores."""
    import torch

    from ..kernels.memory import keep_freed

    keep_freed()
    torch.set_num_threads(spec.threads or max(1, threads() // getattr(spec, "processes", 1)))
    torch.manual_seed(spec.seed)
