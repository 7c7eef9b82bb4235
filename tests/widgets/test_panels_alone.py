"""Panels in cells of their own: the structure stands beside one of them; and the Data panel's split and E0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atomlab.data import read
from atomlab_widgets.hub import hub_of
from atomlab_widgets.panels import DatasetPanel, FinetunePanel, MapPanel, MDPanel, RunsPanel
from atomlab_widgets.session import Session
from atomlab_widgets.view3d import View3D

from . import fake_lab, fake_runs
from .fake_runs import germanium


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(View3D, "load", lambda self: None)  # no nglview here: a browser test draws it
    made = fake_lab.session(tmp_path / "runs")
    hub = hub_of(made)
    hub.source.load("sw-ge").join(20)
    yield made
    hub.book.close()


def test_one_view_stands_beside_the_first_panel_that_has_something_to_show(session: Session) -> None:
    runs, data, md = RunsPanel(session), DatasetPanel(session), MDPanel(session)
    assert [panel.viewer is not None for panel in (runs, data, md)] == [False, True, False]
    assert data.viewer.widget in data.widget.children[1].children
    assert data.width == data.hub.left and md.width == md.hub.width - 34
    assert DatasetPanel(session).viewer is not None, "the same cell, run again"
    assert MDPanel(session, view=True).viewer is not None and DatasetPanel(session, view=False).viewer is None
    session.dispatch("select", source="dataset", frame=4)
    assert "frame 4 of 0–11" in data.viewer.title.value


def test_a_panel_alone_has_no_button_to_a_tab_that_is_not_there(session: Session) -> None:
    fake_runs.write_finetune(session.workspace, 3)
    fake_runs.write_md(session.workspace, 3)
    hub_of(session).book.look()
    for kind in (DatasetPanel, FinetunePanel, MDPanel, MapPanel, RunsPanel):
        panel = kind(session, view=False)
        panel.refresh()
        ids = [item["id"] for item in panel.buttons.items]
        assert not [id for id in ids if id == "use" or id.startswith("goto-")], kind


def test_a_message_can_be_mended_in_a_panel_alone(session: Session) -> None:
    panel = DatasetPanel(session)
    hub_of(session).source._check(hub_of(session).source.dataset, hub_of(session).source._turn)
    message = next(m for m in session.messages if m.key.startswith("data."))
    panel.widget.children[-1].click(message.key, "leave_out")
    assert session.left_out == (11,)


def shown(panel: DatasetPanel) -> str:
    """The tables, when the thread that makes them has ended."""
    import threading

    for thread in threading.enumerate():
        if thread.name == "atomlab-split":
            thread.join(20)
    return panel.about.value


def test_the_data_panel_shows_how_the_set_is_divided_and_its_e0(session: Session) -> None:
    panel = DatasetPanel(session)
    panel.buttons.click("parts")
    text = shown(panel)
    assert panel.picture.layout.display == "none"
    assert "<td>to learn from</td><td class=al-right>11</td><td class=al-right>704</td>" in text
    assert "<td>to measure the error on</td><td class=al-right>1</td>" in text and "Ge <b>-3." in text
    session.dispatch("setting", panel="finetune", values={"train": 6, "valid": 4, "seed": 3})
    text = shown(panel)
    assert "<td>to learn from</td><td class=al-right>6</td>" in text and "seed 3" in text
    assert "<td>not used</td><td class=al-right>2</td>" in text
    session.dispatch("setting", panel="finetune", values={"train": 60})
    assert "more structures than there are" in shown(panel)
    panel.buttons.click("parts")
    assert panel.picture.layout.display == ""


def test_the_split_shown_is_the_one_of_the_run(session: Session) -> None:
    """The mean energy of the learned part, by hand."""
    whole = hub_of(session).source.dataset
    part = whole.split(valid=4, train=6, seed=3).train
    mean = float(np.mean([atoms.info["REF_energy"] / len(atoms) for atoms in part]))
    panel = DatasetPanel(session)
    session.dispatch("setting", panel="finetune", values={"train": 6, "valid": 4, "seed": 3})
    panel.buttons.click("parts")
    assert f"{mean:.3f} ±" in shown(panel)


def test_the_suggested_numbers_are_those_of_the_finetune_panel(session: Session) -> None:
    hub_of(session).source.give("sw-ge", read(germanium(60)))
    hub_of(session).source.load("sw-ge").join(20)
    values = FinetunePanel(session, view=False).values()
    assert (values["train"], values["valid"]) == (10, 40)


def test_brushed_bars_are_the_frames_of_the_table(session: Session) -> None:
    panel = DatasetPanel(session)
    panel.load()
    panel.refresh()
    for k, name in enumerate(("energy", "force", "nearest")):
        bars = panel.fig.data[k]
        for picked in ([0, 1], [len(bars.x) - 1], [2, 3, 4]):
            for other in range(3):  # the page tells all three histograms
                panel._brushed(other, picked if other == k else [])
            assert len(panel.table.order) == sum(bars.y[i] for i in picked), name
    for other in range(3):
        panel._brushed(other, [])
    assert len(panel.table.order) == 12
