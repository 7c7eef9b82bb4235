"""The same notebook as a page of its own: the Lab in Voila, from the table of frames to the fine-tune's button."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.harness import LabPage
from e2e.test_lab import canvas, press


@pytest.mark.timeout(300)
def test_the_lab_in_voila(lab: LabPage, notebooks: Path) -> None:
    lab.open_voila(notebooks / "00_start.ipynb")
    lab.wait_for(lab.page.locator(".al-data .al-line").first, 120, "the table of frames")
    lab.wait_for("() => document.querySelectorAll('.al-data .bars path').length > 8", 60, "the histograms")
    assert lab.wait_drawn(canvas(lab), 60).colours > 50
    press(lab, "use")
    lab.wait_for(lab.page.locator(".al-finetune [data-id=start]:visible"), 30, "the fine-tune's one button")
    lab.screenshot("lab_voila")
