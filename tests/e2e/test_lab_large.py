"""A data set of 60 MB, uploaded into the Lab. `pytest tests/e2e/test_lab_large.py --slow`; the time is reported."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import atomlab
from e2e.harness import LabPage


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_large_file_is_uploaded_and_read(lab: LabPage, notebooks: Path, tmp_path: Path) -> None:
    data, small, large = atomlab.read("sw-ge"), tmp_path / "small.extxyz", tmp_path / "large.extxyz"
    data.write(small)
    text = small.read_text()
    copies = int(60e6 / len(text.encode())) + 1
    large.write_text(text * copies)
    lab.open_notebook(notebooks / "00_start.ipynb")
    lab.start_all()
    lab.wait_for(lab.page.locator(".al-data .al-line").first, 60, "the table of frames")
    start = time.monotonic()
    lab.page.locator("input[type=file]").set_input_files(large)
    headline = lab.page.locator(".al-headline:visible", has_text=f"{len(data) * copies} frames")
    lab.wait_for(headline, 200, "the uploaded file to be read")
    lab.report(large_mb=round(large.stat().st_size / 1e6), upload_s=round(time.monotonic() - start, 1))
