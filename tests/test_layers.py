"""The layers of the house: imports point down only, and importing costs and changes nothing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From the roof to the ground. A room may import rooms of lower rows only; within one row, nothing but itself.
ROWS: list[tuple[str, ...]] = [
    ("widgets",),
    ("cli", "testing", "__main__"),
    ("runs",),
    ("training", "simulate", "analysis"),
    ("listing",),
    ("checkpoint", "predict", "calculator"),
    ("data", "architectures", "corrections"),
    ("external",),
    ("potential",),
    ("build",),
    ("neighbours",),
    ("graph",),
    ("kernels",),
    ("container",),
    ("units", "fields", "errors", "embedded"),
]
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
# (importing module, function in it, imported room): each is a decision, with its reason.
UPWARD = {
    # `model.calculator()` reads like ASE; imported when called
    ("atomlab.potential", "Potential.calculator", "calculator"),
}
# `import atomlab` gives every public name lazily, so it may name any room; no room may import it back.
PUBLIC = "atomlab"
# Packages that a room must not import itself.
FOREIGN_BANS: dict[str, set[str]] = {
    "widgets": {"torch", "umap", "numba"},  # the Lab's kernel handles names, paths and numpy; workers compute
    "graph": {"ase"},  # tensors only between disk and loss
    "kernels": {"ase"},
}
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
NOWHERE = {"mace", "e3nn", "dgl", "tensorflow"}  # they pin versions that conflict; e3nn is a test oracle


@dataclass(frozen=True)
class Import:
    module: str  # who imports
    function: str  # "" at module level, else Class.function
    target: str  # dotted name of what is imported, absolute
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}" + (f" in {self.function}" if self.function else "")


def modules() -> Iterator[tuple[str, Path]]:
    for base, package in ((ROOT, "atomlab"), (ROOT / "widgets", "atomlab_widgets")):
        for path in sorted((base / package).rglob("*.py")):
            yield ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"), path


def imports_of(module: str, source: str, is_package: bool = False) -> list[Import]:
    """Every import statement and every `import_module("literal")`, also inside functions."""
    found: list[Import] = []
    parts = module.split(".")

    def absolute(level: int, name: str | None) -> str:
        base = parts if is_package and level == 1 else parts[: len(parts) - level + is_package]
        return ".".join([*base, *([name] if name else [])])

    def visit(node: ast.AST, scope: tuple[str, ...]) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(module, ".".join(scope), alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node.level, node.module) if node.level else node.module or ""
            # `from . import errors` and `from atomlab import errors` import the room errors
            names = [f"{base}.{alias.name}" for alias in node.names] if base in (PUBLIC, "atomlab_widgets") else [base]
            found.extend(Import(module, ".".join(scope), name, node.lineno) for name in names)
        elif isinstance(node, ast.Call) and (name := literal_import(node)):
            level = len(name) - len(name.lstrip("."))
            target = absolute(level, name.lstrip(".")) if level else name
            found.append(Import(module, ".".join(scope), target, node.lineno))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return  # only a type checker reads these
        inner = (*scope, node.name) if isinstance(node, SCOPES) else scope
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(ast.parse(source), ())
    return found


def literal_import(call: ast.Call) -> str | None:
    """The name in `import_module("name")`, or None where it is another call or not written out."""
    function = getattr(call.func, "attr", getattr(call.func, "id", ""))
    first = call.args[0] if call.args else None
    return str(first.value) if function == "import_module" and isinstance(first, ast.Constant) else None


def room_of(name: str) -> str | None:
    """The room that a dotted name belongs to; None for other packages and for the public package itself."""
    parts = name.split(".")
    if parts[0] == "atomlab_widgets":
        return "widgets"
    return parts[1] if parts[0] == PUBLIC and len(parts) > 1 else None


def breach(item: Import) -> str | None:
    """Why this import is not allowed, or None."""
    here, there, top = room_of(item.module), room_of(item.target), item.target.split(".")[0]
    if top in NOWHERE:
        return f"{item}: {top} must never be needed to use AtomLab"
    if here is None:
        return None  # atomlab/__init__.py
    if top in FOREIGN_BANS.get(here, set()):
        return f"{item}: {here} must not import {top}"
    if item.target == f"{PUBLIC}.__version__":
        return None  # a constant
    if top == PUBLIC and there not in ROW_OF:
        # the public names may be used from above (widgets, cli, testing), where nothing below depends on it
        return None if ROW_OF[here] <= ROW_OF["cli"] else f"{item}: a room must import rooms, not the public package"
    if there is None or there == here:
        return None
    if ROW_OF[there] > ROW_OF[here] or (item.module, item.function, there) in UPWARD:
        return None
    return f"{item}: {there} is not below {here}"


def test_every_module_has_a_row() -> None:
    homeless = {room for name, _ in modules() if (room := room_of(name)) and room not in ROW_OF}
    assert not homeless, f"give these rooms a row in ROWS, where the plan of the house puts them: {sorted(homeless)}"


def test_imports_point_down() -> None:
    breaches = [
        text
        for name, path in modules()
        if room_of(name) in ROW_OF or room_of(name) is None
        for item in imports_of(name, path.read_text(encoding="utf-8"), path.name == "__init__.py")
        if (text := breach(item))
    ]
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize(
    ("module", "source", "allowed"),
    [
        ("atomlab.training.loop", "from ..graph import Graph", True),
        ("atomlab.training.loop", "from .losses import huber", True),
        ("atomlab.training.loop", "from ..simulate import md", False),
        ("atomlab.graph", "def f():\n    from .potential import Terms", False),
        ("atomlab.graph", "import atomlab.runs.spec", False),
        ("atomlab.graph", "from . import errors", True),
        ("atomlab.graph", "from atomlab import load", False),
        ("atomlab.graph", "import importlib\nimportlib.import_module('.runs', __package__)", False),
        ("atomlab.graph", "from ase import Atoms", False),
        ("atomlab.units", "from .errors import InputError", False),
        ("atomlab.potential", "class Potential:\n def calculator(self):\n  from .calculator import Calculator", True),
        ("atomlab.potential", "def other():\n    from .calculator import Calculator", False),
        ("atomlab.cli", "import atomlab", True),
        ("atomlab_widgets.panels.map", "def f():\n    import umap", False),
        ("atomlab_widgets.panels.map", "from atomlab.runs import spec", True),
        ("atomlab.architectures.mace", "from e3nn import o3", False),
        ("atomlab.architectures.mace", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import e3nn", True),
    ],
)
def test_the_walker_sees_a_breach(module: str, source: str, allowed: bool) -> None:
    told = [text for item in imports_of(module, source) if (text := breach(item))]
    assert (not told) is allowed, told


def fresh(code: str) -> dict:
    """Run code in a new process; what it prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_import_atomlab_is_light() -> None:
    heavy = ("torch", "ase", "ase.io", "numba", "umap", "sklearn", "scipy", "pandas", "ipywidgets", "atomlab_widgets")
    got = fresh(f"import sys, json, atomlab; print(json.dumps({{n: n in sys.modules for n in {heavy!r}}}))")
    assert not [name for name, there in got.items() if there]


