"""What all panels have: a headline in words, a form, one primary button, progress, the two copy links."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..action import Action, box, button, copies, guarded, html, words
from ..form import Form, Look, fields
from ..hub import Hub, hub_of
from ..markup import bar, safe
from ..messages import messages_of
from ..runlog import RunView
from ..session import Session, State

if TYPE_CHECKING:
    from ..view3d import View3D

WAITS = {
    "none": "the worker is being started; it imports torch, which takes some seconds",
    "starting": "the worker is starting; it imports torch, which takes some seconds",
    "ready": "the worker takes it up",
}


class Panel:
    """One tab. `widget` is what is shown; `load()` brings the heavy parts (plotly ...) once the skeleton is there."""

    id = title = ""
    kind = ""  # of the runs that it starts
    in_tabs = True  # False: its tab is there only while it is open
    with_view = True  # in a cell of its own: the structure stands beside it

    def __init__(self, session: Session | Hub | None = None, view: bool | None = None):
        """session: a shared one, or a new one. view: whether the 3D view stands beside a panel in a cell of its own;
        by default beside the first panel of a session that has something to show (one view serves all of them)."""
        self.alone = not isinstance(session, Hub)
        self.hub = hub_of(session)
        self.viewer: View3D | None = self._viewer(view) if self.alone else None
        self.session, self.book = self.hub.session, self.hub.book
        self.headline = html("", "al-headline")
        self.note = html("", "al-quiet")
        self.picture = ipywidgets.VBox([html("<div class=al-skeleton>loading the plots</div>")])
        self.buttons, self.links = Action(), Action()
        self.form: Form | None = None
        self.fig: Any = None
        self._starting = threading.Lock()
        self._loaded, self._loading = False, threading.Lock()
        self._drawn: Any = None
        self.buttons.on(self.clicked, self.session.report)
        self.links.on(self.clicked, self.session.report)
        self.page = box(*self.build(), css=f"al-page al-{self.id}")
        self.widget = self._frame() if self.alone else self.page
        self.session.watch(self.listens(), guarded(self._on_state, self.session.report))
        self.book.on(self._on_runs)
        self.hub.on_resize(self._on_resize)
        if self.alone:
            self._alone()

    # --- to be filled in ---------------------------------------------------------------------------------------------
    def build(self) -> list[ipywidgets.Widget]:
        """The widgets of the panel, top to bottom."""
        raise TypeError(f"{type(self).__name__} must say what it consists of: write `build`")

    def make_picture(self) -> None:
        """Heavy parts: import plotly, make the figure, put it into `self.picture`."""

    def listens(self) -> tuple[str, ...]:
        """Parts of the state on which the panel depends."""
        return ("model", "data", "settings")

    def draw(self) -> None:
        """Words, buttons, form: cheap, at every change."""

    def draw_picture(self) -> None:
        """The figure: only while the panel is in sight."""

    def clicked(self, id: str, value: Any) -> None:
        """A button was pressed."""

    def badge(self) -> tuple[str, str]:
        """What the tab says beside its name: (text, state)."""
        run = self.run
        if run is None:
            return "", ""
        if run.active:
            return (f"{100 * run.fraction:.0f} %" if run.fraction is not None else run.state), "running"
        return {"done": ("✓", "done"), "failed": ("!", "failed"), "lost": ("!", "attention")}.get(run.state, ("", ""))

    # --- common ------------------------------------------------------------------------------------------------------
    @property
    def visible(self) -> bool:
        return self.alone or self.session.tab == self.id

    @property
    def run(self) -> RunView | None:
        """The run that the panel is about: the newest of its kind."""
        return self.book.newest(self.kind) if self.kind else None

    def load(self) -> None:
        """Bring the heavy parts; done once."""
        with self._loading:
            if self._loaded:
                return
            self.make_picture()
            self._loaded = True
            self._on_resize()
        self.refresh()

    def refresh(self) -> None:
        """Draw everything that is in sight."""
        self.update_form()
        self.draw()
        self.note.layout.display = "" if self.note.value else "none"
        if self.visible and self._loaded:
            self.draw_picture()

    def _on_state(self, old: State, new: State) -> None:
        if self.visible:
            self.refresh()

    def _on_runs(self, names: set[str]) -> None:
        # Twice a second is what a browser draws without effort; the last change is drawn by the next round.
        if self.visible and self.concerns(names):
            self.refresh()

    def concerns(self, names: set[str]) -> bool:
        """Whether a change of these runs matters here."""
        return any(run is None or run.kind == self.kind for run in map(self.book.get, names))

    def _on_resize(self) -> None:
        if self.fig is not None:
            from .. import plots

            plots.resize(self.fig, self.width)
            if self._drawn_dark != self.hub.dark:
                self._drawn_dark = self.hub.dark
                plots.theme(self.fig, self.hub.dark)

    _drawn_dark = False

    @property
    def width(self) -> int:
        """Width in px that the panel has."""
        return self.hub.left if not self.alone or self.viewer is not None else self.hub.width - 34

    # --- in a cell of its own ----------------------------------------------------------------------------------------
    def _viewer(self, wanted: bool | None) -> View3D | None:
        if wanted is None:
            wanted = self.with_view and self.hub.viewed_by in ("", self.id)  # the same cell may be run again
        if not wanted:
            return None
        from ..view3d import View3D

        self.hub.viewed_by = self.id
        return View3D(self.hub)

    def _frame(self) -> ipywidgets.Widget:
        inside = self.page
        if self.viewer is not None:
            inside = box(box(self.page, css="al-left"), self.viewer.widget, css="al-main")
        own = self if hasattr(self, "on_message") else None
        return box(self.hub.size, inside, messages_of(self.hub, own), css="al-alone")

    def _alone(self) -> None:
        """A panel in a cell of its own brings its heavy parts by itself and reads what it needs."""
        if self.viewer is not None:
            self.hub.source.on(partial(self.viewer.refresh, True))
            self.hub.on_resize(self.viewer.fit)
            self.hub.on_mount(partial(self.viewer.soon, 0.5))
        self.book.start()
        if not self.hub.source.name:
            self.hub.source.load(self.session.data)
        self.refresh()
        threading.Thread(target=guarded(self._bring, self.session.report), daemon=True).start()

    def _bring(self) -> None:
        if self.viewer is not None:
            guarded(self.viewer.load, self.session.report)()
            self.viewer.shown.wait(2.0)  # importing plotly would hold up what the view has to say
            self.viewer.refresh(True)
        self.load()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    # --- form and start ----------------------------------------------------------------------------------------------
    hidden: tuple[str, ...] = ()  # settings that other parts of the panel give
    labels: dict[str, str] = {}  # plainer words than the settings' own names
    main: tuple[str, ...] = ()  # settings in sight; empty: those that the task marks

    def suggested(self) -> dict[str, tuple[Any, str]]:
        """Setting -> (value, why): a better start than the task's own default."""
        return {}

    def make_form(self) -> Form:
        """The panel's form; what a person changes goes into the session."""
        self.schema = self.hub.client.schema(self.kind)
        form = Form(fields=self._fields())
        known = {f["name"] for f in form.fields}
        form.values = {k: v for k, v in self.session.settings.get(self.id, {}).items() if k in known}

        def changed(change: Any) -> None:
            if change.new != self.session.settings.get(self.id, {}):
                self.session.dispatch("setting", panel=self.id, values=change.new)

        form.observe(guarded(changed, self.session.report), "values")
        return form

    def _fields(self) -> list[dict]:
        return fields(self.schema, self.look(), self.suggested())

    def look(self) -> Look:
        """Which settings are in sight, and in which words."""
        return Look(self.main, (), self.hidden, self.labels, known={"data": self.hub.client.datasets()})

    def update_form(self) -> None:
        """Bring suggestions up to date (model, data) and take settings that came from elsewhere (fork)."""
        if self.form is None:
            return
        new = self._fields()
        if new != self.form.fields:
            self.form.fields = new
        wanted = dict(self.session.settings.get(self.id, {}))
        if wanted != self.form.values:
            self.form.values = wanted

    def setting(self, name: str) -> Any:
        """The value of a setting, its default included."""
        assert self.form is not None
        default = next((f["default"] for f in self.form.fields if f["name"] == name), None)
        return self.form.values.get(name, default)

    def values(self) -> dict[str, Any]:
        """The settings of the run that the button would start."""
        assert self.form is not None
        return {name: value for name, (value, _) in self.suggested().items()} | dict(self.form.values)

    def start(self, kind: str, values: Mapping[str, Any]) -> Any:
        """Start one run, however often and fast the button was pressed."""
        if not self._starting.acquire(blocking=False):
            return None
        try:
            path = self.hub.client.start(kind, values)
            self.session.dispatch("overlay", run=path.name)
            self.book.sync()  # from here on it is active, and a second press finds it so
            return path
        finally:
            self._starting.release()

    def control(self, run: RunView, what: str) -> None:
        """Stop, pause, resume."""
        getattr(self.hub.client, what)(run.path)
        self.book.sync()

    def run_buttons(self, run: RunView) -> list[dict]:
        """What a running run can be asked."""
        first = button("resume", "Resume") if run.state == "paused" else button("pause", "Pause")
        return [first, button("stop", "Stop", title="keeps what was made")]

    def goto(self, tab: str, label: str, kind: str = "link") -> dict | None:
        """A button to another tab. A panel in a cell of its own has none: there are words, and no next step."""
        if not self.alone:
            return button(f"goto-{tab}", label, kind)
        return words(label) if kind == "link" else None

    def progress(self, run: RunView) -> str:
        """Bar, words and time left; of one that waits, what it waits for."""
        if run.state == "queued":
            worker = self.hub.client.worker()
            return f"<span class=al-num>{safe(WAITS.get(worker, f'waits until {worker} has ended'))}</span>{bar(0.0)}"
        return f"<span class=al-num>{safe(run.sentence())}</span>{bar(run.fraction or 0.0) if run.active else ''}"

    def copy_links(self, kind: str, values: Mapping[str, Any], *more: dict) -> None:
        """The two copy links (and what stands beside them)."""
        self.links.show(*more, *copies(self.hub.client.command(kind, values), self.hub.client.python(kind, values)))

    def took(self) -> str:
        """How long the last finished run of this kind took here: measured, not guessed."""
        for run in self.book.of(self.kind):
            seconds = run.log.result.get("seconds") or (run.log.result.get("metrics") or {}).get("seconds")
            if run.state == "done" and seconds:
                return f"the last one took {seconds:.0f} s on this machine"
        return "first run on this machine: its time is measured as it goes"
