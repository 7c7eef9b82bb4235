"""State dicts and TorchScript files of the REANN and EquiREANN packages, and back.

Both packages (zhangylch/REANN, bjiangch/EquiREANN) are MIT; their models are whoever trained them. Sizes are read off
the tensors; the kind of activation is named in TorchScript files only, and else the reader must be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ase.data import atomic_numbers
from torch import Tensor

from ...errors import InputError, notice
from ..reann import REANN, EquiREANN
from .files import fill, read_data, refuse_other_kind
from .scripted import ScriptedState

__all__ = ["from_upstream", "read", "upstream_state"]

_TABLES = {"rs": "centre", "inta": "width", "params": "coefficient", "hyper": "contraction"}
_NETWORK = re.compile(r"(?:density\.ocmod\.memssage_(\d+)|nnmod)\.elemental_nets\.([A-Z][a-z]?)\.(\d+)\.(.+)")
_ACTIVATIONS = {"Relu_like": "relu_like", "Tanh_like": "tanh_like"}
_CONSTANTS = ("atomic_energies", "scale", "shift")


def read(
    path: str | Path, activation: str | None = None, message_activation: str | None = None, **options: Any
) -> REANN | EquiREANN:
    """The model of a state dict, training checkpoint (`reannparam`), TorchScript file or npz, in the file's type.

    activation, message_activation: "relu_like" (the packages' default, taken with a notice if None) or "tanh_like".
    options: `message` and `contraction` of EquiREANN.
    """
    data = read_data(path)
    if isinstance(data, Mapping) and "reannparam" in data:
        data = data["reannparam"]
    if isinstance(data, ScriptedState):
        activation = activation or _named_activation(data, "nnmod")
        message_activation = message_activation or _named_activation(data, "density")
    return from_upstream(data, activation, message_activation, Path(path).name, **options)


def _named_activation(state: ScriptedState, part: str) -> str | None:
    names = {name for place, name in state.classes.items() if place.startswith(part)}
    return next((ours for theirs, ours in _ACTIVATIONS.items() if theirs in names), None)


def from_upstream(
    state: Mapping[str, Any],
    activation: str | None = None,
    message_activation: str | None = None,
    name: str = "REANN",
    **options: Any,
) -> REANN | EquiREANN:
    """The model of a state dict under the packages' names; see `read`."""
    if isinstance(state, Mapping):
        # data-parallel training puts `module.` before every key
        state = {str(key).removeprefix("module."): value for key, value in state.items()}
    state = {k: torch.as_tensor(v) for k, v in refuse_other_kind(state, ("reann", "equireann"), name).items()}
    if activation is None:
        activation = "relu_like"
        notice(
            "reann-activation", f"'{name}' does not say its activation: 'relu_like', the package's default, is taken."
        )
    needed = [*(f"density.{table}" for table in _TABLES), "density.cutoff"]
    if "density.hyper" in state and state["density.hyper"].ndim == 4:
        needed.append("nnmod.initpot")  # EquiREANN keeps the mean energy there, REANN in its last bias
    lacking = [key for key in needed if key not in state]
    if lacking:
        raise InputError("The weight file lacks entries", got=f"{name}: {', '.join(lacking)}")
    weights = {ours: state[f"density.{theirs}"] for theirs, ours in _TABLES.items()}
    _refuse_message_shift(state, name)
    try:
        networks = _networks(state, name)
        sizes = _config(state, networks)
    except (KeyError, IndexError) as error:
        raise InputError("The weight file lacks a part of its networks", got=f"{name}: {error}") from error
    for (part, element), network in networks.items():
        weights.update({f"{part}.networks.{element}.{key}": value for key, value in network.items()})
    config = sizes | {
        "activation": activation,
        "message_activation": message_activation or activation,
    }
    model = (EquiREANN if state["density.hyper"].ndim == 4 else REANN)(**config, **options)
    model.to(weights["centre"].dtype)
    if model.contraction.ndim < weights["contraction"].ndim:
        weights["contraction"] = weights["contraction"][0]
    fill(model, weights, name, optional=_CONSTANTS)
    if "nnmod.initpot" in state:
        model.shift.copy_(state["nnmod.initpot"].to(torch.float64).expand(1))
    model.card = replace(model.card, name=Path(name).stem, description="Read from a state dict of the package")
    return model.eval()


def _networks(state: Mapping[str, Tensor], name: str) -> dict[tuple[str, str], dict[str, Tensor]]:
    """(readout | messages.t, element symbol) -> weights under our names."""
    found: dict[tuple[str, str], dict[int, dict[str, Tensor]]] = {}
    for key, value in state.items():
        if match := _NETWORK.fullmatch(key):
            t, element, layer, tail = match.groups()
            part = "readout" if t is None else f"messages.{t}"
            found.setdefault((part, element), {}).setdefault(int(layer), {})[tail] = value
    if not any(part == "readout" for part, _ in found):
        raise InputError("The weight file lacks the readout's networks (nnmod.elemental_nets)", got=name)
    return {place: _network(layers) for place, layers in found.items()}


def _network(layers: Mapping[int, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    last = max(layers)
    out = {f"first.{k}": v for k, v in layers[0].items()}
    out |= {f"activation.{k}": v for k, v in layers[last - 1].items()} | {
        f"last.{k}": v for k, v in layers[last].items()
    }
    for b in range(1, last - 1):
        # their numbers count dropout, which has no entry: ours are without it
        numbers = sorted({int(key.split(".")[1]) for key in layers[b]})
        for key, value in layers[b].items():
            _, number, tail = key.split(".")
            out[f"blocks.{b - 1}.layers.{numbers.index(int(number))}.{tail}"] = value
    return out


def _config(state: Mapping[str, Tensor], networks: Mapping[tuple[str, str], Mapping[str, Tensor]]) -> dict[str, Any]:
    elements = list(dict.fromkeys(element for part, element in networks if part == "readout"))
    rounds = len({part for part, _ in networks}) - 1
    *_, powers, waves, orbitals = state["density.hyper"].shape
    config = {
        "elements": [atomic_numbers[e] for e in elements],
        "cutoff": float(state["density.cutoff"].reshape(-1)[0]),
        "waves": waves,
        "degree": powers - 1,
        "rounds": rounds,
        "orbitals": orbitals,
        **_sizes(networks["readout", elements[0]], ""),
    }
    return config | _sizes(networks["messages.0", elements[0]], "message_") if rounds else config


def _sizes(network: Mapping[str, Tensor], prefix: str) -> dict[str, Any]:
    linears = [v for k, v in network.items() if k.startswith("blocks.0.") and k.endswith("weight") and v.ndim == 2]
    norms = [k for k, v in network.items() if k.startswith("blocks.0.") and k.endswith("weight") and v.ndim == 1]
    blocks = len({key.split(".")[1] for key in network if key.startswith("blocks.")})
    hidden = [v.shape[1] for v in linears] or [network["first.weight"].shape[0]]
    return {f"{prefix}hidden": hidden, f"{prefix}blocks": blocks, f"{prefix}norm": bool(norms)}


def _refuse_message_shift(state: Mapping[str, Tensor], name: str) -> None:
    shifted = [k for k, v in state.items() if "memssage_" in k and k.endswith("initpot") and bool((v != 0).any())]
    if shifted:
        raise InputError("The message networks have a shift that no released model has", got=f"{name}: {shifted[0]}")


def upstream_state(model: REANN | EquiREANN) -> dict[str, Tensor]:
    """The state dict under the packages' names; E0 and scale have no place there and must be 0 and 1."""
    if bool((model.atomic_energies != 0).any()) or bool((model.scale != 1).any()) or len(model.card.heads) > 1:
        raise InputError("The package's models have one head and neither E0 nor scale", mend="Fold them into labels")
    c, own = model.config, model.state_dict()
    equivariant = isinstance(model, EquiREANN)
    out = {f"density.{theirs}": own[ours] for theirs, ours in _TABLES.items()}
    if equivariant and c["contraction"] == "shared":
        out["density.hyper"] = out["density.hyper"].expand(c["rounds"] + 1, -1, -1, -1).clone()
    out["density.cutoff"] = out["density.rs"].new_tensor([c["cutoff"]])
    out["density.index_para"] = torch.tensor([l for l in range(c["degree"] + 1) for _ in range(3**l)])
    if equivariant:
        out |= {"density.nipsin": torch.tensor([c["degree"] + 1]), "nnmod.initpot": model.shift.clone()}
    for key, value in own.items():
        part, inside, rest = key.partition(".networks.")
        if inside:
            element, *tail = rest.split(".")
            message = part != "readout"
            stem = f"density.ocmod.memssage_{part.split('.')[1]}" if message else "nnmod"
            theirs = _their_layer(tail, c["message_blocks" if message else "blocks"])
            if not equivariant and not message and tail == ["last", "bias"]:
                value = value + model.shift.to(value.dtype)
            out[f"{stem}.elemental_nets.{element}.{theirs}"] = value
    return out


def _their_layer(tail: Sequence[str], blocks: int) -> str:
    if tail[0] == "blocks":
        return f"{int(tail[1]) + 1}.resblock.{tail[3]}.{tail[4]}"
    layer = {"first": 0, "activation": blocks + 1, "last": blocks + 2}[tail[0]]
    return f"{layer}.{tail[1]}"
