"""The committed table of all models: complete, and what it says is what is promised."""

import json
from pathlib import Path

import pytest

import atomlab

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


@pytest.fixture(scope="module")
def rows():
    return json.loads((RESULTS / "models.json").read_text(encoding="utf-8"))["rows"]


def test_every_architecture_has_a_row(rows):
    assert {row["kind"] for row in rows} == set(atomlab.models("architecture"))
    page = (RESULTS / "models.md").read_text(encoding="utf-8")
    assert all(f"| {row['model']} |" in page for row in rows)


def test_only_gptff_breaks_a_promise_and_only_where_it_is_known(rows):
    broken = {(row["kind"], name) for row in rows for name, f in row["findings"].items() if f["status"] != "pass"}
    assert broken == {("gptff", "extensivity"), ("gptff", "continuity")}


def test_parity_is_measured_for_every_family_that_others_have(rows):
    parity = {row["model"]: row["parity"] for row in rows}
    exact = [name for name, value in parity.items() if value is not None and value < 1e-10]
    assert len(exact) >= 8
    # its reference rounds the zeros of the Bessel functions to float32
    assert parity["DimeNet++, common"] < 3e-6
    assert all(value is None or value < 1e-10 for name, value in parity.items() if name != "DimeNet++, common")


def test_published_sizes(rows):
    parameters = {row["model"]: row["parameters"] for row in rows}
    # MACE-MPA-0 as counted by Matbench Discovery; GPTFF by its paper (v2) and its files
    assert parameters["MACE, as MPA-0 medium"] == 9_063_204
    assert (parameters["GPTFF v1"], parameters["GPTFF v2"]) == (351_745, 502_465)
    assert all(row["ms_per_atom"]["64"] > 0 and row["ms_per_atom"]["216"] > 0 for row in rows)
