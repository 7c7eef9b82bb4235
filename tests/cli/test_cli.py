"""The command: options from specs, sentences for mistakes, exit status, and what it prints repeats itself."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from atomlab import cli
from atomlab.runs import TASKS, as_command, list_runs, prepare
from atomlab.runs.notebook import start_notebook
from atomlab.runs.options import Parser, add_settings
from runs import toy  # noqa: F401  (registers the task `count`)


def run(line: str) -> int:
    return cli.main(shlex.split(line))


def test_a_task_from_the_command_line(workspace, capfd) -> None:
    assert run("count sw-ge --n 4 --seed 3 --no-fast --weights 1,2.5") == 0
    done = list_runs()[0]
    assert done.spec.model_dump(include={"data", "n", "seed", "fast", "weights"}) == {
        "data": "sw-ge", "n": 4, "seed": 3, "fast": False, "weights": [1.0, 2.5],
    }  # fmt: skip
    told = capfd.readouterr()
    assert told.out.strip() == str(done.directory)
    assert "counted to 4" in told.err


def test_what_is_copied_as_command_repeats_the_run(workspace) -> None:
    assert run("count sw-ge --n 4 --seed 3 --no-fast --weights [0.5,1e-6] --name 'two words'") == 0
    assert run(shlex.join(shlex.split(list_runs()[0].as_command())[1:])) == 0
    scope: dict = {}
    first, second = list_runs()
    assert second.spec == first.spec
    assert second.result().metrics == first.result().metrics
    python = first.as_python()
    assert python.startswith("import atomlab\n\natomlab.run({'kind': 'count'")
    exec(python, scope)
    assert list_runs()[2].result().metrics == first.result().metrics


@pytest.mark.parametrize("kind", [k for k in TASKS if k != "count"])
def test_every_task_has_a_command_that_names_all_its_settings(kind: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        run(f"{kind} --help")
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for name, field in TASKS[kind][0].model_fields.items():
        if name != "kind":
            assert f"--{name.replace('_', '-')}" in told or f"\n  {name.upper()}" in told, name
            assert " ".join(field.description.split())[:25] in " ".join(told.split()), name


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fintune si-base sw-ge", "no command 'fintune'. Did you mean 'finetune'"),
        ("count x --sede 3", "no option '--sede'. Did you mean '--seed'"),
        ("count x --n -3", "'n' should be greater than or equal to 0. Got: '-3' steps"),
        ("count x --n", "expected one argument"),
        ("count x y", "a word too many: 'y'"),
        ("count x --trouble halts", "'trouble' has no such choice.*Did you mean 'halt'"),
        ("count x --weights [1,", "no list and no table in YAML"),
        ("finetune si-base", "required: DATA"),
        ("finetune si-base sw-ge --strategy laura", "'strategy' has no such choice"),
        ("md nowhere/model.safetensors", "no such file"),
        ("watch nothing", "no such run"),
        ("run nothing.yaml", "no such spec"),
        ("resume", "required: run"),
    ],
)
def test_mistakes_are_sentences_with_exit_status_2(workspace, capsys, line: str, words: str) -> None:
    import re

    assert run(line) == 2
    told = capsys.readouterr().err
    assert re.search(words, told), told
    assert "Traceback" not in told
    assert list_runs() == []


def test_exit_status_of_runs(workspace, capfd) -> None:
    assert run("count x --trouble input") == 2
    assert "The counter is broken. Mend it." in capfd.readouterr().err
    assert run("count x --trouble halt") == 1
    assert "Stopped: Three is too many" in capfd.readouterr().err
    assert run("count x --trouble crash") == 1
    told = capfd.readouterr().err
    assert "ZeroDivisionError: three" in told
    assert "Traceback" not in told
    assert "Traceback" in (list_runs()[-1].directory / "log.txt").read_text()
    assert str(list_runs()[-1].directory / "log.txt") in told
    stopped = prepare("count", {})
    (stopped / "control" / "stop").touch()
    assert run(f"resume {stopped.name}") == 0  # resume takes the request back
    assert run(f"resume {stopped.name}") == 2
    assert "This run is done" in capfd.readouterr().err


def test_bad_input_before_anything_was_made_leaves_nothing(workspace, tmp_path, monkeypatch) -> None:
    """A directory given by the user can be used again after the mistake is mended."""
    monkeypatch.chdir(tmp_path)
    assert run("md nothing-like-it --directory here") == 2
    assert not (tmp_path / "here").exists()
    assert run("count x --directory here") == 0
    assert run("count x --trouble input") == 2
    assert [r.name for r in list_runs()] == ["count-0001-x"]  # it had counted to three: that is kept


def test_list_watch_fork(workspace, capfd) -> None:
    assert run("list") == 0
    assert "no runs" in capfd.readouterr().out
    run("count sw-ge --n 2")
    run("count sw-si --trouble halt")
    capfd.readouterr()
    assert run("list") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["count-0001-sw-ge", "done"], ["count-0002-sw-si", "stopped"]]
    assert "counted to 2" in lines[0]
    assert "Three is too many" in lines[1]
    assert run("watch count-0001-sw-ge") == 0
    assert "counted to 2" in capfd.readouterr().err
    assert run("fork count-0001-sw-ge --n 3") == 0
    assert list_runs()[-1].result().text == "counted to 3"
    assert run("fork count-0001-sw-ge --m 3") == 2
    assert run("pause count-0001-sw-ge") == 2


def test_a_spec_file(workspace, tmp_path) -> None:
    (tmp_path / "spec.yaml").write_text("kind: count\nn: 2\n")
    assert run(f"run {tmp_path / 'spec.yaml'}") == 0
    (tmp_path / "spec.yaml").write_text("kind: count\nm: 2\n")
    assert run(f"run {tmp_path / 'spec.yaml'}") == 2


def test_overview_names_every_command(capsys) -> None:
    assert run("") == 0
    told = capsys.readouterr().out
    for name in [*TASKS, *cli._OTHERS]:
        assert f"\n  {name}" in told
    assert run("--version") == 0


def test_the_program_itself(workspace) -> None:
    """No traceback, and light: listing runs imports no torch."""
    code = "import sys; from atomlab.cli import main; r = main(['list']); sys.exit(r or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    done = subprocess.run([sys.executable, "-m", "atomlab.cli", "wtach"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "atomlab: There is no command 'wtach'. Did you mean 'watch'?"


def test_the_start_notebook(tmp_path: Path) -> None:
    path = start_notebook(tmp_path)
    content = json.loads(path.read_text())
    assert "atomlab.lab()" in "".join(content["cells"][1]["source"])
    path.write_text("mine")
    assert start_notebook(tmp_path).read_text() == "mine"  # never overwritten
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert all({"id", "metadata", "source"} <= set(cell) for cell in content["cells"])
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / path.name).write_text("the repository's")
    assert start_notebook(tmp_path).parent.name == "notebooks"


def test_the_lab_passes_options_on(monkeypatch, tmp_path, capsys) -> None:
    asked = []
    monkeypatch.setattr("atomlab.runs.notebook.open_lab", lambda *arguments: asked.append(arguments) or 0)
    monkeypatch.chdir(tmp_path)
    assert run("lab --workspace mine --no-browser --port=8889") == 0
    assert asked == [(tmp_path, "mine", ["--no-browser", "--port=8889"])]
    with pytest.raises(SystemExit) as ended:
        run("lab --help")
    assert ended.value.code == 0
    assert len(asked) == 1


def test_as_command_of_every_task_is_read_back() -> None:
    """Every setting survives the way through the command line."""
    from pydantic_core import PydanticUndefined

    for kind, (spec, _) in TASKS.items():
        values = {n: "x" for n, f in spec.model_fields.items() if f.default is PydanticUndefined}
        made = spec(**values, seed=7, threads=1)
        words = shlex.split(as_command(made))
        parser = Parser(kind, "")
        read = add_settings(parser, spec)
        assert spec(**read(parser.read(words[2:]))) == made


def test_a_table_of_numbers_is_read_back_from_a_command() -> None:
    spec = TASKS["finetune"][0]
    made = spec(model="m", data="d", loss="huber", stress_weight=2, huber_deltas={"energy": 1, "stress": 1 / 160.2})
    parser = Parser("finetune", "")
    read = add_settings(parser, spec)
    assert spec(**read(parser.read(shlex.split(as_command(made))[2:]))) == made
    by_hand = ["m", "d", "--loss", "huber", "--huber-deltas", "energy=1,forces=0.5"]
    assert spec(**read(parser.read(by_hand))).huber_deltas == {"energy": 1.0, "forces": 0.5}
