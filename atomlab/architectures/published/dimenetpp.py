"""DimeNet++ of torch_geometric and of chemtrain: their state dicts as ours, and back.

Neither program has released weights of this network; their names are the ones that people have files of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError
from ..dimenetpp import DimeNetPP
from .files import fill, read_data, refuse_other_kind

__all__ = ["from_upstream", "read", "upstream_state"]

# torch_geometric's names -> ours
_COMMON = (
    (r"^rbf\.freq$", "frequencies"),
    (r"^emb\.emb\.weight$", "embedding.table"),
    (r"^emb\.lin_rbf\.", "embedding.radial."),
    (r"^emb\.lin\.", "embedding.dense."),
    (r"^output_blocks\.(\d+)\.lin_rbf\.", r"readouts.\1.radial."),
    (r"^output_blocks\.(\d+)\.lin_up\.", r"readouts.\1.up."),
    (r"^output_blocks\.(\d+)\.lins\.(\d+)\.", r"readouts.\1.dense.\2."),
    (r"^output_blocks\.(\d+)\.lin\.", r"readouts.\1.last."),
    (r"^interaction_blocks\.(\d+)\.lin_rbf1\.", r"interactions.\1.radial.0."),
    (r"^interaction_blocks\.(\d+)\.lin_rbf2\.", r"interactions.\1.radial.1."),
    (r"^interaction_blocks\.(\d+)\.lin_sbf1\.", r"interactions.\1.spherical.0."),
    (r"^interaction_blocks\.(\d+)\.lin_sbf2\.", r"interactions.\1.spherical.1."),
    (r"^interaction_blocks\.(\d+)\.lin_kj\.", r"interactions.\1.incoming."),
    (r"^interaction_blocks\.(\d+)\.lin_ji\.", r"interactions.\1.own."),
    (r"^interaction_blocks\.(\d+)\.lin_down\.", r"interactions.\1.down."),
    (r"^interaction_blocks\.(\d+)\.lin_up\.", r"interactions.\1.up."),
    (r"^interaction_blocks\.(\d+)\.lin\.", r"interactions.\1.dense."),
    (r"^interaction_blocks\.(\d+)\.layers_before_skip\.(\d+)\.lin1\.", r"interactions.\1.before.\2.first."),
    (r"^interaction_blocks\.(\d+)\.layers_before_skip\.(\d+)\.lin2\.", r"interactions.\1.before.\2.second."),
    (r"^interaction_blocks\.(\d+)\.layers_after_skip\.(\d+)\.lin1\.", r"interactions.\1.after.\2.first."),
    (r"^interaction_blocks\.(\d+)\.layers_after_skip\.(\d+)\.lin2\.", r"interactions.\1.after.\2.second."),
)
# chemtrain's layer names inside a block -> ours
_PAPER = {
    "Interaction": {
        "Dense_ji": "own",
        "Dense_kj": "incoming",
        "Downprojection": "down",
        "Upprojection": "up",
        "FinalBeforeSkip": "dense",
        "rbf1": "radial.0",
        "rbf2": "radial.1",
        "sbf1": "spherical.0",
        "sbf2": "spherical.1",
    },
    "Output": {"RBF_Dense": "radial", "Upprojection": "up", "Dense_Series": "dense", "Final_output": "last"},
    "Embedding": {"RBF_Dense": "radial", "Concat_Dense": "dense"},
}
_CONSTANTS = ("atomic_energies", "scale", "shift")
_HAIKU = "DimeNetPP/~/"


def read(path: str | Path, **settings: Any) -> DimeNetPP:
    """The model of a state dict (torch_geometric) or an npz of arrays (chemtrain); `settings` as in `from_upstream`."""
    return from_upstream(read_data(path), name=Path(path).name, **settings)


def from_upstream(
    state: Mapping[str, Any],
    elements: Sequence[int | str] | None = None,
    cutoff: float | None = None,
    length_unit: str = "nm",
    envelope: int = 6,
    before_skip: int = 1,
    name: str = "DimeNet++",
) -> DimeNetPP:
    """The model of a state dict under the names of torch_geometric or chemtrain; sizes are read off the arrays.

    elements: chemtrain's species in their order, or those of torch_geometric's rows (by atomic number) that are wanted,
    by default 1 to 94. cutoff: Å. length_unit: what chemtrain's network counted in. envelope: p, torch_geometric's
    `envelope_exponent` + 1. before_skip: chemtrain numbers the residual layers before and after the skip through.
    """
    paper = isinstance(state, Mapping) and any(_HAIKU in str(key) for key in state)
    others = [key for key in state if _HAIKU not in key] if paper else []
    if others:
        raise InputError("The file holds more than the parameters of DimeNet++", got=f"{name}: {', '.join(others[:3])}")
    if not paper:
        refuse_other_kind(state, ("dimenetpp",), name)
    arrays = {key: torch.as_tensor(value) for key, value in state.items()}
    weights = _from_haiku(arrays, before_skip) if paper else {_ours(key): value for key, value in arrays.items()}
    if cutoff is None:
        raise InputError(
            "Weights of DimeNet++ do not say their cutoff",
            got=name,
            mend="Give it in Å: atomlab.architectures.published.read(FILE, cutoff=...)",
        )
    shapes = _sizes(weights)
    if elements is None:
        if paper:
            raise InputError("chemtrain's arrays do not name their species", mend="Give `elements` in their order")
        elements = range(1, len(weights["embedding.table"]))
    form = "paper" if paper else "common"
    model = DimeNetPP(elements, cutoff=cutoff, length_unit=length_unit, envelope=envelope, form=form, **shapes)
    if not paper:
        weights["embedding.table"] = weights["embedding.table"][list(model.elements)]
    model.to(weights["frequencies"].dtype)
    fill(model, weights, name, optional=_CONSTANTS)
    return model.eval()


def _ours(key: str) -> str:
    for pattern, name in _COMMON:
        new, changed = re.subn(pattern, name, key)
        if changed:
            return new
    return key


def _sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    def count(pattern: str) -> int:
        return len({match[1] for key in weights if (match := re.match(pattern, key))})

    try:
        basis, functions = weights["interactions.0.spherical.0.weight"].shape
        radial = len(weights["frequencies"])
        return {
            "hidden": weights["interactions.0.own.weight"].shape[0],
            "triplet": weights["interactions.0.down.weight"].shape[0],
            "outputs": weights["readouts.0.up.weight"].shape[0],
            "atom_features": weights["embedding.table"].shape[1],
            "basis": basis,
            "radial": radial,
            "spherical": functions // radial,
            "blocks": count(r"interactions\.(\d+)\."),
            "before_skip": count(r"interactions\.0\.before\.(\d+)\."),
            "after_skip": count(r"interactions\.0\.after\.(\d+)\."),
            "output_layers": count(r"readouts\.0\.dense\.(\d+)\."),
        }
    except KeyError as error:
        raise InputError("The weights of DimeNet++ lack an entry", got=str(error)) from error


def _from_haiku(arrays: Mapping[str, Tensor], before: int) -> dict[str, Tensor]:
    """haiku's names, `<block>[_k]/~/<layer>[_k]/~/linear/w` with w as (in, out), under ours."""
    found: dict[str, Tensor] = {}
    for key, value in arrays.items():
        parts = key.partition(_HAIKU)[2].split("/~/")
        if parts[0] == "BesselRadial/RBF_Frequencies":
            found["frequencies"] = value
        elif parts[0] == "Embedding/Embedding_vect":
            found["embedding.table"] = value
        else:
            kind = {"w": "weight", "b": "bias"}[parts[-1].rpartition("/")[2]]
            name = _layer(parts[0], parts[1:-1], before)
            found[f"{name}.{kind}"] = value.T.contiguous() if kind == "weight" else value
    return found


