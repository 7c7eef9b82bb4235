"""Whole models on the kernels for GPUs, in Triton's interpreter: energy, forces, and what training on forces needs."""

import pytest
import torch
from ase import Atoms

import atomlab
from architecture_checks import set_random
from atomlab import kernels
from atomlab.build import build
from atomlab.kernels import autograd
from atomlab.potential import outputs

from .cases import CASES
from .test_backends import INTERPRETED, TOLERANCE, assert_close

pytestmark = pytest.mark.skipif(
    not INTERPRETED, reason="runs in the interpreter's process, which test_triton.py starts"
)
MACE = {"channels": 3, "cutoff": 4.2, "radial_hidden": [6], "radial_basis": 4, "readout_hidden": 4}
SHAPES = {
    "mace": {**MACE, "l_edges": 1, "l_nodes": 1, "correlation": 2, "transform": "agnesi", "zbl": True},
    "reann": {"waves": 3, "orbitals": 5, "hidden": [5, 4], "neighbours": 2.0},
    "dimenetpp": {"hidden": 8, "blocks": 1, "length_unit": "Å"},
    "gptff": {"layers": 1, "nodes": 6, "edges": 6},
}
ATOMS = Atoms(["Si", "Ge", "Si"], [[0, 0, 0], [2.3, 0.2, 0.1], [1.0, 2.1, 0.4]])


def results(potential, backend: str) -> list[torch.Tensor]:
    """Energy and forces; then the gradient of a loss on the forces with respect to every parameter."""
    graph = build(ATOMS, potential.needs).to(dtype=potential.dtype)
    with kernels.use(backend), kernels.steady():
        plain = outputs(potential, graph, ("energy", "forces"))
        found = outputs(potential, graph, ("energy", "forces"), create_graph=True)
        loss = found.forces.square().sum() + found.energy.sum()
        parameters = [p for p in potential.parameters() if p.requires_grad]
        slopes = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [plain.energy.detach(), plain.forces.detach(), *(s for s in slopes if s is not None)]


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_is_the_same_on_the_kernels(name):
    torch.manual_seed(0)
    potential = set_random(atomlab.create(name, elements=[14, 32], **SHAPES[name]), spread=0.1)
    assert_close(results(potential, "triton"), results(potential, "reference"), 100 * TOLERANCE[torch.float64], name)


@pytest.mark.parametrize("case", [case for case in CASES if case.tiny and not case.empty], ids=str)
def test_a_kernel_and_its_torch_form_are_one_operation(case, monkeypatch):
    """From the third derivative on the torch form serves."""
    rules = []

    class Forward:
        @staticmethod
        def apply(rule, *x):
            y = rule.forward(tuple(t.detach().contiguous() for t in x))
            rules.append((rule, x, y))
            return y

    monkeypatch.setattr(autograd, "_Forward", Forward)
    function, inputs = case.make(torch.float64)
    with kernels.use("triton"):
        function(*(t.requires_grad_(True) for t in inputs))
    assert rules
    for rule, x, y in rules:
        assert_close(y, [t.detach() for t in rule.reference(*x)], TOLERANCE[torch.float64], type(rule).__name__)
