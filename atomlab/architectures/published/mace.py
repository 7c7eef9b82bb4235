"""Models that mace-torch made: its `.model` files, its state dicts, and back.

A `.model` file is a pickle of the whole program. It is read as data only (`modules.read_module`): the names below
become inert, everything else is refused. Licence and level of theory are those of whoever trained the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from ...errors import InputError
from ..mace import MACE
from ..spherical import tensor_paths, wigner_3j
from .files import family_of
from .mace_state import ours, upstream_state
from .modules import Stub, plain_number, read_module

__all__ = ["from_upstream", "read", "upstream_state"]

_KINDS = {
    "RealAgnosticInteractionBlock": "agnostic",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density-residual",
}
_TRANSFORMS = {"None": "none", "AgnesiTransform": "agnesi", "Agnesi": "agnesi", "SoftTransform": "soft", "Soft": "soft"}
_BLOCKS = (
    "LinearNodeEmbeddingBlock RadialEmbeddingBlock AtomicEnergiesBlock EquivariantProductBasisBlock LinearReadoutBlock "
    "NonLinearReadoutBlock ScaleShiftBlock"
).split()
_RADIAL = ("BesselBasis", "AgnesiTransform", "SoftTransform", "PolynomialCutoff", "ZBLBasis")
_ALLOWED = {
    "mace.modules.models MACE",
    "mace.modules.models ScaleShiftMACE",
    *(f"mace.modules.blocks {name}" for name in (*_BLOCKS, *_KINDS)),
    *(f"mace.modules.radial {name}" for name in _RADIAL),
    "mace.modules.symmetric_contraction SymmetricContraction",
    "mace.modules.symmetric_contraction Contraction",
    "mace.modules.irreps_tools reshape_irreps",
    "e3nn.o3._irreps Irreps",
    "e3nn.o3._irreps Irrep",
    "e3nn.o3._irreps _MulIr",
    "e3nn.o3._linear Linear",
    "e3nn.o3._linear Instruction",
    "e3nn.o3._spherical_harmonics SphericalHarmonics",
    "e3nn.o3._tensor_product._tensor_product TensorProduct",
    "e3nn.o3._tensor_product._sub FullyConnectedTensorProduct",
    "e3nn.o3._tensor_product._instruction Instruction",
    "e3nn.nn._fc FullyConnectedNet",
    "e3nn.nn._fc _Layer",
    "e3nn.nn._activation Activation",
    "e3nn.math._normalize_activation normalize2mom",
    "torch.nn.modules.container ModuleList",
    "torch.nn.modules.container ParameterList",
    "torch.nn.functional silu",
    "torch.fx.graph_module reduce_graph_module",
    "torch.fx._symbolic_trace Tracer",
}
# parts of names that say which kind of model it is
_WORDS = {
    "NonLinearInteraction": "a residual interaction with a gate",
    "Dipole": "a model of dipoles",
    "Polar": "a model of charges and polarisation",
    "lora": "a model with LoRA wrappers: merge them into the weights first",
    "LoRA": "a model with LoRA wrappers: merge them into the weights first",
    "cue": "a model converted to cuequivariance: convert it back with mace_cueq_to_e3nn first",
    "CuEq": "a model converted to cuequivariance: convert it back with mace_cueq_to_e3nn first",
    "oeq": "a model converted to openequivariance: convert it back first",
    "OEQ": "a model converted to openequivariance: convert it back first",
    "mace.": "a kind of MACE that is not here yet",
}
# attributes that, where set, change the energy in ways that are not here
_ELSEWHERE = (
    "use_agnostic_product use_so3 use_last_readout_only use_edge_irreps_first edge_irreps joint_embedding "
    "embedding_specs"
).split()
_DEPTH, _ENTRIES = 12, 20_000


def read(path: str | Path) -> MACE:
    """The model of a `.model` file, in the file's type, without running any of the file.

    Raises InputError for a kind of model that is not here, for a file that names anything unknown, and for a damaged
    or crafted file.
    """
    name = Path(path).name
    top = read_module(path, _ALLOWED, _words)
    if not isinstance(top, Stub) or top.name not in ("mace.modules.models MACE", "mace.modules.models ScaleShiftMACE"):
        _refuse_other(top, name)
    state = _state(top, name)
    try:
        settings = _settings(top, state)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("The file's MACE lacks a part", got=f"{name}: {type(error).__name__} {error}") from error
    model = from_upstream(state, settings, name)
    model.card = replace(model.card, name=Path(path).stem)
    return model


def _refuse_other(top: Any, name: str) -> NoReturn:
    """Say what the file is, which is no saved module of MACE."""
    family = family_of(top)
    if family == "mace":
        raise InputError(
            "These are weights of a MACE without the model that they belong to",
            got=f"{name}: a state dict",
            mend="Save the whole model with torch.save(model, FILE), or give the weights and mace-torch's settings to "
            "atomlab.architectures.published.mace.from_upstream",
        )
    if family:
        raise InputError(
            "These are the weights of another architecture", got=f"{name}: the weights of '{family}'", allowed="mace"
        )
    raise InputError("The file holds no MACE model", got=f"{name}: {top!r}"[:200])


def _words(name: str) -> str:
    return next((f": it belongs to {phrase}" for part, phrase in _WORDS.items() if part in name), "")


def from_upstream(state: Mapping[str, Tensor], settings: Mapping[str, Any], name: str = "MACE") -> MACE:
    """The model of a state dict under mace-torch's names and the arguments that mace-torch's model was made with.

    settings: atomic_numbers, r_max, num_bessel, num_polynomial_cutoff, max_ell, interaction_cls_first, interaction_cls,
    num_interactions, hidden_irreps, MLP_irreps, avg_num_neighbors, correlation, radial_MLP, distance_transform,
    pair_repulsion, heads, apply_cutoff (the last five may be missing).
    """
    config = _config(settings)
    config["scale_shift"] = "scale_shift.scale" in state
    with torch.device("meta"):  # shapes only: a file that lies about its size costs no memory
        shapes = MACE(**config)
    weights = ours(state, shapes, name)
    model = MACE(**config).to(state["node_embedding.linear.weight"].dtype)
    model.load_state_dict(weights)
    model.card = replace(model.card, name=name, description="Made by mace-torch")
    return model.eval()


def _config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Our configuration from mace-torch's arguments."""
    channels, l_nodes = _hidden(settings["hidden_irreps"])
    layers = int(settings["num_interactions"])
    transform = str(settings.get("distance_transform"))
    if transform not in _TRANSFORMS:
        raise InputError("The model has a distance transform that is not here", got=transform, allowed=_TRANSFORMS)
    return {
        "elements": [int(z) for z in settings["atomic_numbers"]],
        "heads": list(settings.get("heads") or ["Default"]),
        "cutoff": float(settings["r_max"]),
        "channels": channels,
        "l_edges": int(settings["max_ell"]),
        "l_nodes": l_nodes if layers > 1 else 0,
        "correlation": int(_one(settings["correlation"], "correlation")),
        "layers": layers,
        "first_interaction": _kind(settings["interaction_cls_first"]),
        "interaction": _kind(settings["interaction_cls"]),
        "average_neighbours": float(settings["avg_num_neighbors"]),
        "radial_basis": int(settings["num_bessel"]),
        "radial_hidden": [int(n) for n in settings.get("radial_MLP") or (64, 64, 64)],
        "envelope": int(settings["num_polynomial_cutoff"]),
        "transform": _TRANSFORMS[transform],
        "envelope_on": "basis" if settings.get("apply_cutoff", True) else "weights",
        "zbl": bool(settings.get("pair_repulsion")),
        "readout_hidden": _hidden(settings["MLP_irreps"])[0],
        "trained_bessel": bool(settings.get("trained_bessel", False)),
        "activation": float(settings.get("activation", 1.6791767923989418)),
    }


