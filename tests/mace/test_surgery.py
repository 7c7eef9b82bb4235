"""Elements and heads are added and taken away without a change of what the model knew."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from atomlab.architectures.mace import MACE
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.potential import outputs

SHAPES = {
    "default": {},
    "residual": {"first_interaction": "residual", "interaction": "residual", "average_neighbours": 9.0, "l_nodes": 1},
    "agnostic": {"first_interaction": "agnostic", "interaction": "residual", "correlation": 3, "layers": 3},
    "single": {"layers": 1, "first_interaction": "density"},
}


def model_of(elements=(6, 14), heads=("a", "b"), **shape):
    model = MACE(elements=elements, heads=heads, cutoff=4.0, channels=4, seed=1, **shape).double()
    for n, z in enumerate(elements):
        for h in range(len(heads)):
            model.set_atomic_energies({z: -10.0 * (n + 1) - h}, head=h)
    model.scale.copy_(torch.linspace(0.7, 1.3, len(heads), dtype=torch.float64))
    model.shift.copy_(torch.linspace(-0.1, 0.2, len(heads), dtype=torch.float64))
    return model


def mixed(numbers=(6, 14)):
    atoms = bulk("Si", cubic=True)
    atoms.numbers[:] = np.resize(numbers, len(atoms))
    atoms.rattle(0.1, seed=2)
    return atoms


def results(model, atoms, head=0):
    return outputs(model, build(atoms, model.needs, head=head), ("energy", "forces", "virial", "features"))


def same(a, b):
    return all(
        torch.allclose(getattr(a, n), getattr(b, n), rtol=1e-10, atol=1e-12) for n in ("energy", "forces", "features")
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_more_elements_change_nothing_and_start_as_their_parents(shape):
    model = model_of(**SHAPES[shape])
    wider = model.extended([32, 50], {32: 14, 50: 6})
    assert wider.elements == (6, 14, 32, 50) and wider.card.elements == wider.elements
    for head in (0, 1):
        old = results(model, mixed(), head)
        assert same(old, results(wider, mixed(), head))
        new = results(wider, mixed((50, 32)), head)
        assert torch.allclose(old.forces, new.forces, atol=1e-12) and torch.allclose(old.features, new.features)
        # E0 never comes from a parent
        e0 = 4 * float(model.atomic_energies[head].sum())
        assert float(old.energy - e0) == pytest.approx(float(new.energy), abs=1e-9)
    assert (wider.atomic_energies[:, 2:] == 0).all()
    wider.set_atomic_energies({32: -4.5}, head="b")
    assert wider.atomic_energies[1, 2] == -4.5 and wider.atomic_energies[0, 2] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_fewer_elements_change_nothing(shape):
    model = model_of(elements=(1, 6, 8, 14), **SHAPES[shape])
    fewer = model.restricted(["Si", 6])
    assert fewer.elements == (6, 14) and sum(p.numel() for p in fewer.parameters()) < sum(
        p.numel() for p in model.parameters()
    )
    for head in (0, 1):
        assert same(results(model, mixed(), head), results(fewer, mixed(), head))
    with pytest.raises(InputError, match="it has"):
        model.restricted([14, 79])
    with pytest.raises(InputError, match="parent"):
        model.extended([79], {})


@pytest.mark.parametrize("shape", SHAPES)
def test_heads_start_as_their_sources(shape):
    model = model_of(**SHAPES[shape])
    many = model.with_heads(["b", "new", "a", "other"], {"new": "b"})
    for head, source in (("b", "b"), ("new", "b"), ("a", "a"), ("other", "a")):
        mine, theirs = many.head_index(head), model.head_index(source)
        assert same(results(model, mixed(), theirs), results(many, mixed(), mine))
    one = many.with_heads(["new"])
    assert same(results(model, mixed(), 1), results(one, mixed(), 0))
    assert one.card.heads == ("new",) and len(one.scale) == 1
    with pytest.raises(InputError, match="no such head"):
        model.with_heads(["x"], {"x": "absent"})


def test_a_published_models_constants_survive_surgery(shared):
    from golden.mace_cases import case_of

    model, _ = case_of(shared / "golden" / "mace", "m8_saved_model")
    other = model.extended([32], {32: 14}).restricted([14, 8]).with_heads(["x", "y"], {"y": "new"})
    atoms = mixed((14, 8))
    assert same(results(model, atoms, 0), results(other, atoms, 0))
    assert same(results(model, atoms, 1), results(other, atoms, 1))
    assert any("U_matrix_3" in key for key in other.state_dict())


def test_parameters_are_grouped_without_loss():
    model = model_of(trained_bessel=True)
    groups = model.parameter_groups()
    assert list(groups) == ["embedding", "interactions.0", "products.0", "interactions.1", "products.1", "readouts"]
    grouped = [id(p) for group in groups.values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_isolated_atom_is_e0_plus_shift():
    for shape in ("default", "agnostic", "single"):
        model = model_of(**SHAPES[shape])
        out = results(model, Atoms("Si", positions=[[0, 0, 0]]), head=1)
        assert float(out.energy) == pytest.approx(-21.0 + 0.2, abs=1e-12) and torch.equal(
            out.forces, torch.zeros(1, 3).double()
        )


def test_a_published_model_survives_our_checkpoint(shared, tmp_path):
    import atomlab
    from atomlab.architectures.published.mace import upstream_state

    model = atomlab.load(shared / "golden" / "mace" / "m8_saved_model.model", dtype="float64", head="new", device="cpu")
    again = atomlab.load(atomlab.save(model, tmp_path / "m8.safetensors"), dtype="float64", device="cpu")
    assert again.head_index(None) == 1 and again.card == model.card
    mine, theirs = upstream_state(again), upstream_state(model)
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert same(results(model, mixed()), results(again, mixed()))
