"""MACE as a user meets it: defaults, options, what it refuses, and what it hands out beside the energy."""

import copy
import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import atomlab
from atomlab.architectures.mace import MACE
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.potential import outputs


def crystal():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_one_element_is_all_that_must_be_said():
    model = atomlab.create("mace", elements=["Si"])
    assert model.kind == "mace" and model.card.elements == (14,) and model.card.heads == ("default",)
    assert 4.2 <= model.cutoff <= 5.0 and model.card.contains["zbl"] == "no"
    assert sum(p.numel() for p in model.parameters()) < 20_000
    out = outputs(model, build(crystal(), model.needs).to(dtype=torch.float32), ("energy", "forces", "stress"))
    assert out.energy.dtype == torch.float64 and out.forces.dtype == torch.float32
    assert torch.isfinite(out.stress).all() and out.forces.abs().max() > 0
    alone = outputs(model, build(Atoms("Si", positions=[[0, 0, 0]]), model.needs).to(dtype=torch.float32))
    assert float(alone.energy) == 0.0


def test_the_first_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    a, before = atomlab.create("mace", elements=[14]), torch.random.get_rng_state()
    b = atomlab.create("mace", elements=[14])
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))
    c = atomlab.create("mace", elements=[14], seed=1)
    assert not torch.equal(a.node_embedding.linear.weight, c.node_embedding.linear.weight)


def test_its_configuration_is_plain_data_and_complete():
    options = {"elements": ["Ge", 14], "heads": ["x", "y"], "l_nodes": 1, "radial_hidden": (5,), "transform": "soft"}
    model = MACE(**options)
    again = MACE(**json.loads(json.dumps(model.config)))
    assert again.config == model.config and again.config["elements"] == [32, 14]
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"l_edges": 4}, "l_edges.*0 to 3"),
        ({"l_nodes": 3, "l_edges": 3}, "l_nodes.*0 to 2"),
        ({"l_nodes": 2, "l_edges": 1}, "l_nodes.*0 to 1"),
        ({"correlation": 4}, "correlation"),
        ({"correlation": 0}, "correlation"),
        ({"layers": 0}, "layers"),
        ({"interaction": "attention"}, "interaction.*density-residual"),
        ({"transform": "log"}, "transform.*agnesi"),
        ({"envelope_on": "both"}, "envelope_on"),
        ({"cutoff": 0.0}, "cutoff"),
        ({"cutoff": float("nan")}, "cutoff"),
        ({"average_neighbours": -1}, "average_neighbours"),
        ({"heads": ["a", "a"]}, "heads"),
        ({"heads": []}, "heads"),
        ({"radial_hidden": [0]}, "radial network"),
        ({"elements": []}, "different elements"),
        ({"elements": [14, 14]}, "different elements"),
        ({"elements": ["Xx"]}, "elements.*Xx"),
    ],
    ids=str,
)
def test_impossible_options_are_refused_in_words(options, words):
    with pytest.raises(InputError, match=words):
        MACE(**{"elements": [14], **options})


def test_an_unknown_option_is_named_with_its_neighbour():
    with pytest.raises(InputError, match=r"chanels.*channels"):
        atomlab.create("mace", elements=[14], chanels=8)


def test_features_are_laid_out_invariant_first():
    model = MACE(elements=[14], channels=3, l_nodes=2, l_edges=3, layers=3)
    layout = model.feature_layout
    assert [(b.layer, b.l) for b in layout] == [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1), (1, 2)]
    assert layout[0].start == 0 and all(a.stop == b.start for a, b in pairwise(layout))
    terms = model.double()(build(crystal(), model.needs))
    assert terms.features.shape == (8, layout[-1].stop) and layout[2].stop == 9
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    atoms = crystal()
    turned = Atoms(atoms.numbers, atoms.positions @ q.T, cell=atoms.cell.array @ q.T, pbc=True)
    other = model(build(turned, model.needs)).features
    assert torch.allclose(terms.features[:, :9], other[:, :9], atol=1e-12)
    columns = slice(layout[3].start, layout[3].stop)
    vectors = [f[:, columns].reshape(8, 3, 3).detach().numpy() for f in (terms.features, other)]
    assert np.allclose(np.einsum("xy,ayk->axk", q, vectors[0]), vectors[1], atol=1e-12)
    assert not torch.allclose(terms.features[:, 9:], other[:, 9:], atol=1e-6)


@pytest.mark.parametrize("heads", [("a",), ("a", "b")])
def test_the_readout_term_is_what_the_last_weights_act_on(heads):
    model = MACE(elements=[14], heads=heads, channels=3, readout_hidden=5, layers=2).double()
    for head in range(len(heads)):
        terms = model(build(crystal(), model.needs, head=head))
        assert terms.readout.shape == (8, 3 + 5 * len(heads))
        first = model.readouts[0].linear.weight.view(3, -1)[:, head] / math.sqrt(3)
        last = model.readouts[1].linear_2.weight.view(-1, len(heads))[:, head] / math.sqrt(5 * len(heads))
        assert torch.allclose(terms.atoms, terms.readout @ torch.cat([first, last]))


def test_a_changed_weight_changes_the_energy_at_once():
    """No table of inference may outlive the weights that it was made of."""
    model, graph = MACE(elements=[14]).double(), build(crystal(), MACE(elements=[14]).needs)
    before = outputs(model, graph).energy
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.mul_(1.01)
            after = outputs(model, graph).energy
            assert not torch.equal(before, after), name
            before = after
    twin = copy.deepcopy(model)
    assert torch.equal(outputs(twin, graph).energy, before)
    twin.load_state_dict(MACE(elements=[14]).double().state_dict())
    assert torch.equal(outputs(twin, graph).energy, outputs(MACE(elements=[14]).double(), graph).energy)


def test_types_can_be_changed_back_and_forth():
    model = MACE(elements=[14], l_nodes=1, correlation=3)
    graph = build(crystal(), model.needs)
    model.set_atomic_energies({14: -8765.4321})
    single = outputs(model, graph.to(dtype=torch.float32)).energy
    double = outputs(model.double(), graph).energy
    again = outputs(model.float(), graph.to(dtype=torch.float32)).energy
    assert float(model.atomic_energies[0, 0]) == -8765.4321
    assert torch.equal(single, again) and torch.allclose(single, double, rtol=0, atol=1e-4)


def test_atoms_on_top_of_each_other_give_no_silent_number():
    model = MACE(elements=[14]).double()
    out = outputs(model, build(Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0]]), model.needs))
    assert not torch.isfinite(out.forces).all()


def test_one_call_trains_it():
    torch.manual_seed(0)
    model = MACE(elements=[14], channels=8)
    graph = build(crystal(), model.needs).to(dtype=torch.float32)
    target = 0.1 * torch.randn(8, 3)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        out = outputs(model, graph, ("energy", "forces"), create_graph=True)
        loss = (out.forces - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_a_look_in_inference_mode_does_not_spoil_training():
    model = MACE(elements=[14], l_nodes=1, l_edges=3, correlation=3).double()
    graph = build(crystal(), model.needs)
    with torch.inference_mode():
        energy = model(graph).energy.clone()
    out = outputs(model, graph, ("energy", "forces"), create_graph=True)
    out.forces.square().sum().backward()
    assert torch.allclose(out.energy.detach(), energy)
