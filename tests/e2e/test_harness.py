"""The harness itself: that it sees what is there, and fails when it should."""

from __future__ import annotations

import nbformat
import pytest

from e2e.harness import Guard, LabPage, stats_of

SLIDER = """
import ipywidgets as w
slider, label = w.IntSlider(value=3, description='n'), w.Label('n is 3')
slider.observe(lambda change: setattr(label, 'value', f'n is {change.new}'), 'value')
display(slider, label)
"""
CANVAS = """
from IPython.display import HTML
HTML('''<canvas id="flat" width="200" height="100"></canvas><canvas id="full" width="200" height="100"></canvas>
<script>const g = document.getElementById('full').getContext('2d');
for (let i = 0; i < 200; i++) { g.fillStyle = `hsl(${2 * i}, 80%, 50%)`; g.fillRect(i, 0, 1, 100); }</script>''')
"""


def notebook(*cells: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )


def test_a_slider_moves_python_and_python_moves_the_page(lab: LabPage) -> None:
    lab.open_notebook(notebook(SLIDER))
    lab.run_all()
    handle = lab.page.locator(".noUi-handle")
    lab.wait_for(handle, what="the slider")
    handle.press("ArrowRight")
    lab.wait_for(lab.page.get_by_text("n is 4", exact=True), what="the label to follow")
    assert lab.python("print(slider.value)").strip() == "4"
    lab.save()
    lab.reload()
    lab.wait_for(lab.page.get_by_text("n is 4", exact=True), what="the label after a reload")
    assert lab.screenshot("harness_slider").stat().st_size > 5_000


def test_pixels_tell_a_drawn_canvas_from_a_flat_one(lab: LabPage) -> None:
    lab.open_notebook(notebook(CANVAS))
    lab.run_all()
    assert lab.wait_drawn(lab.page.locator("#full")).colours > 50
    flat = lab.canvas_stats(lab.page.locator("#flat"))
    assert not flat.drawn
    assert abs(flat.size[0] - 200) <= 1  # an element may start at half a pixel


def test_webgl_draws_here(lab: LabPage) -> None:
    lab.page.set_content("<canvas id='c' width='64' height='64'></canvas>")
    drawn = lab.page.evaluate(
        """() => { const gl = document.getElementById('c').getContext('webgl2', {preserveDrawingBuffer: true});
        if (!gl) return false; gl.clearColor(1, 0, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT); return true; }"""
    )
    assert drawn, "no WebGL2: the 3D views cannot be tested with this browser"
    assert stats_of(lab.page.locator("#c").screenshot()).background > 0.99


def test_an_error_in_a_cell_fails_the_run(lab: LabPage) -> None:
    lab.open_notebook(notebook("1 / 0"))
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run_all()


def test_a_wait_in_vain_says_what_for(lab: LabPage) -> None:
    with pytest.raises(AssertionError, match="waited 0.2 s in vain for the moon"):
        lab.wait_for("() => false", timeout=0.2, what="the moon")


def test_a_request_to_the_outside_is_noticed_and_does_not_get_there(lab: LabPage) -> None:
    outside = "https://example" + ".com/x.png"
    answer = lab.page.evaluate("url => fetch(url, {mode: 'no-cors'}).then(() => 'came', () => 'blocked')", outside)
    assert answer == "blocked"
    with pytest.raises(AssertionError, match="outside this machine"):
        lab.guard.check()
    lab.guard.excuse("example.com", "it is this test that asks")


def test_jupyterlab_alone_asks_for_nothing_outside(lab: LabPage) -> None:
    lab.open_notebook(notebook("print('here')"))
    lab.run_all()
    assert len(lab.guard.requests) > 20
    assert not lab.guard.outside
    assert not lab.page.get_by_text("notified about official Jupyter news").count()


def test_voila_shows_the_notebook_as_a_page(lab: LabPage) -> None:
    lab.open_voila(notebook(SLIDER))
    lab.wait_for(lab.page.get_by_text("n is 3", exact=True), timeout=60, what="the widgets")


def test_memory_is_told_for_server_and_kernel(lab: LabPage) -> None:
    lab.open_notebook(notebook("held = bytearray(80_000_000)"))
    lab.run_all()
    told = lab.server.memory()
    assert len(told) >= 2
    assert max(told.values()) > 80


def test_guard_knows_what_is_local() -> None:
    guard = Guard.__new__(Guard)
    guard.requests, guard.outside, guard._excused = [], [], {}
    for url in ("http://127.0.0.1:8888/x", "ws://localhost:1/y", "data:image/png;base64,", "blob:http://127.0.0.1/1"):
        guard.note(url)
    guard.check()
    guard.note("http://127.0.0.1.example.org/")
    with pytest.raises(AssertionError):
        guard.check()
