"""Fixtures of the browser tests: one browser and one server for all, one page and folder for each."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from e2e import chromium
from e2e.harness import Guard, LabPage
from e2e.server import JupyterServer

VIEWPORT = ViewportSize(width=1366, height=768)  # a laptop


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = chromium.find()
    if found is None:
        reason = "no Chromium found (make browser brings one)"
        # Where the result decides something, a browser test that did not run is a failure.
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=chromium.FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    running = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield running
    running.stop()


@pytest.fixture
def lab(browser: Browser, server: JupyterServer, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """A fresh page; at the end it must not have asked for anything outside this machine."""
    context = browser.new_context(viewport=VIEWPORT)
    guard = Guard(context)
    folder = re.sub(r"[^A-Za-z0-9_-]+", "_", request.node.name)
    page = LabPage(context.new_page(), server, folder, guard)
    yield page
    if request.node.stash.get(_FAILED, False):
        picture = page.screenshot(f"failed_{folder}")
        print(f"screenshot: {picture}\nconsole: {guard.console[-10:]}\nserver log: {server.log_tail()}")
    context.close()
    server.end_kernels()
    guard.check()


@pytest.fixture
def notebooks() -> Path:
    return Path(__file__).resolve().parents[2] / "notebooks"


_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report
