"""Plotly's 5 MB of browser code, sent once for all figures of a kernel.

A FigureWidget carries the code in its own state. Three of them make a reloaded page ask for 15 MB in one message, and
JupyterLab gives up after four seconds: "model not found". Here one model holds the code, and figures wait for it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Unicode

LOAD = """
function load(model) {
  if (globalThis.atomlabPlotly) return;
  const url = URL.createObjectURL(new Blob([model.get("code")], { type: "text/javascript" }));
  globalThis.atomlabPlotly = import(url);
}
export default { initialize: ({ model }) => load(model), render: ({ model }) => load(model) };
"""
WAIT = """
export default async () => {
  while (!globalThis.atomlabPlotly) await new Promise((next) => setTimeout(next, 50));
  const made = (await globalThis.atomlabPlotly).default;
  return typeof made === "function" ? await made() : made;
};
"""
_lock = threading.Lock()
_made: dict[str, Any] = {}


class Library(anywidget.AnyWidget):
    """Holds the code; it has nothing to show."""

    _esm = LOAD
    code = Unicode("").tag(sync=True)


def figure_class() -> Any:
    """FigureWidget without the code in every instance; the first call sends the code to the page."""
    with _lock:
        if "class" not in _made:
            import plotly
            import plotly.graph_objects as go

            bundle = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
            _made["library"] = Library(code=bundle.read_text(encoding="utf-8"))
            _made["class"] = type("Figure", (go.FigureWidget,), {"_esm": WAIT})
        return _made["class"]