def _numbered(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("_")
    return (stem, int(number)) if number.isdigit() else (name, 0)


def _layer(block: str, layers: Sequence[str], before: int) -> str:
    kind, k = _numbered(block)
    layer, n = _numbered(layers[0])
    if kind == "Embedding":
        return f"embedding.{_PAPER[kind][layers[0]]}"
    if kind == "Output":
        ours = _PAPER[kind][layer]
        return f"readouts.{k}.{ours}.{n}" if ours == "dense" else f"readouts.{k}.{ours}"
    if layer == "ResLayer":
        place = f"before.{n}" if n < before else f"after.{n - before}"
        return f"interactions.{k}.{place}.{'second' if _numbered(layers[1])[1] else 'first'}"
    return f"interactions.{k}.{_PAPER[kind][layers[0]]}"


def upstream_state(model: DimeNetPP) -> dict[str, Tensor]:
    """The state dict under torch_geometric's names; for models of the common form that cover elements 1, 2, 3 ..."""
    if model.config["form"] != "common" or list(model.elements) != list(range(1, len(model.elements) + 1)):
        raise InputError("torch_geometric's network is the common form with a row for every element from 1 on")
    own = {key: value for key, value in model.state_dict().items() if key not in _CONSTANTS}
    own["embedding.table"] = torch.cat([torch.zeros_like(own["embedding.table"][:1]), own["embedding.table"]])
    theirs = {}
    for key in own:
        for pattern, name in _COMMON:
            back = re.fullmatch(re.sub(r"\\(\d)", r"(\\d+)", name.replace(".", r"\.")) + "(.*)", key)
            if back:
                *numbers, rest = back.groups()
                plain = pattern.strip("^$").replace("\\.", ".")
                for number in numbers:
                    plain = plain.replace("(\\d+)", number, 1)
                theirs[plain + rest] = own[key]
                break
    return theirs
