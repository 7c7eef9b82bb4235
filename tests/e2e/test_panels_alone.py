"""Two panels in cells of their own, one session: what is pointed at in either is shown in the view beside the first."""

from __future__ import annotations

import nbformat
import pytest

from e2e.harness import LabPage
from e2e.test_lab import CELL, canvas, orange, press, text

CELLS = [
    CELL + "session = fake_lab.session('runs')\nfake_runs.write_finetune(Path('runs'))",
    "from atomlab_widgets import DatasetPanel, FinetunePanel\nDatasetPanel(session)",
    "FinetunePanel(session)",
]
# where a point of the parity plot, or a share of a histogram's width, is on the screen
PLACE = """([css, axes, x, y]) => { const plot = document.querySelector(`${css} .js-plotly-plot`);
    const box = plot.getBoundingClientRect(), [a, b] = axes.map(name => plot._fullLayout[name]);
    const px = (axis, value) => value === null ? axis._length / 2 : value.share === undefined ? axis.l2p(value)
        : value.share * axis._length;
    return [box.left + a._offset + px(a, x), box.top + b._offset + px(b, y)]; }"""
# bars are there a moment before plotly listens to the mouse for Python
LISTENS = """() => { const plot = document.querySelector('.al-data .js-plotly-plot');
    return plot._ev && plot._ev._events && Boolean(plot._ev._events.plotly_selected); }"""
# the largest force of the parity plot that is not of the first frame: it lies alone
POINT = """() => { const t = document.querySelector('.al-finetune .js-plotly-plot')._fullData[0];
    const all = [...t.x.keys()].filter(k => t.customdata[k][0] > 0), k = all.reduce((a, b) => t.x[b] > t.x[a] ? b : a);
    return [t.x[k], t.y[k], t.customdata[k][0], t.customdata[k][1]]; }"""


def brush(lab: LabPage, n: str, first: float, last: float) -> None:
    """Drag over a histogram, from one share of its width to another."""
    axes, mouse = [f"xaxis{n}", f"yaxis{n}"], lab.page.mouse
    start, end = (lab.page.evaluate(PLACE, [".al-data", axes, {"share": s}, None]) for s in (first, last))
    mouse.move(*start)
    mouse.down()
    mouse.move(*end, steps=8)
    mouse.up()


def rows(lab: LabPage) -> int:
    return lab.page.locator(".al-data .al-line").count()


@pytest.mark.timeout(240)
def test_panels_in_cells_of_their_own_point_at_one_structure(lab: LabPage) -> None:
    page = lab.page
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    lab.open_notebook(book)
    lab.run_all()
    lab.wait_drawn(canvas(lab), 60)
    assert page.locator(".al-view").count() == 1
    lab.wait_for("() => document.querySelectorAll('.al-data .bars path').length > 8", 60, "the histograms")
    lab.wait_for(lambda: rows(lab) == 12, 20, "all frames in the table")
    lab.screenshot("panel_data_alone")

    lab.wait_for(LISTENS, 30, "the histograms to listen")
    # brushing a histogram: the table shows the frames of that range, one press all of them
    page.locator(".al-data .js-plotly-plot").scroll_into_view_if_needed()
    for histogram in ("", "3"):
        brush(lab, histogram, 0.02, 0.6)
        lab.wait_for(lambda: 0 < rows(lab) < 12, 20, "fewer frames in the table")
        assert f"{rows(lab)} frames in the brushed range" in text(lab, ".al-data")
        lab.screenshot("panel_data_brushed")
        press(lab, "show-all")
        lab.wait_for(lambda: rows(lab) == 12, 20, "all frames again")
        lab.wait_for(lambda: not page.locator(".al-data .selectionlayer path").count(), 20, "the box to go")
    press(lab, "parts")
    lab.wait_for(page.locator(".al-data .al-small", has_text="to learn from"), 20, "the division")
    lab.screenshot("panel_data_divided")

    # a point of the parity plot is an atom of a frame
    lab.wait_for(page.locator(".al-finetune [data-id=show-parity]:visible"), 40, "the parity plot's button")
    press(lab, "show-parity")
    drawn = "() => { const p = document.querySelector('.al-finetune .js-plotly-plot'); "
    lab.wait_for(drawn + "return p._fullData && p._fullData[0].customdata !== undefined; }", 40, "the parity plot")
    page.locator(".al-finetune .js-plotly-plot").scroll_into_view_if_needed()
    x, y, frame, atom = page.evaluate(POINT)
    place = page.evaluate(PLACE, [".al-finetune", ["xaxis", "yaxis"], x, y])
    page.mouse.move(*place)
    lab.wait_for(page.locator(".al-finetune .hoverlayer .hovertext").first, 20, "the point to answer")
    lab.screenshot("panel_finetune_alone")
    page.mouse.click(*place)
    structure = page.locator(".al-view")
    lab.wait_for(lambda: f"frame {frame} of 0–11" in structure.inner_text(), 20, "the frame of the point")
    lab.wait_for(lambda: f"atom {atom}: Ge" in structure.inner_text(), 20, "the atom in words")
    structure.scroll_into_view_if_needed()
    lab.wait_for(lambda: orange(canvas(lab)) > 10, 20, "the marked atom")
