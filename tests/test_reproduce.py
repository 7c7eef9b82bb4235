"""The machinery of `make reproduce`: rows are measured once, time is shared, tables say what is missing. No science."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent / "reproduce"
COUNTING = """
import sys, time
from pathlib import Path
words = sys.argv[1:]
folder = Path(__file__).parent / "rows" / words[words.index("--scale") + 1]
folder.mkdir(parents=True, exist_ok=True)
(folder.parent.parent / "words.txt").open("a").write(" ".join(words) + "\\n")
(folder / f"{len(list(folder.glob('*')))}.json").write_text("{}")
"""
SKIPPED = "import sys\nsys.exit('Skipped: there is no /nowhere.')\n"
BROKEN = "raise ValueError('a fault')\n"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"reproduce_{name}", HERE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


rows, report, whole = module("rows"), module("report"), module("all")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two papers and a training; a report that only says that it was called."""
    for name, text in (("one", COUNTING), ("two", COUNTING), ("a_training", "print('trained')\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.py").write_text(text)
    for name in ("one", "two"):
        (tmp_path / name / "claims.py").write_text("")
    (tmp_path / "report.py").write_text("import sys\nprint('report', *sys.argv[1:])\n")
    return tmp_path


def asked(words: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    return rows.options("a paper").parse_args()


def test_a_row_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCALE", raising=False)
    calls: list[int] = []
    given = asked([], monkeypatch)
    paper = rows.Rows(tmp_path, given)
    work = lambda: calls.append(1) or {"error": 0.5}  # noqa: E731
    row = paper.measure("a", work, seed=3)
    assert row == paper.measure("a", work) and len(calls) == 1
    assert (row["seed"], row["values"], row["scale"]) == (3, {"error": 0.5}, "small")
    assert {"commit", "command", "date", "machine", "seconds"} <= set(row)
    assert json.loads((tmp_path / "rows" / "small" / "a.json").read_text()) == row
    assert rows.Rows(tmp_path, asked(["--again"], monkeypatch)).measure("a", work) and len(calls) == 2
    assert rows.Rows(tmp_path, asked(["--again", "--only", "b"], monkeypatch)).measure("a", work) and len(calls) == 2
    assert rows.Rows(tmp_path, asked(["--only", "b"], monkeypatch)).measure("c", work) is None
    assert rows.Rows(tmp_path, asked(["--minutes", "-1"], monkeypatch)).measure("c", work) is None
    assert len(calls) == 2 and not list(tmp_path.rglob("*.part"))


def test_the_scale_comes_from_the_environment_and_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALE", "paper")
    assert asked([], monkeypatch).scale == "paper"
    monkeypatch.setenv("SCALE", "large")
    with pytest.raises(SystemExit, match="no scale 'large'"):
        asked([], monkeypatch)
    with pytest.raises(SystemExit, match="no scale 'large'"):
        whole.main([])


def test_a_row_names_no_folder_of_one_machine() -> None:
    assert rows._relative(["/far/away/run.py", "--work", "/far/away/scratch", "--only", "a"]) == [
        "run.py", "--work", "scratch", "--only", "a",
    ]  # fmt: skip


def test_a_table_says_what_is_not_measured(tmp_path: Path) -> None:
    folder = tmp_path / "paper"
    (folder / "rows" / "small").mkdir(parents=True)
    row = {"name": "a", "values": {"x": 2}, "commit": "abc", "seconds": 90.0, "machine": "m"}
    (folder / "rows" / "small" / "a.json").write_text(json.dumps(row))
    claims = "TITLE = 'P'\nCLAIMS = [(n, '1', lambda r, n=n: str(r[n]['values']['x'])) for n in 'ab']\n"
    (folder / "claims.py").write_text(claims)
    text = "\n".join(report.section(folder, "small"))
    assert "| a | 1 | 2 |" in text and "| b | 1 | not measured yet |" in text
    assert "1 of 2 lines are missing" in text and "1 rows, 2 min in all" in text
    (folder / "claims.py").write_text(claims + "def figure(rows, path):\n    path.write_text(rows['b']['name'])\n")
    assert "No figure can be drawn of these rows yet (KeyError: 'b')" in "\n".join(report.section(folder, "small"))


def test_papers_share_the_time_and_trainings_run_by_name_only(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert whole.main(["--scale", "small", "--minutes", "43", "--workers", "1"], root) == 0
    told = capfd.readouterr().out
    assert "report --scale small" in told and "trained" not in told
    assert "one              1 new rows" in told and "nothing is left to measure" in told
    words = {name: (root / name / "words.txt").read_text().split() for name in ("one", "two")}
    minutes = {name: float(given[given.index("--minutes") + 1]) for name, given in words.items()}
    assert abs(minutes["one"] - 20) < 0.1 and abs(minutes["two"] - 40) < 0.2, "what the first leaves is the next one's"
    assert whole.main(["a_training"], root) == 0
    told = capfd.readouterr().out
    assert "trained" in told and "report" not in told
    with pytest.raises(SystemExit, match="no folder 'three'"):
        whole.main(["three"], root)


def test_two_folders_are_at_work_at_a_time(root: Path) -> None:
    os.mkfifo(root / "meet")  # who opens it waits for the other end
    for name, mode in (("one", "w"), ("two", "r")):
        (root / name / "run.py").write_text(f"open({str(root / 'meet')!r}, {mode!r})\n{COUNTING}")
    work = whole.jobs(root, [])
    whole.measure(work, "small", 3.6, workers=2)
    assert all("1 new rows" in job.told for job in work)
    shares = [float((root / name / "words.txt").read_text().split()[-1]) for name in ("one", "two")]
    assert min(shares) > 0.5, "each has the whole time"
    with pytest.raises(SystemExit, match="not 0"):
        whole.main(["--workers", "0"], root)


def test_a_folder_whose_time_is_over_waits_for_what_is_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[tuple[str, float]] = []
    clock = [0.0]
    monkeypatch.setattr(whole.time, "monotonic", lambda: 60 * clock[0])

    def run(command: list[str], patience: float) -> tuple[int, str]:
        share = float(command[-1])
        shares.append((Path(command[1]).parent.name, share))
        clock[0] += share if "one" in command[1] else 1.0
        return 0, ""

    monkeypatch.setattr(whole, "_run", run)
    work = whole.jobs(root, [])
    whole.measure(work, "small", 23.0)
    assert shares == [("one", 10.0), ("two", 10.0), ("one", 9.0)]
    assert "its time was over" in work[0].told and "nothing is left" in work[1].told


def test_a_fault_is_told_and_what_cannot_be_measured_is_no_fault(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (root / "one" / "run.py").write_text(SKIPPED)
    assert whole.main([], root) == 0
    assert "Skipped: there is no /nowhere." in capfd.readouterr().out
    (root / "two" / "run.py").write_text(BROKEN)
    assert whole.main([], root) == 1
    told = capfd.readouterr()
    assert "FAILED with status 1: ValueError: a fault" in told.out and "Traceback" in told.err
