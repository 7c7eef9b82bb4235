"""The command `atomlab`: one subcommand for each task, made from its spec, and a few that look after runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..errors import AtomLabError, InputError, nearest
from .running import COMMANDS as RUNNING
from .running import FAILED, INTERRUPTED, sweep, task
from .tools import COMMANDS as TOOLS

__all__ = ["main"]

BAD_INPUT = 2
_OTHERS = RUNNING | TOOLS


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
        from .. import __version__

        print(f"atomlab {__version__}")
        return 0
    name, rest = words[0], words[1:]
    if name in _OTHERS:
        return _OTHERS[name][0](rest)
    from ..runs import TASKS

    if name == "sweep" and rest and rest[0].endswith((".yaml", ".yml")):
        return sweep(rest)
    if name in TASKS:
        return task(name, rest)
    known = [*TASKS, *_OTHERS]
    raise InputError(
        f"There is no command '{name}'", mend=nearest(name, known) or f"The commands are: {', '.join(known)}"
    )


def _overview() -> str:
    from ..runs import TASKS

    tasks = {kind: (spec.__doc__ or "").strip().splitlines()[0] for kind, (spec, _) in TASKS.items()}
    rows = [*tasks.items(), ("", ""), *((name, text) for name, (_, text) in _OTHERS.items())]
    lines = [f"  {name:<10}{text}" for name, text in rows]
    title = "atomlab: a laboratory for machine-learned interatomic potentials"
    end = "`atomlab COMMAND --help` explains one. Runs live in ./atomlab-runs, or in ATOMLAB_WORKSPACE."
    return "\n".join([title, "", "usage: atomlab COMMAND ...", "", *lines, "", end])
