"""What all tests share: an isolated place to write to, the reference data, and a report for `make test`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KEEP = ("ATOMLAB_SHARED", "ATOMLAB_NO_SHARED", "ATOMLAB_TEST_REPORT", "ATOMLAB_CHROMIUM")
SHARED = Path(os.environ.get("ATOMLAB_SHARED") or ROOT.parent / "shared").resolve()

# Here, not in a fixture: modules that are imported while tests are collected read these, and so do the
# processes that tests start.
_HOME = Path(tempfile.mkdtemp(prefix="atomlab-tests-"))
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _isolate() -> None:
    """A test must neither read nor leave anything in the home folder of who runs it."""
    # Two caches are slow to fill and hold nothing of ours: the browser and matplotlib's font list.
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(_CACHE / "ms-playwright"))
    os.environ.setdefault("MPLCONFIGDIR", str(ROOT / ".pytest_cache" / "matplotlib"))
    for variable in [name for name in os.environ if name.startswith(("ATOMLAB_", "JUPYTER"))]:
        if variable not in KEEP:
            del os.environ[variable]
    os.environ["HOME"] = str(_HOME)
    for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        os.environ[variable] = str(_HOME / variable.lower())
    # Compiled kernels hold nothing of ours either, and are named by all that they depend on.
    kernels = _CACHE / "atomlab" / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    (_HOME / "xdg_cache_home" / "atomlab").mkdir(parents=True)
    (_HOME / "xdg_cache_home" / "atomlab" / "kernels").symlink_to(kernels)
    os.environ["ATOMLAB_WORKSPACE"] = str(_HOME / "workspace")
    Path(os.environ["ATOMLAB_WORKSPACE"]).mkdir()
    # One torch thread: the tests' tensors are small (a second thread makes them slower), and sums have one
    # order, so that results do not depend on the machine. torch reads this when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


_isolate()


@pytest.fixture(autouse=True)
def _one_backend(request: pytest.FixtureRequest):
    """Calculators wait for compiled kernels here, else two equal ones could answer with different last digits."""
    if "kernels" in request.path.parts or "atomlab.kernels" not in sys.modules:
        yield
        return
    from atomlab.kernels import steady

    with steady():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The reference data beside the repository (golden cases, data sets by others); not part of it."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data: {SHARED.name}/ is not beside the repository (or set ATOMLAB_SHARED)")
    return SHARED


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty workspace of the test's own."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.setenv("ATOMLAB_WORKSPACE", str(folder))
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow (minutes to hours)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    gpu_marked = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_marked and not _has_gpu():
        for item in gpu_marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def _has_gpu() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


class Tally:
    """Counts by outcome and skips by reason: what `make test` adds up over its parts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(passed=0, failed=0, skipped=0)
        self.skips: Counter[str] = Counter()

    def add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        call = getattr(report, "when", "collect")
        if report.failed:
            self.counts["failed"] += 1
        elif report.skipped:
            self.counts["skipped"] += 1
            where, expected = report.longrepr, getattr(report, "wasxfail", None)
            text = where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)
            self.skips[text if expected is None else f"expected failure: {expected}"] += 1
        elif call == "call":
            self.counts["passed"] += 1


_tally = Tally()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _tally.add(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if not report.passed:
        _tally.add(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for reason, n in _tally.skips.most_common():
        terminalreporter.write_line(f"skipped {n}: {reason}")


def pytest_unconfigure(config: pytest.Config) -> None:
    target = os.environ.get("ATOMLAB_TEST_REPORT")
    if target and not hasattr(config, "workerinput"):  # with -n the controller tells for its workers
        Path(target).parent.mkdir(exist_ok=True)
        Path(target).write_text(json.dumps({"counts": _tally.counts, "skips": _tally.skips}))
    shutil.rmtree(_HOME, ignore_errors=True)
