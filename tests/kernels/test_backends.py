"""Every operation on every backend against the reference: values, first and second derivatives, and what must not fail.

The cases are a table of their own (`cases.py`). Backends differ from the reference by rounding only.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from atomlab import kernels
from atomlab.kernels import dispatch, reference

from .cases import CASES, Case

BACKENDS = ("numba", "triton")
# of the largest number of a result: what rounding may leave
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
DTYPES = [pytest.param(torch.float64, id="f64"), pytest.param(torch.float32, id="f32")]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # a process of its own, see test_triton.py


def tried(backend: str, case: Case) -> bool:
    if backend == "triton":
        return case.tiny if INTERPRETED else torch.cuda.is_available()
    return not case.tiny and not INTERPRETED


PAIRS = [
    pytest.param(case, backend, id=f"{backend}-{case}", marks=[pytest.mark.slow] if case.slow else [])
    for backend in BACKENDS
    for case in CASES
    if tried(backend, case)
]


@pytest.fixture(autouse=True)
def however_small(monkeypatch):
    """Backends leave to the reference what is too small to pay; here they do not."""
    matrices = pytest.importorskip("atomlab.kernels.cpu.matrices")
    monkeypatch.setattr(matrices, "FEWEST", 0)
    monkeypatch.setattr(pytest.importorskip("atomlab.kernels.cpu.classical"), "FEWEST", 0)


@pytest.fixture
def served(monkeypatch, backend) -> dict[str, int]:
    """How many calls of each operation a backend answered itself; the others were the reference's."""
    counts: dict[str, int] = {}

    def counting(name, function):
        def call(*args, **kwargs):
            out = function(*args, **kwargs)
            counts[name] = counts.get(name, 0) + (out is not NotImplemented)
            return out

        return call

    dispatch._load(backend)
    for name, table in dispatch.OPS.items():
        if backend in table:
            monkeypatch.setitem(table, backend, counting(name, table[backend]))
    return counts


def require(backend: str, case: Case) -> None:
    state = dispatch._load(backend)
    if state != "ready":
        pytest.skip(f"{backend} {state}")
    if backend not in dispatch.OPS[case.op]:
        pytest.skip(f"{case.op} is the reference's on {backend}")


def derivatives(case: Case, dtype: torch.dtype, device: str = "cpu") -> Iterator[tuple[str, list[Tensor | None]]]:
    """The results, the gradient of a random sum of them, and the gradient of a random sum of that."""
    function, inputs = case.make(dtype)
    function = on(device, function)
    x = [t.to(device).requires_grad_(True) for t in inputs]
    y = _tuple(function(*x))
    yield "value", [t.detach() for t in y]
    g = [_like(t, seed).requires_grad_(True) for seed, t in enumerate(y)]
    first = torch.autograd.grad(y, x, g, create_graph=True, allow_unused=True)
    yield "first derivative", [_or_zero(t, like) for t, like in zip(first, x)]
    used = [t for t in first if t is not None and t.requires_grad]
    v = [_like(t, 100 + seed) for seed, t in enumerate(used)]
    second = torch.autograd.grad(used, [*x, *g], v, allow_unused=True) if used else [None] * (len(x) + len(g))
    yield "second derivative", [_or_zero(t, like) for t, like in zip(second, [*x, *g])]


def on(device: str, function: Callable) -> Callable:
    """The same function with the tensors that it holds (indices, couplings) on the device."""

    def moved(held):
        if isinstance(held, list | tuple):
            return type(held)(moved(part) for part in held)
        return held.to(device) if isinstance(held, Tensor) else held

    if device == "cpu" or not isinstance(function, types.FunctionType):
        return function
    cells = tuple(types.CellType(moved(cell.cell_contents)) for cell in function.__closure__ or ())
    space = {name: moved(held) if isinstance(held, Tensor) else held for name, held in function.__globals__.items()}
    return types.FunctionType(function.__code__, space, argdefs=function.__defaults__, closure=cells)


def _tuple(y):
    return (y,) if isinstance(y, Tensor) else tuple(y)


def _like(t: Tensor, seed: int) -> Tensor:
    numbers = torch.randn(t.shape, generator=torch.Generator().manual_seed(7 + seed), dtype=torch.float64)
    return numbers.to(t)


def _or_zero(t: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if t is None else t.detach()


def assert_close(found, expected, tolerance: float, what: str) -> None:
    assert len(found) == len(expected)
    for n, (mine, theirs) in enumerate(zip(found, expected)):
        assert mine.shape == theirs.shape, (what, n)
        if theirs.numel():
            scale = theirs.abs().max().item()
            error = (mine.double().cpu() - theirs.double().cpu()).abs().max().item()
            assert error <= tolerance * (scale + 1e-3), f"{what}, tensor {n}: {error:.2e} of {scale:.2e}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("case", "backend"), PAIRS)
def test_values_and_derivatives_are_the_references(case, backend, dtype, served):
    require(backend, case)
    with kernels.use("reference"):
        expected = list(derivatives(case, torch.float64))
    device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
    with kernels.use(backend), kernels.steady():
        found = list(derivatives(case, dtype, device))
    assert served.get(case.op) or case.empty, f"{backend} left {case} to the reference"
    for (what, mine), (_, theirs) in zip(found, expected):
        assert_close(mine, theirs, TOLERANCE[dtype], what)


SMALL = [pair for pair in PAIRS if pair.values[0].small]


@pytest.mark.parametrize(("case", "backend"), SMALL)
def test_derivatives_are_those_of_the_function(case, backend):
    require(backend, case)
    function, inputs = case.make(torch.float64)
    inputs = tuple(t.requires_grad_(True) for t in inputs)
    with kernels.use(backend), kernels.steady():
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@pytest.mark.parametrize(("case", "backend"), [p for p in PAIRS if p.values[1] == "numba"])
def test_the_number_of_threads_changes_nothing(case, backend, monkeypatch):
    require(backend, case)
    threads = pytest.importorskip("atomlab.kernels.cpu.threads")
    monkeypatch.setattr(threads, "LEAST", 0)
    before = torch.get_num_threads()
    found = []
    try:
        for many in (1, 3):
            torch.set_num_threads(many)
            with kernels.use(backend), kernels.steady():
                found.append(list(derivatives(case, torch.float64)))
    finally:
        torch.set_num_threads(before)
    for (what, one), (_, three) in zip(*found):
        assert_close(three, one, 1e-12, what)


@pytest.mark.parametrize(("case", "backend"), [p for p in PAIRS if not p.values[0].slow])
def test_nan_in_gives_nan_out(case, backend):
    """Where the reference says NaN for a NaN in one input, so does the backend (perhaps in fewer places)."""
    require(backend, case)
    function, inputs = case.make(torch.float64)
    for n, place in enumerate(inputs):
        if not place.numel():
            continue
        broken = [t.clone() for t in inputs]
        broken[n].view(-1)[place.numel() // 2] = float("nan")
        with kernels.use("reference"):
            expected = _tuple(function(*broken))
        with kernels.use(backend), kernels.steady():
            found = _tuple(function(*broken))
        for mine, theirs in zip(found, expected):
            assert not theirs.isnan().any() or mine.isnan().any(), f"input {n}: a NaN is lost"


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_operation_of_a_backend_has_a_case(backend):
    dispatch._load(backend)
    mine = {name for name, table in dispatch.OPS.items() if backend in table and name in reference.__all__}
    lonely = mine - {case.op for case in CASES}
    assert not lonely, f"{backend} has operations that no case compares: {sorted(lonely)}"
