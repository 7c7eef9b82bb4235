"""GPTFF's published weights (`gptff_v1.pth`, `gptff_v2.pth`) and back.

The files are by GPTFF's authors (GPL-3.0, github.com/atomly-materials-research-lab/GPTFF) and not part of AtomLab.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import InputError
from ..gptff import GPTFF
from .files import fill, read_data, refuse_other_kind

__all__ = ["ATOM_ENERGIES", "from_upstream", "read", "upstream_state"]

# Reference energies in eV by atomic number, 0 to 94: facts of the published model that its weight files lack, taken
# from the GPTFF package (1.0.1). The five that are 0 to rounding (84 to 88) are of elements without training data.
# fmt: off
ATOM_ENERGIES = (
    0.0, -3.46535853, -0.756101906, -3.46224791, -4.77600176, -8.0361924, -8.40374071, -7.76814618,
    -7.38918302, -4.94725878, -0.029288367, -2.47830716, -2.02015956, -5.1547982, -7.91209653, -6.91345095,
    -4.62278149, -3.01552069, -0.0627971322, -2.31732442, -4.75968073, -8.17421803, -11.4207788, -8.92294483,
    -8.48981509, -8.16635547, -6.5824885, -5.26139665, -4.48412068, -3.2736737, -1.34976438, -3.62637456,
    -4.67270042, -4.13166577, -3.67546394, -2.80302539, 6.47272418, -2.24681188, -4.25110577, -10.2452951,
    -11.6658385, -11.801576, -8.65537518, -9.36409198, -7.57165084, -5.69907599, -4.97159232, -1.88700594,
    -0.67948353, -2.74880153, -3.79441765, -3.38825264, -2.55867271, -1.9621361, 9.97909972, -2.55677995,
    -4.88030347, -8.86033743, -9.05368602, -7.94309693, -8.12585485, -6.3182621, -8.30242223, -12.2893251,
    -17.309746, -7.55105974, -8.19580521, -8.34926874, -7.25911206, -8.41697224, -3.38725429, -7.68222088,
    -12.6297007, -13.6257602, -9.52985029, -11.8396814, -9.79914325, -7.55608603, -5.46902454, -2.65092136,
    0.417472161, -2.32548971, -3.48299933, -3.18067109, 0.0, 0.0, 0.0, 0.0,
    0.0, -5.48347781, -10.3346396, -11.1296117, -14.3116273, -14.7003999, -15.4726487,
)
# fmt: on

# their name -> ours, applied in this order to the beginning or to a part of a key
_NAMES = (
    (r"^atom_embedding\.weight$", "embedding"),
    (r"^w_b\.", "bond."),
    (r"^w_eij\.", "first_edge."),
    (r"^w_r\.", "first_radial."),
    (r"^fc1\.", "hidden.0."),
    (r"^fc2\.", "hidden.1."),
    (r"^fc_out\.", "last."),
    (r"^three\.(\d+)\.W_fea\.", r"layers.\1.three.features."),
    (r"^three\.(\d+)\.W_1\.", r"layers.\1.three.gate."),
    (r"^three\.(\d+)\.W_2\.", r"layers.\1.three.value."),
    (r"^three\.(\d+)\.bond_embedding_j\.", r"layers.\1.three.side_a."),
    (r"^three\.(\d+)\.bond_embedding_k\.", r"layers.\1.three.side_b."),
    (r"^three\.(\d+)\.angle_embedding\.", r"layers.\1.three.angle."),
    (r"^edge_updates\.(\d+)\.W_1\.", r"layers.\1.edge.value."),
    (r"^edge_updates\.(\d+)\.W_2\.", r"layers.\1.edge.gate."),
    (r"^edge_updates\.(\d+)\.W_3\.", r"layers.\1.edge.out."),
    (r"^edge_updates\.(\d+)\.W_r\.", r"layers.\1.edge.radial."),
    (r"^convs\.(\d+)\.fc_full\.", r"layers.\1.convolution.features."),
    (r"^convs\.(\d+)\.fc_core\.", r"layers.\1.convolution.unused."),
    (r"^convs\.(\d+)\.W_1\.", r"layers.\1.convolution.value."),
    (r"^convs\.(\d+)\.W_2\.", r"layers.\1.convolution.gate."),
    (r"^convs\.(\d+)\.W_r\.", r"layers.\1.convolution.radial."),
    (r"^norms1\.(\d+)\.", r"layers.\1.attention.norm_in."),
    (r"^norms2\.(\d+)\.", r"layers.\1.attention.norm_out."),
    (r"^transformers\.(\d+)\.encoder\.layers\.0\.self_attn\.in_proj_", r"layers.\1.attention.projection."),
    (r"^transformers\.(\d+)\.encoder\.layers\.0\.self_attn\.out_proj\.", r"layers.\1.attention.out."),
    (r"^transformers\.(\d+)\.encoder\.layers\.0\.linear1\.", r"layers.\1.attention.expand."),
    (r"^transformers\.(\d+)\.encoder\.layers\.0\.linear2\.", r"layers.\1.attention.contract."),
    (r"^transformers\.(\d+)\.encoder\.layers\.0\.norm1\.", r"layers.\1.attention.norm_attention."),
    (r"^transformers\.(\d+)\.encoder\.layers\.0\.norm2\.", r"layers.\1.attention.norm_feedforward."),
)
_CONSTANTS = ("atomic_energies", "scale", "shift")


def read(path: str | Path) -> GPTFF:
    """The model of a published file, in the file's type (float32)."""
    data = read_data(path)
    name = Path(path).name
    if not (isinstance(data, Mapping) and {"state_dict", "cfg"} <= set(data)):
        state = data.get("state_dict", data) if isinstance(data, Mapping) else data
        refuse_other_kind(state, ("gptff",), name)
        raise InputError(
            "The file lacks GPTFF's settings", got=f"{name}: {', '.join(map(str, data))}", allowed="state_dict and cfg"
        )
    return from_upstream(data["state_dict"], data["cfg"], name)


