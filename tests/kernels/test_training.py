"""MACE in training on compiled kernels: the loss and its gradients are those of the reference, in every shape."""

import pytest
import torch

import atomlab
from architecture_checks import awkward, set_random
from atomlab import kernels
from atomlab.build import build
from atomlab.graph import collate
from atomlab.kernels import dispatch
from atomlab.potential import outputs

SMALL = {"channels": 3, "cutoff": 4.2, "radial_hidden": [8], "radial_basis": 4, "readout_hidden": 4}
SHAPES = {
    "default": {"channels": 3},
    "residual": {**SMALL, "first_interaction": "residual", "interaction": "residual", "average_neighbours": 8.0},
    "agnostic": {**SMALL, "first_interaction": "agnostic", "interaction": "residual", "transform": "agnesi"},
    "rich": {**SMALL, "l_edges": 3, "l_nodes": 2, "correlation": 3, "transform": "soft", "zbl": True},
    "layers": {**SMALL, "l_nodes": 1, "layers": 3, "envelope_on": "weights", "trained_bessel": True},
    "single": {**SMALL, "layers": 1, "correlation": 1, "l_edges": 1, "scale_shift": False},
    "wide": {**SMALL, "channels": 32, "radial_hidden": [32, 16], "l_nodes": 1},
}


def loss_and_gradients(model, graph, backend):
    generator = torch.Generator().manual_seed(0)
    with kernels.use(backend), kernels.steady():
        out = outputs(model, graph, ("energy", "forces", "virial"), create_graph=True)
        targets = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in (out.forces, out.virial)]
        loss = out.energy.square().sum() + (out.forces - targets[0]).square().sum()
        loss = loss + (out.virial - targets[1]).square().sum()
        parameters = dict(model.named_parameters())
        grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), dict(zip(parameters, grads))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_a_loss_on_forces_and_virial(shape):
    if dispatch._load("numba") != "ready":
        pytest.skip(f"numba {dispatch._load('numba')}")
    model = set_random(atomlab.create("mace", elements=[14, 32, 8], **SHAPES[shape]), spread=0.1).train()
    graph = collate([build(atoms, model.needs) for atoms in awkward().values()])
    expected, theirs = loss_and_gradients(model, graph, "reference")
    found, mine = loss_and_gradients(model, graph, "numba")
    assert torch.allclose(found, expected, rtol=1e-11)
    for name, gradient in theirs.items():
        scale = gradient.abs().max()
        assert (mine[name] - gradient).abs().max() <= 1e-10 * (scale + 1e-6), name
