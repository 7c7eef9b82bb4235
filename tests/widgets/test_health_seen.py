"""The health view without a browser: findings as they come, their curves, the periodic table, which run is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from atomlab_widgets.findings import counted, curve, model_files, periodic_table, place, said, same_model
from atomlab_widgets.runlog import Log, fold
from atomlab_widgets.screen import Lab

from . import fake_lab, fake_runs
from .fake_runs import Writer
from .test_runs_seen import items, until


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.chdir(tmp_path)
    made = fake_lab.make(tmp_path / "runs", pause=0.01, start=False)
    made.hub.source.load("sw-ge").join(20)
    yield made
    made.close()


def test_the_chip_opens_the_view_and_the_tab_goes_with_it(lab: Lab) -> None:
    assert "check" not in [i["id"] for i in lab.tabs.items]
    assert next(i for i in lab.bar.items if i["id"] == "health")["label"] == "health"
    lab.bar.click("health")
    assert lab.session.tab == "check" and [i["id"] for i in lab.tabs.items][-1] == "check"
    lab.tabs.click("md")
    assert "check" not in [i["id"] for i in lab.tabs.items]


def test_findings_are_shown_as_they_come(lab: Lab) -> None:
    panel = lab.panels["check"]
    lab.bar.click("health")
    writer = Writer(lab.session.workspace, {"kind": "check", "model": "atomlab-tiny"})
    writer.event("finding", name="forces", status="pass", text="forces are <right>", value=1e-9, limit=1e-5, curve={})
    writer.event("progress", done=1, total=13, unit="check", left_s=None, text="forces")
    until(lab, lambda: panel.table.count == 1)
    assert "✓ passed" in panel.table.window["rows"][0]["cells"][0]
    assert "Forces are &lt;right&gt;" in panel.detail.value and "stop" in items(panel.buttons)
    assert "1 of 13" in next(i for i in lab.bar.items if i["id"] == "health")["label"]
    writer.event("finding", name="stress", status="fail", text="wrong", value=1.0, limit=1e-5, curve={})
    writer.end(text="1 of 2")
    until(lab, lambda: "1 failed" in panel.headline.value)
    # the first failure is told unless something was clicked
    assert "✗ failed" in panel.detail.value
    panel.table.picked = {"id": 0, "n": 1}
    assert "right" in panel.detail.value


def test_one_press_one_check_and_a_result_for_the_sessions_model_only(lab: Lab) -> None:
    panel = lab.panels["check"]
    lab.bar.click("health")
    panel.buttons.click("start")
    panel.buttons.click("start")
    until(lab, lambda: panel.run is not None and panel.run.state == "done")
    assert lab.hub.client.started == [("check", {"model": "atomlab-tiny"})]
    assert panel.headline.value.endswith("3 passed, 1 failed, 1 not claimed.")
    assert "✗ 1" in next(i for i in lab.bar.items if i["id"] == "health")["label"]
    assert panel.badge() == ("✗ 1", "failed")
    # another model: nothing is known about it, and the button asks again
    lab.session.dispatch("model", model="other.safetensors")
    assert panel.run is None and next(i for i in lab.bar.items if i["id"] == "health")["label"] == "health"
    assert panel.values()["model"] == "other.safetensors" and "primary" in [i["kind"] for i in panel.buttons.items]
    # opened from the runs, its model comes with it
    lab.panels["runs"].open(lab.hub.book.newest("check"))
    assert lab.session.model == "atomlab-tiny" and lab.session.tab == "check"


def test_stopped_in_the_middle_keeps_what_was_found(lab: Lab) -> None:
    lab.hub.client.pause_s = 0.3
    panel = lab.panels["check"]
    lab.bar.click("health")
    panel.buttons.click("start")
    until(lab, lambda: panel.table.count >= 1)
    panel.buttons.click("stop")
    until(lab, lambda: panel.run.state == "stopped")
    assert 1 <= panel.table.count < 5 and "of 5 checks" in panel.headline.value and "stopped" in panel.headline.value


def test_dimers_are_drawn_and_a_clicked_findings_own_curve(lab: Lab) -> None:
    fake_runs.write_check(lab.session.workspace)
    lab.hub.book.sync()
    lab.bar.click("health")
    panel = lab.panels["check"]
    panel.load()
    assert [t.name for t in panel.fig.data] == ["SiSi dimer"] and "Å" in panel.fig.layout.xaxis.title.text
    panel.table.picked = {"id": 1, "n": 1}
    assert list(panel.fig.data[0].x) == [2, 4, 8] and "meV/atom" in panel.fig.layout.yaxis.title.text
    assert panel.elements.value.count("class=al-on") == 2


def test_a_file_in_the_workspace_or_beside_the_notebook_can_be_chosen(lab: Lab, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "models", lab.session.workspace):
        folder.mkdir(exist_ok=True)
        (folder / f"in-{folder.name}.safetensors").write_bytes(b"")
    lab._bar()
    options = next(i for i in lab.bar.items if i["id"] == "model")["options"]
    assert {label for _, label in options} >= {
        "in-models.safetensors",
        "in-runs.safetensors",
        f"in-{tmp_path.name}.safetensors",
    }
    assert len(model_files(lab.session.workspace)) == 3
    lab.bar.click("model", str(tmp_path / "models" / "in-models.safetensors"))
    assert lab.session.model.endswith("in-models.safetensors")


def test_a_resumed_check_says_a_thing_once() -> None:
    log = Log()
    for status in ("pass", "fail"):
        fold(log, {"kind": "finding", "name": "forces", "status": status, "text": ""})
    assert [f["status"] for f in log.findings] == ["fail"]


def test_every_element_has_its_place() -> None:
    places = {z: place(z) for z in range(1, 104)}
    assert len(set(places.values())) == 103
    assert [places[z] for z in (1, 2, 14, 32, 57, 72, 86, 103)] == [
        (1, 1), (1, 18), (3, 14), (4, 14), (8, 4), (6, 4), (6, 18), (9, 18),
    ]  # fmt: skip
    assert "covers 1 elements: Ge" in periodic_table([32]) and "not known" in periodic_table(())


def test_words_and_curves_of_what_is_odd() -> None:
    assert same_model(str(Path("m.safetensors").absolute()), "m.safetensors") and not same_model("a", "b")
    assert counted([{"status": "pass"}]) == "1 passed, 0 failed"
    assert "✗ failed" in said({"name": "forces", "status": "fail", "text": ""})
    assert curve(None) is None and curve({"name": "speed", "curve": {}}) is None
    broken = curve({"name": "dimers", "curve": {"GeGe": {"r": [1.0, 2.0], "e": [float("nan"), None]}}})
    assert broken is not None and (broken.low, broken.high) == (-0.7, 3.0)
    squeezed = curve({"name": "compression", "curve": {"crystal": {"scale": [0.6, 1.0], "e": [None, -3.0]}}})
    assert squeezed is not None and squeezed.lines["crystal"][1][1] == 0.0
