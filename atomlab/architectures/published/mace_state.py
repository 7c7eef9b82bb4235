"""MACE's state dict under mace-torch's names, from ours and to ours.

Our weights carry the published names already. What differs: E0, scale and shift (ours are float64, one per head), the
3j symbols' place, and constants that a published state dict repeats although the shape of the model says them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import InputError
from ..mace import MACE
from ..spherical import wigner_3j

__all__ = ["ours", "upstream_state"]

_W3J = "conv_tp._compiled_main_left_right."
# constants that the configuration holds, or that are always empty or ones
_REPEATED = re.compile(
    r"atomic_numbers|r_max|num_interactions|radial_embedding\.(bessel_fn|cutoff_fn)\.r_max|"
    r"(radial_embedding\.cutoff_fn|pair_repulsion_fn)\.p|.*\.(bias|output_mask)|interactions\.\d+\.conv_tp\.weight"
)
_GIVEN = re.compile(r".*\.(U_matrix_\d|weights_\w+_zeroed|_w3j_\d_\d_\d)")


def ours(state: Mapping[str, Tensor], model: MACE, name: str) -> dict[str, Tensor]:
    """Our state dict from mace-torch's; entries that are missing, unknown or of another shape are named."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == "atomic_energies_fn.atomic_energies":
            found["atomic_energies"] = _expanded(value, model.atomic_energies)
        elif key in ("scale_shift.scale", "scale_shift.shift"):
            found[key.split(".")[1]] = _expanded(value, model.scale)
        elif not _REPEATED.fullmatch(key):
            found[key.replace(_W3J, "conv_tp.")] = value
    if not model.config["scale_shift"]:
        found.setdefault("scale", torch.ones(model.scale.shape, dtype=torch.float64))
        found.setdefault("shift", torch.zeros(model.shift.shape, dtype=torch.float64))
    _check(found, model.state_dict(), (model.config["l_edges"] + 1) ** 2, name)
    return found


def _expanded(value: Tensor, like: Tensor) -> Tensor:
    """In float64, with the axis of heads that files of one head may lack; left alone where it does not fit."""
    fits = value.ndim <= like.ndim and value.shape == like.shape[like.ndim - value.ndim :]
    return value.to(torch.float64).expand(like.shape).clone() if fits or value.numel() == 1 else value


def _check(found: Mapping[str, Tensor], own: Mapping[str, Tensor], size: int, name: str) -> None:
    shapes = {key: _given_shape(key, found, own, size) for key in found if _GIVEN.fullmatch(key)}
    placed = {key for key, shape in shapes.items() if shape is not None}
    missing, extra = sorted(set(own) - set(found)), sorted(set(found) - set(own) - placed)
    misshapen = [k for k in own if k in found and not _same_shape(k, found, own)]
    misshapen += [k for k in placed if tuple(found[k].shape) != shapes[k]]
    for what, keys in (("lacks", missing), ("has unknown", extra), ("has misshapen", misshapen)):
        if keys:
            shown = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
            raise InputError(f"The weights are not those of this MACE: the file {what} entries", got=f"{name}: {shown}")


def _order(key: str, own: Mapping[str, Tensor]) -> tuple[str, int]:
    """The contraction of a weight's name, and the order of the products that it multiplies."""
    stem, _, leaf = key.partition(".weights")
    highest = 1 + sum(k.startswith(f"{stem}.weights.") for k in own)
    return stem, highest if leaf == "_max" else highest - 1 - int(leaf[1:])


