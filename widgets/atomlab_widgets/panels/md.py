"""MD: start from what is selected, with a finished model; see it move, settle and melt while it is computed."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np

from .. import plots
from ..action import Action, button, html, select, words
from ..frames import SYMBOLS
from ..hub import short
from ..markup import safe
from ..runlog import RunView, thinned
from ..session import Selection
from .base import Panel

# fs per square root of amu: a tenth of the period of a stiff bond of that element (H2 8 fs at 1 amu, heavier: slower)
LIMIT_FS = 1.0
CRYSTALS = ("C", "Si", "Ge", "Cu", "Ni", "Al", "Li", "Mo")


class MDPanel(Panel):
    """Molecular dynamics with the newest fine-tuned model, or the session's."""

    id, title, kind = "md", "MD", "md"
    hidden = ("kind", "model", "structure", "name")
    main = ("ensemble", "temperature", "timestep", "steps")

    def build(self) -> list[ipywidgets.Widget]:
        self.where = Action().on(self.clicked, self.session.report)
        self._model, self._start, self.unfolded = "", "", False
        self.form = self.make_form()
        self.speed = html("", "al-quiet")
        return [self.headline, self.where, self.form, self.buttons, self.note, self.picture, self.speed, self.links]

    def listens(self) -> tuple[str, ...]:
        return ("model", "data", "settings", "tab", "selection")

    # --- what it would do --------------------------------------------------------------------------------------------
    def models(self) -> list[tuple[str, str]]:
        """Finished fine-tunes first, then the base."""
        found = [
            (str(r.path), r.name) for r in self.book.of("finetune", "train") if (r.path / "best.safetensors").is_file()
        ]
        return [*found, (self.session.model, f"{short(self.session.model)} (base)")]

    @property
    def model(self) -> str:
        names = [m for m, _ in self.models()]
        return self._model if self._model in names else names[0]

    def starts(self) -> list[tuple[str, str]]:
        """Where the first positions may come from; the first is taken if nothing is chosen."""
        chosen, source, found = self.session.selection, self.hub.source, []
        run = self.book.get(chosen.source)
        if chosen.source == "dataset" and len(source):
            name = f"{short(self.session.data)} {chosen.frame}"
            found.append((f"{self.session.data}#{chosen.frame}", f"the shown frame ({name})"))
        elif run is not None:
            path = run.path / "trajectory.traj"
            found.append((f"{path}#{chosen.frame}", f"the shown MD frame ({chosen.frame})"))
        if source.columns is not None and np.isfinite(source.columns.energy).any():
            high = (f"{self.session.data}#{self.highest()}", f"the frame highest in energy ({self.highest()})")
            # nobody has pointed at a frame yet: what moves most is the better beginning
            found.insert(0 if chosen == Selection() else len(found), high)
        symbols = [SYMBOLS[z] for z in source.dataset.elements] if source.dataset is not None else []
        if len(symbols) == 1 and symbols[0] in CRYSTALS:
            found.append((f"bulk:{symbols[0]},size=2x2x2", f"a perfect {symbols[0]} crystal"))
        return list(dict(found).items())

    def highest(self) -> int:
        """The frame with the highest energy per atom."""
        columns = self.hub.source.columns
        return int(np.nanargmax(columns.energy)) if columns is not None else 0

    def suggested(self) -> dict[str, tuple[Any, str]]:
        """The temperature that a frame of the data set was made at, where it says so."""
        source, _, frame = self.structure.rpartition("#")
        if source != self.session.data or self.hub.source.dataset is None:
            return {}
        told = self.hub.source.dataset[int(frame)].info.get("temperature")
        why = f"The temperature at which frame {frame} was made"
        return {"temperature": (float(told), why)} if told else {}

    @property
    def structure(self) -> str:
        options = [s for s, _ in self.starts()]
        return self._start if self._start in options else (options[0] if options else "")

    def values(self) -> dict[str, Any]:
        return {"model": self.model, "structure": self.structure, **super().values()}

    def warning(self) -> str:
        """A sentence when the timestep is large for the lightest atom."""
        _, frame = self.hub.frame(
            "dataset", self.session.selection.frame if self.session.selection.source == "dataset" else 0
        )
        if frame is None:
            return ""
        from ase.data import atomic_masses

        lightest = int(min(frame.numbers, key=lambda z: atomic_masses[z]))
        limit = LIMIT_FS * float(np.sqrt(atomic_masses[lightest]))
        step = float(self.setting("timestep") or 0)
        return f"{step:g} fs is long for {SYMBOLS[lightest]}; up to {limit:.1f} fs is usual." if step > limit else ""

    # --- words and buttons -------------------------------------------------------------------------------------------
    def draw(self) -> None:
        run = self.run
        busy = run is not None and run.active
        settled = run is not None and (run.active or bool(run.log.frames["step"]))
        for widget in (self.form, self.where):
            widget.layout.display = "none" if settled and not self.unfolded else ""
        model = safe(dict(self.models())[self.model])
        if busy:
            spec = run.spec
            self.headline.value = (
                f"<b>{safe(run.name)}</b>: {spec.get('ensemble', 'nvt-langevin')} at "
                f"{spec.get('temperature', 300):g} K with {safe(short(str(spec.get('model', ''))))}"
            )
        else:
            self.headline.value = f"<b>{model}</b> moves the atoms; they are seen at the right as they are computed."
        if not settled or self.unfolded:
            self.where.show(
                select("model", "model", self.models(), self.model),
                select("structure", "start from", self.starts(), self.structure),
            )
        self._buttons(run, settled)
        self.note.value = self.progress(run) if settled else safe(self.warning())
        if self.structure:
            self.copy_links("md", self.values())

    def _buttons(self, run: RunView | None, settled: bool) -> None:
        fold = button("settings", "hide settings" if self.unfolded else "settings", "link") if settled else None
        if run is not None and run.active:
            self.buttons.show(
                *self.run_buttons(run),
                button("live", "live", on=self.session.selection.follow, title="stay at the newest frame"),
                fold,
            )
            return
        if not self.structure:
            self.buttons.show(
                words("the data set is being read: its frames are the starting points")
                if self.hub.source.status == "loading"
                else self.goto("data", "choose a data set first", "link")
            )
            return
        done = run is not None and run.state == "done"
        steps = self.setting("steps")
        self.buttons.show(
            self.goto("map", "Where is this on the map?", "primary") if done else None,
            button("start", "Run MD" if not settled else "Run MD again", "plain" if done else "primary"),
            button("resume", "Resume") if run is not None and run.state in ("stopped", "lost", "failed") else None,
            fold,
            words(f"{steps:,} steps; {self.estimate(steps)}".replace(",", " ")) if not done else None,
        )

    def estimate(self, steps: Any) -> str:
        """How long it takes here, from the last run's speed."""
        for run in self.book.of("md"):
            speeds = [v for v in run.log.frames["steps_per_s"] if np.isfinite(v) and v > 0]
            if speeds and steps:
                return f"about {float(steps) / float(np.median(speeds)):.0f} s on this machine"
        return "first run on this machine: its time is measured as it goes"

    # --- picture -----------------------------------------------------------------------------------------------------
    def make_picture(self) -> None:
        self.fig = plots.figure(1, 3, height=220, horizontal_spacing=0.09)
        blue, green = plots.RUNS[0], plots.RUNS[2]
        with self.fig.batch_update():
            dashed = {"color": plots.BASE, "dash": "dash", "width": 1.2}
            traces = (
                plots.line("temperature", blue, showlegend=False),
                plots.line("asked for", "", line=dashed, showlegend=False),
                plots.line("potential", blue),
                plots.line("conserved", green),
                plots.line("g(r)", blue, showlegend=False),
            )
            self.fig.add_traces(traces, rows=[1] * 5, cols=[1, 1, 2, 2, 3])
            for col, (x, y) in enumerate(
                (
                    ("time (ps)", "temperature (K)"),
                    ("time (ps)", "energy (meV/atom)"),
                    ("distance (Å)", "g(r), no unit"),
                ),
                1,
            ):
                self.fig.update_xaxes(title_text=x, row=1, col=col)
                self.fig.update_yaxes(title_text=y, title_standoff=2, row=1, col=col)
            self.fig.update_layout(margin={"l": 52, "r": 8, "t": 20, "b": 40}, legend={"x": 0.36, "font": {"size": 10}})
        plots.keep(self.fig)
        self.picture.children = (self.fig,)

    def draw_picture(self) -> None:
        run = self.run
        self.picture.layout.display = "none" if run is None else ""
        if run is None:
            self.speed.value = "Temperature, energies (from their first value) and the radial distribution appear here."
            return
        f = run.log.frames
        time, temperature, potential, conserved = thinned(
            [f["time_fs"], f["temperature"], f["potential_energy"], f["conserved"]]
        )
        atoms = self._atoms(run)
        x = [t / 1000 for t in time]
        target = float(run.spec.get("temperature", 300.0))
        with self.fig.batch_update():
            t, asked, pot, cons, rdf = self.fig.data
            t.x, t.y = x, temperature
            if x:
                asked.x, asked.y = [x[0], x[-1]], [target, target]
            pot.x, pot.y = x, relative(potential, atoms)
            cons.x, cons.y = x, relative(conserved, atoms)
            cons.visible = bool(np.isfinite(np.array(conserved, dtype=float)).any())
            rdf.x, rdf.y = run.log.rdf.get("r", []), run.log.rdf.get("g", [])
        self.speed.value = self._speed(run)

    def _atoms(self, run: RunView) -> int:
        _, frame = self.hub.frame(run.name, 0)
        return len(frame.numbers) if frame is not None else 1

    def _speed(self, run: RunView) -> str:
        f = run.log.frames
        if not f["step"]:
            return "the first frame is on its way"
        rate, step = f["steps_per_s"][-1], float(run.spec.get("timestep", 2.0))
        speed = f"{rate:.0f} steps/s, {rate * step * 1e-6 * 86400:.2f} ns/day" if np.isfinite(rate) else ""
        pressure = f["pressure"][-1] * 160.21766
        parts = [
            f"step {f['step'][-1]:.0f}",
            f"{f['time_fs'][-1] / 1000:.2f} ps",
            f"<b>{f['temperature'][-1]:.0f} K</b>",
            f"{pressure:.1f} GPa" if np.isfinite(pressure) else "",
            speed,
        ]
        return f"<span class=al-num>{', '.join(p for p in parts if p)}</span>"

    # --- clicks ------------------------------------------------------------------------------------------------------
    def clicked(self, id: str, value: Any) -> None:
        run = self.run
        if id == "start" and (run is None or not run.active):
            self.unfolded = False
            path = self.start("md", self.values())
            if path is not None:
                self.hub.follow(path.name)
        elif id in ("stop", "pause", "resume") and run is not None:
            self.control(run, id)
        elif id == "model":
            self._model = value
        elif id == "structure":
            self._start = value
        elif id == "settings":
            self.unfolded = not self.unfolded
        elif id == "live" and run is not None:
            self.hub.follow(run.name)
        elif id.startswith("goto-"):
            self.session.dispatch("tab", tab=id.removeprefix("goto-"))
        self.refresh()


def relative(energy: list[float], atoms: int) -> list[float]:
    """Energies in eV as meV/atom from the first finite one."""
    values = np.array(energy, dtype=float)
    finite = values[np.isfinite(values)]
    return (1000 * (values - finite[0]) / atoms).tolist() if len(finite) else []