def _kind(block: str) -> str:
    if block not in _KINDS:
        raise InputError("The model has an interaction that is not here", got=block, allowed=_KINDS)
    return _KINDS[block]


def _hidden(irreps: str) -> tuple[int, int]:
    """Channels and highest l of such as '128x0e+128x1o'."""
    parts = [part.strip().split("x") for part in str(irreps).split("+")]
    want = [f"{l}{'oe'[l % 2 == 0]}" for l in range(len(parts))]
    if [part[-1] for part in parts] != want or len({part[0] for part in parts}) > 1 or len(parts[0]) != 2:
        what = "The model's features are of a shape that is not here"
        raise InputError(what, got=irreps, allowed="such as 128x0e+128x1o")
    return int(parts[0][0]), len(parts) - 1


def _one(values: Any, what: str) -> Any:
    """The value that all layers share."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        if any(value != values[0] for value in values):
            raise InputError(f"The layers of the model differ in {what}, which is not here", got=list(values))
        return values[0]
    return values


def _state(top: Stub, name: str) -> dict[str, Tensor]:
    """The state dict of a module's tree, as torch would collect it."""
    out: dict[str, Tensor] = {}

    def walk(module: Stub, prefix: str, depth: int) -> None:
        if depth > _DEPTH or len(out) > _ENTRIES:
            raise InputError("The file's modules are nested too deeply or are too many", got=name)
        if module.name.startswith("torch.fx"):
            return
        hidden = module.state.get("_non_persistent_buffers_set") or ()
        for place in ("_parameters", "_buffers"):
            for key, value in (module.state.get(place) or {}).items():
                if isinstance(value, Tensor) and key not in hidden:
                    out[f"{prefix}{key}"] = value
        for key, child in (module.state.get("_modules") or {}).items():
            if isinstance(child, Stub):
                walk(child, f"{prefix}{key}.", depth + 1)

    walk(top, "", 0)
    return out