def from_upstream(state: Mapping[str, Tensor], settings: Mapping[str, Any], name: str = "GPTFF") -> GPTFF:
    """The model of a state dict under the published names and its settings."""
    state = refuse_other_kind(state, ("gptff",), name)
    attention = bool(settings["transformer_activate"])
    model = GPTFF(
        elements=[z for z, energy in enumerate(ATOM_ENERGIES) if abs(energy) > 1e-9],
        layers=int(settings["n_layers"]),
        nodes=int(settings["node_feature_len"]),
        edges=int(settings["edge_feature_len"]),
        attention=attention,
    )
    model.to(state["w_eij.weight"].dtype)
    fill(model, {_ours(key): value for key, value in state.items()}, name, optional=_CONSTANTS)
    model.set_atomic_energies({z: ATOM_ENERGIES[z] for z in model.elements})
    model.card = replace(
        model.card,
        name="GPTFF v2" if attention else "GPTFF v1",
        level_of_theory="PBE (the Atomly data base; VASP)",
        licence="GPL-3.0 (the weights)",
        description="Trained by its authors on 37.8 million structures of inorganic crystals (paths of relaxations)",
    )
    return model.eval()


def upstream_state(model: GPTFF) -> dict[str, Tensor]:
    """The state dict under the published names: what GPTFF's own package loads (one head, energies without scale)."""
    theirs = {_ours(key): key for key in _their_keys(model)}
    return {theirs[key]: value for key, value in model.state_dict().items() if key not in _CONSTANTS}


def _ours(key: str) -> str:
    for pattern, name in _NAMES:
        new, changed = re.subn(pattern, name, key)
        if changed:
            return new
    return key


def _their_keys(model: GPTFF) -> list[str]:
    """All keys of a published file of this shape."""
    keys = []
    for pattern, _ in _NAMES:
        plain = pattern.strip("^$").replace("\\.", ".")
        layers = range(len(model.layers)) if "(\\d+)" in plain else (0,)
        for k in layers:
            start = plain.replace("(\\d+)", str(k))
            keys += [start] if start.endswith("weight") else [start + "weight", start + "bias"]
    return keys
