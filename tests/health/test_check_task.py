"""`check` as a run: findings in the events as they come, a table in the result, a picture."""

from PIL import Image

from atomlab.analysis.health import CHECKS
from atomlab.architectures import create
from atomlab.runs import api


def test_a_model_in_memory_is_checked(tmp_path):
    model = create("lennard-jones", elements=["Ar"])
    run = api.launch(lambda: api.prepare("check", {"model": model}, directory=tmp_path / "health"), wait=True)
    assert run.state == "done"
    findings = [e for e in run.events() if e["kind"] == "finding"]
    assert [f["name"] for f in findings] == list(CHECKS)
    assert {f["status"] for f in findings} <= {"pass", "fail", "not claimed"}
    assert all(len(f["text"]) > 10 for f in findings)
    result = next(e for e in run.events() if e["kind"] == "result")
    assert "forces differ from -dE/dx" in result["text"] and result["metrics"]["rotation"] == "pass"
    with Image.open(run.directory / "health.png") as picture:
        assert picture.width > 800 and len(picture.convert("RGB").getcolors(10**6)) > 20
