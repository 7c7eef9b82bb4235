"""What a browser test does with a page: open a notebook, run it, wait for something, look at its pixels.

Nothing here sleeps for a guessed time: every wait names what it waits for and fails, with a picture, when it
does not come.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
from PIL import Image
from playwright.sync_api import BrowserContext, Error, Locator, Page

from e2e.server import JupyterServer

SCREENSHOTS = Path(__file__).parent / "screenshots"
LOCAL = {"127.0.0.1", "localhost", "::1"}
POLL = 50  # milliseconds

# The notebook in front, as JupyterLab's own objects.
_PANEL = "window.jupyterapp.shell.currentWidget"
_READY = f"""() => {{
    const panel = window.jupyterapp && {_PANEL};
    if (!panel || !panel.content || !panel.content.widgets || !panel.context.isReady) return false;
    const kernel = panel.sessionContext.session && panel.sessionContext.session.kernel;
    return Boolean(kernel) && kernel.connectionStatus === 'connected' && !panel.sessionContext.isRestarting
        && panel.sessionContext.kernelDisplayStatus !== 'initializing' && kernel.status === 'idle';
}}"""
_CELL_ERRORS = f"""() => {_PANEL}.content.widgets.flatMap((cell, i) => {{
    const outputs = cell.model.outputs ? cell.model.outputs.toJSON() : [];
    return outputs.filter(o => o.output_type === 'error')
        .map(o => `cell ${{i}}: ${{o.ename}}: ${{o.evalue}}\\n${{o.traceback.join('\\n')}}`);
}})"""
_EXECUTE = f"""code => {{
    const answer = {{done: false, text: '', error: null}};
    const future = {_PANEL}.sessionContext.session.kernel.requestExecute({{code, store_history: false}});
    future.onIOPub = m => {{
        if (m.header.msg_type === 'stream') answer.text += m.content.text;
        if (m.header.msg_type === 'error') answer.error = m.content.traceback.join('\\n');
    }};
    future.done.then(() => answer.done = true, e => {{ answer.error = String(e); answer.done = true; }});
    window.__answer = answer;
}}"""


class Guard:
    """Notes all that a page asks for; asking for anything outside this machine is a failure."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[str] = []
        self.outside: list[str] = []
        self.console: list[str] = []
        self._excused: dict[str, str] = {}
        context.on("request", lambda request: self.note(request.url))
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("websocket", lambda socket: self.note(socket.url))
        page.on("console", lambda m: self.console.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.console.append(str(error)))

    def note(self, url: str) -> None:
        self.requests.append(url)
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname not in LOCAL:
            self.outside.append(url)

    def excuse(self, host: str, because: str) -> None:
        """A request to this host (which is blocked in any case) is another program's and known."""
        self._excused[host] = because

    def check(self) -> None:
        bad = [url for url in self.outside if urlsplit(url).hostname not in self._excused]
        assert not bad, f"the page asked for {len(bad)} addresses outside this machine: {bad[:5]}"


@dataclass(frozen=True)
class CanvasStats:
    colours: int  # different colours, after rounding to 5 bits a channel
    background: float  # share of the commonest colour
    size: tuple[int, int]

    @property
    def drawn(self) -> bool:
        """Something is to be seen: not one flat colour, not a single thin line."""
        return self.colours >= 8 and self.background < 0.995


def stats_of(png: bytes) -> CanvasStats:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    pixels = image.point(lambda value: value & 0xF8).tobytes()
    counts = Counter(pixels[k : k + 3] for k in range(0, len(pixels), 3))
    return CanvasStats(len(counts), counts.most_common(1)[0][1] * 3 / len(pixels), image.size)


