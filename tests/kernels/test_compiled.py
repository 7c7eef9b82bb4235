"""Compiled kernels where things go wrong or happen at once: threads, processes, a cache that cannot be written."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from atomlab import errors, kernels
from atomlab.errors import Notice
from atomlab.kernels import dispatch

if dispatch._load("numba") != "ready":
    pytest.skip(f"numba {dispatch._load('numba')}", allow_module_level=True)

from atomlab.kernels.cpu import compiled, segments, threads

SOURCE = """
from atomlab.kernels.cpu.simd import kernel

@kernel("void(int64[::1])")
def seven(out):
    out[0] = 7  # {}
"""


@pytest.fixture
def nothing_said(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


@pytest.fixture
def nothing_compiled(monkeypatch):
    monkeypatch.setattr(compiled, "_libraries", {})
    monkeypatch.setattr(compiled, "_ready", {})


def sums(x, index, size):
    """segment_sum and its first two derivatives."""
    x = x.clone().requires_grad_(True)
    y = kernels.segment_sum(x, index, size)
    (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return y.detach(), first.detach(), second


def problem(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4000, 8, generator=generator, dtype=torch.float64)
    return x, torch.randint(300, (4000,), generator=generator), 300


def test_several_python_threads_launch_kernels_at_once(monkeypatch):
    monkeypatch.setattr(threads, "LEAST", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with kernels.use("reference"):
            expected = [sums(*problem(seed)) for seed in range(8)]
        with kernels.use("numba"), kernels.steady():
            sums(*problem())
        start = threading.Barrier(4)

        def work(n):
            torch.set_num_threads(3)
            start.wait(30)
            with kernels.steady():
                return [sums(*problem(seed)) for seed in range(8)]

        with kernels.use("numba"), ThreadPoolExecutor(4) as pool:
            found = list(pool.map(work, range(4)))
    finally:
        torch.set_num_threads(before)
    for mine in found:
        for a, b in zip(mine, expected):
            assert all(torch.allclose(s, t, rtol=1e-12, atol=1e-12) for s, t in zip(a, b))


CHILD = """
import multiprocessing, torch
from atomlab import kernels

def work(n):
    torch.set_num_threads(2)
    x = torch.arange(12.0).view(6, 2)
    with kernels.use("numba"), kernels.steady():
        from atomlab.kernels.cpu import segments
        assert segments.loops(x, 2) is not None
        return kernels.segment_sum(x, torch.tensor([0, 0, 1, 1, 1, 2]), 3).tolist()

if __name__ == "__main__":
    expected = work(0)
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(work, range(2)) == [expected, expected], method
    assert expected == [[2.0, 4.0], [18.0, 21.0], [10.0, 11.0]]
    print("agreed")
"""


def test_processes_that_are_spawned_or_forked_have_kernels(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "agreed", done.stderr[-2000:]


ENDING = """
from atomlab import kernels
from atomlab.kernels.cpu import compiled

SOURCE = 'import time\\ntime.sleep(1)\\nprint("compiled {}", flush=True)\\n'
with kernels.interactive():
    for n in range(3):
        assert compiled.library(f"slow{n}", SOURCE.format(n)) is None
print("ends", flush=True)
"""


def test_a_program_that_ends_lets_the_compiler_finish_what_it_has_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("ATOMLAB_CACHE", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    first, *others = done.stdout.splitlines()
    assert first == "ends" and len(others) == 1 and others[0].startswith("compiled")


def test_a_cache_that_cannot_be_written_is_said_and_each_process_compiles_its_own(
    tmp_path, monkeypatch, nothing_said, nothing_compiled
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATOMLAB_CACHE", str(tmp_path / "file"))
    with pytest.warns(Notice, match="cannot be kept in .*file"), kernels.steady():
        module = compiled.library("seven", SOURCE.format("unwritable"))
    out = torch.zeros(1, dtype=torch.int64).numpy()
    module.seven(out)
    assert out[0] == 7


def test_while_a_kernel_is_compiled_the_reference_answers_who_does_not_wait(monkeypatch, nothing_compiled):
    gate, compile_ = threading.Event(), compiled._compile

    def slow(*arguments):
        gate.wait(60)
        compile_(*arguments)

    monkeypatch.setattr(compiled, "_compile", slow)
    x, index, size = problem()
    served = []
    monkeypatch.setattr(segments, "over_rows", lambda *a, **k: (served.append(1), threads.over_rows(*a, **k)))
    with kernels.use("reference"):
        expected = kernels.segment_sum(x, index, size)
    with kernels.use("numba"):
        with kernels.interactive():
            assert torch.equal(kernels.segment_sum(x, index, size), expected) and not served
        threading.Timer(0.2, gate.set).start()
        with kernels.steady(), kernels.interactive():  # a run inside: it waits
            assert torch.allclose(kernels.segment_sum(x, index, size), expected) and served
        with kernels.interactive():
            kernels.segment_sum(x, index, size)
            assert len(served) == 2


def test_a_kernel_that_cannot_be_compiled_is_said_once_and_the_reference_answers(
    monkeypatch, nothing_said, nothing_compiled
):
    monkeypatch.setattr(segments, "_loops", lambda dtype, wide: "def sum_rows(:")
    x, index, size = problem()
    with kernels.use("reference"):
        expected = kernels.segment_sum(x, index, size)
    with kernels.use("numba"), kernels.steady(), pytest.warns(Notice, match="'segments_float64_8' is not used") as said:
        for _ in range(2):
            assert torch.equal(kernels.segment_sum(x, index, size), expected)
    assert len([w for w in said if issubclass(w.category, Notice)]) == 1


def test_two_processes_may_compile_the_same_at_once(tmp_path, monkeypatch, nothing_compiled):
    """Whoever is second finds the file, or writes the same: both get a module that works."""
    monkeypatch.setenv("ATOMLAB_CACHE", str(tmp_path))
    source = SOURCE.format(time.time())
    with kernels.steady():
        first = compiled.library("seven", source)
        monkeypatch.setattr(compiled, "_libraries", {})
        monkeypatch.setattr(compiled, "_ready", {})
        second = compiled.library("seven", source)
    assert first is not second and len(list((tmp_path / "kernels").glob("seven_*.py"))) == 1


def test_derivatives_of_third_order_are_the_references():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 0, 1, 2, 2, 2])

    def third():
        y = kernels.segment_sum(x.pow(3), index, 3).pow(2).sum()
        for _ in range(3):
            (slope,) = torch.autograd.grad(y, x, create_graph=True)
            y = slope.pow(2).sum()
        return slope

    with kernels.use("reference"):
        expected = third()
    with kernels.use("numba"), kernels.steady():
        assert torch.allclose(third(), expected, rtol=1e-12)


MEMORY = """
import resource, torch
from atomlab.kernels.memory import keep_freed

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(10_000_000) for _ in range(3)]  # 40 MB each, 9 766 pages of 4 kB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed()
print(kept, [faults() for _ in range(6)][-1])
"""


def test_freed_memory_stays_with_a_process_that_asks_for_it():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=100)
    kept, faults = done.stdout.split()
    if kept == "False":
        pytest.skip("not glibc")
    assert int(faults) < 1000, done.stdout
