"""The kernels for GPUs without a GPU: each runs in Triton's interpreter, and each compiles to machine code.

The interpreter computes with numpy: it shows that formulas, indices and masks are right. The compiler shows what the
interpreter hides: types of pointers, numbers of a lower precision, what the language lacks. Neither says how fast.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from atomlab import kernels
from atomlab.kernels import dispatch, reference

from .cases import CASES, Case, contractions, convolutions
from .test_backends import INTERPRETED, derivatives

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.skipif(not find_spec("triton"), reason="triton is not installed (it is made for Linux)"),
    pytest.mark.skipif(INTERPRETED, reason="this process has the interpreter instead of the compiler"),
]
TINY = [case for case in CASES if case.tiny and not case.empty]
# operations of lower precision: arithmetic in float32, or a number rounded to it
LOWER = re.compile(r"\b(?:(?:add|sub|mul|fma|div|mad)[\w.]*\.f32|cvt[\w.]*\.f32\.f64)\b")


@pytest.mark.timeout(400)
def test_every_kernel_runs_in_the_interpreter():
    """The same comparison that the other backends pass, in a process that has TRITON_INTERPRET=1 from its start."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    environment.pop("ATOMLAB_TEST_REPORT", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "triton",
        HERE / "test_backends.py",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=HERE.parent.parent)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", done.stdout.splitlines()[-1])}
    assert counts["passed"] >= 2 * len(TINY) and "skipped" not in counts, counts


def test_the_backend_says_why_it_is_not_used():
    state = kernels.available()["triton"]
    assert state == "ready" if torch.cuda.is_available() else "needs a CUDA device" in state


def test_tensors_on_the_cpu_are_left_to_the_others():
    from atomlab.kernels.gpu import radial, segments

    assert segments.segment_sum(torch.ones(3), torch.zeros(3, dtype=torch.int64), 1) is NotImplemented
    assert radial.polynomial_envelope(torch.ones(3), 6) is NotImplemented


def test_what_is_left_to_torch_is_said():
    from atomlab.kernels import gpu

    gpu.load()
    ours = {name for name, table in dispatch.OPS.items() if "triton" in table}
    assert set(reference.__all__) - ours == set(gpu.LEFT_TO_TORCH)


class Target:
    """As much of a driver as Triton asks for until it launches: the launch itself is left out."""

    def __init__(self, capability: int):
        from triton.backends.compiler import GPUTarget

        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self) -> int:
        return self.target.arch

    def get_current_stream(self, device: int) -> int:
        return 0


@pytest.fixture
def machine_code(monkeypatch):
    """Launches compile, by Triton's own way from the arguments to the machine code, and do not run.

    Returns what was compiled, and the compute capabilities for which.
    """
    from triton.runtime import driver

    from atomlab.kernels.gpu import device, load

    load()
    found, capabilities = [], [90]

    def launch(kernel, grid, *args, warps=4, **constants):
        for capability in capabilities:
            driver.set_active(Target(capability))
            found.append(kernel.warmup(*args, grid=grid, num_warps=warps, enable_fp_fusion=True, **constants))

    monkeypatch.setattr(device, "launch", launch)
    monkeypatch.setattr(device, "INTERPRETED", True)
    monkeypatch.setitem(dispatch._loaded, "triton", "ready")
    monkeypatch.setattr(driver, "_active", driver._active)  # to be put back
    return found, capabilities


def compile_all(case, dtype, found) -> None:
    found.clear()
    with kernels.use("triton"):
        list(derivatives(case, dtype))
    assert found, f"{case} launched nothing"
    for code in found:
        assert code.asm["cubin"]
        if dtype == torch.float64:
            lower = LOWER.search(code.asm["ptx"])
            assert not lower, f"{case}: {lower} in a kernel for float64:\n{code.asm['ttir']}"


@pytest.mark.parametrize("case", TINY, ids=str)
def test_every_kernel_compiles(case, machine_code):
    compile_all(case, torch.float64, machine_code[0])


MACE = [
    Case("edge_convolution", "of MACE, first layer", convolutions(3, 4, 0, 3, 128)),
    Case("edge_convolution", "of MACE, second layer", convolutions(3, 4, 1, 3, 128)),
    Case("symmetric_contraction", "of MACE", contractions(3, 2, 3, 1, 3, 128)),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", TINY + MACE, ids=str)
def test_every_kernel_compiles_for_older_gpus_too(case, dtype, machine_code):
    found, capabilities = machine_code
    capabilities[:] = [80, 90]
    compile_all(case, dtype, found)
