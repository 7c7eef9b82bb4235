"""REANN's and EquiREANN's options and awkward input, with small random networks."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import atomlab
from architecture_checks import ArchitectureTests, awkward, set_random
from atomlab.architectures.element_networks import ByElement
from atomlab.architectures.reann import REANN
from atomlab.build import build
from atomlab.errors import InputError, Notice
from atomlab.potential import outputs
from atomlab.testing import check_potential

SMALL = {"waves": 3, "orbitals": 7, "hidden": [6, 5], "message_hidden": [5, 4], "neighbours": 2.0}
FORMS = {
    "reann T0": ("reann", {"rounds": 0}),
    "reann T2": ("reann", {"rounds": 2, "message_activation": "tanh_like"}),
    "reann eq. 3": ("reann", {"rounds": 2, "coefficients": "replaced", "norm": False, "blocks": 2}),
    "equireann released": ("equireann", {"rounds": 2}),
    "equireann paper": ("equireann", {"rounds": 2, "message": "paper", "contraction": "shared"}),
    "equireann T3 L3": ("equireann", {"rounds": 3, "degree": 3, "waves": 2, "message_norm": False}),
    "equireann L0": ("equireann", {"rounds": 1, "degree": 0, "activation": "tanh_like"}),
}


def small(kind="reann", elements=(14, 32), **more):
    torch.manual_seed(0)
    return set_random(atomlab.create(kind, **{**SMALL, "elements": list(elements), **more}), spread=0.15)


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def model(request):
    kind, more = request.param
    return small(kind, **more)


class TestEveryForm(ArchitectureTests):
    """What every architecture must stand."""


def test_physical_checks_of_the_health_card(model):
    check_potential(model)


@pytest.mark.parametrize("kind", ["reann", "equireann"])
def test_no_rounds_are_the_same_for_all_forms(kind):
    graph = build(awkward()["rattled crystal"], small(rounds=0).needs)
    reference = small(rounds=0)
    model = small(kind, rounds=0) if kind == "reann" else small(kind, rounds=0, message="paper", contraction="shared")
    model.load_state_dict(reference.state_dict())
    assert torch.equal(model(graph).energy, reference(graph).energy)


def test_an_atom_alone_still_has_its_network():
    model = small()
    alone = model(build(Atoms("Si"), model.needs))
    assert float(alone.features.abs().max()) == 0.0
    assert abs(float(alone.energy - model.atomic_energies[0, 0])) > 1e-6


@pytest.mark.parametrize("rounds,expected", [(0, 7570), (1, 12738), (2, 17906)])
def test_published_numbers_of_parameters(rounds, expected):
    """C and H, N_φ 8, L 2, 16x16, LayerNorm: the packages' counts; shared contraction: both models the same."""
    config = {"elements": ["C", "H"], "waves": 8, "degree": 2, "hidden": [16, 16], "message_hidden": [16, 16]}

    def count(kind, **more):
        return sum(p.numel() for p in atomlab.create(kind, **config, rounds=rounds, **more).parameters())

    assert count("reann") == expected
    assert count("equireann", contraction="shared") == expected
    assert count("equireann") == {0: 7570, 1: 15330, 2: 23090}[rounds]


def cumulene(length, angle):
    """A straight chain of carbons with a CH2 at each end, the second one turned by `angle` degrees."""
    z = 1.28 * np.arange(length)
    bend = np.deg2rad(121.5)
    x, dz = 1.085 * np.sin(bend), 1.085 * np.cos(bend)
    turn = np.deg2rad(angle)
    near = [[s * x, 0, dz] for s in (1, -1)]
    far = [[s * x * np.cos(turn), s * x * np.sin(turn), z[-1] - dz] for s in (1, -1)]
    return Atoms(f"C{length}H4", [*[[0, 0, k] for k in z], *near, *far])


def spread(model, length):
    energies = model(build([cumulene(length, a) for a in range(0, 181, 15)], model.needs)).energy.detach().numpy()
    return float(np.ptp(energies))


@pytest.mark.parametrize("contraction", ["shared", "per_round"])
@pytest.mark.parametrize("message", ["released", "paper"])
def test_torsion_of_cumulene(message, contraction):
    """r_c 3 Å: EquiREANN with L = 2 or 3 sees it, REANN never does, and with L = 1 neither does."""
    for degree in (1, 2, 3):
        config = {"elements": ["C", "H"], "cutoff": 3.0, "degree": degree, "waves": 4}
        for rounds in (1, 2):
            reann = spread(small("reann", **config, rounds=rounds), 5)
            equi = spread(small("equireann", **config, rounds=rounds, message=message, contraction=contraction), 5)
            assert reann < 1e-12
            if degree == 1:
                assert equi < 1e-12
            else:
                assert equi > 1e-7 and reann < 1e-6 * equi


def test_longer_chain_needs_more_rounds():
    config = {"elements": ["C", "H"], "cutoff": 3.0, "waves": 4}
    assert spread(small("equireann", **config, rounds=1), 9) < 1e-12
    assert spread(small("equireann", **config, rounds=3), 9) > 1e-12
    assert spread(small("reann", **config, rounds=3), 9) < 1e-12


