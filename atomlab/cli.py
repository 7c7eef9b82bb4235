"""The command `atomlab`: one subcommand for each task, made from its spec, and a few that look after runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import AtomLabError, InputError, nearest
from .runs.options import Parser, add_settings

__all__ = ["main"]

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status: 0 done, 1 failed, 2 bad input, 130 stopped by the user."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(words)
    except InputError as error:
        print(f"atomlab: {error}", file=sys.stderr)
        return BAD_INPUT
    except AtomLabError as error:
        print(f"atomlab: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `atomlab list | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        notes = getattr(error, "__notes__", None)
        if not notes:
            raise
        print(f"atomlab: {type(error).__name__}: {error}. {notes[0]}", file=sys.stderr)
        return FAILED


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from . import __version__

        print(f"atomlab {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name in _OTHERS:
        return _OTHERS[name][0](rest)
    from .runs import TASKS

    if name == "sweep" and rest and rest[0].endswith((".yaml", ".yml")):
        return _sweep(rest)
    if name in TASKS:
        return _task(name, rest)
    known = [*TASKS, *_OTHERS]
    raise InputError(
        f"There is no command '{name}'", mend=nearest(name, known) or f"The commands are: {', '.join(known)}"
    )


def _overview() -> str:
    from .runs import TASKS

    tasks = {kind: (spec.__doc__ or "").strip().splitlines()[0] for kind, (spec, _) in TASKS.items()}
    rows = [*tasks.items(), ("", ""), *((name, text) for name, (_, text) in _OTHERS.items())]
    lines = [f"  {name:<10}{text}" for name, text in rows]
    title = "atomlab: a laboratory for machine-learned interatomic potentials"
    end = "`atomlab COMMAND --help` explains one. Runs live in ./atomlab-runs, or in ATOMLAB_WORKSPACE."
    return "\n".join([title, "", "usage: atomlab COMMAND ...", "", *lines, "", end])


# --- tasks ------------------------------------------------------------------------------------------------------------


def _task(kind: str, words: list[str]) -> int:
    from .runs import TASKS, prepare
    from .runs.api import launch

    spec = TASKS[kind][0]
    parser = Parser(kind, (spec.__doc__ or "").strip())
    read = add_settings(parser, spec)
    parser.add_argument(
        "--directory", metavar="RUN", help="directory of the run; by default a new one in the workspace"
    )
    parser.add_argument("--detach", action="store_true", help="run in a process of its own and return at once")
    found = parser.read(words)
    run = launch(lambda: prepare(kind, read(found), found.directory), not found.detach, sys.stderr)
    return _told(run, found.detach)


def _told(run: Any, detached: bool) -> int:
    """Where the run is, and the exit status that its state means."""
    if detached:
        print(f"{run.directory}\nFollow it: atomlab watch {run.name}")
        return 0
    print(run.directory)
    if run.state == "done":
        return 0
    return INTERRUPTED if run.last_word().get("by") == "user" else FAILED


# --- looking after runs -----------------------------------------------------------------------------------------------


def _run(words: list[str]) -> int:
    from .runs.api import launch, prepare_from

    parser = Parser("run", "Run what a spec.yaml describes.")
    parser.add_argument("spec", help="YAML file with `kind:` and settings")
    parser.add_argument(
        "--directory", metavar="RUN", help="directory of the run; by default a new one in the workspace"
    )
    parser.add_argument("--detach", action="store_true", help="run in a process of its own and return at once")
    found = parser.read(words)
    run = launch(lambda: prepare_from(found.spec, found.directory), not found.detach, sys.stderr)
    return _told(run, found.detach)


def _sweep(words: list[str]) -> int:
    """A sweep of a spec.yaml that was begun before is gone on with: nothing finished is repeated."""
    from .runs.api import earlier, launch, prepare_from
    from .runs.handle import ENDED

    parser = Parser("sweep SPEC.yaml", "Learning curves as the spec says; one that was begun is gone on with.")
    parser.add_argument("spec", help="YAML file with `kind: sweep` and settings")
    parser.add_argument("--directory", metavar="RUN", help="directory of the sweep; by default one in the workspace")
    parser.add_argument("--detach", action="store_true", help="run in a process of its own and return at once")
    parser.add_argument("--again", action="store_true", help="from the beginning, beside one that was begun before")
    found = parser.read(words)
    same = None if found.again else earlier(found.spec, found.directory)
    if same is None:
        run = launch(lambda: prepare_from(found.spec, found.directory), not found.detach, sys.stderr)
        return _told(run, found.detach)
    if same.state == "done":
        print(f"{same.directory}\nThis sweep is done; --again repeats it", file=sys.stderr)
        return 0
    if same.state not in (*ENDED, "queued"):
        raise InputError("This sweep is running", got=same.name, mend=f"Follow it: atomlab watch {same.directory}")
    print(f"Going on with {same.name}, which has the same spec", file=sys.stderr)
    same.resume(wait=not found.detach)
    return _told(same, found.detach)


def _attached(name: str, words: list[str], text: str) -> Any:
    from .runs import attach

    parser = Parser(name, text)
    parser.add_argument("run", help="name of a run in the workspace, or its directory")
    return attach(parser.read(words).run)


def _watch(words: list[str]) -> int:
    from .runs import attach, list_runs
    from .runs.progress import Bar

    parser = Parser("watch", "Follow a run, whoever started it. Ctrl-C ends the watching, not the run.")
    parser.add_argument(
        "run", nargs="?", help="name of a run in the workspace, or its directory; by default the newest"
    )
    name = parser.read(words).run
    runs = [attach(name)] if name else list_runs()[-1:]
    if not runs:
        raise InputError("There is no run to watch", mend="Start one: atomlab --help")
    with Bar(sys.stderr) as bar:
        for event in runs[0].follow():
            bar(event)
    print(f"{runs[0].name}: {runs[0].state}. {runs[0].reason}")
    return 0 if runs[0].state == "done" else FAILED


def _list(words: list[str]) -> int:
    from .runs import list_runs, workspace

    parser = Parser("list", "The runs of the workspace.")
    parser.add_argument("workspace", nargs="?", help="by default ATOMLAB_WORKSPACE or ./atomlab-runs")
    folder = workspace(parser.read(words).workspace)
    rows = [run.summary() for run in list_runs(folder)]
    if not rows:
        print(f"There are no runs in {folder}.")
        return 0
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        share = "" if row["progress"] is None or row["state"] == "done" else f"{100 * row['progress']:.0f} %"
        text = row["text"] if row["state"] in ("done", "running") else row["reason"]
        print(f"{row['name']:<{width}}  {row['state']:<8}{share:>6}  {text.splitlines()[0] if text else ''}".rstrip())
    return 0


def _stop(words: list[str]) -> int:
    run = _attached("stop", words, "Stop a run at its next step; what it made is kept.")
    run.stop()
    run.wait(10)
    print(f"{run.name}: {run.state}")
    return 0


def _pause(words: list[str]) -> int:
    run = _attached("pause", words, "Let a run wait at its next step.")
    if run.state not in ("running", "paused"):
        raise InputError("Only a running run can be paused", got=f"{run.name} is {run.state}")
    run.pause()
    print(f"{run.name} pauses at its next step. Go on: atomlab resume {run.name}")
    return 0


def _resume(words: list[str]) -> int:
    from .runs import attach
    from .runs.handle import ENDED

    parser = Parser("resume", "Go on with a paused, stopped, failed or lost run from its last saved state.")
    parser.add_argument("run", help="name of a run in the workspace, or its directory")
    parser.add_argument("--detach", action="store_true", help="run in a process of its own and return at once")
    found = parser.read(words)
    run = attach(found.run)
    if run.state not in (*ENDED, "queued"):
        run.resume()
        print(f"{run.name} goes on")
        return 0
    run.resume(wait=not found.detach)
    return _told(run, found.detach)


def _fork(words: list[str]) -> int:
    from .runs import attach
    from .runs.api import launch

    if not words or words[0].startswith("-"):
        parser = Parser(
            "fork", "The same run again with other settings: atomlab fork RUN --epochs 20. Options are the task's."
        )
        parser.add_argument("run", help="name of a run in the workspace, or its directory")
        parser.read(words)
    old = attach(words[0])
    parser = Parser(f"fork {old.name}", f"{old.name} again with other settings.")
    read = add_settings(parser, type(old.spec), needed=False)
    parser.add_argument("--directory", metavar="RUN", help="directory of the new run")
    parser.add_argument("--detach", action="store_true", help="run in a process of its own and return at once")
    found = parser.read(words[1:])
    run = launch(lambda: old.prepare_fork(found.directory, **read(found)), not found.detach, sys.stderr)
    return _told(run, found.detach)


def _convert(words: list[str]) -> int:
    from tqdm import tqdm

    from .data import convert

    parser = Parser(
        "convert",
        "Data files into one: a store (.lmdb), which is read structure by structure and may be larger than memory, or "
        "extended XYZ. Broken off, the same command goes on with a store where it ended.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="what is read, and last what is written")
    parser.add_argument("--keys", metavar="LABEL=KEY,...", default="", help="labels under unusual names: energy=E_dft")
    parser.add_argument("--units", metavar="LABEL=UNIT,...", default="", help="what is not eV and Å: energy=Ha")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")
    found = parser.read(words)
    *sources, target = found.files
    if not sources:
        raise InputError("Two names are needed: what is read, and what is written", got=target)
    if Path(target).exists() and not found.force:
        raise InputError("There is such a file already", got=target, mend="Name another one, or say --force")
    options = {"keys": _pairs(found.keys), "units": _pairs(found.units)}
    with tqdm(unit=" structures", file=sys.stderr) as bar:
        dataset = convert(sources, target, **options, progress=lambda done: bar.update(done - bar.n))
    print(f"{target}: {len(dataset)} structures, labels: {', '.join(dataset.labels) or 'none'}")
    print("\n".join(dataset.reading))
    return 0


def _pairs(text: str) -> dict[str, str]:
    """label=value,label=value"""
    parts = [part for part in text.split(",") if part.strip()]
    wrong = next((part for part in parts if "=" not in part), None)
    if wrong is not None:
        raise InputError("This is no pair LABEL=VALUE", got=wrong)
    return {name.strip(): value.strip() for name, value in (part.split("=", 1) for part in parts)}


def _models(words: list[str]) -> int:
    from .architectures.published import catalogue
    from .listing import models

    parser = Parser("models", "Models that come with AtomLab, published ones, and architectures to train.")
    parser.add_argument("name", nargs="?", help="all that is known about one of them")
    name, known = parser.read(words).name, models()
    if name is None:
        print(f"{known!r}\n\nMODEL is a name, a file, or a run's directory; with corrections: MODEL+d3:pbe+zbl")
    elif name in known or catalogue.find(name):
        print(known[name if name in known else catalogue.find(name).name])
    else:
        raise InputError("There is no model of this name", got=name, mend=nearest(name, known) or "See: atomlab models")
    return 0


def _lab(words: list[str]) -> int:
    from .runs import notebook

    parser = Parser("lab", "Open JupyterLab on the start notebook. Other options go to jupyter lab.")
    parser.add_argument("--workspace", help="folder of the runs; by default ATOMLAB_WORKSPACE or ./atomlab-runs")
    found, rest = parser.parse_known_args(words)  # the rest is for jupyter lab: --no-browser, --port=8889
    return notebook.open_lab(Path.cwd(), found.workspace, [word for word in rest if word != "--"])


def _kernels(words: list[str]) -> int:
    import time

    from .checkpoint import load
    from .kernels import available, current
    from .runs.recipes.warm import practise

    parser = Parser(
        "kernels", "Which kernels this machine can use; with models, compile theirs now, so that nobody waits."
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="by name or file")
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "float64"), help="precision (default float32)"
    )
    found = parser.read(words)
    for name, state in available().items():
        print(f"{name:<10}{state}")
    print(f"{'used':<10}{current()}")
    for name in found.models:
        potential, start = load(name, dtype=found.dtype), time.perf_counter()
        practise(potential)
        print(f"{name}: compiled and tried in {time.perf_counter() - start:.0f} s")
    return 0


_OTHERS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "run": (_run, "Run what a spec.yaml describes."),
    "watch": (_watch, "Follow a run, whoever started it."),
    "list": (_list, "The runs of the workspace."),
    "stop": (_stop, "Stop a run; what it made is kept."),
    "pause": (_pause, "Let a run wait."),
    "resume": (_resume, "Go on with a paused, stopped, failed or lost run."),
    "fork": (_fork, "The same run again with other settings."),
    "convert": (_convert, "Data files into one store that may be larger than memory."),
    "models": (_models, "Models by name: embedded, published, and architectures."),
    "kernels": (_kernels, "Which compiled kernels there are; compile those of a model now."),
    "lab": (_lab, "Open the Lab in JupyterLab."),
}


if __name__ == "__main__":
    sys.exit(main())
