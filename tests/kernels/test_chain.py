"""A chain's gradients are autograd's, whatever stands between the operations that it notes down."""

import pytest
import torch

from atomlab import kernels
from atomlab.kernels.chain import Chain

BACKENDS = ["reference", "numba"]


def tensors(seed=0):
    make = torch.Generator().manual_seed(seed)
    x = torch.randn(24, 16, generator=make, dtype=torch.float64)
    weight = torch.randn(32, 16, generator=make, dtype=torch.float64)
    index = torch.randint(0, 7, (24,), generator=make).sort().values
    return x, weight, index


def network(x, y, weight, index):
    """Operations, torch between them, one result used twice, views, and a part on which nothing depends."""
    gate = kernels.dense(x * 2.0, weight, after="gate")
    both = torch.cat([gate, y[:, :8].sin(), gate[:, :8]], dim=1)
    summed = kernels.segment_sum(both, index, 9)
    kernels.dense(y, weight)
    again = kernels.dense(gate, weight[:16], after="silu", times=gate, plus=y)
    return (summed.square().sum(1)[:, None] * torch.arange(9.0)[:, None]).sum(0) + (again * again.detach()).sum()


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_those_of_autograd(backend):
    x, weight, index = tensors()
    y = torch.flip(x, (0,)) + 0.3
    with kernels.steady(), kernels.use(backend):
        leaves = [t.clone().requires_grad_(True) for t in (x, y)]
        expected = network(*leaves, weight, index)
        wanted = torch.autograd.grad(expected, leaves, torch.full((1,), 0.7, dtype=torch.float64))
        with Chain() as chain:
            starts = [chain.start(t) for t in (x, y)]
            found = network(*starts, weight, index)
        got = chain.gradients(found, torch.full((1,), 0.7, dtype=torch.float64), starts)
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=0, atol=0)
    for a, b in zip(got, wanted):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)


def test_a_start_that_nothing_depends_on_has_a_gradient_of_zero():
    x, weight, _ = tensors()
    with kernels.steady(), kernels.use("numba"), Chain() as chain:
        starts = [chain.start(x), chain.start(x)]
        y = kernels.dense(starts[0], weight).sum()
    assert chain.gradients(y, torch.ones_like(y), starts)[1].eq(0).all()


def test_a_weight_that_is_trained_is_refused_in_a_chain():
    x, weight, _ = tensors()
    trained = torch.nn.Parameter(weight)
    with kernels.steady(), kernels.use("numba"), Chain() as chain, pytest.raises(TypeError, match="detach it"):
        kernels.dense(chain.start(x), trained)
    assert trained.grad is None


def test_tensors_of_inference_mode_and_graphs_outside_are_left_alone():
    x, weight, _ = tensors()
    with kernels.steady(), kernels.use("numba"), torch.inference_mode():
        inside = x * 1.0
        with Chain() as chain:
            start = chain.start(inside)
            y = kernels.dense(start, weight).sum()
        (gradient,) = chain.gradients(y, torch.ones(()), [start])
    torch.testing.assert_close(gradient, weight.sum(0).expand_as(x))
    trained = x.clone().requires_grad_(True)
    assert kernels.dense(trained, weight).requires_grad  # the chain is over: autograd's own graph again