def _settings(top: Stub, state: dict[str, Tensor]) -> dict[str, Any]:
    """What mace-torch's model was made with, from the attributes of its parts. Adds the 3j symbols to the state."""
    for attribute in _ELSEWHERE:
        if top.get(attribute):
            raise InputError(f"The model has '{attribute}', which is not here", got=repr(top.get(attribute))[:80])
    interactions = [top.get("interactions").get(str(t)) for t in range(int(top.get("num_interactions")))]
    classes = [block.name.split()[1] for block in interactions]
    contractions = top.get("products").get("0").get("symmetric_contractions").get("contractions").get("0")
    radial, last = top.get("radial_embedding"), top.get("readouts").get(str(len(interactions) - 1))
    network, transform = interactions[0].get("conv_tp_weights"), radial.get("distance_transform")
    heads = top.get("heads") or ["Default"]
    activation = _activation(network.get("layer0").get("act"))
    if last.get("non_linearity") is not None:
        units = _irreps(last.get("hidden_irreps"))
        if _activation(last.get("non_linearity").get("acts").get("0")) != activation:
            raise InputError("The model's activations differ between radial network and readout")
    else:
        units = f"{len(heads)}x0e"
    per_head, rest = divmod(int(units.split("x")[0]), len(heads))
    if rest:
        raise InputError("The readout's units are not shared among the heads evenly", got=units, allowed=heads)
    l_max = int(top.get("spherical_harmonics").get("_lmax"))
    hidden = _irreps(top.get("products").get("0").get("linear").get("irreps_out"))
    _add_symbols(state, len(interactions), _hidden(hidden)[1], l_max)
    neighbours = [plain_number(block.get("avg_num_neighbors")) for block in interactions]
    return {
        "atomic_numbers": state["atomic_numbers"].tolist(),
        "heads": [str(head) for head in heads],
        "r_max": plain_number(state["r_max"]),
        "num_bessel": state["radial_embedding.bessel_fn.bessel_weights"].numel(),
        "trained_bessel": "bessel_weights" in radial.get("bessel_fn").state.get("_parameters", {}),
        "num_polynomial_cutoff": plain_number(state["radial_embedding.cutoff_fn.p"]),
        "max_ell": l_max,
        "interaction_cls_first": classes[0],
        "interaction_cls": _one(classes[1:] or classes, "their kind"),
        "num_interactions": len(interactions),
        "hidden_irreps": hidden,
        "MLP_irreps": f"{per_head}x0e",
        "avg_num_neighbors": _one(neighbours, "avg_num_neighbors"),
        "correlation": len(contractions.get("weights").state.get("_parameters", {})) + 1,
        "radial_MLP": [plain_number(n) for n in network.get("hs")[1:-1]],
        "distance_transform": None if transform is None else transform.name.split()[1],
        "pair_repulsion": top.get("pair_repulsion_fn") is not None,
        "apply_cutoff": top.get("apply_cutoff", True),
        "activation": activation,
    }


def _add_symbols(state: dict[str, Tensor], layers: int, l_nodes: int, l_max: int) -> None:
    """The 3j symbols: in the file they are inside compiled code, in the model they had the type of its weights."""
    dtype = state["node_embedding.linear.weight"].dtype
    for t in range(1, layers):
        for path in tensor_paths(l_nodes, l_max):
            if min(path) > 0:
                key = f"interactions.{t}.conv_tp._compiled_main_left_right._w3j_{path[0]}_{path[1]}_{path[2]}"
                state.setdefault(key, torch.tensor(wigner_3j(*path), dtype=dtype))


def _activation(wrapper: Stub) -> float:
    """The constant of a normalised SiLU; another function is refused."""
    function = wrapper.get("f")
    if getattr(function, "name", "") != "torch.nn.functional silu":
        raise InputError("The model's activation is not SiLU", got=getattr(function, "name", repr(function)[:80]))
    return plain_number(wrapper.get("cst"))


def _irreps(value: Any) -> str:
    """'8x0e+8x1o' of e3nn's object or of a string."""
    if isinstance(value, str):
        return value

    def pair(stub: Stub) -> Sequence[Any]:  # of a tuple's subclass the file holds the tuple itself
        return stub.args[0] if len(stub.args) == 1 else stub.args

    counts = [pair(entry) for entry in value.args[0]]
    kinds = [pair(irrep) for _, irrep in counts]
    return "+".join(f"{int(n)}x{int(l)}{'e' if parity == 1 else 'o'}" for (n, _), (l, parity) in zip(counts, kinds))
