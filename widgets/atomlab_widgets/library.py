"""Plotly's 5 MB of browser code, sent once for all figures of a kernel, and waited for without harm.

A FigureWidget carries the code in its own state: three of them make a reloaded page ask for 15 MB in one message, and
JupyterLab gives up after four seconds ("model not found"). Here one model holds the code, and figures wait for it.

anywidget gives a model two seconds to initialize; one that is later (a slow machine, a page just reloaded) never gets
an update again, without a word. So a figure here is initialized at once, keeps the messages that come before the code
is there, and plays them back then.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Unicode

STATIC = Path(__file__).parent / "static"
_lock = threading.Lock()
_made: dict[str, Any] = {}


class Library(anywidget.AnyWidget):
    """Holds the code; it has nothing to show."""

    _esm = STATIC / "library.js"
    code = Unicode("").tag(sync=True)


def figure_class() -> Any:
    """FigureWidget without the code in every instance; the first call sends the code to the page."""
    with _lock:
        if "class" not in _made:
            import plotly
            import plotly.graph_objects as go

            bundle = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
            _made["library"] = Library(code=bundle.read_text(encoding="utf-8"))
            _made["class"] = type("Figure", (go.FigureWidget,), {"_esm": STATIC / "figure.js"})
        return _made["class"]
