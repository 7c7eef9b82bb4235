"""What every registered architecture promises, whatever its formulas: derivatives, symmetries, batches, files.

A new architecture is tested as soon as it is registered; `SHAPES` says in which shapes, `LIMITS` which promise it does
not make, and why.
"""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

import atomlab
from architecture_checks import (
    awkward,
    check_batch_equals_members,
    check_derivatives,
    check_extended,
    check_rebuilds,
    check_second_derivatives,
    check_training_reaches_all,
    set_random,
)
from atomlab.architectures import architecture
from atomlab.architectures.trainable import Trainable
from atomlab.build import build
from atomlab.potential import outputs

WANT = ("energy", "forces", "virial", "features")
SMALL_MACE = {"channels": 2, "cutoff": 4.2, "radial_hidden": [6], "radial_basis": 4, "readout_hidden": 4}
RESIDUAL = {"first_interaction": "residual", "interaction": "residual", "average_neighbours": 8.0}
# small, so that second derivatives by differences stay cheap
SHAPES = {
    "mace": {
        "default": {"channels": 3},
        "residual": {**SMALL_MACE, **RESIDUAL},
        "agnostic": {**SMALL_MACE, "first_interaction": "agnostic", "interaction": "residual", "transform": "agnesi"},
        "rich": {**SMALL_MACE, "l_edges": 3, "l_nodes": 2, "correlation": 3, "transform": "soft", "zbl": True},
        "layers": {**SMALL_MACE, "l_nodes": 1, "layers": 3, "envelope_on": "weights", "trained_bessel": True},
        "single": {**SMALL_MACE, "layers": 1, "correlation": 1, "l_edges": 1, "scale_shift": False},
    },
    "mbnn": {"default": {}},
    "reann": {"default": {"waves": 3, "orbitals": 5, "hidden": [5, 4], "neighbours": 2.0}},
    "equireann": {"default": {"waves": 3, "orbitals": 5, "hidden": [5, 4], "neighbours": 2.0}},
    "dimenetpp": {
        # in Å the random network is smooth enough for differences
        "default": {"hidden": 8, "blocks": 2, "length_unit": "Å"},
        "common": {"hidden": 8, "blocks": 2, "form": "common"},
    },
    "gptff": {"default": {"layers": 1, "nodes": 6, "edges": 6}},
}
LIMITS = {
    "gptff": "published as it is: its own tests measure what it does not promise (tests/gptff)",
    "atomft": "needs a base: tests/mbnn",
}
CASES = [
    (name, shape)
    for name in atomlab.models("architecture")
    if issubclass(architecture(name), Trainable)
    for shape in SHAPES.get(name, {"default": {}})
]


def made(name, shape):
    if name in LIMITS:
        pytest.skip(f"{name}: {LIMITS[name]}")
    potential = atomlab.create(name, elements=[14, 32], **SHAPES.get(name, {}).get(shape, {}))
    return set_random(potential, spread=0.1)


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def potential(request):
    return made(*request.param)


def results(potential, atoms, want=WANT):
    return outputs(potential, build(atoms, potential.needs), want)


def invariant(potential, features):
    layout = getattr(potential, "feature_layout", None)
    if layout is None:
        return features
    return torch.cat([features[:, b.start : b.stop] for b in layout if b.l == 0], dim=1)


def test_batch_equals_members_in_awkward_structures(potential):
    whole = check_batch_equals_members(potential, awkward())
    assert (whole.energy.dtype == torch.float64 and whole.atoms is None) or whole.atoms.dtype == torch.float64


@pytest.mark.parametrize("name", ["rattled crystal", "one atom per cell", "slab"])
def test_forces_and_stress_are_derivatives_of_the_energy(potential, name):
    check_derivatives(potential, awkward()[name], rtol=1e-6)


def test_second_derivatives(potential):
    check_second_derivatives(potential, Atoms("Si2Ge", [[0, 0, 0], [2.3, 0.1, 0], [0.5, 2.2, 0.3]]))


def test_gradient_of_a_force_loss_is_its_difference(potential):
    """Training on forces: the double backward in the weights against differences of the loss."""
    graph = build(Atoms("SiGeSi", [[0, 0, 0], [2.3, 0.1, 0], [0.5, 2.2, 0.3]]), potential.needs)
    parameters = [p for p in potential.parameters() if p.requires_grad]

    def loss(create_graph):
        out = outputs(potential, graph, ("energy", "forces", "virial"), create_graph=create_graph)
        target = torch.cos(torch.arange(9, dtype=torch.float64)).view(3, 3)
        return sum((x - target).square().sum() for x in (out.forces, out.virial)) + 0.1 * out.energy.square().sum()

    gradients = torch.autograd.grad(loss(True), parameters, allow_unused=True, materialize_grads=True)
    generator = torch.Generator().manual_seed(3)
    direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    values = []
    h = 1e-4 / np.sqrt(sum(p.numel() for p in parameters))
    for step in (-2 * h, -h, h, 2 * h):
        with torch.no_grad():
            for p, d in zip(parameters, direction):
                p.add_(step * d)
        values.append(float(loss(False).detach()))
        with torch.no_grad():
            for p, d in zip(parameters, direction):
                p.sub_(step * d)
    slope = float(np.dot([1, -8, 8, -1], values) / (12 * h))
    expected = float(sum((g * d).sum() for g, d in zip(gradients, direction)))
    assert slope == pytest.approx(expected, rel=2e-5, abs=1e-7)


def test_training_reaches_every_parameter(potential):
    check_training_reaches_all(potential, awkward().values())


