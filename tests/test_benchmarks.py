"""The benchmarks' own arithmetic: which numbers become a ratio, what counts as reached, what is counted as work."""

import json
import mmap

import pytest
import torch

import atomlab
from atomlab.build import build
from benchmarks import kernels_table
from benchmarks.floor import mace_work
from benchmarks.shapes import OURS, silicon
from benchmarks.side import Peak, alternate, deviation

MACHINE = {
    "processor": "a processor", "instructions": ["avx2"], "cores": 2, "memory_gb": 24, "load": [0.1, 0.1, 0.1],
    "python": "3.11", "versions": {"torch": "2"}, "commit": "abc", "date": "2026-01-01 00:00 UTC", "state": "",
    "quick": False,
}  # fmt: skip


def results(folder, **changes):
    """Results with one inference row and one training row."""
    row = {"shape": "medium", "dtype": "float32", "turns": 7, "machine": MACHINE | changes}
    inference = {"mace-torch": 500.0, "ours reference": 80.0, "ours numba": 10.0}
    step = {"mace-torch": 700.0, "ours reference": 100.0}
    rows = [
        {**row, "case": "inference", "system": "Si 64", "ms": inference, "deviation": 1e-6},
        {**row, "case": "step", "system": "4 x Si 64", "ms": step},
        {**row, "case": "reann", "system": "", "ms": {}, "why": "its model is not here"},
    ]
    (folder / "against_mace.json").write_text(json.dumps({"allocator": "tuned", "rows": rows}))
    return kernels_table.Results(folder)


def test_a_ratio_is_theirs_over_our_compiled_backend(tmp_path):
    found = {t.what: t for t in kernels_table.targets(results(tmp_path))}
    inference = found["medium, energy + forces + stress, float32, Si 64"]
    assert inference.reached == pytest.approx(50.0) and inference.met
    step = found["training step, medium, float32, 4 x Si 64"]
    assert step.reached == pytest.approx(7.0) and not step.met  # asked: 8
    assert "reference" in step.note


def test_what_was_not_measured_is_said_and_never_counts_as_reached(tmp_path):
    found = results(tmp_path)
    absent = [t for t in kernels_table.targets(found) if t.reached is None]
    assert absent and not any(t.met for t in absent)
    page = kernels_table.page(found)
    assert "its model is not here" in page and "not measured" in page
    assert "SMOKE" not in page and "SMOKE" in kernels_table.page(results(tmp_path, quick=True))


def test_calls_alternate_and_warm_ones_are_not_counted():
    seen, now = [], [0.0]

    def call(name, cost):
        seen.append(name)
        now[0] += cost

    calls = {"a": lambda: call("a", 0.1), "b": lambda: call("b", 0.3)}
    times = alternate(calls, rounds=4, warm=1, clock=lambda: now[0])
    assert times["a"] == pytest.approx([100.0] * 4) and times["b"] == pytest.approx([300.0] * 4)
    assert "".join(seen) == "ab" + "ab" + "ab" * 4


def test_counted_work_of_the_published_medium_shape():
    """1,080 MFLOP, 568 of them the radial network, were counted by hand for 64 Si with 44.6 neighbours."""
    model = atomlab.create("mace", **{**OURS["medium"], "elements": ["Si"]})
    graph = build(silicon(64), model.needs).to(dtype=torch.float32)
    work = mace_work(model, graph)
    assert work["total"] == pytest.approx(1080, rel=0.05)
    assert work["mlp"] == pytest.approx(568, rel=0.02)
    assert work["without_mlp"] == pytest.approx(work["total"] - work["mlp"])


def test_deviation_is_relative_to_the_largest():
    assert deviation([1.0, -4.0], [1.0, -4.4]) == pytest.approx(0.4 / 4.4)
    assert deviation([0.5], [0.0]) == 0.5


def test_peak_sees_what_a_block_held_for_a_while():
    with Peak() as peak:
        # of its own: memory that torch has freed before may still be the process's
        held = mmap.mmap(-1, 2**26)
        torch.frombuffer(held, dtype=torch.uint8).fill_(1)  # 64 MB
        held.close()
    assert peak.mb > 55
