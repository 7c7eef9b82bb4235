"""The public functions that start runs. All of them make a run directory; `execute` does the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .directory import create, enqueue, is_run, read_spec, read_yaml, runs_in, workspace
from .handle import Run, attach
from .inputs import keep, referred
from .spec import Spec, parse
from .tasks import TASKS

__all__ = ["attach", "earlier", "finetune", "launch", "map", "md", "prepare", "prepare_from", "run", "start", "train"]

Directory = str | os.PathLike[str] | None
_MADE = {"progress", "metric", "frame", "base", "result"}  # events after which a run has something to keep


def prepare(
    kind: str,
    values: Mapping[str, Any],
    directory: Directory = None,
    under: Path | None = None,
    base: Path | None = None,
) -> Path:
    """The directory of a new run, checked and not started yet."""
    spec, objects = _checked(kind, values, base)
    path = create(spec.model_dump(mode="json"), spec.label(), directory, under)
    keep(path, objects)
    return path


def _checked(kind: str, values: Mapping[str, Any], base: Path | None) -> tuple[Spec, dict[str, Any]]:
    """The checked spec, and the objects in memory that belong to it."""
    if kind not in TASKS:
        parse({"kind": kind})  # says what there is
    plain, objects = referred(TASKS[kind][0], values, base)
    return parse({**plain, "kind": kind}), objects


def earlier(spec: Any, directory: Directory = None) -> Run | None:
    """The newest run of the workspace, or the one in `directory`, that has the same spec as this file."""
    values, base = _values(spec)
    wanted, objects = _checked(str(values.pop("kind", None)), values, base)
    places = [Path(directory).absolute()] if directory is not None else list(runs_in(workspace()))
    same = [p for p in places if is_run(p) and read_spec(p) == wanted.model_dump(mode="json")]
    return Run(same[-1]) if same and not objects else None


def launch(make: Callable[[], Path], wait: bool, file: Any = None) -> Run:
    """Prepare a run and execute it: here with a progress bar (Ctrl-C stops and keeps the best), or in its own process.

    Bad input that is found before anything was made leaves no directory behind. `file`: where the bar is drawn.
    """
    run = Run(make())
    try:
        return run.start(wait, file)
    except InputError:
        if not any(event["kind"] in _MADE for event in run.events()):
            shutil.rmtree(run.directory)
        raise


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


def finetune(
    model: Any,
    dataset: Any,
    strategy: str = "naive",
    *,
    wait: bool = True,
    directory: Directory = None,
    **settings: Any,
) -> Run:
    """Go on from a trained model with new data.

    Parameters
    ----------
    model: a name, a file, a run's directory or a Potential. dataset: a name, a file, a Dataset or a list of ase.Atoms.
    strategy: "naive", "transfer" (new elements), "replay" (a second head learns; needs replay=DATA of the base's kind),
    "lora" (low-rank additions), "atomft" (a bounded correction) or "scratch" (to compare with). wait: run here with a
    progress bar, where Ctrl-C stops and keeps the best; or in a process of its own. directory: of the run; by default a
    new one in the workspace. settings: those of `atomlab finetune`. The result has `.potential` and `.metrics`.
    """
    values = {"model": model, "data": dataset, "strategy": strategy, **settings}
    return launch(lambda: prepare("finetune", values, directory), wait)


def train(model: Any, dataset: Any, *, wait: bool = True, directory: Directory = None, **settings: Any) -> Run:
    """Train a model from random weights.

    Parameters
    ----------
    model: an architecture's name ("mace"), a configuration {"architecture": "mace", "channels": 32}, or a model whose
    shape is taken. The others as for `finetune`; settings: those of `atomlab train`.
    """
    values = {"model": model, "data": dataset, **settings}
    if isinstance(model, Mapping):
        config = dict(model)
        values |= {"model": config.pop("architecture", "mace"), "config": config}
    return launch(lambda: prepare("train", values, directory), wait)


def md(model: Any, atoms: Any = None, *, wait: bool = True, directory: Directory = None, **settings: Any) -> Run:
    """Molecular dynamics of `atoms` with `model`.

    Parameters
    ----------
    model: a name, a file or a Potential. atoms: an ase.Atoms, a file, a frame of a data set ("sw-ge#12") or a built-in
    structure ("bulk:Ge,size=2x2x2"). wait: run here with a progress bar (Ctrl-C stops and keeps what was made), or in a
    process of its own. directory: of the run; by default a new one in the workspace. settings: those of `atomlab md`.
    """
    values = {"model": model, **settings} | ({} if atoms is None else {"structure": atoms})
    return launch(lambda: prepare("md", values, directory), wait)


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
    given = {name: value for name, value in values.items() if value is not None}
    return launch(lambda: prepare("map", given, directory), wait)


def run(spec: Any, *, wait: bool = True, directory: Directory = None, **changes: Any) -> Run:
    """Run what a spec describes: a spec.yaml, a mapping or a Spec. `changes` replace single settings."""
    return launch(lambda: prepare_from(spec, directory, **changes), wait)


def prepare_from(spec: Any, directory: Directory = None, **changes: Any) -> Path:
    """The directory of a run that a spec.yaml, a mapping or a Spec describes, not started yet."""
    values, base = _values(spec)
    values |= changes
    return prepare(str(values.pop("kind", None)), values, directory, base=base)


def _values(spec: Any) -> tuple[dict[str, Any], Path | None]:
    """The settings in a spec, `kind` among them, and the folder that its paths start from."""
    if isinstance(spec, Spec):
        return spec.model_dump(mode="json", exclude_unset=True) | {"kind": spec.kind}, None
    if isinstance(spec, Mapping):
        return dict(spec), None
    path = Path(spec)
    if path.is_dir():
        raise InputError("This is a directory, not a spec", got=spec, mend=f"Go on with a run: atomlab resume {spec}")
    if not path.is_file():
        raise InputError("There is no such spec", got=spec, mend="A spec is a YAML file with `kind:` and settings")
    return read_yaml(path), path.absolute().parent
