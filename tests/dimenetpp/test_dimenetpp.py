"""DimeNet++'s options and awkward input, with small random networks."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from scipy.special import spherical_jn, spherical_yn

import atomlab
from architecture_checks import ArchitectureTests, awkward, check_derivatives, check_second_derivatives, set_random
from atomlab.architectures.dimenetpp_blocks import bessel_zeros
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.kernels import spherical_bessel, zonal_harmonics, zonal_messages, zonal_parts
from atomlab.neighbours import triplets
from atomlab.potential import outputs
from atomlab.testing import check_potential

SMALL = {"hidden": 8, "basis": 4, "blocks": 2, "radial": 3, "spherical": 3, "output_layers": 1, "length_unit": "Å"}
FORMS = {"paper": {}, "common": {"form": "common"}, "scaled": {"output_scale": True, "angle": "turn"}}


def small(**more):
    torch.manual_seed(0)
    return set_random(atomlab.create("dimenetpp", **{**SMALL, "elements": [14, 32], **more}), spread=0.1)


@pytest.fixture(params=FORMS.values(), ids=list(FORMS))
def model(request):
    return small(**request.param)


class TestEveryForm(ArchitectureTests):
    """What every architecture must stand."""


def test_physical_checks_of_the_health_card(model):
    check_potential(model)


@pytest.mark.parametrize("form", ["paper", "common"])
def test_exactly_collinear_triplets(form):
    """Bonds at exactly 180 and 0 degrees: forces and second derivatives are there, and equal those close by."""
    model = small(form=form)
    chain = Atoms("Si4", [[-2.2, 0, 0], [0, 0, 0], [2.2, 0, 0], [4.4, 0, 0]], cell=[12, 12, 12], pbc=True)
    check_derivatives(model, chain)
    check_second_derivatives(model, chain[:3])
    straight = outputs(model, build(chain, model.needs))
    assert torch.isfinite(straight.forces).all()
    bent = chain.copy()
    bent.positions[1, 1] += 1e-7
    assert torch.allclose(outputs(model, build(bent, model.needs)).forces, straight.forces, atol=1e-5)
    # second shells of a perfect crystal hold such triplets too
    crystal = bulk("Si", "diamond", a=5.43, cubic=True)
    forces = outputs(model, build(crystal, model.needs)).forces
    assert torch.isfinite(forces).all() and forces.abs().max() < 1e-9


@pytest.mark.parametrize("species", [1, 2, 100])
def test_published_numbers_of_parameters(species):
    """Quarter size, as counted in chemtrain's own code: 121,382 and 16 for each species."""
    model = atomlab.create("dimenetpp", elements=list(range(1, species + 1)))
    assert sum(p.numel() for p in model.parameters()) == 121382 + 16 * species
    assert sum(p.numel() for p in model.interactions[0].parameters()) == 11296
    assert sum(p.numel() for p in model.readouts[0].parameters()) == 14784


def test_length_unit_belongs_to_the_weights():
    """Only the normalised basis has a unit: in Å all radial functions are 10^-1.5 of those in nm."""
    atoms = awkward()["rattled crystal"]
    graph = build(atoms, small().needs)
    per_a, per_nm = (small(length_unit=unit).directed(graph) for unit in ("Å", "nm"))
    assert torch.allclose(per_nm.radial, per_a.radial * 10**1.5)
    assert torch.equal(per_nm.waves, per_a.waves)
    bare = [small(length_unit=unit, form="common")(graph).energy for unit in ("Å", "nm")]
    assert torch.equal(*bare)


def test_each_difference_of_the_forms_is_an_option():
    graph = build(awkward()["rattled crystal"], small().needs)
    start = small(form="paper")(graph).energy
    for option in (
        {"embedding_radial": "activated"},
        {"radial_basis": "bare"},
        {"spherical_envelope": "divided"},
        {"angle": "turn"},
        {"atom_features": 8},
    ):
        assert abs(float((small(form="paper", **option)(graph).energy - start).detach())) > 1e-6, option
    explicit = small(
        form="paper", embedding_radial="activated", radial_basis="bare", spherical_envelope="divided", angle="turn",
        atom_features=8,
    )  # fmt: skip
    common = small(form="common")
    explicit.load_state_dict(common.state_dict())
    assert torch.equal(explicit(graph).energy, common(graph).energy)


def test_first_values():
    model = atomlab.create("dimenetpp", elements=[14], hidden=32)
    weight = model.interactions[0].own.weight
    assert float(weight.detach().var()) == pytest.approx(1 / 64, rel=1e-4)
    product = (weight.T @ weight).detach()
    assert torch.allclose(product, torch.eye(32) * product[0, 0], atol=1e-6)
    assert float(model.interactions[0].own.bias.abs().max()) == 0.0
    assert float(model.embedding.table.abs().max()) <= 3**0.5
    common = atomlab.create("dimenetpp", elements=[14], hidden=32, form="common")
    assert float(common.interactions[0].own.weight.var()) == pytest.approx(2 / 64, rel=1e-4)


def test_output_scale_starts_at_zero():
    model = atomlab.create("dimenetpp", **{**SMALL, "elements": [14], "output_scale": True}).double()
    graph = build(bulk("Si"), model.needs)
    assert float(model(graph).energy) == 0.0
    model(graph).energy.sum().backward()
    assert all(float(readout.scale.grad.abs()) > 0 for readout in model.readouts)


