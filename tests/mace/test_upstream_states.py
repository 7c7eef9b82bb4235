"""State dicts of mace-torch in their older and other forms, and the words for those that do not fit."""

import json

import numpy as np
import pytest
import torch

from atomlab.architectures.mace import MACE
from atomlab.architectures.published.mace import from_upstream, upstream_state
from atomlab.architectures.spherical import reduced_basis
from atomlab.build import build
from atomlab.errors import InputError
from atomlab.potential import outputs
from golden.mace_cases import close, structures, weights

CASE = "m1_density_zbl_agnesi_L1"
W3J = "interactions.1.conv_tp._compiled_main_left_right._w3j_1_2_1"
CONTRACTION = "products.0.symmetric_contractions.contractions.0."


def _shorten(state):
    state[CONTRACTION + "weights_max"] = state[CONTRACTION + "weights_max"][:, :5]


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "golden" / "mace"


@pytest.fixture(scope="module")
def settings(folder):
    return json.loads((folder / f"{CASE}.json").read_text())["config"]


@pytest.fixture
def state(folder):
    return weights(folder, CASE)


def energy(model, folder):
    return outputs(model, build(structures(folder)["TiO2_rutile_rattled"], model.needs)).energy


def test_a_file_with_the_short_basis(folder, state, settings):
    """As written where couplings were made symmetric: fewer paths, and other weights for the same model."""
    whole = from_upstream(state, settings)
    for t, l_out in ((0, 0), (0, 1), (1, 0)):
        stem = f"products.{t}.symmetric_contractions.contractions.{l_out}"
        for order, name in ((3, "weights_max"), (2, "weights.0"), (1, "weights.1")):
            u = state[f"{stem}.U_matrix_{order}"].numpy()
            index, basis, fold = reduced_basis(u, l_out, 1e-12)
            short = np.zeros((2 * l_out + 1, *(16,) * order, fold.shape[0]))
            short[(slice(None), *index.T)] = basis.transpose(1, 0, 2)
            state[f"{stem}.U_matrix_{order}"] = torch.tensor(short if l_out else short[0])
            state[f"{stem}.{name}"] = torch.tensor(fold) @ state[f"{stem}.{name}"]
    model = from_upstream(state, settings)
    assert sum(p.numel() for p in model.parameters()) < sum(p.numel() for p in whole.parameters())
    assert close(energy(model, folder), energy(whole, folder), rtol=1e-12)
    back = upstream_state(model)
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key]) for key in state)