def test_replaced_coefficients_follow_equation_3():
    model = small(rounds=1, coefficients="replaced")
    graph = build(awkward()["rattled crystal"], model.needs)
    species = model.species(graph)
    groups = ByElement.of(species, 2)
    (density, _, _), (_, coefficient, _) = model.passed(graph, species, groups)
    assert torch.allclose(coefficient, model.messages[0](density, groups)[0])


def test_start_is_not_a_flat_point():
    """Untrained weights: the energy is constant (last layer 0), but the first step moves, for every form."""
    for kind, more in FORMS.values():
        model = atomlab.create(kind, **{**SMALL, "elements": [14], **more}).double()
        graph = build(bulk("Si"), model.needs)
        assert float(model(graph).energy) == 0.0
        model(graph).energy.sum().backward()
        assert float(model.readout.networks["Si"].last.weight.grad.abs().max()) > 1e-8


def test_first_values_are_the_packages():
    model = atomlab.create("equireann", elements=[1, 6], waves=8, hidden=[16, 12], rounds=2, cutoff=4.0)
    assert ((model.width <= -0.2) & (model.width >= -1.2)).all()
    assert ((model.centre >= 0) & (model.centre <= 4.0)).all()
    assert torch.allclose(model.coefficient, torch.tensor(1 / 60.0))
    assert torch.equal(model.contraction, model.contraction[:1, :1].expand_as(model.contraction))
    network = model.readout.networks["C"]
    assert float(network.last.weight.abs().max()) == 0.0
    block = network.blocks[0].layers
    n_in = model.config["orbitals"]
    assert torch.allclose(block[0].beta, torch.tensor(1.0 / n_in)) and torch.allclose(
        block[3].beta, torch.tensor(1 / 16)
    )
    assert torch.allclose(network.activation.beta, torch.tensor(1 / 12)) and float(block[5].weight.abs().max()) == 0.0


def test_dropout_is_for_training_only():
    model = small(rounds=1, dropout=0.3, message_dropout=0.3)
    graph = build(awkward()["rattled crystal"], model.needs)
    assert torch.equal(model(graph).energy, model(graph).energy)
    model.train()
    assert not torch.equal(model(graph).energy, model(graph).energy)


def test_heads_have_networks_of_their_own():
    model = small(heads=["a", "b"])
    atoms = awkward()["rattled crystal"]
    a, b = (float(model(build(atoms, model.needs, head=k)).energy.detach()) for k in (0, 1))
    assert abs(a - b) > 1e-3
    both = model(build([atoms], model.needs, head=1))
    assert float(both.energy.detach()) == b


def test_readout_is_what_the_last_layers_see():
    """The energy is linear in Terms.readout, with one weight vector for all elements."""
    model = small()
    graph = build(awkward()["rattled crystal"], model.needs)
    terms = model(graph)
    networks = model.readout.networks.values()
    weight = torch.cat([n.last.weight[0] for n in networks])
    bias = torch.stack([n.last.bias[0] for n in networks])[model.species(graph)]
    constant = model.atomic_energies[0, model.species(graph)]
    assert torch.allclose(terms.readout @ weight + bias + constant, terms.atoms)


def test_unknown_input_is_refused_in_words():
    for more, words in [
        ({"activation": "relu"}, "tanh_like"),
        ({"degree": 4}, "0 to 3"),
        ({"rounds": -1}, "0 to 8"),
        ({"hidden": []}, "at least one layer"),
        ({"coefficients": "sum"}, "replaced"),
        ({"message": "paper"}, "no option 'message'"),
    ]:
        with pytest.raises(InputError, match=words):
            small("reann", **more)
    with pytest.raises(InputError, match="per_round"):
        small("equireann", contraction="own")
    with pytest.raises(InputError, match="nwave"):
        small("equireann", nwave=8)
    with pytest.raises(InputError, match="no such options.*message"):
        REANN([14], message="paper")
    model = small()
    with pytest.raises(InputError, match="Cu"):
        model(build(bulk("Cu"), model.needs))


def test_reader_says_what_it_assumes(tmp_path):
    from atomlab.architectures.published.reann import from_upstream, read, upstream_state

    model = small("equireann", rounds=2, message="paper", contraction="shared", dropout=0.1)
    model.atomic_energies.zero_()
    model.shift.fill_(0.7)
    state = upstream_state(model)
    path = tmp_path / "EANN.pth"
    torch.save({"reannparam": {f"module.{k}": v for k, v in state.items()}, "optimizer": {}}, path)
    again = read(path, "relu_like", message="paper", contraction="shared")
    graph = build(awkward()["rattled crystal"], model.needs)
    assert torch.allclose(outputs(again, graph).energy, outputs(model, graph).energy, rtol=1e-12)
    assert again.config["message_norm"] and again.config["dropout"] == 0.0
    with pytest.warns(Notice, match="does not say its activation"):
        from_upstream(state, name=str(tmp_path))
    broken = {k: v for k, v in state.items() if not k.startswith("nnmod.elemental")}
    with pytest.raises(InputError, match="readout"):
        from_upstream(broken, "relu_like")
    model.set_atomic_energies({14: -3.0})
    with pytest.raises(InputError, match="E0"):
        upstream_state(model)