def test_rotation_turns_forces_and_nothing_else(potential):
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    for matrix in (q, -q):  # a reflection too
        for atoms in awkward().values():
            turned = Atoms(atoms.numbers, atoms.positions @ matrix.T, cell=atoms.cell.array @ matrix.T, pbc=atoms.pbc)
            a, b = results(potential, atoms), results(potential, turned)
            assert torch.allclose(a.energy, b.energy, rtol=1e-10, atol=1e-9)
            assert np.allclose(a.forces.numpy() @ matrix.T, b.forces.numpy(), rtol=1e-7, atol=1e-8)
            assert np.allclose(matrix @ a.virial[0].numpy() @ matrix.T, b.virial[0].numpy(), rtol=1e-7, atol=1e-7)
            mine, theirs = invariant(potential, a.features), invariant(potential, b.features)
            assert torch.allclose(mine, theirs, rtol=1e-7, atol=1e-8)


def test_moving_wrapping_and_reordering_change_nothing(potential):
    for k, atoms in enumerate(awkward().values()):
        order = np.random.default_rng(k).permutation(len(atoms))
        other = atoms[order]
        other.positions += [0.3, -1.7, 12.1]
        other.wrap()
        a, b = results(potential, atoms), results(potential, other)
        assert torch.allclose(a.energy, b.energy, rtol=1e-10, atol=1e-9)
        assert torch.allclose(a.forces[order], b.forces, rtol=1e-7, atol=1e-8)
        assert torch.allclose(a.features[order], b.features, rtol=1e-7, atol=1e-8)


def test_no_jump_where_a_neighbour_enters(potential):
    """Energy and forces on both sides of each cutoff, alone and beside other neighbours."""
    cutoffs = sorted({*potential.needs.cutoffs, *(c for key in potential.needs.triplets for c in key)})
    for cutoff in cutoffs:
        for rest in ([], [[1.4, 1.9, 0.4], [-1.5, 1.6, 0.8]]):
            found = []
            for r in (cutoff - 2e-6, cutoff + 2e-6):
                atoms = Atoms(["Si", "Ge", *["Si"] * len(rest)], [[0, 0, 0], [0.1, -0.2, np.sqrt(r * r - 0.05)], *rest])
                found.append(results(potential, atoms))
            force = max(1.0, float(found[0].forces.abs().max()))
            assert float((found[0].energy - found[1].energy).abs()) < 2e-5 * force, cutoff
            assert float((found[0].forces - found[1].forces).abs().max()) < 1e-3 * force, cutoff


def test_a_supercell_of_a_cell_smaller_than_the_cutoff(potential):
    one = Atoms("Si", cell=[[0.1, 2.7, 2.6], [2.8, 0, 2.7], [2.6, 2.7, 0.1]], pbc=True)
    assert np.linalg.norm(one.cell.array, axis=1).min() < potential.cutoff
    whole = results(potential, one * (2, 3, 1))
    alone = results(potential, one)
    assert torch.allclose(whole.energy, 6 * alone.energy, rtol=1e-10)
    assert torch.allclose(whole.virial, 6 * alone.virial, rtol=1e-7, atol=1e-8)
    assert whole.forces.abs().max() < 1e-8


def test_distant_fragments_add_up_and_lonely_atoms_have_no_force(potential):
    a, b = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]]), Atoms("Ge", [[60.0, 0, 0]])
    both, one, other = results(potential, a + b), results(potential, a), results(potential, b)
    assert torch.allclose(both.energy, one.energy + other.energy, rtol=1e-12)
    assert torch.equal(other.forces, torch.zeros_like(other.forces)) and torch.equal(other.virial, 0 * other.virial)
    assert torch.allclose(both.forces[:2], one.forces, atol=1e-12)


def test_reference_energies_shift_and_scale(potential):
    """E = Σ E0 + shift + scale * network: each is where it says, in float64."""
    atoms = Atoms("SiGe", [[0, 0, 0], [2.3, 0.2, 0]])
    before = results(potential, atoms)
    e0 = potential.atomic_energies.clone()
    potential.set_atomic_energies({14: 1e6, 32: -3.25})
    after = results(potential, atoms)
    difference = 1e6 - 3.25 - float(e0[0].sum())
    assert float(after.energy - before.energy) == pytest.approx(difference, abs=1e-8)
    assert torch.equal(before.forces, after.forces)
    potential.atomic_energies.copy_(e0)


def test_it_comes_back_from_its_configuration_and_in_float32(potential):
    json.dumps(potential.config, allow_nan=False)
    check_rebuilds(potential, [a for a in awkward().values() if len(a) > 1])


def test_it_comes_back_from_a_file(potential, tmp_path):
    atomlab.save(potential, tmp_path / "model.safetensors")
    again = atomlab.load(tmp_path / "model.safetensors", dtype="float64", device="cpu")
    atoms = awkward()["rattled crystal"]
    a, b = results(potential, atoms), results(again, atoms)
    assert torch.equal(a.energy, b.energy) and torch.equal(a.forces, b.forces)


def test_an_element_is_added(potential):
    try:
        wider = potential.extended([50], {50: 14})
    except atomlab.InputError as error:  # a family may refuse, in words
        pytest.skip(str(error))
    atoms = awkward()["rattled crystal"]
    assert torch.allclose(results(wider, atoms).forces, results(potential, atoms).forces, rtol=1e-9, atol=1e-10)
    if potential.config.get("transform", "none") == "none" and not potential.config.get("zbl"):
        # else constants of the element itself, its radius and charge, act too
        check_extended(potential, 50, 14)


def test_unknown_elements_are_refused_in_words(potential):
    with pytest.raises(atomlab.InputError, match="Au"):
        results(potential, bulk("Au"))
