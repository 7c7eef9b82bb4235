"""What the Fine-tune panel draws: curves, probes, parity and the plan of the runs, and their numbers in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..action import Action, button, guarded, html
from ..markup import safe
from ..runlog import NAN, RunView
from .base import Panel
from .curves import SHOWN, at_equal_time, curves, parity, run_label
from .probed import at_equal_time_probed, probe_words, probed

EMPTY = (
    "The curves appear here: solid for training, dots for validation, dashes for the base model, light grey for the "
    "run from scratch."
)
HIGH = 10.0  # eV/Å, eV/atom: from here on (random weights) thousandths say nothing
HALVES = ([0.0, 0.42], [0.58, 1.0])  # of the width, where two pictures stand side by side


class FinetunePictures(Panel):
    """The lower half of the Fine-tune panel."""

    def build_picture(self) -> None:
        """What is drawn on, and the chips above and the words below it."""
        self._made: Any = None
        self.shown, self.log, self.along = "forces_rmse", True, "epoch"
        self.choices = Action().on(self.clicked, self.session.report)
        self.now = html("", "al-quiet al-now")

    def make_picture(self) -> None:
        self.fig = plots.figure(height=236)
        self.fig.update_xaxes(title_text="epoch", rangemode="tozero")
        self.fig.layout.yaxis.title.text = "force RMSE (eV/Å)"
        self.fig.update_layout(
            xaxis2={"anchor": "y2", "domain": HALVES[1], "rangemode": "tozero", "visible": False},
            yaxis2={"anchor": "x2", "visible": False},
        )
        plots.theme(self.fig, self.hub.dark)
        self.picture.children = (self.fig,)

    def _shown_runs(self) -> list[RunView]:
        wanted = [
            r for r in map(self.book.get, self.session.shown_runs) if r is not None and r.kind in ("finetune", "train")
        ]
        newest = self.run
        return ([newest] if newest is not None and newest not in wanted else []) + wanted

    @property
    def drawn(self) -> str:
        """What is drawn: what was chosen, or the force errors where that is not there (any more)."""
        there = {"parity": self._parity_file(), "plan": self.run and self.run.log.plan["reasons"]}
        return self.shown if there.get(self.shown, True) else "forces_rmse"

    def draw_picture(self) -> None:
        drawn, runs = self.drawn, self._shown_runs()
        self.choices.layout.display = "" if runs else "none"
        self.picture.layout.display = "" if runs and drawn != "plan" else "none"
        self._chips(drawn, runs)
        x = "epoch" if self.along == "epoch" else "training time (s)"
        if drawn == "parity":
            self._set(parity(self._parity_file()), "labelled force (eV/Å)", [("predicted (eV/Å)", False)])
        elif drawn == "probes":
            traces, axes = probed(runs, self.hub.dark, self.along)
            self._set(traces, x, axes)
        elif drawn != "plan":
            name, unit, _ = SHOWN[drawn]
            traces = curves(runs, drawn, self.hub.dark, self.along)
            self._set(traces, x, [(f"{name} ({unit})" if unit else name, self.log)], ceiling(runs, drawn))
        self.now.value = self._words(drawn, runs)

    def _chips(self, drawn: str, runs: list[RunView]) -> None:
        there = {
            "probes": any(r.log.probes for r in runs),
            "parity": self._parity_file() is not None,
            "plan": self.run is not None and bool(self.run.log.plan["reasons"]),
        }
        titles = {
            "probes": "what else happens to the model while its loss falls",
            "parity": "predicted against labelled forces",
            "plan": "what was chosen for this run, and why",
        }
        timed = button("along", "by time", on=self.along == "seconds", title="equal time instead of equal epochs")
        self.choices.show(
            *(button(f"show-{key}", SHOWN[key][0], "plain", on=key == drawn) for key in SHOWN),
            *(button(f"show-{k}", k, on=k == drawn, title=titles[k]) for k in titles if there[k]),
            timed if drawn not in ("parity", "plan") else None,
            button("log", "log scale", on=self.log) if drawn in SHOWN else None,
        )

    def _set(self, traces: list[dict], x: str, axes: list[tuple[str, bool]], highest: float | None = None) -> None:
        """Bring the figure's traces to these: the same ones are updated in place, so that nothing jumps.

        axes: title of the y axis, and whether it is logarithmic, of one picture or of two side by side. highest: where
        the first ends at the latest.
        """
        fig = self.fig
        with fig.batch_update():
            made = [(t["name"], t.get("xaxis")) for t in traces], self.hub.dark
            if self._made != made:
                self._made = made
                fig.data = ()
                fig.add_traces(traces)
                plots.keep(fig)
                if traces and "customdata" in traces[0]:
                    fig.data[0].on_click(guarded(self._clicked_point, self.session.report))
            else:
                for old, new in zip(fig.data, traces):
                    old.x, old.y = new["x"], new["y"]
                    if "text" in new:
                        old.text = new["text"]
            self._set_axes(x, axes)
            _give(self.fig.layout.yaxis.autorangeoptions, clipmax=highest)

    def _set_axes(self, x: str, axes: list[tuple[str, bool]]) -> None:
        layout, two = self.fig.layout, len(axes) > 1
        _give(layout.xaxis, domain=HALVES[0] if two else [0.0, 1.0])
        for n, (down, up) in enumerate(((layout.xaxis, layout.yaxis), (layout.xaxis2, layout.yaxis2))):
            _give(down, visible=n < len(axes))
            _give(up, visible=n < len(axes))
            if n >= len(axes):
                continue
            title, log = axes[n]
            _give(down.title, text=x)
            _give(up.title, text=title)
            kind = "log" if log else "linear"
            if up.type != kind:
                up.type = kind
                up.update(plots.log_ticks() if log else {"tickmode": "auto"})

    # --- parity ------------------------------------------------------------------------------------------------------
    def _parity_file(self) -> Path | None:
        run = self.run
        if run is None or "parity" not in run.log.files:
            return None
        path = run.path / run.log.files["parity"]
        return path if path.is_file() else None

    def _clicked_point(self, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds and trace.customdata is not None:
            frame, atom = trace.customdata[points.point_inds[0]]
            self.session.dispatch("select", source="dataset", frame=int(frame), atoms=[int(atom)])

    # --- words -------------------------------------------------------------------------------------------------------
    def _words(self, drawn: str, runs: list[RunView]) -> str:
        run = self.run
        if run is None:
            return EMPTY
        if drawn == "parity":
            return "Each point is a force component of a validation frame; click one to see its atom."
        if drawn == "plan":
            return plan_words(run)
        together = ""
        if self.along == "seconds":
            together = at_equal_time_probed(runs) if drawn == "probes" else at_equal_time(runs, drawn)
        lines = probe_words(run) if drawn == "probes" else [numbers(run)]
        if len(runs) > 1 and drawn == "probes":
            lines[0] = f"{run_label(run)}: {lines[0]}"
        return "".join(f"<div class=al-num>{safe(line)}</div>" for line in [together, *lines] if line)

    def looked(self, id: str) -> bool:
        """A chip above the picture was pressed; False if it was another button."""
        if id == "log":
            self.log = not self.log
        elif id == "along":
            self.along = "epoch" if self.along == "seconds" else "seconds"
        elif id.startswith("show-"):
            self.shown = id.removeprefix("show-")
        else:
            return False
        return True


def ceiling(runs: list[RunView], name: str) -> float | None:
    """Ten times the largest error of a base: random weights may begin a thousand times higher, which would leave the
    curves that matter a few pixels. None: no base has told this one."""
    errors = [run.log.base.get(name, NAN) for run in runs]
    known = [error for error in errors if np.isfinite(error)]
    return 10 * max(known) if known else None


def _give(part: Any, **values: Any) -> None:
    """Set only what differs: each change of a layout is a message to the page."""
    for name, value in values.items():
        now = part[name]
        if (list(now) if isinstance(now, tuple) else now) != value:
            part[name] = value


def plan_words(run: RunView) -> str:
    """Every choice of the run's plan with its reason."""
    reasons = run.log.plan["reasons"]
    rows = "".join(
        f"<tr><td><b>{safe(k.replace('_', ' '))}</b></td><td>{safe(v)}</td></tr>" for k, v in reasons.items()
    )
    return f"<table class='al-small al-plan'>{rows}</table>"


def numbers(run: RunView) -> str:
    """The newest validation errors of a run, its twin's and the base's."""

    def last(arm: str, name: str) -> float:
        column = (run.log.metrics.get((arm, "valid")) or {}).get(name) or [NAN]
        return column[-1]

    def both(arm: str) -> str:
        force, energy = last(arm, "forces_rmse"), last(arm, "energy_rmse")
        words = [f"{force:.3f} eV/Å" if force < HIGH else f"{force:.0f} eV/Å"] if np.isfinite(force) else []
        if np.isfinite(energy):
            words.append(f"{1000 * energy:.1f} meV/atom" if energy < HIGH else f"{energy:.0f} eV/atom")
        return " and ".join(words)

    base = run.log.base.get("forces_rmse", NAN)
    parts = [
        f"validation: {both('finetune')}" if both("finetune") else "",
        f"from scratch {both('scratch')}" if both("scratch") else "",
        f"base {base:.3f} eV/Å" if np.isfinite(base) else "",
    ]
    return "; ".join(part for part in parts if part)
