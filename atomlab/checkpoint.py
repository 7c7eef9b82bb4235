"""Models by name or file: which one is meant, how it is written and read, and where it is placed.

Importing this module and reading a header need no torch: panels list models with `header` and `embedded`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .architectures import architecture
from .architectures.published import catalogue
from .architectures.published.catalogue import Published
from .container import FORMAT, atomic, check_tensors, is_safetensors, read_header, version
from .corrections import KINDS, corrected, correction, split
from .errors import InputError, nearest, notice

if TYPE_CHECKING:
    import torch

    from .potential import Potential

__all__ = ["embedded", "header", "load", "place", "save"]

EMBEDDED = Path(__file__).parent / "embedded"
DTYPES = ("float32", "float64")
FIRST = "atomlab-tiny"  # the embedded model that the Lab opens with: its worker practises with it


def save(potential: Potential, path: str | Path, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write a potential, of any kind (sums and wrappers with all that is inside them), to `path`.

    Low-rank adapters are merged into their weights first: what is written is an ordinary model.
    The header holds architecture, configuration, card, E0, elements, cutoff, units, versions, and `metadata`: plain
    data of your own, such as 'data_hash' and 'errors'. Returns the path.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError("A checkpoint's name ends in .safetensors", got=path.name)
    potential = _ordinary(potential)
    description = potential.describe()
    _check_kinds(description)
    # shared storage is written twice: the format knows no sharing
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in potential.state_dict().items()}
    info = {
        "format": FORMAT,
        "atomlab": version(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "elements": list(potential.card.elements),
        "cutoff": potential.cutoff,
        "atomic_energies": _energies(potential),
        "units": {"energy": "eV", "length": "Å", "forces": "eV/Å", "stress": "eV/Å^3, tension positive"},
        "default_head": potential.default_head,
        "parameters": sum(p.numel() for p in potential.parameters()),
        "potential": description,
        "metadata": dict(metadata or {}),
    }
    try:
        text = json.dumps(info, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"The metadata of a checkpoint must be plain finite data (JSON): {error}") from error
    atomic(path, lambda target: save_file(tensors, target, metadata={"atomlab": text}))
    return path


def _ordinary(potential: Potential) -> Potential:
    """The potential with its low-rank adapters, if it has any, merged into the weights."""
    from .architectures.lowrank import merged

    return merged(potential)


def load(
    name_or_path: str | Path, device: str = "auto", dtype: str | torch.dtype = "float32", head: str | int | None = None
) -> Potential:
    """A potential, by the name of an embedded or published model, or from a file.

    Parameters
    ----------
    name_or_path: a name of `atomlab.models()`, a file of ours, a run's directory, or a weight file of another program
    (.model, .pth, .pt, .npz). A published model is downloaded once, into ATOMLAB_CACHE or the platform's cache folder;
    its licence is told first. Corrections are added behind a '+': 'si-base+zbl', 'mace-mpa-0-medium+d3:pbe',
    'FILE+d3:pbe:zero+zbl' (D3's functional and damping; ZBL for the model's elements); what a model already contains
    is refused. device: 'auto' (CUDA if there is one, else CPU), 'cpu', 'cuda', 'cuda:1' ... dtype: 'float32' or
    'float64'; energies are summed in float64 in both. head: of a model with several, the one that is meant where none
    is named; the first, with a notice that lists them, if it is not given.

    Raises InputError, in words, for what cannot be read; no code in a file is ever run.
    """
    _device(device), _dtype(dtype)  # refused before a file is read
    name, words = split(name_or_path)
    found = _found(name)
    potential = _downloaded(found) if isinstance(found, Published) else _read(found)
    _choose_head(potential, head, name)
    return place(corrected(potential, words), device, dtype).eval()


def _downloaded(entry: Published) -> Potential:
    from .architectures.published import described, download

    path = download.fetch(entry)
    try:
        return described(_read(path), entry)
    except InputError as error:
        again = f"The file is {path}: to fetch it anew, remove it and {path.with_name(download.PINS)}"
        raise InputError(error.what, got=error.got, allowed=error.allowed, mend=again) from error


def _read(path: Path) -> Potential:
    with path.open("rb") as file:
        start = file.read(16)
    if is_safetensors(start):  # first: the length that it starts with may begin with a pickle's byte too
        return _ours(path)
    if start[:2] == b"PK" or start[:1] == b"\x80":
        from .architectures.published import read as read_published

        return read_published(path)
    raise InputError(
        "This file is no model: it is neither a safetensors file nor one that torch wrote",
        got=f"{path.name}, {path.stat().st_size} bytes, beginning with {start[:8]!r}",
    )


def place(potential: Potential, device: str = "auto", dtype: str | torch.dtype = "float32") -> Potential:
    """The potential on a device and in a precision, as in `load`. A formula (no parameters) keeps its own precision."""
    return potential.to(device=_device(device), dtype=_dtype(dtype))


def embedded() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in EMBEDDED.glob("*.safetensors"))


def header(name_or_path: str | Path) -> dict[str, Any]:
    """What a checkpoint says about itself, without its weights and without torch.

    Of a published model: what the catalogue says about it; nothing is downloaded.
    """
    found = _found(split(name_or_path)[0])
    if isinstance(found, Published):
        card = {key: getattr(found, key) for key in ("name", "level_of_theory", "licence", "reference", "description")}
        card |= {"elements": list(found.elements), "contains": dict(found.contains)}
        return {"elements": list(found.elements), "potential": {"kind": found.architecture, "card": card}}
    return read_header(found)[0]


def _found(name_or_path: str) -> Path | Published:
    path = Path(name_or_path).expanduser()
    if path.is_dir() and (path / "best.safetensors").is_file():
        return path / "best.safetensors"  # a run's directory
    if path.is_dir():
        raise InputError("This directory holds no model", got=path, mend="Give the file, or a run's directory")
    if path.is_file():
        return path
    names = embedded()
    if str(name_or_path) in names:
        return EMBEDDED / f"{name_or_path}.safetensors"
    entry = catalogue.find(name_or_path)
    if entry:
        return entry
    nearby = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    raise InputError(
        "There is no model of this name, and no such file",
        got=name_or_path,
        allowed=f"the models {', '.join(names) or '(none)'}, those that `atomlab models` lists, or the path of a file",
        mend=nearest(name_or_path, names) or nearest(path.name, nearby) or catalogue.suggestion(name_or_path),
    )


def _ours(path: Path) -> Potential:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    info, _ = read_header(path)
    potential = rebuilt(info["potential"])
    if info["dtype"] not in DTYPES:
        raise InputError("The checkpoint has a precision that is not supported", got=info["dtype"], allowed=DTYPES)
    potential = potential.to(dtype=getattr(torch, info["dtype"]))
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise InputError("The file is damaged", got=f"{path.name}: {error}") from error
    check_tensors(potential.state_dict(), tensors, path)
    potential.load_state_dict(tensors)
    potential.default_head = int(info.get("default_head", 0))
    return potential


def rebuilt(description: Mapping[str, Any]) -> Potential:
    """The potential of a description, nested ones inside it too; its weights are still to be loaded."""
    try:
        return _kind(description["kind"]).rebuilt(description, rebuilt)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"The checkpoint's description of a '{description.get('kind')}' does not fit this version", got=str(error)
        ) from error


def _kind(name: str) -> type[Potential]:
    """The class that a description names: an architecture, a correction, or their sum."""
    if name in KINDS:
        return correction(name)
    if name == "sum":
        from .potential import Sum

        return Sum
    return architecture(name)


def _check_kinds(description: Any) -> None:
    """Refuse to write what could not be read again; descriptions may hold others."""
    if isinstance(description, Mapping) and "kind" in description:
        _kind(description["kind"])
        for inner in description.values():
            _check_kinds(inner)
    elif isinstance(description, list):
        for inner in description:
            _check_kinds(inner)


def _choose_head(potential: Potential, head: str | int | None, name: str) -> None:
    heads = potential.card.heads
    if head is not None:
        potential.default_head = potential.head_index(head)
    elif len(heads) > 1:
        notice(
            f"heads-{name}",
            f"'{potential.card.name}' has the heads {', '.join(heads)}; '{heads[potential.default_head]}' is used. "
            f"Choose another with load(..., head='{heads[-1]}').",
        )


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = str(device).split(":")[0]
    if kind not in ("cpu", "cuda"):
        raise InputError("There is no such device", got=device, allowed=("auto", "cpu", "cuda"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "A CUDA device was asked for, but there is none here", got=device, mend="Use device='auto' or 'cpu'"
        )
    if (
        kind == "cuda"
        and torch.device(device).index is not None
        and torch.device(device).index >= torch.cuda.device_count()
    ):
        raise InputError(
            "There is no such CUDA device", got=device, allowed=f"cuda:0 to cuda:{torch.cuda.device_count() - 1}"
        )
    return str(device)


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    import torch

    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise InputError("A model computes in one of two precisions", got=dtype, allowed=DTYPES)
    return getattr(torch, name)


def _energies(potential: Potential) -> dict[str, dict[str, float]] | None:
    """E0 in eV by head and symbol, for people; the exact ones are among the tensors."""
    from ase.data import chemical_symbols

    table = getattr(potential, "atomic_energies", None)
    if table is None:
        return None
    symbols = [chemical_symbols[z] for z in potential.card.elements]
    return {head: dict(zip(symbols, row)) for head, row in zip(potential.card.heads, table.tolist())}
