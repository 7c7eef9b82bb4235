"""DimeNet++ in one pass without autograd: the same numbers as with it, whatever the configuration and weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch

import atomlab
import fused_checks as check
from architecture_checks import awkward, set_random
from atomlab import kernels
from atomlab.architectures import dimenetpp_fused
from atomlab.build import build
from atomlab.potential import outputs
from fused_checks import ALL, analytic, assert_close, by_autograd

SMALL = {"hidden": 16, "basis": 4, "blocks": 2, "radial": 3, "spherical": 3, "output_layers": 1}
CONFIGURATIONS = {
    "paper": {"length_unit": "Å"},
    "common": {"form": "common"},
    "quarter size": {
        "form": "common", "hidden": 32, "basis": 8, "blocks": 4, "radial": 6, "spherical": 7, "output_layers": 3,
    },
    "widths that fill no vector": {"hidden": 6, "outputs": 5, "triplet": 3, "spherical": 1, "length_unit": "Å"},
    "two heads, scaled, other layers": {
        "heads": ["a", "b"], "output_scale": True, "before_skip": 2, "after_skip": 0, "output_layers": 0,
        "angle": "turn",
    },
    "one block": {"blocks": 1, "radial_basis": "bare", "spherical_envelope": "divided"},
}  # fmt: skip


def model_of(**options):
    torch.manual_seed(0)
    model = atomlab.create("dimenetpp", elements=[14, 32], **{**SMALL, **options})
    model = set_random(model, spread=0.1)
    with torch.no_grad():
        model.scale.add_(0.5)
        model.shift.add_(0.25)
    return model


def graph_of(model, atoms=None):
    graph = build(list(awkward().values()) if atoms is None else atoms, model.needs).to(dtype=model.dtype)
    return replace(graph, head=torch.arange(graph.size) % len(model.card.heads))


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_it_equals_autograd_for_a_batch_and_its_members(options):
    """With mixed periodicity, atoms and bonds alone, and cells whose atom is its own neighbour."""
    check.batch_and_members(analytic, model_of(**options), graph_of, awkward().values(), 1e-12)


def test_single_precision():
    model = model_of(form="common")
    graph = graph_of(model)
    exact = by_autograd(model, graph)
    found = analytic(model.float(), graph.to(dtype=torch.float32))
    assert found.forces.dtype == torch.float32 and found.energy.dtype == torch.float64
    assert (found.forces - exact.forces).abs().max() < 1e-4 * exact.forces.abs().max()
    assert (found.energy - exact.energy).abs().max() < 1e-4 * exact.energy.abs().max()


def test_no_weight_is_older_than_the_model():
    """Train one step, load a state, replace a parameter: the next answer is of the new weights."""
    model = model_of()
    graph = graph_of(model)

    def check(before):
        found = analytic(model, graph)
        assert_close(found, by_autograd(model, graph), 1e-12)
        assert (found.forces - before.forces).abs().max() > 1e-6
        return found

    found = analytic(model, graph)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    outputs(model, graph, ("energy", "forces"), create_graph=True).forces.square().sum().backward()
    optimiser.step()
    found = check(found)
    state = copy.deepcopy(model.state_dict())
    model.load_state_dict(model_of(form="paper", length_unit="nm").state_dict())
    found = check(found)
    model.interactions[0].own.weight = torch.nn.Parameter(2.0 * model.interactions[0].own.weight.detach())
    found = check(found)
    with torch.no_grad():
        model.frequencies.mul_(1.1)
    found = check(found)
    model.load_state_dict(state)
    check(found)


def test_threads_change_nothing(monkeypatch):
    model = model_of()
    members = [graph_of(model, atoms) for atoms in awkward().values()] * 3
    check.same_with_threads(partial(analytic, model), graph_of(model), members, monkeypatch)


def test_a_look_in_inference_mode_spoils_nothing():
    check.inference_mode(analytic, model_of(), graph_of)


def test_what_is_no_number_stays_none():
    model = model_of()
    check.no_number_stays_none(partial(analytic, model), graph_of(model, awkward()["rattled crystal"]))


def test_autograd_serves_where_it_does_not(monkeypatch):
    model = model_of()
    graph = graph_of(model)
    energy = analytic(model, graph, ("energy",))
    assert energy.forces is None and energy.features is None
    with kernels.use("reference"):
        assert model.analytic(graph, ALL) is None
    with kernels.use("numba"), kernels.steady():
        assert outputs(model, graph, ALL, create_graph=True).energy.requires_grad
        assert model.analytic(graph.to(dtype=torch.float32), ALL) is None
        monkeypatch.setattr(dimenetpp_fused, "loops", lambda *_: None)  # as while they are being compiled
        assert model.analytic(graph, ALL) is None
