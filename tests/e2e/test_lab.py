"""The Lab in a real browser, on fake runs: what a person sees, clicks and gets back after a reload.

The runs here are written by threads of the kernel (tests/widgets/fake_runs.py), so that these tests say something
about the Lab alone; test_lab_story.py walks the whole way with real ones.
"""

from __future__ import annotations

import json
import statistics
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator

from e2e.harness import LabPage

TESTS = Path(__file__).resolve().parents[1]
CELL = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from widgets import fake_lab, fake_runs
from pathlib import Path
"""


def open_lab(lab: LabPage, *lines: str, pause: float = 0.15) -> None:
    """A notebook of two cells: the imports and what `lines` do first; the Lab."""
    cells = [CELL + "\n".join(lines), f"L = fake_lab.make('runs', pause={pause}, length=400)\nL"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    lab.open_notebook(book)
    lab.run_all()
    lab.wait_for(lab.page.locator(".al-lab"), 30, "the Lab")


def canvas(lab: LabPage) -> Locator:
    return lab.page.locator(".al-view canvas").first


def tab(lab: LabPage, name: str) -> None:
    button = lab.page.locator(f".al-tabs button:has-text('{name}')")
    button.click()
    lab.wait_for(lambda: button.get_attribute("aria-selected") == "true", 10, f"the tab {name}")


def press(lab: LabPage, id: str) -> None:
    lab.page.locator(f"[data-id='{id}']:visible").first.click()


def text(lab: LabPage, css: str) -> str:
    return lab.page.locator(f"{css}:visible").first.inner_text()


def curve_points(lab: LabPage) -> int:
    """Points of the longest curve that the page has drawn."""
    script = """() => { const plot = document.querySelector('.al-finetune .js-plotly-plot');
        return plot && plot.calcdata ? Math.max(0, ...plot.calcdata.map(c => c.length)) : 0; }"""
    return lab.page.evaluate(script)


def legend(lab: LabPage) -> str:
    return lab.page.locator(".al-finetune .legend").text_content() or ""


def to_top(lab: LabPage) -> None:
    """The Lab as a person scrolls it into sight; the page then shows all of it."""
    lab.page.evaluate("() => document.querySelector('.al-lab').scrollIntoView({block: 'end'})")


def test_the_first_screen(lab: LabPage) -> None:
    start = time.monotonic()
    open_lab(lab)
    skeleton = time.monotonic() - start
    page = lab.page
    lab.wait_for(page.locator(".al-data .al-line").first, 30, "rows of the table")
    lab.wait_for("() => document.querySelectorAll('.al-data .bars path').length > 8", 40, "the histograms")
    lab.wait_drawn(canvas(lab), 40)
    lab.report(skeleton_s=round(skeleton, 1), complete_s=round(time.monotonic() - start, 1))
    assert [t.strip() for t in page.locator(".al-tabs button > span:first-child").all_inner_texts()] == [
        "Data",
        "Fine-tune",
        "MD",
        "Map",
        "Runs",
    ]
    to_top(lab)
    lab.screenshot("lab_data")

    # the one warning is real, can be looked at and mended with its button
    message = page.locator(".al-message", has_text="close atom pair")
    lab.wait_for(message, 20, "the data doctor's warning")
    message.get_by_text("show them").click()
    lab.wait_for(page.locator(".al-structure b", has_text="frame 11 of 0–11"), 10, "the frame that is meant")
    message.get_by_text("leave them out").click()
    lab.wait_for(lambda: message.count() == 0, 10, "the warning to go")
    lab.wait_for(page.locator(".al-headline:visible", has_text="11 frames"), 10, "the count to follow")

    # a click in the table shows that frame; the slider too
    page.locator(".al-data .al-line").nth(2).click()
    lab.wait_for(page.locator(".al-structure b", has_text="frame 2 of 0–11"), 10, "the clicked frame")
    page.locator(".al-player input").press("ArrowRight")
    lab.wait_for(page.locator(".al-structure b", has_text="frame 3 of 0–11"), 10, "the next frame")
    assert not sticking_out(lab)


def sticking_out(lab: LabPage) -> list[str]:
    """Elements of the Lab that are wider than what holds them: cut words, hidden buttons."""
    return lab.page.evaluate(
        """() => [...document.querySelectorAll('.al-page, .al-view, .al-session, .al-messages')]
        .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 2).map(e => e.className + ' ' + e.scrollWidth)"""
    )


def test_upload_and_copy(lab: LabPage, tmp_path: Path) -> None:
    open_lab(lab, "from atomlab_widgets.panels import data", "data.UPLOAD_MB = 4")
    page = lab.page
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lab.wait_for(page.locator(".al-data .al-line").first, 30, "rows of the table")
    line = "Ge {0:.6f} 0.0 0.0\n"
    frames = 24000  # about 3 MB: three pieces
    small, large = tmp_path / "mine.extxyz", tmp_path / "large.extxyz"
    small.write_text(
        "".join(
            f'1\nProperties=species:S:1:pos:R:3 pbc="F F F" note={"x" * 60}\n{line.format(k)}' for k in range(frames)
        )
    )
    large.write_bytes(b"x" * 5_000_000)
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(large)
    lab.wait_for(page.locator(".al-message", has_text="at most 4 MB"), 10, "the refusal in words")
    chooser.set_input_files(small)
    lab.wait_for(page.locator(".al-headline:visible", has_text=f"{frames} frames"), 90, "the uploaded file to be read")
    assert (lab.folder / "runs" / "uploads" / "mine.extxyz").read_bytes() == small.read_bytes()
    # only the rows in sight exist in the page, and scrolling brings the others
    assert page.locator(".al-data .al-line").count() < 200
    page.locator(".al-data .al-table").evaluate("t => { t.scrollTop = 15000 * 24; }")
    lab.wait_for(page.locator(".al-data .al-line >> text=/^1500[0-9]$/").first, 10, "rows in the middle")
    tab(lab, "MD")
    press(lab, "copy-command")
    lab.wait_for("() => navigator.clipboard.readText().then(t => t.startsWith('atomlab md'))", 10, "the command")


def test_finetune_grows_answers_and_survives(lab: LabPage) -> None:
    open_lab(lab, pause=0.5)
    page = lab.page
    tab(lab, "Fine-tune")
    lab.wait_for(page.locator("[data-id=start]:visible"), 30, "the button")
    page.locator("[data-id=start]:visible").dblclick()
    begun = time.monotonic()
    lab.wait_for(lambda: curve_points(lab) >= 2, 30, "the first points of the curve")
    lab.report(first_point_s=round(time.monotonic() - begun, 1))
    first = curve_points(lab)
    assert lab.python("print(len(L.hub.client.started))").strip() == "1", "two presses start one run"

    # a slider elsewhere answers while the run goes on: from the key to the new words in the page
    slider, waits = page.locator(".al-player input"), []
    for k in range(9):
        wanted = f"frame {k + 1} of 0–11"
        at = time.monotonic()
        slider.press("ArrowRight")
        lab.wait_for(partial(_says, lab, wanted), 10, wanted)
        waits.append(1000 * (time.monotonic() - at))
    lab.report(slider_ms=round(statistics.median(waits)), slider_worst_ms=round(max(waits)))
    lab.wait_for(lambda: curve_points(lab) > first, 20, "the curve to grow")
    assert "from scratch, training" in legend(lab) and "base model" in legend(lab)
    to_top(lab)
    lab.screenshot("lab_finetune")

    lab.save()
    seen = epoch(lab)
    lab.reload()
    lab.wait_for(page.locator(".al-lab"), 60, "the Lab after a reload")
    lab.wait_for(lambda: epoch(lab) > seen, 30, "the run to have gone on")
    lab.wait_for(lambda: curve_points(lab) > first, 30, "the curve after a reload")
    lab.wait_drawn(canvas(lab), 30)

    # stop, while a cell of the notebook is busy
    page.evaluate(
        "() => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
        ".requestExecute({code: 'import time; t = time.time()\\nwhile time.time() - t < 20: time.sleep(0.01)'}); }"
    )
    at = time.monotonic()
    press(lab, "stop")
    lab.wait_for(page.locator(".al-finetune >> text=/stopped/").first, 10, "the run to stop while a cell runs")
    lab.report(stop_while_a_cell_runs_s=round(time.monotonic() - at, 1))
    assert time.monotonic() - at < 15


def epoch(lab: LabPage) -> int:
    words = lab.page.locator(".al-finetune .al-num >> text=/epoch \\d+ of/").first
    return int(words.inner_text().split()[1]) if words.count() else -1


def test_md_moves_and_the_map_answers(lab: LabPage) -> None:
    open_lab(lab, "md = fake_runs.write_md(Path('runs'), 24)", "fake_runs.write_map(Path('runs'), md)", pause=0.3)
    page = lab.page
    tab(lab, "MD")
    lab.wait_drawn(canvas(lab), 40)
    press(lab, "start")
    counted = "MD frame"
    lab.wait_for(lambda: counted in text(lab, ".al-structure"), 20, "the first frame of the MD")
    first, before = frame(lab), canvas(lab).screenshot()
    lab.wait_for(lambda: frame(lab) >= first + 3, 20, "frames to come")
    lab.wait_for(lambda: canvas(lab).screenshot() != before, 10, "atoms to move on the screen")
    to_top(lab)
    lab.screenshot("lab_md")
    press(lab, "stop")
    lab.wait_for(page.locator(".al-md .al-num:has-text('stopped')"), 10, "the MD to stop")

    tab(lab, "Map")
    plot = page.locator(".al-map canvas").first
    lab.wait_drawn(plot, 40)
    lasso(lab, plot)
    lab.wait_for(page.locator(".al-view", has_text="atoms marked"), 10, "marked atoms in the 3D view")
    lab.wait_for(page.locator(".al-map .al-line").first, 10, "rows of the lassoed points")
    lab.wait_for(lambda: orange(canvas(lab)) > 100, 15, "orange atoms on the canvas")
    code = "s = L.session.selection; print(json.dumps([s.source, s.frame, len(s.atoms), len(L.session.lasso)]))"
    state = json.loads(lab.python(f"import json; {code}"))
    assert state[0] == "md-0001" and state[2] > 0 and state[3] > 20, state
    to_top(lab)
    lab.screenshot("lab_map")
    tab(lab, "Runs")
    lab.wait_for(lambda: page.locator(".al-runs .al-line").count() == 3, 10, "the runs")
    page.locator(".al-runs .al-line", has_text="map-0001").click()
    press(lab, "delete")
    press(lab, "delete-yes")
    lab.wait_for(lambda: page.locator(".al-runs .al-line").count() == 2, 10, "the deleted run to go")
    lab.screenshot("lab_runs")


def frame(lab: LabPage) -> int:
    return int(text(lab, ".al-structure").split()[2])


def lasso(lab: LabPage, plot: Locator) -> None:
    """Round the MD points that lie outside: right half of the plot. The arc stays open (a closed one is a click)."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    corners = [(0.62, 0.1), (0.98, 0.1), (0.98, 0.95), (0.62, 0.95), (0.62, 0.3)]
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    mouse = lab.page.mouse
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=12)
    mouse.up()


