"""Fine-tune: three cards in words, at most five settings, one button; curves that grow, the scratch twin in grey."""

from __future__ import annotations

from typing import Any

import ipywidgets

from atomlab.errors import AtomLabError

from ..action import button, html, words
from ..form import Look, sentence
from ..frames import SYMBOLS
from ..hub import short
from ..markup import cards, safe
from ..runlog import RunView
from .dataset_words import suggested_split
from .finetune_picture import FinetunePictures
from .strategies import HINTS, LABELS, OWN, RATES, TITLES, WORDS, folds, foreign, missing


class FinetunePanel(FinetunePictures):
    """From a base model to one for the session's data."""

    id, title, kind = "finetune", "Fine-tune", "finetune"
    hidden = ("kind", "model", "data", "name", "left_out")
    labels = {"train": "learn from", "valid": "validate on", "scratch_twin": "scratch run"} | LABELS
    main = ("strategy", "effort", "train", "valid", "scratch_twin")

    def build(self) -> list[ipywidgets.Widget]:
        self.cards = html("")
        self._levels: dict[tuple[str, str], tuple[str, str]] = {}
        self.form = self.make_form()
        self.unfolded = False
        self.build_picture()
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

    @property
    def strategy(self) -> str:
        """The chosen strategy, or the one that fits."""
        own = self.session.settings.get(self.id, {})
        return own.get("strategy") or self.suggested().get("strategy", ("naive", ""))[0]

    def look(self) -> Look:
        name, every = self.strategy, self.hub.client.datasets()
        hidden = {*self.hidden, *foreign(name, self.schema)}
        return Look(self.main, OWN[name], hidden, self.labels, WORDS, HINTS, folds(self.schema), {"data": every})

    def values(self) -> dict[str, Any]:
        own = {n: v for n, v in super().values().items() if n not in foreign(self.strategy, self.schema)}
        values = {"model": self.session.model, "data": self.session.data, **own}
        return values | ({"left_out": list(self.session.left_out)} if self.session.left_out else {})

    def suggested(self) -> dict[str, tuple[Any, str]]:
        """The strategy that fits model and data, and for the embedded pair the numbers of the transfer paper."""
        found: dict[str, tuple[Any, str]] = {}
        new, model = self._new_elements(), short(self.session.model)
        if ground := self.hub.ground():
            found["replay"] = (ground, f"{model} has learned from it")
        if new:
            found["strategy"] = ("transfer", f"{model} has never seen {' and '.join(new)}")
        elif other := self._other_level():
            found["strategy"] = ("naive", other)
        own = self.session.settings.get(self.id, {}).get("strategy")
        if rate := RATES.get((model, own or found.get("strategy", ("naive", ""))[0])):
            found["learning_rate"] = rate
        found |= suggested_split(self.session.data, len(self.hub.source))
        found["scratch_twin"] = (True, "Seen beside it, the run from scratch shows what the base is worth")
        return found

    def _new_elements(self) -> list[str]:
        return [SYMBOLS[z] for z in self.hub.unknown_elements()]

    def _other_level(self) -> str:
        """A sentence where the base has learned another level of theory than the data set is of."""
        names, source = (self.session.model, self.session.data), self.hub.source
        if names not in self._levels:
            try:
                self._levels[names] = self.hub.client.levels(*names)
            except (AtomLabError, OSError):  # said when a run is started with it
                self._levels[names] = ("", "")
        theirs, ours = self._levels[names]
        if not (theirs and ours) or theirs == ours or source.dataset is None or not self.hub.known_elements():
            return ""
        known = " and ".join(SYMBOLS[z] for z in source.dataset.elements)
        return (
            f"{short(names[0])} knows {known} at another level of theory ({theirs}; {short(names[1])}: {ours}): its "
            "errors begin high, and the energies of single atoms (E0) are fitted anew"
        )

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
                title = safe(TITLES[run.spec.get("strategy", "naive")][0])
                self.headline.value = f"<b>{safe(run.name)}</b>: {model} has learned from {data} ({title})."
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
        title, what = TITLES[self.strategy]
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
                else self.goto("data", "choose a data set first", "link")
            )
            self.buttons.show(place, fold)
            return
        label = "Fine-tune" if not settled else "Fine-tune again"
        more = (
            [button("resume", "Resume", title="go on where it ended")]
            if run is not None and run.state in ("stopped", "lost", "failed")
            else []
        )
        next_step = self.goto("md", "Run MD with it", "primary") if run is not None and run.state == "done" else None
        lacking = missing(
            self.strategy, short(self.session.model), short(self.session.data), self._new_elements(),
            self.setting("replay"),
        )  # fmt: skip
        start = lacking or [button("start", label, "plain" if next_step else "primary")]
        told = words(self.took()) if not (next_step or lacking) else None
        self.buttons.show(next_step, *start, *more, fold, told)

    def _told(self, run: RunView) -> str:
        reasons, values = run.log.plan["reasons"], run.log.plan["values"]
        if "learning_rate" in reasons:
            value, why = f"{values.get('learning_rate', '')}", str(reasons["learning_rate"])
            given = RATES.get((short(str(run.spec.get("model", ""))), run.spec.get("strategy", "naive")))
            if given and given[0] == values.get("learning_rate"):  # nobody has set it: it was suggested
                return f"learning rate {value}: {given[1][0].lower()}{given[1][1:]}."
            return f"learning rate {why if value and value in why else f'{value}, {why}'}"
        return f"{short(str(run.spec.get('model', '')))} learns from {short(str(run.spec.get('data', '')))}"

    def _set_values(self, **values: Any) -> None:
        now = dict(self.session.settings.get(self.id, {}))
        self.session.dispatch("setting", panel=self.id, values=now | values)

    # --- clicks ------------------------------------------------------------------------------------------------------
    def clicked(self, id: str, value: Any) -> None:
        run = self.run
        if self.looked(id):
            pass
        elif id == "start" and (run is None or not run.active):
            self.unfolded = False
            self.start("finetune", self.values())
        elif id in ("stop", "pause", "resume") and run is not None:
            self.control(run, id)
        elif id == "take-transfer":
            self._set_values(strategy="transfer")
        elif id == "replay-own":
            self._set_values(replay=self.session.data, replay_labels="base")
        elif id == "settings":
            self.unfolded = not self.unfolded
        elif id.startswith("goto-"):
            self.session.dispatch("tab", tab=id.removeprefix("goto-"))
        self.refresh()


def count(value: float | None) -> str:
    """10 or 10 %: a number of structures, or a share of them."""
    value = value or 0
    return f"{value:g}" if value >= 1 or value == 0 else f"{100 * value:g} %"
