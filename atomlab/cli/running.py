"""Commands that start runs and look after them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ..errors import InputError
from ..runs.options import Parser, add_settings

__all__ = ["COMMANDS", "FAILED", "INTERRUPTED", "sweep", "task"]

FAILED, INTERRUPTED = 1, 130


def task(kind: str, words: list[str]) -> int:
    from ..runs import TASKS, prepare
    from ..runs.api import launch

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
    from ..runs.api import launch, prepare_from

    parser = Parser("run", "Run what a spec.yaml describes.")
    parser.add_argument("spec", help="YAML file with `kind:` and settings")
    parser.add_argument(
        "--directory", metavar="RUN", help="directory of the run; by default a new one in the workspace"
    )
    parser.add_argument("--detach", action="store_true", help="run in a process of its own and return at once")
    found = parser.read(words)
    run = launch(lambda: prepare_from(found.spec, found.directory), not found.detach, sys.stderr)
    return _told(run, found.detach)


def sweep(words: list[str]) -> int:
    """A sweep of a spec.yaml that was begun before is gone on with: nothing finished is repeated."""
    from ..runs.api import earlier, launch, prepare_from
    from ..runs.handle import ENDED

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
    from ..runs import attach

    parser = Parser(name, text)
    parser.add_argument("run", help="name of a run in the workspace, or its directory")
    return attach(parser.read(words).run)


def _watch(words: list[str]) -> int:
    from ..runs import attach, list_runs
    from ..runs.progress import Bar

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
    from ..runs import list_runs, workspace

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
    from ..runs import attach
    from ..runs.handle import ENDED

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
    from ..runs import attach
    from ..runs.api import launch

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


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "run": (_run, "Run what a spec.yaml describes."),
    "watch": (_watch, "Follow a run, whoever started it."),
    "list": (_list, "The runs of the workspace."),
    "stop": (_stop, "Stop a run; what it made is kept."),
    "pause": (_pause, "Let a run wait."),
    "resume": (_resume, "Go on with a paused, stopped, failed or lost run."),
    "fork": (_fork, "The same run again with other settings."),
}
