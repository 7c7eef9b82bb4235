"""Specs: mistakes are sentences, a run can be written as one command or one line of Python."""

from __future__ import annotations

import shlex

import pytest

from atomlab.errors import InputError
from atomlab.runs import TASKS, Run, api, as_command, as_python, parse, run, schema
from runs.toy import CountSpec


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "cuont"}, "no such kind of run.*cuont.*Did you mean 'count'"),
        ({"kind": "count", "nn": 3}, "no setting 'nn'. Did you mean 'n'"),
        ({"kind": "count", "n": -1}, "'n'.*greater than or equal to 0.*Got: -1 steps"),
        ({"kind": "count", "n": "many"}, "'n'.*integer.*Got: 'many' steps"),
        ({"kind": "count", "trouble": "inputs"}, "'trouble' has no such choice.*Did you mean 'input'"),
        ({"kind": "md"}, "'model' must be given"),
        ({"kind": "md", "model": "x", "temperature": float("nan")}, "'temperature'"),
        ({"kind": "md", "model": "x", "device": "gpu"}, "'device'"),
    ],
)
def test_mistakes_are_sentences(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse(values)


def test_every_task_describes_its_settings() -> None:
    for kind, (spec, function) in TASKS.items():
        assert callable(function)
        fields = schema(kind)["properties"]
        assert fields["kind"]["const"] == kind
        assert sum(bool(f.get("main")) for f in fields.values()) <= 8, kind
        for name, field in spec.model_fields.items():
            assert name == "kind" or (field.description or "").strip(), f"{kind}.{name} has no description"


def test_command_and_python_hold_only_what_differs(tmp_path) -> None:
    assert as_command(CountSpec()) == "atomlab count"
    spec = CountSpec(data="sw-ge", n=7, fast=False, weights=[0.5, 1e-6], name="two words")
    words = shlex.split(as_command(spec))
    assert words[:3] == ["atomlab", "count", "sw-ge"]
    assert words[words.index("--n") + 1] == "7"
    assert "--no-fast" in words
    assert words[words.index("--name") + 1] == "two words"
    assert words[words.index("--weights") + 1] == "[0.5, 1.0e-06]"
    assert "seed" not in as_command(spec)
    assert as_python(CountSpec(n=3)).splitlines()[-1] == "atomlab.run({'kind': 'count', 'n': 3})"
    md = parse({"kind": "md", "model": "si-base", "structure": "bulk:Si", "steps": 5})
    assert as_python(md).splitlines()[-1] == "atomlab.md('si-base', steps=5, structure='bulk:Si')"


def test_files_get_their_full_path_and_missing_ones_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ge.extxyz").write_text("")
    assert Run(api.prepare("count", {"data": "ge.extxyz"})).spec.data == str(tmp_path / "ge.extxyz")
    assert Run(api.prepare("count", {"data": "ge.extxyz#3"})).spec.data == f"{tmp_path / 'ge.extxyz'}#3"
    assert Run(api.prepare("count", {"data": "sw-ge#3"})).spec.data == "sw-ge#3"
    with pytest.raises(InputError, match="no such file.*Did you mean 'ge.extxyz'"):
        api.prepare("count", {"data": "./gee.extxyz"})
    (tmp_path / "si.safetensors").write_text("")
    model = Run(api.prepare("md", {"model": "si.safetensors+zbl", "structure": "slab:Si,a=5.4"})).spec
    assert model.model == f"{tmp_path / 'si.safetensors'}+zbl"
    assert model.structure == "slab:Si,a=5.4"
    with pytest.raises(InputError, match="no correction 'zlb'"):
        api.prepare("md", {"model": "si.safetensors+zlb"})


def test_run_of_a_spec_file(tmp_path, workspace) -> None:
    (tmp_path / "ge.extxyz").write_text("")
    (tmp_path / "spec.yaml").write_text("kind: count\nn: 2\ndata: ge.extxyz\n")
    done = run(tmp_path / "spec.yaml")
    assert done.state == "done"
    assert done.spec.data == str(tmp_path / "ge.extxyz")  # relative to the spec
    assert run(tmp_path / "spec.yaml", n=3).result().text == "counted to 3"
    again = run(done.spec)
    assert again.spec == done.spec
    with pytest.raises(InputError, match="no such spec"):
        run(tmp_path / "nothing.yaml")
    with pytest.raises(InputError, match="atomlab resume"):
        run(done.directory)
    (tmp_path / "bad.yaml").write_text("kind: [")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        run(tmp_path / "bad.yaml")