def test_energy_is_linear_in_the_readout_features():
    model = small(heads=["a", "b"])
    graph = build(awkward()["rattled crystal"], model.needs, head=1)
    terms = model(graph)
    weight = torch.cat([readout.last.weight[1] for readout in model.readouts])
    constant = model.atomic_energies[1, model.species(graph)]
    assert torch.allclose(terms.readout @ weight + constant, terms.atoms)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_bessel_functions_at_every_distance(dtype):
    degrees = torch.arange(8).repeat_interleave(2)
    x = torch.logspace(-3, 2, 300, dtype=torch.float64)
    found = spherical_bessel(x.to(dtype)[:, None].expand(-1, 16), degrees).double()
    exact = np.stack([spherical_jn(int(l), x.to(dtype).double().numpy()) for l in degrees], 1)
    assert np.abs(found.numpy() - exact).max() < (1e-14 if dtype == torch.float64 else 3e-7)


def test_bessel_functions_differentiate_twice():
    x = torch.tensor([[0.3, 1.999, 2.001, 5.999, 6.001, 0.05]], dtype=torch.float64, requires_grad=True)
    degrees = torch.tensor([2, 2, 2, 6, 6, 6])
    assert torch.autograd.gradcheck(lambda v: spherical_bessel(v, degrees), (x,))
    assert torch.autograd.gradgradcheck(lambda v: spherical_bessel(v, degrees), (x,))


def test_zeros_and_factors():
    zeros, factors = bessel_zeros(7, 6)
    for l in range(7):
        assert np.abs(spherical_jn(l, zeros[l])).max() < 1e-14
        assert (np.diff(zeros[l]) > 3).all() and (zeros[l][0] > zeros[l - 1][0] if l else True)
        # N_ln makes the functions orthonormal on the unit ball
        r = np.linspace(1e-9, 1, 20001)
        for n in range(6):
            square = factors[l, n] ** 2 * np.trapezoid((r * spherical_jn(l, zeros[l, n] * r)) ** 2, r)
            assert square == pytest.approx(1.0, abs=1e-6)
    assert np.isfinite(spherical_yn(6, zeros[6])).all()


def test_sums_over_pairs_equal_a_list_of_triplets():
    """With centres that have many edges, two, one and none."""
    torch.manual_seed(0)
    i = torch.tensor([0, 0, 0, 0, 2, 2, 3, 6, 6, 6])
    unit = torch.nn.functional.normalize(torch.randn(10, 3, dtype=torch.float64), dim=1)
    waves, weight, sent = (torch.randn(*shape, dtype=torch.float64) for shape in ((10, 4, 2), (5, 4, 2), (10, 5)))
    a, b = (torch.from_numpy(x) for x in triplets(i.numpy(), np.ones(10, bool)))
    filters = torch.einsum("eln,cln->elc", waves, weight) * sent[:, None]
    terms = filters[b] * zonal_harmonics((unit[a] * unit[b]).sum(1), 3)[:, :, None]
    expected = torch.zeros(10, 5, dtype=torch.float64).index_add(0, a, terms.sum(1))
    parts = zonal_parts(unit, 3)
    assert torch.allclose(zonal_messages(waves, weight, sent, parts, i, 8), expected)
    empty = torch.zeros(0, dtype=torch.int64)
    assert zonal_messages(waves[:0], weight, sent[:0], parts[:0], empty, 3).shape == (0, 5)


def test_harmonics_of_two_directions_make_the_zonal_one():
    unit = torch.nn.functional.normalize(torch.randn(9, 3, dtype=torch.float64), dim=1)
    unit[0] = torch.tensor([0.0, 0.0, 1.0])
    parts, expected = zonal_parts(unit, 8), zonal_harmonics(unit @ unit.T, 8)
    for l in range(9):
        part = parts[:, l * l : (l + 1) ** 2]
        assert torch.allclose(part @ part.T, expected[..., l], atol=1e-13)


def test_zonal_harmonics_are_normalised():
    x, weights = np.polynomial.legendre.leggauss(20)
    values = zonal_harmonics(torch.tensor(x), 6).numpy()
    assert np.allclose(2 * np.pi * (values.T * weights) @ values, np.eye(7), atol=1e-13)


def test_unknown_input_is_refused_in_words():
    for more, words in [
        ({"form": "mine"}, "common"),
        ({"angle": "right"}, "bond"),
        ({"length_unit": "m"}, "nm"),
        ({"radial": 0}, "at least 1"),
    ]:
        with pytest.raises(InputError, match=words):
            small(**more)
    model = small()
    with pytest.raises(InputError, match="Cu"):
        model(build(bulk("Cu"), model.needs))


def test_reader_refuses_what_is_not_dimenet(tmp_path):
    from atomlab.architectures.published.dimenetpp import from_upstream, read, upstream_state

    with pytest.raises(InputError, match="another architecture.*keys such as a.*dimenetpp"):
        from_upstream({"a": torch.zeros(2)})
    model = small(form="common", elements=[1, 2, 3])
    state = upstream_state(model)
    torch.save(state, tmp_path / "dimenet.pth")
    with pytest.raises(InputError, match="cutoff"):
        read(tmp_path / "dimenet.pth")
    again = read(tmp_path / "dimenet.pth", elements=["H", "Li"], cutoff=5.0)
    assert again.elements == (1, 3)
    assert torch.equal(again.embedding.table[1], model.embedding.table[2])
    state.pop("interaction_blocks.0.lin_up.weight")
    with pytest.raises(InputError, match=r"lacks entries.*interactions.0.up"):
        from_upstream(state, cutoff=5.0)
    with pytest.raises(InputError, match="row for every element"):
        upstream_state(small())
