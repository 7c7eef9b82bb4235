"""The five-minute story with the real worker, model and data, as a new user walks it: one press in each panel.

Order and state are asserted, times are reported (screenshots/report.jsonl).
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

from e2e.harness import LabPage
from e2e.test_lab import canvas, curve_points, frame, lasso, orange, press, sticking_out, tab, text, to_top


def shown(page: Page, css: str) -> str:
    found = page.locator(f"{css}:visible").first
    return found.inner_text() if found.count() else ""


@pytest.mark.timeout(600)
def test_the_story(lab: LabPage, notebooks: Path) -> None:
    page, times = lab.page, {}
    lab.open_notebook(notebooks / "00_start.ipynb")
    # the server keeps the theme that an earlier test has chosen, and these pictures go into the README
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    lab.wait_for("() => document.body.dataset.jpThemeLight === 'true'", 20, "the light theme")
    start = time.monotonic()
    lab.start_all()
    lab.wait_for(page.locator(".al-lab"), 60, "the skeleton")
    times["skeleton_s"] = time.monotonic() - start
    lab.wait_for(page.locator(".al-data .al-line").first, 60, "the table of frames")
    lab.wait_for("() => document.querySelectorAll('.al-data .bars path').length > 8", 60, "the histograms")
    times["plots_s"] = time.monotonic() - start
    lab.wait_drawn(canvas(lab), 60)
    times["complete_s"] = time.monotonic() - start
    to_top(lab)
    lab.screenshot("readme_data")
    press(lab, "use")

    lab.wait_for(page.locator(".al-finetune [data-id=start]:visible"), 30, "the one button")
    assert "atomlab-tiny knows Ge at another level of theory" in shown(page, ".al-headline")
    lab.screenshot("readme_settings")
    begun = time.monotonic()
    press(lab, "start")
    lab.wait_for(lambda: curve_points(lab) >= 2, 90, "the first points")
    times["first_point_s"] = time.monotonic() - begun
    lab.wait_for(lambda: "from scratch" in (page.locator(".al-finetune .legend").text_content() or ""), 60, "the twin")
    lab.wait_for(lambda: curve_points(lab) >= 8, 90, "growing curves")
    to_top(lab)
    lab.screenshot("lab_story_live")
    lab.save()
    lab.reload()
    lab.wait_for(lambda: curve_points(lab) >= 8, 60, "the Lab after a reload in the middle of the run")
    lab.wait_for(page.locator(".al-finetune [data-id=goto-md]:visible"), 300, "the end of the fine-tune")
    times["finetune_s"] = time.monotonic() - begun
    done = text(lab, ".al-finetune .al-num")
    assert "done: force RMSE" in done and "->" in done and "scratch" in done, done
    lab.report(finetune=done)
    to_top(lab)
    lab.screenshot("readme_finetune")

    press(lab, "goto-md")
    lab.wait_for(page.locator(".al-md [data-id=start]:visible"), 30, "the MD's button")
    begun = time.monotonic()
    press(lab, "start")
    lab.wait_for(lambda: "MD frame" in text(lab, ".al-structure"), 60, "the first frame")
    times["first_frame_s"] = time.monotonic() - begun
    first = frame(lab)
    lab.wait_for(lambda: frame(lab) >= first + 5, 60, "more frames")
    lab.wait_for(page.locator(".al-md .js-plotly-plot .lines path").first, 30, "the temperature's curve")
    to_top(lab)
    lab.screenshot("readme_md")
    lab.wait_for(page.locator(".al-md [data-id=goto-map]:visible"), 240, "the end of the MD")
    times["md_s"] = time.monotonic() - begun
    lab.report(md=text(lab, ".al-md .al-num"))

    press(lab, "goto-map")
    lab.wait_for(page.locator(".al-map [data-id=start]:visible"), 30, "the map's button")
    begun = time.monotonic()
    press(lab, "start")
    plot = page.locator(".al-map canvas").first
    lab.wait_drawn(plot, 120)
    times["pca_s"] = time.monotonic() - begun
    lab.wait_for(lambda: page.locator(".al-map select[data-id=projection] option").count() == 2, 300, "the UMAP")
    times["umap_s"] = time.monotonic() - begun
    lab.wait_drawn(plot, 60)
    lasso(lab, plot)
    lab.wait_for(page.locator(".al-map .al-line").first, 20, "the lassoed points in the table")
    lab.wait_for(page.locator(".al-view >> text=/atom/").first, 20, "marked atoms")
    lab.wait_for(lambda: orange(canvas(lab)) > 50, 20, "orange atoms on the canvas")
    to_top(lab)
    lab.screenshot("readme_map")
    tab(lab, "Runs")
    lab.wait_for(lambda: page.locator(".al-runs .al-line").count() == 3, 20, "three runs")
    lab.screenshot("readme_runs")
    assert not sticking_out(lab)
    assert not page.locator(".al-message.al-error").count(), page.locator(".al-messages").inner_text()
    memory = lab.server.memory()
    lab.report(**{k: round(v, 1) for k, v in times.items()}, memory_mb={k[:60]: round(v) for k, v in memory.items()})
