"""GPTFF's options, limits and awkward input, with small random networks."""

import warnings

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import atomlab
from architecture_checks import ArchitectureTests, awkward, check_derivatives, set_random
from atomlab.architectures.remarks import cutoff_jump, size_effect
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.testing import check_potential

SMALL = {"nodes": 8, "edges": 6, "radial": 5, "layers": 2, "feedforward": 12}
KINDS = [(attention, readout) for attention in (False, True) for readout in ("sum_then_network", "network_then_sum")]


def small(attention=False, readout="network_then_sum", **more):
    torch.manual_seed(0)
    config = {**SMALL, "elements": [14, 32], "attention": attention, "readout": readout, **more}
    return set_random(atomlab.create("gptff", **config), spread=0.1)


@pytest.fixture(params=KINDS, ids=[f"{'v2' if a else 'v1'} {r}" for a, r in KINDS])
def model(request):
    return small(*request.param)


class TestEveryForm(ArchitectureTests):
    """What every architecture must stand."""


def test_flags_are_what_is_measured(model):
    """`extensive` and `local` per configuration, against the energies themselves."""
    crystal, fragments = awkward()["rattled crystal"], awkward()["two fragments"]
    by_atom = model.config["readout"] == "network_then_sum"
    assert model.card.extensive == by_atom
    assert model.card.local == (by_atom and not model.config["attention"])
    effect = size_effect(model, crystal)
    assert (abs(effect) < 1e-12) == model.card.extensive
    whole, left, right = (
        float(model(build(part, model.needs)).energy) for part in (fragments, fragments[:2], fragments[2:])
    )
    assert (abs(whole - left - right) < 1e-10) == model.card.local
    atoms = model(build(crystal, model.needs)).atoms
    assert (atoms is not None) == by_atom


def test_physical_checks_of_the_health_card(model):
    """All but continuity: GPTFF's energy jumps at its cutoffs, and the card must find that."""
    check_potential(model, only=("forces", "stress", "rotation", "translation_and_order", "batch", "extensivity"))


def test_bonds_and_sides_exactly_at_a_cutoff_count():
    model = small()

    def energy(*lengths):
        positions = [[0, 0, 0], [lengths[0], 0, 0], [0, lengths[-1], 0]]
        return float(model(build(Atoms("SiSiGe", positions), model.needs)).energy)

    assert abs(energy(5.0, 2.0) - energy(5.0 - 1e-7, 2.0)) < 1e-6
    assert abs(energy(5.0, 2.0) - energy(5.0 + 1e-7, 2.0)) > 1e-3
    assert abs(energy(3.5, 2.0) - energy(3.5 - 1e-9, 2.0)) < 1e-8
    assert abs(energy(3.5, 2.0) - energy(3.5 + 1e-9, 2.0)) > 1e-6


def test_collinear_triplets_are_smooth():
    model = small()
    chain = Atoms("Si3", [[-2.2, 0, 0], [0, 0, 0], [2.2, 0, 0]])
    check_derivatives(model, Atoms("Si3", chain.positions, cell=[9, 9, 9], pbc=True))


def test_rows_longer_than_one_are_shortened_and_left_as_they_are():
    model = small()
    atoms = awkward()["rattled crystal"]
    before = model(build(atoms, model.needs)).energy
    kept = model.embedding.detach().clone()
    with torch.no_grad():
        model.embedding[14] *= 3.0 / model.embedding[14].norm()
        first = model(build(atoms, model.needs)).energy
        model.embedding[14] *= 2.0
    second = model(build(atoms, model.needs)).energy
    assert torch.allclose(first, second, rtol=1e-6)
    assert torch.allclose(model.embedding[14].norm(), torch.tensor(6.0).double())
    assert kept[14].norm() > 1 and torch.allclose(first, before, rtol=1e-6)


def test_attention_sees_the_whole_structure_but_not_the_rest_of_the_batch():
    model = small(attention=True)
    fragments = awkward()["two fragments"]
    features = model(build(fragments, model.needs)).features
    alone = model(build(fragments[:2], model.needs)).features
    assert (features[:2] - alone).abs().max() > 1e-6