class LabPage:
    """One browser page on the server, with a folder of its own there."""

    def __init__(self, page: Page, server: JupyterServer, folder: str, guard: Guard) -> None:
        self.page, self.server, self.guard = page, server, guard
        self.folder = server.root / folder
        self.folder.mkdir()

    # -- going somewhere ------------------------------------------------------------------------------

    def open_notebook(self, source: Path | nbformat.NotebookNode, timeout: float = 60) -> None:
        """Copy the notebook into the page's folder, open it in JupyterLab, wait until its kernel answers."""
        where = self._place(source).relative_to(self.server.root).as_posix()
        self.page.goto(f"{self.server.url}lab/workspaces/{self.folder.name}/tree/{where}")
        self.wait_ready(timeout)
        # The file browser takes 300 px that a laptop does not have.
        self.page.evaluate("window.jupyterapp.shell.collapseLeft()")

    def open_voila(self, source: Path | nbformat.NotebookNode) -> None:
        """The same notebook as a page without code. It appears at once; wait for what it shows."""
        self.guard.excuse("cdn.jsdelivr.net", "Voila's own template asks for an icon font")
        self.guard.excuse("cdnjs.cloudflare.com", "Voila's own template asks for MathJax")
        where = self._place(source).relative_to(self.server.root).as_posix()
        self.page.goto(f"{self.server.url}voila/render/{where}", timeout=120_000)

    def _place(self, source: Path | nbformat.NotebookNode) -> Path:
        if isinstance(source, Path):
            return Path(shutil.copy(source, self.folder / source.name))
        target = self.folder / "test.ipynb"
        nbformat.write(source, target)
        return target

    def wait_ready(self, timeout: float = 60) -> None:
        self.wait_for("() => window.jupyterapp !== undefined", timeout, "JupyterLab's page")
        self.page.evaluate("() => window.jupyterapp.restored.then(() => true)")
        self.wait_for(_READY, timeout, "the notebook and its kernel")

    def save(self) -> None:
        self.page.evaluate(f"() => {_PANEL}.context.save().then(() => true)")

    def reload(self, timeout: float = 60) -> None:
        """As a person does it: what the kernel does goes on, the page is drawn anew."""
        self.page.reload()
        self.wait_ready(timeout)

    def restart_kernel(self, timeout: float = 60) -> None:
        self.page.evaluate(f"() => {_PANEL}.sessionContext.restartKernel().then(() => true)")
        self.wait_ready(timeout)

    # -- running --------------------------------------------------------------------------------------

    def start_all(self) -> None:
        """Start all cells and return; `cells_done` tells when they are."""
        self.page.evaluate(
            """() => { window.__ran = false;
            window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => window.__ran = true); }"""
        )

    def cells_done(self) -> bool:
        # The kernel's status says 'idle' while a cell still runs (subshells); the command's promise does not.
        return bool(self.page.evaluate("() => window.__ran === true"))

    def run_all(self, timeout: float = 120) -> None:
        """Run all cells, wait for the last one's own reply, fail on an error in any."""
        self.start_all()
        self.wait_for(self.cells_done, timeout, "the cells to finish")
        errors = self.page.evaluate(_CELL_ERRORS)
        assert not errors, "\n".join(errors)

    def python(self, code: str, timeout: float = 30) -> str:
        """Run code in the notebook's kernel (not in a cell); what it prints."""
        self.page.evaluate(_EXECUTE, code)
        self.wait_for("() => window.__answer.done", timeout, f"the kernel to run {code[:60]!r}")
        answer = self.page.evaluate("() => window.__answer")
        assert answer["error"] is None, answer["error"]
        return answer["text"]

    # -- waiting and looking --------------------------------------------------------------------------

    def wait_for(self, predicate: Callable[[], Any] | str | Locator, timeout: float = 30, what: str = "") -> Any:
        """The first true value of a Python function, a JavaScript function, or a locator that is visible."""
        if isinstance(predicate, str):
            ask: Callable[[], Any] = lambda: self.page.evaluate(predicate)  # noqa: E731
        else:
            ask = predicate.is_visible if isinstance(predicate, Locator) else predicate
        end, trouble = time.monotonic() + timeout, ""
        while True:
            try:
                if value := ask():
                    return value
            except Error as error:  # the page is being drawn anew
                trouble = f" ({error.message.splitlines()[0]})"
            if time.monotonic() > end:
                name = what or str(predicate)
                picture = self.screenshot("timeout_" + self.folder.name)
                raise AssertionError(f"waited {timeout:g} s in vain for {name}{trouble}; see {picture}")
            self.page.wait_for_timeout(POLL)

    def canvas_stats(self, canvas: Locator) -> CanvasStats:
        """Colours and share of background of what is really on the screen there."""
        canvas.scroll_into_view_if_needed()
        return stats_of(canvas.screenshot())

    def wait_drawn(self, canvas: Locator, timeout: float = 30) -> CanvasStats:
        self.wait_for(canvas, timeout, "the canvas")
        self.wait_for(lambda: self.canvas_stats(canvas).drawn, timeout, "something drawn on the canvas")
        return self.canvas_stats(canvas)

    def screenshot(self, name: str) -> Path:
        """Into tests/e2e/screenshots; a name that begins with readme_ is one for the README (`make images`)."""
        SCREENSHOTS.mkdir(exist_ok=True)
        target = SCREENSHOTS / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)}.png"
        self.page.screenshot(path=target)
        return target

    def report(self, **values: Any) -> None:
        """Numbers that are told, not asserted (times, memory): one line each in screenshots/report.jsonl."""
        SCREENSHOTS.mkdir(exist_ok=True)
        line = json.dumps({"test": self.folder.name, **values})
        print(line)
        with (SCREENSHOTS / "report.jsonl").open("a") as file:
            file.write(line + "\n")
