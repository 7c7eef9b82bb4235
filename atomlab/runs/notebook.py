"""Opening JupyterLab on the start notebook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from ..errors import InputError

__all__ = ["open_lab", "start_notebook"]

NAME = "00_start.ipynb"


def start_notebook(folder: Path) -> Path:
    """notebooks/00_start.ipynb or 00_start.ipynb in `folder`; written if neither is there."""
    for path in (folder / "notebooks" / NAME, folder / NAME):
        if path.is_file():
            return path
    path = folder / NAME
    path.write_text(json.dumps(_content(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _content() -> dict:
    text = "# AtomLab\n\nRun the cell below (Shift + Enter): the Lab opens beneath it."
    code = "import atomlab\n\natomlab.lab()"
    return {
        "cells": [
            {"cell_type": "markdown", "id": "welcome", "metadata": {}, "source": text.splitlines(keepends=True)},
            {
                "cell_type": "code", "id": "lab", "metadata": {}, "execution_count": None, "outputs": [],
                "source": code.splitlines(keepends=True),
            },
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip


def open_lab(folder: Path, workspace: str | None, options: list[str]) -> int:
    """Start JupyterLab and stay until it ends; its exit status."""
    if find_spec("jupyterlab") is None or find_spec("ipywidgets") is None:
        raise InputError("The Lab needs JupyterLab and the widget packages", mend="pip install 'atomlab[lab]'")
    environment = dict(os.environ)
    if workspace:
        environment["ATOMLAB_WORKSPACE"] = str(Path(workspace).absolute())
    command = [sys.executable, "-m", "jupyterlab", str(start_notebook(folder)), *options]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container root is all there is
    return subprocess.call(command, env=environment)