def test_dropout_is_for_training_only():
    model = small(attention=True)
    graph = build(awkward()["rattled crystal"], model.needs)
    assert torch.equal(model(graph).energy, model(graph).energy)
    model.train()
    assert not torch.equal(model(graph).energy, model(graph).energy)


@pytest.mark.parametrize("readout", ["sum_then_network", "network_then_sum"])
def test_heads_scale_and_shift(readout):
    model = small(readout=readout, heads=["a", "b"])
    atoms = awkward()["rattled crystal"]
    first, second = (build(atoms, model.needs, head=k) for k in (0, 1))
    one, two = model(first).energy, model(second).energy
    assert abs(float(one - two)) > 1e-3
    model.shift[1] = 0.5
    assert torch.allclose(model(second).energy, two + 0.5 * len(atoms)) and torch.equal(model(first).energy, one)
    model.shift[1] = 0.0
    constant = model.atomic_energies[1, model.species(second)].sum()
    model.scale[1] = 3.0
    assert torch.allclose(model(second).energy - constant, 3 * (two - constant))


def test_atomic_energies_are_set_by_element():
    model = small()
    atoms = awkward()["rattled crystal"]
    model.set_atomic_energies({14: 0.0, 32: 0.0})
    before = model(build(atoms, model.needs)).energy
    model.set_atomic_energies({32: -7.0})
    assert torch.allclose(model(build(atoms, model.needs)).energy, before - 7.0)
    with pytest.raises(InputError, match="Pb"):
        model.set_atomic_energies({82: 1.0})


def test_unknown_input_is_refused_in_words():
    with pytest.raises(InputError, match="sum_then_network"):
        small(readout="sum")
    with pytest.raises(InputError, match="1 to 94"):
        atomlab.create("gptff", elements=[14, 95])
    with pytest.raises(InputError, match="divide"):
        small(attention=True, attention_heads=3)
    with pytest.raises(InputError, match="triplet_cutoff"):
        small(triplet_cutoff=6.0)
    model = small()
    with pytest.raises(InputError, match="Pb"):
        model(build(bulk("Pb"), model.needs))


def test_published_jump_and_size_effect(shared):
    """The two numbers of the published weights that a user must know, as measured independently."""
    from atomlab.architectures.published.gptff import read

    for version, jump, dimer in (("v1", 0.165, 29), ("v2", 0.172, 33)):
        model = read(shared / f"weights/gptff/gptff_{version}.pth").double()
        # the third shell of diamond crosses 5 Å at a = 6.03 Å
        assert cutoff_jump(model, bulk("Si", a=6.0), 5.0, reach=1.01) == pytest.approx(jump, abs=1e-3)
        assert 2 * cutoff_jump(model, Atoms("Si2", [[0, 0, 0], [4.9, 0, 0]]), 5.0) == pytest.approx(dimer, abs=0.5)
    assert size_effect(model, bulk("Si", cubic=True)) < -0.01


def test_the_user_is_told_once(shared, monkeypatch):
    from atomlab import errors
    from atomlab.architectures.published.gptff import read

    monkeypatch.setattr(errors, "_said", set())
    model = read(shared / "weights/gptff/gptff_v1.pth")
    atoms = bulk("Si", cubic=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            atoms.calc = model.calculator()
            atoms.get_forces()
    texts = [str(w.message) for w in caught if w.category is errors.Notice and "compiled" not in str(w.message)]
    assert len(texts) == 2
    assert "no sum over atoms" in texts[0] and "twice over" in texts[0]
    assert "jumps" in texts[1] and "5 Å" in texts[1] and "3.5 Å" in texts[1]
    with pytest.raises(NotImplementedError, match="not a sum over atoms"):
        atoms.calc.get_property("energies", atoms)


def test_no_jump_to_measure_in_an_atom_alone():
    model = small()
    assert cutoff_jump(model, Atoms("Si"), 5.0) is None
    assert np.isfinite(size_effect(model, Atoms("Si")))
    assert all(isinstance(text, str) for _, text in model.remarks(Atoms("Si")))
