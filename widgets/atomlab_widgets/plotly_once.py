"""Plotly's 5 MB of browser code, sent once for all figures of a kernel, and waited for without harm.

A FigureWidget carries the code in its own state: three of them make a reloaded page ask for 15 MB in one message, and
JupyterLab gives up after four seconds ("model not found"). Here one model holds the code, and figures wait for it.

anywidget gives a model two seconds to initialize; one that is later (a slow machine, a page just reloaded) never gets
an update again, without a word; and what is sent before a page listens is lost. So a figure here is initialized at
once, asks for its present state, keeps the messages that come after that, and plays them back when the code is there.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Dict, Int, Unicode

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
            _made["class"] = _figure(go.FigureWidget)
        return _made["class"]


def _figure(base: type) -> type:
    class Figure(base):  # type: ignore[misc, valid-type]
        """A FigureWidget that answers a page's question for its present state."""

        _esm = STATIC / "figure.js"
        _asked = Int(0).tag(sync=True)
        _told = Dict().tag(sync=True)

        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            self.observe(self._tell, "_asked")
            if self._asked:  # the page was faster than the rest of this figure's making
                self._tell()

        def _tell(self, change: Any = None) -> None:
            self._trait_values.update(_widget_data=self._data, _widget_layout=self._layout)
            self.send_state(["_widget_data", "_widget_layout"])
            # the page drops the messages up to these: they are in the state already
            self._told = {
                "question": self._asked,
                "traces": self._last_trace_edit_id,
                "layout": self._last_layout_edit_id,
            }

    return Figure
