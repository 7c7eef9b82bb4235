"""Tensors and class names of a TorchScript file. Its program is never compiled or run."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

from torch import Tensor

from ...errors import InputError
from .modules import Stub, read_module

__all__ = ["ScriptedState", "is_scripted", "read_scripted"]

# what TorchScript itself puts around lists in its pickles
_LISTS = {
    f"torch.jit._pickle {name}"
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
}
DEEPEST = 64


class ScriptedState(dict[str, Tensor]):
    """The state dict of a TorchScript module; `classes`: path of each submodule -> name of its class."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: dict[str, str] = {}


def is_scripted(path: Path) -> bool:
    """Whether this is a TorchScript file: a zip with a program inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.count("/") > 1 and name.split("/")[1] == "code" for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # no zip, or half of one: the other readers say so


def read_scripted(path: str | Path) -> ScriptedState:
    """Every tensor of the module tree by its dotted path, in the order of the file."""
    root = read_module(path, {*_LISTS, *_own_names(Path(path))})
    if not isinstance(root, Stub):
        raise InputError("The TorchScript file holds no module", got=Path(path).name)
    found = ScriptedState()
    _walk(root, "", found, 0)
    return found


def _own_names(path: Path) -> set[str]:
    """The classes that the file's own program defines: they become inert like every allowed name."""
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        codes = pickletools.genops(archive.read(names[0])) if names else ()
        try:
            return {arg for code, arg, _ in codes if code.name == "GLOBAL" and str(arg).startswith("__torch__")}
        except ValueError:
            # no pickle: the reader says so in words
            return set()


def _walk(module: Stub, place: str, found: ScriptedState, depth: int) -> None:
    if depth > DEEPEST:
        raise InputError("The modules of the file are nested too deeply", allowed=f"{DEEPEST} levels")
    found.classes[place.rstrip(".")] = module.name.rpartition(" ")[2]
    for name, value in module.state.items():
        if isinstance(value, Tensor):
            found[place + str(name)] = value
        elif isinstance(value, Stub):
            _walk(value, f"{place}{name}.", found, depth + 1)
