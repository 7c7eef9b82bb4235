"""Fine-tune: three cards in words, at most five settings, one button; curves that grow, the scratch twin in grey."""

from __future__ import annotations

from typing import Any

import ipywidgets
import numpy as np

from .. import plots
from ..action import Action, button, guarded, html, words
from ..form import sentence
from ..frames import SYMBOLS
from ..hub import short
from ..markup import cards, safe
from ..runlog import NAN, RunView
from .base import Panel
from .curves import SHOWN, curves, parity, probed

STRATEGIES = {
    "naive": ("go on training", "All weights of the base go on learning from the new frames."),
    "transfer": ("element transfer", "New elements start from their nearest known relative; then all weights learn."),
    "replay": ("replay", "A new head learns the new frames; data of the base's kind keep the old head as it is."),
    "lora": ("low-rank additions", "The base's matrices stay; small additions learn, and are merged in the end."),
    "atomft": ("bounded correction", "The base stays as it is; a bounded correction per atom learns on top of it."),
    "scratch": ("from scratch", "Random weights; nothing of the base is used."),
}


class FinetunePanel(Panel):
    """From a base model to one for the session's data."""

    id, title, kind = "finetune", "Fine-tune", "finetune"
    hidden = ("kind", "model", "data", "name", "left_out")
    labels = {"train": "learn from", "valid": "validate on", "scratch_twin": "scratch run"}
    main = ("strategy", "effort", "train", "valid", "scratch_twin")

    def build(self) -> list[ipywidgets.Widget]:
        self.cards = html("")
        self.form = self.make_form()
        self._made: Any = None
        self.shown, self.log, self.unfolded, self.along = "forces_rmse", True, False, "epoch"
        self.choices = Action().on(self.clicked, self.session.report)
        self.now = html("", "al-quiet al-now")
        return [
            self.headline,
            self.cards,
            self.form,
            self.buttons,
            self.note,
            self.choices,
            self.picture,
            self.now,
            self.links,
        ]

    def listens(self) -> tuple[str, ...]:
        return ("model", "data", "settings", "tab", "shown_runs", "left_out")

    def values(self) -> dict[str, Any]:
        values = {"model": self.session.model, "data": self.session.data, **super().values()}
        return values | ({"left_out": list(self.session.left_out)} if self.session.left_out else {})

    def suggested(self) -> dict[str, tuple[Any, str]]:
        """The strategy that fits model and data, and for the embedded pair the numbers of the transfer paper."""
        found: dict[str, tuple[Any, str]] = {}
        new = [SYMBOLS[z] for z in self.hub.unknown_elements()]
        if new:
            found["strategy"] = ("transfer", f"{short(self.session.model)} has never seen {' and '.join(new)}")
        if self.session.data == "sw-ge" and len(self.hub.source) >= 50:
            found["train"] = (10, "Ten structures show what a base model is worth (Si to Ge transfer paper)")
            found["valid"] = (40, "Forty others measure the error well enough")
        found["scratch_twin"] = (True, "Seen beside it, the run from scratch shows what the base is worth")
        return found

    # --- words and buttons -------------------------------------------------------------------------------------------
    def draw(self) -> None:
        run = self.run
        settled = run is not None and bool(run.active or run.log.metrics)
        if run is not None and run.active:
            self.headline.value = f"<b>{safe(run.name)}</b>: {safe(self._told(run))}"
        else:
            model, data = safe(short(self.session.model)), safe(short(self.session.data))
            if run is not None and settled:
                model, data = (safe(short(str(run.spec.get(k, "")))) for k in ("model", "data"))
                self.headline.value = f"<b>{safe(run.name)}</b>: {model} has learned from {data}."
            else:
                why = sentence(self.suggested().get("strategy", ("", ""))[1])
                self.headline.value = f"<b>{model}</b> learns from <b>{data}</b>. {safe(why)}"
        self._cards()
        for widget in (self.form, self.cards):
            widget.layout.display = "none" if settled and not self.unfolded else ""
        self._buttons(run, settled)
        self.note.value = self.progress(run) if run is not None else ""
        self.copy_links("finetune", self.values())

    def _cards(self) -> None:
        source, left = self.hub.source, len(self.session.left_out)
        title, what = STRATEGIES.get(self.setting("strategy"), (self.setting("strategy"), ""))
        ready = source.status == "ready"
        frames = f"{len(source) - left} frames" if ready else source.status
        train, valid = self.setting("train"), self.setting("valid")
        parts = f"; {count(train) if train else 'the others'} to learn from, {count(valid)} to measure the error on"
        base = "the base model; its error on the new data is the dashed line"
        items = [(short(self.session.model), base), (short(self.session.data), frames + parts), (title, what)]
        self.cards.value = cards(items)

    def _buttons(self, run: RunView | None, settled: bool) -> None:
        source = self.hub.source
        fold = button("settings", "hide settings" if self.unfolded else "settings", "link") if settled else None
        if run is not None and run.active:
            self.buttons.show(*self.run_buttons(run), fold)
            return
        if source.status != "ready":
            place = (
                words("the data set is being read")
                if source.status == "loading"
                else button("goto-data", "choose a data set first", "link")
            )
            self.buttons.show(place, fold)
            return
        label = "Fine-tune" if not settled else "Fine-tune again"
        more = (
            [button("resume", "Resume", title="go on where it ended")]
            if run is not None and run.state in ("stopped", "lost", "failed")
            else []
        )
        next_step = [button("goto-md", "Run MD with it", "primary")] if run is not None and run.state == "done" else []
        primary = button("start", label, "plain" if next_step else "primary")
        self.buttons.show(*next_step, primary, *more, fold, words(self.took()) if not next_step else None)

    def _told(self, run: RunView) -> str:
        reasons, values = run.log.plan["reasons"], run.log.plan["values"]
        if "learning_rate" in reasons:
            value, why = f"{values.get('learning_rate', '')}", str(reasons["learning_rate"])
            return f"learning rate {why if value and value in why else f'{value}, {why}'}"
        return f"{short(str(run.spec.get('model', '')))} learns from {short(str(run.spec.get('data', '')))}"

    # --- picture -----------------------------------------------------------------------------------------------------
    def make_picture(self) -> None:
        self.fig = plots.figure(height=236)
        self.fig.update_xaxes(title_text="epoch", rangemode="tozero")
        self.fig.layout.yaxis.title.text = "force RMSE (eV/Å)"
        self.picture.children = (self.fig,)

    def _shown_runs(self) -> list[RunView]:
        wanted = [
            r for r in map(self.book.get, self.session.shown_runs) if r is not None and r.kind in ("finetune", "train")
        ]
        newest = self.run
        return ([newest] if newest is not None and newest not in wanted else []) + wanted

    def draw_picture(self) -> None:
        at_parity, runs = self.shown_parity(), self._shown_runs()
        at_probes = self.shown == "probes" and not at_parity
        for widget in (self.picture, self.choices):
            widget.layout.display = "" if runs else "none"
        self.choices.show(
            *(button(f"show-{key}", SHOWN[key][0], "plain", on=key == self.shown and not at_parity) for key in SHOWN),
            button("show-probes", "probes", on=at_probes) if any(r.log.probes for r in runs) else None,
            button("show-parity", "parity", on=at_parity) if self._parity_file() else None,
            button("along", "by time", on=self.along == "seconds", title="equal wall time instead of equal epochs")
            if not at_parity
            else None,
            button("log", "log scale", on=self.log) if not (at_parity or at_probes) else None,
        )
        x = "epoch" if self.along == "epoch" else "training time (s)"
        if at_parity:
            self._set(parity(self._parity_file()), "labelled force (eV/Å)", "predicted (eV/Å)", log=False)
        elif at_probes:
            self._set(probed(runs, self.hub.dark, self.along), x, "multiple of the base's", log=False)
        else:
            name, unit, _ = SHOWN[self.shown]
            traces = curves(runs, self.shown, self.hub.dark, self.along)
            self._set(traces, x, f"{name} ({unit})" if unit else name, self.log)
        self._say_now(at_parity, at_probes)

    def _set(self, traces: list[dict], x: str, y: str, log: bool) -> None:
        """Bring the figure's traces to these: the same ones are updated in place, so that nothing jumps."""
        fig, kind = self.fig, "log" if log else "linear"
        with fig.batch_update():
            made = [t["name"] for t in traces], self.hub.dark
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
            if fig.layout.xaxis.title.text != x:
                fig.layout.xaxis.title.text = x
            if fig.layout.yaxis.title.text != y:
                fig.layout.yaxis.title.text = y
            if fig.layout.yaxis.type != kind:
                fig.layout.yaxis.type = kind
                fig.layout.yaxis.update(plots.log_ticks() if log else {"tickmode": "auto"})

    # --- parity ------------------------------------------------------------------------------------------------------
    def shown_parity(self) -> bool:
        return getattr(self, "_parity", False) and self._parity_file() is not None

    def _parity_file(self) -> Any:
        run = self.run
        if run is None or "parity" not in run.log.files:
            return None
        path = run.path / run.log.files["parity"]
        return path if path.is_file() else None

    def _clicked_point(self, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds and trace.customdata is not None:
            frame, atom = trace.customdata[points.point_inds[0]]
            self.session.dispatch("select", source="dataset", frame=int(frame), atoms=[int(atom)])

    def _say_now(self, parity: bool, probes: bool) -> None:
        run = self.run
        if run is None:
            self.now.value = (
                "The curves appear here: solid for training, dots for validation, "
                "dashes for the base model, light grey for the run from scratch."
            )
            return
        if parity:
            self.now.value = "Each point is a force component of a validation frame; click one to see its atom."
            return
        if probes:
            self.now.value = f"<span class=al-num>{safe(probe_words(run))}</span>"
            return

        def last(arm: str, name: str) -> float:
            column = (run.log.metrics.get((arm, "valid")) or {}).get(name) or [NAN]
            return column[-1]

        def both(arm: str) -> str:
            force, energy = last(arm, "forces_rmse"), last(arm, "energy_rmse")
            words = [f"<b>{force:.3f}</b> eV/Å"] if np.isfinite(force) else []
            return " and ".join(words + ([f"<b>{1000 * energy:.1f}</b> meV/atom"] if np.isfinite(energy) else []))

        base = run.log.base.get("forces_rmse", NAN)
        parts = [
            f"validation: {both('finetune')}" if both("finetune") else "",
            f"from scratch {both('scratch')}" if both("scratch") else "",
        ]
        parts.append(f"base {base:.3f} eV/Å" if np.isfinite(base) else "")
        self.now.value = f"<span class=al-num>{'; '.join(p for p in parts if p)}</span>"

    # --- clicks ------------------------------------------------------------------------------------------------------
    def clicked(self, id: str, value: Any) -> None:
        run = self.run
        if id == "start" and (run is None or not run.active):
            self.unfolded = False
            self._parity = False
            self.start("finetune", self.values())
        elif id in ("stop", "pause", "resume") and run is not None:
            self.control(run, id)
        elif id == "settings":
            self.unfolded = not self.unfolded
        elif id == "log":
            self.log = not self.log
        elif id == "along":
            self.along = "epoch" if self.along == "seconds" else "seconds"
        elif id == "show-parity":
            self._parity = True
        elif id.startswith("show-"):
            self._parity, self.shown = False, id.removeprefix("show-")
        elif id.startswith("goto-"):
            self.session.dispatch("tab", tab=id.removeprefix("goto-"))
        self.refresh()


def probe_words(run: RunView) -> str:
    """The newest value of every probe, and what all of them cost."""
    rows = [rows[-1] for rows in run.log.probes.values()]
    if not rows:
        return "This run has no probes."
    share = max(row["share"] for row in rows if row["share"] is not None)
    return f"{'; '.join(row['text'] for row in rows)}. Probes took {100 * share:.0f} % of the time."


def count(value: float | None) -> str:
    """10 or 10 %: a number of structures, or a share of them."""
    value = value or 0
    return f"{value:g}" if value >= 1 or value == 0 else f"{100 * value:g} %"