def _says(lab: LabPage, words: str) -> bool:
    return words in text(lab, ".al-structure")


def orange(view: Locator) -> int:
    """Pixels in the colour of marked atoms."""
    import io

    import numpy as np
    from PIL import Image

    red, green, blue = np.moveaxis(
        np.asarray(Image.open(io.BytesIO(view.screenshot())).convert("RGB"), dtype=int), 2, 0
    )
    return int(((red > 150) & (green > 60) & (green < 170) & (blue < 70)).sum())


@pytest.mark.parametrize("theme", ["JupyterLab Dark"])
def test_kernel_restart_narrow_and_dark(lab: LabPage, theme: str) -> None:
    open_lab(
        lab,
        "Path('runs').mkdir(exist_ok=True)",
        "if not any(Path('runs').glob('finetune*')): fake_runs.write_finetune(Path('runs'))",
    )
    page = lab.page
    tab(lab, "Fine-tune")
    lab.wait_for(lambda: curve_points(lab) > 20, 40, "the curve of the finished run")
    lab.restart_kernel()
    lab.run_all()
    lab.wait_for(lambda: curve_points(lab) > 20, 40, "the same curve after a restart")
    assert page.locator(".al-tabs [aria-selected=true]").inner_text().startswith("Fine-tune")
    page.evaluate(f"() => window.jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
    lab.wait_for("() => document.body.dataset.jpThemeLight === 'false'", 20, "the dark theme")
    light = "() => getComputedStyle(document.querySelector('.al-finetune .xtick text')).fill === 'rgb(221, 221, 221)'"
    lab.wait_for(light, 20, "light words on the plot")
    to_top(lab)
    lab.screenshot("lab_dark")
    page.set_viewport_size({"width": 900, "height": 1000})
    under = """() => document.querySelector('.al-view').getBoundingClientRect().top
        > document.querySelector('.al-left').getBoundingClientRect().bottom - 4"""
    lab.wait_for(under, 20, "the 3D view under the panel")
    lab.wait_for(lambda: not sticking_out(lab), 10, "nothing to stick out of the narrow Lab")
    lab.screenshot("lab_narrow")
