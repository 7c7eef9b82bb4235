"""Which backend runs: asked for by name or environment, said once where it is not there, refused where unknown."""

import pytest
import torch

from atomlab import errors, kernels
from atomlab.errors import InputError, Notice
from atomlab.kernels import dispatch


@pytest.fixture
def silent_before(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


def test_a_backend_runs_where_it_is_asked_for(monkeypatch):
    monkeypatch.setitem(dispatch._loaded, "triton", "ready")
    monkeypatch.setitem(dispatch.OPS["segment_sum"], "triton", lambda x, index, size: x.new_full((size,), 7.0))
    x, index = torch.ones(3), torch.zeros(3, dtype=torch.int64)
    assert kernels.segment_sum(x, index, 1).item() == 3.0
    with kernels.use("triton"):
        assert kernels.segment_sum(x, index, 1).item() == 7.0
        assert kernels.gather(x, index).sum() == 3.0  # what the backend lacks, the reference does
    assert kernels.current() == "numba"  # what is meant by auto, on a CPU


def test_a_backend_that_is_not_there_is_said_once(monkeypatch, silent_before):
    monkeypatch.setitem(dispatch._loaded, "triton", "needs a GPU")
    monkeypatch.setenv("ATOMLAB_KERNELS", "triton")
    with pytest.warns(Notice, match="triton needs a GPU. The torch reference is used"):
        assert kernels.current() == "reference"
    assert kernels.current() == "reference"


def test_a_broken_numba_is_said_even_where_nobody_asked_for_it(monkeypatch, silent_before):
    monkeypatch.setitem(dispatch._loaded, "numba", "cannot be imported (no such module)")
    monkeypatch.setitem(dispatch._loaded, "triton", "needs a CUDA device")
    with kernels.use("auto"), pytest.warns(Notice, match="numba cannot be imported") as said:
        assert kernels.current() == "reference"
    assert len(said) == 1  # that there is no GPU needs no word


def test_an_unknown_backend_is_refused(monkeypatch):
    monkeypatch.setenv("ATOMLAB_KERNELS", "nubma")
    with pytest.raises(InputError, match="numba"):
        kernels.segment_sum(torch.ones(1), torch.zeros(1, dtype=torch.int64), 1)
    with pytest.raises(InputError), kernels.use("cuda"):
        pass


def test_what_is_left_to_torch_on_a_cpu_is_said():
    from atomlab.kernels import cpu, reference

    ours = {name for name, table in dispatch.OPS.items() if "numba" in table}
    assert set(reference.__all__) - ours == set(cpu.LEFT_TO_TORCH)
