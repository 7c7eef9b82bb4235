"""Honest fine-tuning with the real worker: what a person sees of the probes, and two strategies at equal time.

Silicon is forgotten while germanium is learned: the loss falls, the errors on silicon rise, and the Lab says so. The
second run replays silicon, which is chosen and set in the panel.
"""

from __future__ import annotations

import re

import nbformat
import pytest

from atomlab.runs.directory import read_spec
from e2e.harness import LabPage
from e2e.test_lab import press, sticking_out, text, to_top

# short runs, in which the probes may take more than their usual share, so that each is made several times
SETTINGS = {
    "epochs": 16, "train": 6, "valid": 4, "scratch_twin": False, "learning_rate": 0.02, "energy_stage": 0.0,
    "probe_share": 0.5,
}  # fmt: skip
CELL = f"import atomlab\n\nL = atomlab.lab(model='si-base', tab='finetune', settings={{'finetune': {SETTINGS!r}}})\nL"
FORGOTTEN = "error on other tasks"
DRAWN = """name => { const plot = document.querySelector('.al-finetune .js-plotly-plot');
    const trace = plot && plot._fullData && plot._fullData.find(t => t.name.startsWith(name));
    return trace ? Array.from(trace.y) : []; }"""
# the legend must not lie on the curves, and no picture may be squeezed to nothing
CLEAR = """() => { const plot = document.querySelector('.al-finetune .js-plotly-plot'), size = plot._fullLayout._size;
    const legend = plot.querySelector('.legend').getBoundingClientRect();
    return size.h > 80 && legend.bottom <= plot.getBoundingClientRect().top + size.t + 4; }"""


def open_lab(lab: LabPage) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    lab.open_notebook(book)
    lab.run_all()
    lab.wait_for(lab.page.locator(".al-finetune [data-id=start]:visible"), 60, "the one button")


def give(lab: LabPage, name: str, value: str) -> None:
    """Type a setting, or choose it from its list."""
    field = lab.page.locator(f".al-finetune [data-name={name}]:visible")
    if field.evaluate("f => f.tagName") == "SELECT":
        field.select_option(label=value)
    else:
        field.fill(value)
        field.press("Tab")


def drawn(lab: LabPage, name: str) -> list[float]:
    """The values of the first trace of that name, as the page draws it."""
    return lab.page.evaluate(DRAWN, name)


def ended(lab: LabPage, run: str) -> None:
    lab.wait_for(lambda: run in text(lab, ".al-headline"), 60, f"{run} to begin")
    lab.wait_for(lab.page.locator(".al-finetune [data-id=goto-md]:visible"), 120, f"{run} to end")


def axis_titles(lab: LabPage) -> str:
    found = lab.page.locator(".al-finetune .g-xtitle, .al-finetune .g-ytitle, .al-finetune .g-y2title")
    return " | ".join(found.all_text_contents())


@pytest.mark.timeout(300)
def test_probes_beside_the_loss_and_two_strategies_at_equal_time(lab: LabPage) -> None:
    page = lab.page
    page.set_default_timeout(90_000)
    open_lab(lab)
    page.locator("[data-fold='watch other properties']:visible").click()
    give(lab, "probe_tasks", "sw-si#0:3")
    give(lab, "probe_md", "20")
    give(lab, "probe_structure", "bulk:Si")
    to_top(lab)
    lab.screenshot("lab_probe_settings")
    press(lab, "start")

    # the probes' curves grow beside the loss
    lab.wait_for(page.locator(".al-finetune [data-id=show-probes]:visible"), 120, "the first probe")
    press(lab, "show-probes")
    lab.wait_for(lambda: drawn(lab, FORGOTTEN), 60, "the error on other tasks")
    first = len(drawn(lab, FORGOTTEN))
    lab.wait_for(lambda: len(drawn(lab, FORGOTTEN)) > first, 60, "a longer curve of it")
    ended(lab, "finetune-0001")
    assert min(drawn(lab, FORGOTTEN)) > 1.25, "silicon is forgotten"
    assert drawn(lab, "lattice constant") and drawn(lab, "stable MD steps")
    titles = axis_titles(lab)
    assert "epoch" in titles and "error / base's error" in titles and "change from base (%)" in titles
    lab.wait_for(CLEAR, 10, "a legend beside the curves")
    words = text(lab, ".al-now")
    assert re.search(r"Probes took \d+ % of the time \(at most 50 %\)", words), words
    assert "of 20 steps" in words and "Å (base" in words and re.search(r"forces ×\d", words), words
    warning = page.locator(".al-message.al-warning", has_text="Other tasks, sw-si: errors")
    lab.wait_for(warning, 20, "the warning in words")
    said = warning.inner_text()
    assert "The validation loss fell from" in said and "but not everything got better" in said
    to_top(lab)
    lab.screenshot("lab_probes")

    # replay, chosen and set in the panel; its data are suggested
    press(lab, "settings")
    give(lab, "strategy", "replay")
    lab.wait_for(page.locator("[data-name=replay]:visible"), 30, "the fields of replay")
    assert page.locator("[data-name=replay]:visible").input_value() == "sw-si"
    assert not page.locator(".al-finetune [data-name=parents]:visible").count()
    give(lab, "replay_count", "8")
    give(lab, "replay_method", "at random")
    to_top(lab)
    lab.screenshot("lab_replay_settings")
    press(lab, "start")
    ended(lab, "finetune-0002")
    (folder,) = (lab.folder / "atomlab-runs").glob("finetune-0002*")
    spec = read_spec(folder)
    assert (spec["strategy"], spec["replay"], spec["replay_count"], spec["replay_method"]) == (
        "replay", "sw-si", 8, "random",
    )  # fmt: skip

    # both runs at equal time: what was forgotten, and the errors
    press(lab, "along")
    lab.wait_for(lambda: "training time (s)" in axis_titles(lab), 20, "the axis in seconds")
    lab.wait_for(lambda: "of training each: 2 replay ×" in text(lab, ".al-now"), 20, "the comparison in words")
    lab.wait_for(CLEAR, 10, "a legend beside the curves of two runs")
    assert drawn(lab, f"{FORGOTTEN}, 2 replay")[-1] < drawn(lab, f"{FORGOTTEN}, 1 transfer")[-1]
    to_top(lab)
    lab.screenshot("lab_by_time")
    press(lab, "show-forces_rmse")
    lab.wait_for(lambda: "force RMSE (eV/Å)" in axis_titles(lab), 20, "the force errors")
    lab.wait_for(lambda: "eV/Å, 1 transfer" in text(lab, ".al-now"), 20, "both errors in words")
    press(lab, "show-plan")
    lab.wait_for(page.locator(".al-plan:visible", has_text="oversample"), 20, "the plan with its reasons")
    lab.screenshot("lab_plan")
    assert not sticking_out(lab)
    assert not page.locator(".al-message.al-error").count(), page.locator(".al-messages").inner_text()
