"""Commands beside the runs: data, models, kernels, the Lab."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError, nearest
from ..runs.options import Parser

__all__ = ["COMMANDS"]


def _convert(words: list[str]) -> int:
    from tqdm import tqdm

    from ..data import convert

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
    from ..architectures.published import catalogue
    from ..listing import models

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
    from ..runs import notebook

    parser = Parser("lab", "Open JupyterLab on the start notebook. Other options go to jupyter lab.")
    parser.add_argument("--workspace", help="folder of the runs; by default ATOMLAB_WORKSPACE or ./atomlab-runs")
    found, rest = parser.parse_known_args(words)  # the rest is for jupyter lab: --no-browser, --port=8889
    return notebook.open_lab(Path.cwd(), found.workspace, [word for word in rest if word != "--"])


def _kernels(words: list[str]) -> int:
    import time

    from ..checkpoint import load
    from ..kernels import available, current
    from ..runs.recipes.warm import practise

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


COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "convert": (_convert, "Data files into one store that may be larger than memory."),
    "models": (_models, "Models by name: embedded, published, and architectures."),
    "kernels": (_kernels, "Which compiled kernels there are; compile those of a model now."),
    "lab": (_lab, "Open the Lab in JupyterLab."),
}
