"""DimeNet++ against chemtrain's (the transfer learning paper's form) and torch_geometric's (the common form)."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms

from atomlab.architectures.published.dimenetpp import from_upstream, upstream_state
from atomlab.build import build
from atomlab.kernels import zonal_harmonics
from atomlab.neighbours import triplets
from atomlab.potential import outputs

RTOL = 1e-9
# torch_geometric rounds the zeros of its Bessel functions and all that it makes of them to float32, in float64 too
ROUNDED = 3e-6
pytestmark = pytest.mark.usefixtures("backend")


def close(value, reference, rtol=RTOL):
    reference = np.asarray(reference)
    return np.abs(np.asarray(value) - reference).max() <= rtol * np.abs(reference).max() + 1e-10


@pytest.fixture(scope="module")
def common(shared):
    text = json.loads((shared / "golden/dimenetpp_quarter.json").read_text())
    arrays = np.load(shared / "golden/dimenetpp_quarter.npz")
    state = {key: arrays[key] for key in arrays.files if not key.startswith("__dbg__")}
    config = text["config"]
    return text, arrays, from_upstream(state, cutoff=config["cutoff"], envelope=config["envelope_exponent"] + 1), state


@pytest.fixture(scope="module")
def paper(shared):
    text = json.loads((shared / "golden/dimenetpp_chemtrain.json").read_text())
    arrays = np.load(shared / "golden/dimenetpp_chemtrain.npz")
    config = text["cases"]["quarter"]["config"]
    state = {key: arrays[key] for key in arrays.files if "/params/" in key}
    model = from_upstream(
        state, config["species"], cutoff=10 * config["r_cutoff"], length_unit="nm", envelope=config["envelope_p"]
    )
    return text, arrays, model.double()


def paper_atoms(structure):
    return Atoms(
        structure["symbols"], structure["positions_angstrom"], cell=structure["cell_angstrom"], pbc=structure["pbc"]
    )


def test_common_form(common):
    text, _, model, _ = common
    # their table has a row 0 that no atom uses
    assert sum(p.numel() for p in model.parameters()) == text["n_params"] - 32
    for name, reference in text["outputs"].items():
        out = outputs(model, build(Atoms(reference["symbols"], reference["positions"]), model.needs))
        # a lone pair or atom has no angle, so no rounded numbers
        rtol = RTOL if len(reference["symbols"]) < 3 else ROUNDED
        assert close(out.energy, [reference["energy"]], rtol), name
        assert close(out.forces, reference["forces"], rtol), name


def test_common_form_basis(common):
    """Basis functions, triplets and angles of water, message by message."""
    text, arrays, model, _ = common
    water = text["outputs"]["H2O"]
    graph = build(Atoms(water["symbols"], water["positions"]), model.needs)
    directed = model.directed(graph)
    j, i = arrays["__dbg__/H2O/edge_index_j_i"]
    theirs = {(a, b): k for k, (a, b) in enumerate(zip(j, i))}
    order = [theirs[a, b] for a, b in zip(directed.j.tolist(), directed.i.tolist())]
    assert close(directed.radial.detach(), arrays["__dbg__/H2O/rbf"][order])
    pairs = zip(arrays["__dbg__/H2O/idx_kj"], arrays["__dbg__/H2O/idx_ji"])
    spherical, rows = triplet_basis(model, graph, directed, order, pairs)
    assert close(spherical, arrays["__dbg__/H2O/sbf"][rows], ROUNDED)


def triplet_basis(model, graph, directed, order, pairs):
    """Our basis of each triplet (T, L N), and the row of the same triplet in a list of (k -> j, j -> i) pairs."""
    cutoff = model.needs.cutoffs[0]
    vectors = graph.vectors(cutoff)
    a, b = triplets(graph.edges[cutoff].i.numpy(), np.ones(len(vectors), bool))
    cosine = torch.nn.functional.cosine_similarity(vectors[a], vectors[b])
    spherical = directed.waves[b] * zonal_harmonics(cosine, model.config["spherical"] - 1)[:, :, None]
    place = {pair: k for k, pair in enumerate(pairs)}
    # the message j -> i is the one back along a
    rows = [place[order[k], order[directed.back[e]]] for k, e in zip(b, a)]
    assert sorted(rows) == list(range(len(place)))
    return spherical.flatten(1).detach(), rows


def test_weights_go_back_under_the_common_names(common):
    *_, model, state = common
    back = upstream_state(model)
    assert set(back) == set(state)
    for key, value in state.items():
        same = back[key].numpy() == value
        assert same[1:].all() if key == "emb.emb.weight" else same.all(), key


@pytest.mark.parametrize("name", ["si64", "ch3oh"])
def test_paper_form(paper, name):
    text, arrays, model = paper
    assert sum(p.numel() for p in model.parameters()) == text["cases"]["quarter"]["n_params"]
    reference = text["cases"]["quarter"]["outputs"][name]
    graph = build(paper_atoms(text["structures"][name]), model.needs)
    centres = graph.edges[model.needs.cutoffs[0]].i
    assert len(centres) == reference["n_edges"]
    assert len(triplets(centres.numpy(), np.ones(len(centres), bool))[0]) == reference["n_triplets"]
    out = outputs(model, graph)
    assert close(out.energy, [reference["energy"]]) and close(out.atoms, reference["node_outputs"])
    # their forces are per nm
    assert close(10 * out.forces, reference["forces"])
    blocks, species = [], model.species(graph)
    directed = model.directed(graph)
    message = model.embedding(species, directed)
    blocks.append(model.readouts[0](message, directed, len(species))[0])
    for interaction, readout in zip(model.interactions, list(model.readouts)[1:]):
        message = interaction(message, directed)
        blocks.append(readout(message, directed, len(species))[0])
    assert close(torch.stack(blocks)[:, :, 0].detach(), arrays[f"quarter/{name}/output_blocks"])


def test_paper_form_messages(paper):
    """Basis functions, embedding and messages of methanol, edge by edge and triplet by triplet."""
    text, arrays, model = paper
    graph = build(paper_atoms(text["structures"]["ch3oh"]), model.needs)
    directed, species = model.directed(graph), model.species(graph)
    get = {name: arrays[f"quarter/ch3oh/{name}"] for name in ("idx_i", "idx_j", "rbf", "embedding", "sbf")}
    theirs = {pair: k for k, pair in enumerate(zip(get["idx_i"], get["idx_j"]))}
    order = [theirs[pair] for pair in zip(directed.i.tolist(), directed.j.tolist())]
    assert close(directed.radial.detach(), get["rbf"][order])
    message = model.embedding(species, directed)
    assert close(message.detach(), get["embedding"][order])
    after = arrays["quarter/ch3oh/messages_after_interactions"]
    for k, interaction in enumerate(model.interactions):
        message = interaction(message, directed)
        assert close(message.detach(), after[k][order])
    pairs = zip(arrays["quarter/ch3oh/triplet_edge_kj"], arrays["quarter/ch3oh/triplet_edge_ji"])
    spherical, rows = triplet_basis(model, graph, directed, order, pairs)
    assert close(spherical, get["sbf"][rows])