def test_older_forms_of_the_same_numbers(folder, state, settings):
    whole = energy(from_upstream(state, settings), folder)
    state["atomic_energies_fn.atomic_energies"] = state["atomic_energies_fn.atomic_energies"][0]
    state["scale_shift.scale"] = state["scale_shift.scale"].reshape(1)
    older = {key: value for key, value in state.items() if not key.endswith("_zeroed") and "_w3j_" not in key}
    older = {key: value for key, value in older.items() if not key.endswith(("output_mask", ".bias"))}
    model = from_upstream(older, settings)
    assert model.card.heads == ("Default",) and close(energy(model, folder), whole, rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("readouts.1.linear_2.weight"), "lacks.*readouts.1.linear_2.weight"),
        (lambda s: s.update(extra=torch.zeros(2)), "unknown.*extra"),
        (lambda s: s.update({"interactions.0.linear.weight": torch.zeros(3)}), "misshapen.*interactions.0.linear"),
        (lambda s: s.update({"scale_shift.scale": torch.zeros(3)}), "misshapen.*scale"),
        (
            lambda s: s.update(
                {"products.0.symmetric_contractions.contractions.1.U_matrix_2": torch.zeros(3, 9, 9, 6)}
            ),
            "misshapen.*U_matrix_2|lacks",
        ),
        (
            lambda s: s.update(
                {"products.0.symmetric_contractions.contractions.0.U_matrix_3": torch.zeros(16, 16, 23)}
            ),
            "misshapen.*U_matrix_3",
        ),
        (lambda s: s.update({W3J: torch.zeros(3, 3, 3)}), "misshapen.*_w3j_1_2_1"),
        (lambda s: s.update({W3J.replace("interactions.1", "interactions.7"): s[W3J]}), "unknown.*interactions.7"),
        (lambda s: s.update({CONTRACTION + "U_matrix_4": torch.zeros(16, 16, 16, 16, 1)}), "unknown.*U_matrix_4"),
        (lambda s: s.update({CONTRACTION + "weights_0_zeroed": torch.zeros(2)}), "misshapen.*zeroed"),
        (lambda s: (s.pop(CONTRACTION + "U_matrix_3"), _shorten(s)), "misshapen.*weights_max"),
    ],
)
def test_states_that_do_not_fit_are_refused_by_entry(state, settings, change, words):
    change(state)
    with pytest.raises(InputError, match=words):
        from_upstream(state, settings, "some file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_irreps": "16x0e+8x1o"}, "16x0e"),
        ({"hidden_irreps": "16x0e+16x1e"}, "16x1e"),
        ({"interaction_cls": "RealAgnosticAttResidualInteractionBlock"}, "Att"),
        ({"correlation": [3, 2]}, "differ"),
        ({"distance_transform": "Other"}, "Other"),
        ({"r_max": -1.0}, "cutoff"),
        ({"max_ell": 4}, "l_edges"),
    ],
    ids=str,
)
def test_settings_that_are_not_here_are_refused_in_words(state, settings, change, words):
    with pytest.raises(InputError, match=words):
        from_upstream(state, {**settings, **change})


@pytest.mark.parametrize("shape", [{}, {"l_nodes": 2, "l_edges": 3, "correlation": 3, "zbl": True}, {"layers": 1}])
def test_a_model_of_ours_goes_there_and_back(shape):
    """A new model has the couplings of our formulas: they are written out, and read again as given."""
    model = MACE(elements=[14, 8], heads=["a", "b"], channels=3, transform="agnesi", **shape).double()
    model.set_atomic_energies({14: -5.0, 8: -2.5}, head="b")
    state = upstream_state(model)
    c = model.config
    kinds = {"density": "RealAgnosticDensityInteractionBlock"}
    kinds["density-residual"] = "RealAgnosticDensityResidualInteractionBlock"
    again = from_upstream(
        state,
        {
            "atomic_numbers": c["elements"],
            "r_max": c["cutoff"],
            "num_bessel": c["radial_basis"],
            "num_polynomial_cutoff": c["envelope"],
            "max_ell": c["l_edges"],
            "interaction_cls_first": kinds[c["first_interaction"]],
            "interaction_cls": kinds[c["interaction"]],
            "num_interactions": c["layers"],
            "hidden_irreps": "+".join(f"3x{l}{'eo'[l % 2]}" for l in range(c["l_nodes"] + 1)),
            "MLP_irreps": f"{c['readout_hidden']}x0e",
            "avg_num_neighbors": 1.0,
            "correlation": c["correlation"],
            "radial_MLP": c["radial_hidden"],
            "distance_transform": "Agnesi",
            "pair_repulsion": c["zbl"],
            "heads": c["heads"],
        },
    )
    back = upstream_state(again)
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key]) for key in state)
    from ase import Atoms

    graph = build(Atoms("SiO2", [[0, 0, 0], [1.6, 0, 0], [0.3, 1.6, 0.2]]), model.needs, head=1)
    assert close(outputs(again, graph).energy, outputs(model, graph).energy, rtol=1e-12)


def test_a_scale_that_the_file_cannot_hold_is_not_dropped():
    model = MACE(elements=[14], scale_shift=False)
    assert not any(key.startswith("scale_shift") for key in upstream_state(model))
    model.scale.fill_(2.0)
    with pytest.raises(InputError, match="no place"):
        upstream_state(model)
