"""AtomLab: a laboratory for machine-learned interatomic potentials, from checked data to dynamics.

Importing this imports neither torch nor ASE: every public name is fetched from its room when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> (room, attribute)
_NAMES = {
    "load": ("checkpoint", "load"),
    "save": ("checkpoint", "save"),
    "create": ("architectures", "create"),
    "models": ("listing", "models"),
    "read": ("data", "read"),
    "Dataset": ("data", "Dataset"),
    "evaluate": ("predict", "evaluate"),
    "Potential": ("potential", "Potential"),
    "Sum": ("potential", "Sum"),
    "Terms": ("potential", "Terms"),
    "finetune": ("runs", "finetune"),
    "train": ("runs", "train"),
    "md": ("runs", "md"),
    "map": ("runs", "map"),
    "run": ("runs", "run"),
    "attach": ("runs", "attach"),
    "descriptors": ("analysis", "descriptors"),
    "similarity": ("analysis", "similarity"),
    "InputError": ("errors", "InputError"),
}

__all__ = [*_NAMES, "lab"]


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"atomlab has no '{name}'. It has: {', '.join(__all__)}.")
    room, attribute = _NAMES[name]
    value = getattr(importlib.import_module(f"{__name__}.{room}"), attribute)
    # an import of a submodule may have bound a module to this name meanwhile: the public name wins
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def lab(workspace: str | None = None, **options: Any) -> Any:
    """The Lab: linked panels for data, fine-tuning, MD and maps. Needs the extra `lab`: pip install 'atomlab[lab]'."""
    try:
        from atomlab_widgets import lab as widgets_lab
    except ImportError as error:
        raise ImportError(f"The Lab needs the widget packages: pip install 'atomlab[lab]'. ({error})") from error
    return widgets_lab(workspace=workspace, **options)