def _same_shape(key: str, found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    a, b = found[key].shape, own[key].shape
    if a == b or ".contractions." not in key:
        return a == b
    # a file that brings its couplings may bring a shorter basis, with fewer paths
    stem, order = _order(key, own)
    return f"{stem}.U_matrix_{order}" in found and len(a) == 3 and a[::2] == b[::2]


def _given_shape(key: str, found: Mapping[str, Tensor], own: Mapping[str, Tensor], size: int) -> tuple[int, ...] | None:
    """The shape that a constant of the file must have; None where this model has no place for it."""
    stem, _, leaf = key.rpartition(".")
    if leaf.startswith("_w3j"):
        known = f"{stem.removesuffix('.conv_tp')}.linear.weight" in own
        return tuple(2 * int(l) + 1 for l in leaf.split("_")[2:]) if known else None
    if f"{stem}.weights_max" not in own:
        return None
    if leaf.endswith("_zeroed"):
        return ()
    names = (k for k in own if k == f"{stem}.weights_max" or k.startswith(f"{stem}.weights."))
    weight = next((k for k in names if _order(k, own) == (stem, int(leaf[-1]))), None)
    if weight is None or weight not in found:
        return None
    l_out = int(stem.rsplit(".", 1)[1])
    lead = (2 * l_out + 1,) if l_out else ()
    return (*lead, *(size,) * int(leaf[-1]), *found[weight].shape[1:2])


def upstream_state(model: MACE) -> dict[str, Tensor]:
    """The state dict that mace-torch's MACE or ScaleShiftMACE of the same shape loads, in the model's type."""
    c, dtype = model.config, model.dtype
    if not c["scale_shift"] and (bool((model.scale != 1).any()) or bool((model.shift != 0).any())):
        raise InputError("A MACE made with scale_shift=False has no place for a scale and a shift in upstream's files")
    k, radius = c["channels"], torch.tensor(c["cutoff"], dtype=dtype)
    out = {
        "atomic_numbers": torch.tensor(c["elements"]),
        "r_max": radius,
        "num_interactions": torch.tensor(c["layers"]),
        "atomic_energies_fn.atomic_energies": model.atomic_energies.to(dtype),
        "radial_embedding.bessel_fn.r_max": radius,
        "radial_embedding.cutoff_fn.r_max": radius,
        "radial_embedding.cutoff_fn.p": torch.tensor(c["envelope"], dtype=torch.int32),
    }
    if c["zbl"]:
        out["pair_repulsion_fn.p"] = torch.tensor(c["envelope"], dtype=torch.int32)
    if c["scale_shift"]:
        for name, value in (("scale", model.scale), ("shift", model.shift)):
            out[f"scale_shift.{name}"] = (value if len(c["heads"]) > 1 else value[0]).to(dtype)
    for key, value in model.state_dict().items():
        if key not in ("atomic_energies", "scale", "shift"):
            out[key.replace("conv_tp._w3j", f"{_W3J}_w3j")] = value
    ones = {"node_embedding.linear": k}
    for t, interaction in enumerate(model.interactions):
        ones |= _interaction(out, f"interactions.{t}", interaction, c, 0 if t == c["layers"] - 1 else c["l_nodes"])
        for contraction in model.products[t].symmetric_contractions.contractions:
            _contraction(out, f"products.{t}.symmetric_contractions.contractions.{contraction.l_out}", contraction)
        ones[f"products.{t}.linear"] = k * len(model.products[t].linear.blocks) ** 2
        for name, linear in model.readouts[t].named_children():
            ones[f"readouts.{t}.{name}"] = linear.blocks[0][1]
    for stem, size in ones.items():
        out[f"{stem}.bias"] = torch.zeros(0, dtype=dtype)
        out[f"{stem}.output_mask"] = torch.ones(size, dtype=dtype)
    return {key: value.detach().clone().contiguous() for key, value in out.items()}


def _interaction(out: dict[str, Tensor], stem: str, interaction, c: Mapping, l_out: int) -> dict[str, int]:
    """Adds the constants of one interaction; returns the sizes of its linear maps' masks."""
    k, like = c["channels"], interaction.linear.weight
    empty = torch.zeros(0, dtype=like.dtype)
    out[f"{stem}.conv_tp.weight"] = empty
    out[f"{stem}.conv_tp.output_mask"] = empty.new_ones(sum(k * (2 * l3 + 1) for _, _, l3 in interaction.paths))
    for path in interaction.paths:
        if min(path) > 0:
            name = f"{stem}.{_W3J}_w3j_{path[0]}_{path[1]}_{path[2]}"
            out.setdefault(name, torch.tensor(wigner_3j(*path), dtype=like.dtype))
    l_skip = l_out if interaction.residual else c["l_edges"]
    reached = interaction.skip_tp.shape[0]
    mask = empty.new_zeros(k * (l_skip + 1) ** 2)
    mask[: k * reached**2] = 1.0
    out[f"{stem}.skip_tp.output_mask"] = mask
    l_in = len(interaction.linear_up.blocks)
    return {f"{stem}.linear_up": k * l_in**2, f"{stem}.linear": k * (c["l_edges"] + 1) ** 2}


def _contraction(out: dict[str, Tensor], stem: str, contraction) -> None:
    for order in range(1, contraction.order + 1):
        u = torch.tensor(contraction.coupling(order), dtype=contraction.weights_max.dtype)
        out.setdefault(f"{stem}.U_matrix_{order}", u)
    for name in ("max", *range(contraction.order - 1)):
        out.setdefault(f"{stem}.weights_{name}_zeroed", torch.tensor(False))
