"""The composed Lab: session bar, five tabs, the one 3D view, the messages strip."""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path
from typing import Any

from .action import GAP, Action, box, chip, guarded, select
from .findings import model_files
from .hub import Hub, short
from .messages import messages_of
from .session import Session

SIZE_EVERY = 3.0  # seconds between two looks at the memory


class Lab:
    """What `atomlab.lab()` gives: it shows itself; `.session` and `.panels` are there for scripts and tests.

    The skeleton is drawn first; nglview, plotly and jupyter-scatter are imported in a thread afterwards, so that the
    first picture is there within two seconds.
    """

    def __init__(
        self,
        workspace: str | os.PathLike | None = None,
        session: Session | None = None,
        client: Any = None,
        **initial: Any,
    ):
        from .panels import DatasetPanel, FinetunePanel, HealthPanel, MapPanel, MDPanel, RunsPanel
        from .panels.base import Panel
        from .view3d import View3D

        self.session = session or Session(workspace, **initial)
        self.hub = Hub(self.session, client)
        self.session.resources.append(self.hub)
        self.bar, self.tabs = Action(css="al-session"), Action(kind="tabs")
        self.panels: dict[str, Panel] = {
            p.id: p for p in (kind(self.hub) for kind in (DatasetPanel, FinetunePanel, MDPanel, MapPanel, RunsPanel))
        }
        self.health = HealthPanel(self.hub)
        self.panels[self.health.id] = self.health
        self.view = View3D(self.hub)
        report = self.session.report
        self.bar.on(self._barred, report)
        self.tabs.on(lambda id, value: self.session.dispatch("tab", tab=id), report)
        self.session.watch(("tab",), lambda old, new: self._turn())
        self.session.watch(("model", "data", "left_out"), lambda old, new: self._bar())
        self.hub.book.on(lambda names: self._heads())
        self.hub.source.on(self._arrived)
        self.hub.on_resize(self.view.fit)
        self.hub.on_mount(lambda: self.view.soon(0.5))
        self._loader: threading.Thread | None = None
        left = box(self.tabs, *(p.widget for p in self.panels.values()), css="al-left")
        main = box(left, self.view.widget, css="al-main")
        self.widget = box(self.hub.size, self.bar, main, messages_of(self.hub, self.panels["data"]), css="al-lab")
        self._turn()
        self._bar()
        atexit.register(self.close)

    # --- life --------------------------------------------------------------------------------------------------------
    def start(self) -> Lab:
        """Read runs and data, warm the worker, bring the heavy parts: all in threads."""
        self.hub.book.start()
        self.hub.source.load(self.session.data)
        self._loader = threading.Thread(
            target=guarded(self._load, self.session.report), daemon=True, name="atomlab-lab"
        )
        self._loader.start()
        return self

    def _load(self) -> None:
        report, over = self.session.report, self.hub.book.over
        guarded(self.view.load, report)()
        self.view.shown.wait(2.0)  # importing plotly would hold up what the view has to say
        guarded(self.panels[self.session.tab].load, report)()
        self.complete = True
        guarded(self.hub.client.warm, report)()
        # The others one after the other, while the person looks around; a tab that is opened before is brought at once.
        for panel in self.panels.values():
            if panel.in_tabs and not over.wait(1.5):
                guarded(panel.load, report)()
        rounds = 0
        while not over.wait(SIZE_EVERY):
            guarded(self._bar, report)()
            rounds += 1
            if rounds % 10 == 0:
                guarded(self.hub.client.warm, report)()

    complete = False

    def close(self) -> None:
        """End the threads (runs go on: they are processes of their own)."""
        self.hub.book.close()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    # --- drawing -----------------------------------------------------------------------------------------------------
    def _arrived(self) -> None:
        self.view.refresh(True)
        self._bar()
        self._heads()
        for panel in self.panels.values():
            if panel.visible:
                panel.refresh()

    def _turn(self) -> None:
        for panel in self.panels.values():
            panel.widget.layout.display = "" if panel.visible else "none"
        self._heads()
        panel = self.panels[self.session.tab]
        panel.refresh()
        if self._loader is not None:
            threading.Thread(target=guarded(panel.load, self.session.report), daemon=True).start()

    def _heads(self) -> None:
        items = []
        for panel in self.panels.values():
            if not (panel.in_tabs or panel.visible):
                continue
            text, state = panel.badge()
            items.append(
                {
                    "id": panel.id,
                    "label": panel.title,
                    "on": panel.visible,
                    "badge": text,
                    "state": state,
                    "title": f"{panel.title} {text}".strip(),
                }
            )
        self.tabs.items = items
        self._bar()

    def _bar(self) -> None:
        model, source = self.session.model, self.hub.source
        names = list(
            dict.fromkeys(
                [
                    *self.hub.client.models(),
                    model,
                    *(
                        str(r.path)
                        for r in self.hub.book.of("finetune", "train")
                        if (r.path / "best.safetensors").is_file()
                    ),
                    *model_files(self.session.workspace),
                ]
            )
        )
        sets = list(dict.fromkeys([*self.hub.client.datasets(), self.session.data]))
        runs = self.hub.book.of()
        active = sum(r.active for r in runs)
        frames = f"{len(source) - len(self.session.left_out)} frames" if source.status == "ready" else source.status
        self.bar.show(
            select("model", "model", [(n, short(n)) for n in names], model, "the base of a fine-tune"),
            self.health.chip(),
            select("data", "data", [(n, short(n)) for n in sets], self.session.data),
            chip(f"<b>{frames}</b>"),
            GAP,
            chip(f"{threads()} CPU threads"),
            chip(memory(), "this notebook's kernel and its worker, of what the machine allows"),
            chip(f"<b>{len(runs)}</b> runs, {active} active"),
        )

    def _barred(self, id: str, value: Any) -> None:
        if id in ("model", "data"):
            self.session.dispatch(id, **{id: value})
        elif id == "health":
            self.session.dispatch("tab", tab="check")


def threads() -> int:
    """CPU threads that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> str:
    """Memory in use and allowed, in GB; what the system does not tell is left out."""
    try:
        used = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (OSError, ValueError, AttributeError):
        return "memory unknown"
    total = None
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = int(Path(place).read_text()) / 1e9
            break
        except (OSError, ValueError):
            continue
    if total is None or total > 1e5:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"memory <b>{used:.1f}</b> of {total:.0f} GB"


def lab(workspace: str | os.PathLike | None = None, session: Session | None = None, **initial: Any) -> Lab:
    """The Lab on a workspace (default: ATOMLAB_WORKSPACE or ./atomlab-runs). `model=`, `data=`: what to begin with."""
    return Lab(workspace, session, **initial).start()


__all__ = ["Lab", "lab"]
