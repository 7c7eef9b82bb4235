"""The public functions that start runs. All of them make a run directory; `execute` does the rest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .directory import create, enqueue, read_yaml, workspace
from .handle import Run, attach
from .inputs import keep, referred
from .spec import Spec, parse
from .tasks import TASKS

__all__ = ["attach", "launch", "map", "md", "prepare", "run", "start"]

Directory = str | os.PathLike[str] | None


def prepare(
    kind: str,
    values: Mapping[str, Any],
    directory: Directory = None,
    under: Path | None = None,
    base: Path | None = None,
) -> Path:
    """The directory of a new run, checked and not started yet."""
    if kind not in TASKS:
        parse({"kind": kind})  # says what there is
    plain, objects = referred(TASKS[kind][0], values, base)
    spec = parse({**plain, "kind": kind})
    path = create(spec.model_dump(mode="json"), spec.label(), directory, under)
    keep(path, objects)
    return path


def launch(path: Path, wait: bool) -> Run:
    """Execute a prepared run: here with a progress bar (Ctrl-C stops it and keeps the best), or in its own process."""
    return Run(path).start(wait)


def start(spec: Spec | Mapping[str, Any], folder: Directory = None) -> Run:
    """Put a run into the workspace's queue and see that a worker is there. Imports no torch: the Lab calls this."""
    from .worker import ensure_worker

    values = spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, Spec) else dict(spec)
    kind = spec.kind if isinstance(spec, Spec) else values.pop("kind", None)
    values.pop("kind", None)
    under = workspace(folder)
    path = prepare(str(kind), values, under=under)
    enqueue(path)
    ensure_worker(under)
    return Run(path)


def md(model: Any, atoms: Any = None, *, wait: bool = True, directory: Directory = None, **settings: Any) -> Run:
    """Molecular dynamics of `atoms` with `model`.

    Parameters
    ----------
    model: a name, a file or a Potential. atoms: an ase.Atoms, a file, a frame of a data set ("sw-ge#12") or a built-in
    structure ("bulk:Ge,size=2x2x2"). wait: run here with a progress bar (Ctrl-C stops and keeps what was made), or in a
    process of its own. directory: of the run; by default a new one in the workspace. settings: those of `atomlab md`.
    """
    values = {"model": model, **settings} | ({} if atoms is None else {"structure": atoms})
    return launch(prepare("md", values, directory), wait)


def map(
    model: Any,
    train: Any,
    test: Any = None,
    md: Any = None,
    *,
    wait: bool = True,
    directory: Directory = None,
    **settings: Any,
) -> Run:
    """A map of atomic environments: those of `test` and of an MD among those of a training set.

    Parameters
    ----------
    model: a name, a file or a Potential with features. train, test: data sets, structures, names or files. md: an MD's
    `Run`, its directory or its name. wait: run here with a progress bar (Ctrl-C stops), or in a process of its own.
    settings: those of `atomlab map`. The points are in `run.result().arrays("map")`.
    """
    md = str(md.directory) if isinstance(md, Run) else md
    values = {"model": model, "train": train, "test": test, "md": md, **settings}
    return launch(prepare("map", {k: v for k, v in values.items() if v is not None}, directory), wait)


def run(spec: Any, *, wait: bool = True, directory: Directory = None, **changes: Any) -> Run:
    """Run what a spec describes: a spec.yaml, a mapping or a Spec. `changes` replace single settings."""
    base = None
    if isinstance(spec, Spec):
        values = spec.model_dump(mode="json", exclude_unset=True) | {"kind": spec.kind}
    elif isinstance(spec, Mapping):
        values = dict(spec)
    else:
        path = Path(spec)
        if path.is_dir():
            raise InputError(
                "This is a directory, not a spec", got=spec, mend=f"Go on with a run: atomlab resume {spec}"
            )
        if not path.is_file():
            raise InputError("There is no such spec", got=spec, mend="A spec is a YAML file with `kind:` and settings")
        values, base = read_yaml(path), path.absolute().parent
    values |= changes
    return launch(prepare(str(values.pop("kind", None)), values, directory, base=base), wait)
