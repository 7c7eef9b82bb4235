"""Weight files of other programs, read as data: nothing in them is ever run."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError
from .scripted import is_scripted, read_scripted

__all__ = ["family_of", "fill", "kind_of", "read_data", "refuse_other_kind", "what_is"]

# architecture, and keys (or beginnings of keys) that only its weight files have
_SIGNS = (
    ("gptff", ("atom_embedding.weight", "w_eij.weight")),
    ("equireann", ("density.rs", "density.nipsin")),
    ("reann", ("density.rs", "density.hyper")),
    ("mace", ("interactions.0.", "products.0.")),
    ("dimenetpp", ("emb.lin_rbf.", "interaction_blocks.0.")),
    ("dimenetpp", ("DimeNetPP/~/",)),  # chemtrain's
    ("chgnet", ("graph_converter", "atom_embedding.embedding.weight")),
)
# where programs put their state dict
_PLACES = ("state_dict", "reannparam", "model", "model_state_dict")


def read_data(path: str | Path) -> Any:
    """The content of a .pth, .pt or .npz file: tensors and plain values only; everything else is refused in words.

    Of a TorchScript file: its state dict, with the names of its modules' classes.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("There is no such weight file", got=str(path))
    if path.suffix == ".npz":
        return _read_npz(path)
    if is_scripted(path):
        return read_scripted(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = str(error)
        if "GLOBAL mace." in text:
            raise InputError(
                "This file is a whole model of mace-torch", got=path.name, mend="Give it to `atomlab.load`"
            ) from error
        if "GLOBAL" in text or "Unsupported" in text:
            detail = next((line.strip() for line in text.splitlines() if "GLOBAL" in line), text.splitlines()[0])
            raise InputError(
                "The file holds more than weights: opening it would run code of its author",
                got=f"{path.name}: {detail}",
            ) from error
        raise _damaged(path) from error
    except (
        *(RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile),
        *(KeyError, IndexError, TypeError, AttributeError, struct.error),  # what is no pickle at all ends in these
    ) as error:
        raise _damaged(path) from error


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError(
        "The weight file cannot be read: it is damaged, or the download stopped half-way",
        got=f"{path.name}, {path.stat().st_size} bytes",
        mend="Fetch it again",
    )


def kind_of(keys: Iterable[str]) -> str | None:
    """Which architecture's weights these keys are, None if none that is known here."""
    keys = [key.removeprefix("module.") for key in keys]
    for kind, signs in _SIGNS:
        if all(any(key.startswith(sign) for key in keys) for sign in signs):
            return kind
    return None


def family_of(data: Any, depth: int = 2) -> str | None:
    """Whose weights a file's content is, wherever in it they are; None if nobody's that is known here."""
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        return None
    inside = (family_of(data[place], depth - 1) for place in _PLACES if place in data and depth)
    return kind_of(data) or next((found for found in inside if found), None)


def what_is(data: Any) -> str:
    """What a file holds, in words."""
    found = family_of(data)
    if found:
        return f"the weights of '{found}'"
    return f"keys such as {', '.join(map(str, list(data)[:3]))}" if isinstance(data, Mapping) else type(data).__name__


def refuse_other_kind(state: Any, expected: Collection[str], name: str) -> Mapping[str, Tensor]:
    """The state dict, if it is of one of the expected architectures; else the sentence that says what it is."""
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise InputError("The file holds no state dict", got=f"{name}: {type(state).__name__}")
    if kind_of(state) not in expected:
        raise InputError(
            "These are the weights of another architecture", got=f"{name}: {what_is(state)}", allowed=expected
        )
    return state


def fill(model: nn.Module, state: Mapping[str, Tensor], name: str, optional: Collection[str] = ()) -> None:
    """Load `state` into the model; missing, superfluous and misshapen entries are named. `optional` may be missing."""
    own = model.state_dict()
    missing = sorted(set(own) - set(state) - set(optional))
    extra = sorted(set(state) - set(own))
    shapes = [k for k in state if k in own and state[k].shape != own[k].shape]
    for what, keys in (("lacks", missing), ("has unknown", extra), ("has misshapen", shapes)):
        if keys:
            shown = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
            raise InputError(f"The weight file {what} entries", got=f"{name}: {shown}")
    model.load_state_dict({**own, **state})