STATE = """
import json, logging, os, random, sys, warnings
import numpy, torch
def state():
    return {
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "dtype": str(torch.get_default_dtype()), "device": str(torch.get_default_device()),
        "deterministic": torch.are_deterministic_algorithms_enabled(), "grad": torch.is_grad_enabled(),
        "jit": torch._C._jit_get_profiling_executor() if hasattr(torch._C, "_jit_get_profiling_executor") else None,
        "seeds": [torch.initial_seed(), hash(random.getstate()), hash(numpy.random.get_state()[1].tobytes())],
        "environ": dict(os.environ), "cwd": os.getcwd(), "path": list(sys.path),
        "warnings": [str(f) for f in warnings.filters], "showwarning": repr(warnings.showwarning),
        "logging": [logging.getLogger().level, len(logging.getLogger().handlers)],
        "numpy": numpy.geterr(), "hook": repr(sys.excepthook),
    }
"""


def test_importing_all_of_it_changes_no_global_state() -> None:
    ours = [name for name, _ in modules() if name.split(".")[0] == PUBLIC and not name.endswith("__main__")]
    # What other packages do on import (numba, sklearn add warning filters) is done before the first look.
    others = ("ase.io", "numba", "scipy.sparse", "sklearn", "vesin", "pydantic", "yaml", "tqdm", "umap")
    code = f"""{STATE}
import importlib
for name in {others!r}:
    importlib.import_module(name)
before = state()
for name in {ours!r}:
    try:
        importlib.import_module(name)
    except Exception:
        pass  # test_names tells of it
after = state()
print(json.dumps({{k: [before[k], after[k]] for k in before if before[k] != after[k]}}))
"""
    assert fresh(code) == {}


def test_the_labs_process_imports_neither_torch_nor_umap() -> None:
    ours = [name for name, _ in modules() if name.startswith("atomlab_widgets")]
    code = f"""
import sys, json, importlib
for name in {ours!r}:
    importlib.import_module(name)
print(json.dumps([n for n in ("torch", "umap", "numba") if n in sys.modules]))
"""
    assert fresh(code) == []
