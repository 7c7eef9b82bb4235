"""Source text -> compiled functions, kept on disk.

Kernels are written as source text: a template from `loops/`, or lines made for one shape of model. The text becomes a
file in the cache folder (Numba keeps compiled code only for functions that stand in a file), named by everything that
its code depends on. Importing that file compiles it, or takes what was compiled before.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType

from ...errors import notice
from ..dispatch import waits

__all__ = ["folder", "library", "template"]

_libraries: dict[str, Future] = {}
_ready: dict[tuple[str, str], ModuleType] = {}  # for calls, which ask often
_lock = threading.Lock()
_one_at_a_time = threading.Lock()  # Numba compiles under one lock anyway; in turn, the first asked is ready first


def template(name: str, each: Mapping[str, int] | None = None, **constants: object) -> str:
    """The text of `loops/NAME.py` with its lines `KEY = ...` replaced by the constants given.

    each: {"M": 3} repeats every line that ends in `# each M` with 0, 1, 2 in place of M, also at the end of names
    (sum_M). So the number of sums that registers hold is known when the code is compiled.
    """
    lines = (Path(__file__).parent / "loops" / f"{name}.py").read_text().splitlines()
    left = dict(constants)
    for n, line in enumerate(lines):
        key = line.partition(" = ")[0]
        if key in left:
            lines[n] = f"{key} = {left.pop(key)!r}"
    if left:
        raise KeyError(f"The template '{name}' has no line for {sorted(left)}.")
    for letter, count in (each or {}).items():
        lines = [made for line in lines for made in _repeated(line, letter, count)]
    return "\n".join(lines) + "\n"


def _repeated(line: str, letter: str, count: int) -> list[str]:
    code, mark, rest = line.partition(f"  # each {letter}")
    if not mark or rest:
        return [line]
    return [re.sub(rf"(?<![a-zA-Z0-9]){letter}\b", str(n), code) for n in range(count)]


def library(name: str, source: str) -> ModuleType | None:
    """The module of that source, compiled. None while it is being compiled, unless calls are to wait (`steady`).

    None too where it cannot be compiled, which is said once: the reference serves.
    """
    module = _ready.get((name, source))
    if module is not None:
        return module
    key = f"{name}_{_stamp(source)}"
    with _lock:
        future = _libraries.get(key)
        if future is None:
            future = _libraries[key] = Future()
            # Not a daemon: the compiler's own callbacks do not survive an interpreter that ends around them.
            threading.Thread(target=_compile, args=(key, source, future), name=f"compile {name}").start()
    if not future.done():
        if not waits():
            return None
        _tell_if_long(future, name)
    error = future.exception()
    if error is not None:
        notice(f"kernels-{name}", f"The compiled kernel '{name}' is not used: {error}. The torch reference is used.")
        return None
    _ready[name, source] = future.result()
    return future.result()


def folder() -> Path:
    """Where kernels are kept: ATOMLAB_CACHE/kernels or the user's cache folder; a temporary one if it is read-only."""
    home = os.environ.get("ATOMLAB_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "atomlab"
    wanted = Path(home).expanduser() / "kernels"
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK):
            return wanted
    except OSError:
        pass
    notice("kernels-cache", f"Compiled kernels cannot be kept in {wanted}: each process compiles its own.")
    return _temporary()


def _tell_if_long(future: Future, name: str) -> None:
    try:
        future.exception(timeout=2.0)
    except TimeoutError:
        notice(
            "kernels-wait",
            f"The kernels of this model ('{name}' and others) are compiled once on this machine; a run waits for them.",
        )
        future.exception()


def _compile(key: str, source: str, future: Future) -> None:
    try:
        with _one_at_a_time:
            if not threading.main_thread().is_alive():
                raise RuntimeError("the program ends")  # what has begun is brought to an end, nothing more is begun
            path = folder() / f"{key}.py"
            if not path.exists():
                _write(path, source)
            future.set_result(_imported(key, path))
    except BaseException as error:  # the thread's one way to tell
        future.set_exception(error)


def _write(path: Path, source: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w") as out:
        out.write(source)
    os.replace(name, path)


def _imported(key: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"atomlab_kernels_{key}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Numba looks up a cached function's module by its name
    spec.loader.exec_module(module)
    return module


@functools.cache
def _stamp(source: str) -> str:
    """Hash of all that the compiled code depends on, the processor aside (Numba's own index knows that)."""
    import llvmlite
    import numba

    simd = (Path(__file__).parent / "simd.py").read_text()
    whole = "\n".join((source, simd, numba.__version__, llvmlite.__version__))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


_own: list[Path] = []


def _temporary() -> Path:
    if not _own:
        _own.append(Path(tempfile.mkdtemp(prefix="atomlab-kernels-")))
    return _own[0]
