"""MACE against another program's numbers: energies, forces, virials, stress, features, and what lies between."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from atomlab import kernels
from atomlab.architectures.published.mace import upstream_state
from atomlab.build import build
from atomlab.graph import collate
from atomlab.potential import Outputs, outputs
from golden.mace_cases import CASES, case_of, close, structures, weights

WANT = ("energy", "forces", "virial", "stress", "features")


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "golden" / "mace"


def detached(out):
    return Outputs(**{f.name: None if (v := getattr(out, f.name)) is None else v.detach() for f in fields(out)})


BACKENDS = [pytest.param((case, b), id=f"{case}-{b}") for case in CASES for b in ("reference", "numba")]


@pytest.fixture(scope="module", params=BACKENDS)
def case(request, folder):
    label, backend = request.param
    if kernels.available()[backend] != "ready":
        pytest.skip(f"{backend} {kernels.available()[backend]}")
    model, known = case_of(folder, label)
    found = {}
    for key in known["outputs"]:
        head, name = key.split("/")
        atoms = structures(folder)[name]
        graph = build(atoms, model.needs, head=model.head_index(head))
        with kernels.use(backend), kernels.steady():
            # as in training: by the operations' derivatives, not by the pass without them (tests/kernels/test_fused.py)
            found[key] = atoms, graph, detached(outputs(model, graph, WANT, create_graph=True))
    return label, model, known["outputs"], found


def constants(model, graph):
    """E0 of every atom."""
    head = graph.head[graph.batch]
    return model.atomic_energies[head, model.element_index[graph.numbers]]


def test_energies_forces_virials_and_stress(case):
    _, model, known, found = case
    for key, (atoms, graph, out) in found.items():
        reference, e0 = known[key], constants(model, graph)
        assert close(out.energy[0] - e0.sum(), reference["energy"] - e0.sum().item()), key
        assert close(out.atoms - e0, np.asarray(reference["node_energy"]) - e0.numpy()), key
        assert close(out.forces, reference["forces"]), key
        assert close(out.virial[0], reference["virials"]), key
        assert len(graph.edges[model.cutoff].i) == reference["n_edges"], key
        if atoms.pbc.all():
            voigt = [reference["stress"][a][b] for a, b in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))]
            assert close(out.stress[0], voigt), key


def test_features_are_the_reference_ones_invariant_first(case, folder):
    name, model, _, found = case
    channels, checked = model.config["channels"], 0
    with np.load(folder / f"{name}.npz") as arrays:
        for key, (_, _, out) in found.items():
            if f"__feats__/{key}" not in arrays.files:
                continue
            mine = out.features.numpy()
            columns = []
            for block in sorted(model.feature_layout, key=lambda b: (b.layer, b.l)):
                part = mine[:, block.start : block.stop].reshape(len(mine), 2 * block.l + 1, channels)
                columns.append(part.transpose(0, 2, 1).reshape(len(mine), -1))
            assert close(np.concatenate(columns, axis=1), arrays[f"__feats__/{key}"]), key
            checked += 1
    assert checked or name in ("m7_agnostic_soft_L2", "m8_saved_model")


def test_radial_functions_harmonics_and_repulsion(case, folder):
    name, model, _, found = case
    with np.load(folder / f"{name}.npz") as arrays:
        known = {k.split("/")[-1]: arrays[k] for k in arrays.files if k.startswith("__dbg__/TiO2/")}
    if not known:
        assert name in ("m7_agnostic_soft_L2", "m8_saved_model")
        return
    _, graph, _ = found[f"{model.card.heads[0]}/TiO2_rutile_rattled"]
    bonds, repulsion = model._bonds(graph)
    edges = graph.edges[model.cutoff]
    sender, receiver = known["edge_index"]
    theirs = np.lexsort((*(-known["unit_shifts"].T[::-1].round()), sender, receiver))
    assert np.array_equal(receiver[theirs], edges.i) and np.array_equal(sender[theirs], edges.j)
    parity = torch.tensor([(-1.0) ** l for l in range(model.config["l_edges"] + 1) for _ in range(2 * l + 1)])
    harmonics = bonds.harmonics[bonds.pair]
    harmonics = torch.where(bonds.against[:, None], harmonics * parity, harmonics)
    assert close(harmonics.detach(), known["edge_attrs_sh"][theirs])
    assert close(bonds.radial[bonds.pair].detach(), known["edge_feats"][theirs])
    if "zbl_node_energy" in known:
        assert close(repulsion.detach(), known["zbl_node_energy"])


def test_a_mixed_batch_gives_the_same_numbers(case):
    _, model, known, found = case
    whole = outputs(model, collate([graph for _, graph, _ in found.values()]), WANT)
    forces = np.concatenate([known[key]["forces"] for key in found])
    assert close(whole.forces, forces)
    for n, (_, _, one) in enumerate(found.values()):
        assert close(whole.energy[n], one.energy[0]) and close(whole.virial[n], one.virial[0])


def test_float32_is_the_same_model(case):
    _, model, known, found = case
    single = type(model)(**model.config).float()
    single.load_state_dict(model.state_dict())
    for key, (_, graph, out) in found.items():
        rough = outputs(single, graph.to(dtype=torch.float32), ("energy", "forces"))
        assert rough.energy.dtype == torch.float64
        assert torch.equal(single.atomic_energies, model.atomic_energies)
        assert abs(rough.energy[0] - out.energy[0]) < 2e-6 * len(graph.numbers) + 1e-5 * abs(out.forces).max(), key
        assert close(rough.forces, known[key]["forces"], rtol=2e-4) or abs(out.forces).max() < 1e-5, key


def test_upstreams_state_dict_comes_back_bit_for_bit(case, folder):
    name, model, _, _ = case
    theirs, mine = weights(folder, name), upstream_state(model)
    assert set(mine) == set(theirs)
    for key, value in theirs.items():
        assert mine[key].shape == value.shape and mine[key].dtype == value.dtype, key
        assert torch.equal(mine[key], value), key
