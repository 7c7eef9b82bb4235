"""The file of a model: safetensors with our JSON in the header, written at once or not at all, read without torch."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["FORMAT", "atomic", "check_tensors", "is_safetensors", "read_header", "version"]

FORMAT = 1
LONGEST_HEADER = 100 * 2**20  # safetensors' own limit


def atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, bring it to the disk, and put it in place of `path` at once."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; a model has the rights of any new file
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_safetensors(start: bytes) -> bool:
    """Whether a file that begins so can be one: a length, then JSON."""
    return len(start) >= 9 and start[8:9] == b"{" and 2 <= struct.unpack("<Q", start[:8])[0] <= LONGEST_HEADER


def read_header(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our JSON and the table of tensors; refuses what is damaged, foreign or newer."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(9)
        if not is_safetensors(start):
            raise InputError("This file is no checkpoint of AtomLab", got=f"{path.name}, {size} bytes")
        length = struct.unpack("<Q", start[:8])[0]
        if size < 8 + length:
            raise _truncated(path, 8 + length, size)
        file.seek(8)
        text = file.read(length)
    try:
        table = json.loads(text)
        metadata = table.pop("__metadata__", {})
        needed = 8 + length + max((t["data_offsets"][1] for t in table.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError("The header of this file is damaged", got=f"{path.name}: {error}") from error
    if size < needed:
        raise _truncated(path, needed, size)
    if "atomlab" not in metadata:
        few = ", ".join(list(table)[:4])
        raise InputError(
            "This is a safetensors file, but not one of AtomLab: it does not say which model its tensors belong to",
            got=f"{path.name} with {len(table)} tensors ({few}, ...)",
        )
    info = json.loads(metadata["atomlab"])
    if info.get("format", 0) > FORMAT:
        raise InputError(
            "This checkpoint was written by a newer version of AtomLab",
            got=f"format {info['format']}, AtomLab {info.get('atomlab')}",
            allowed=f"up to format {FORMAT} (this is AtomLab {version()})",
            mend="Upgrade AtomLab: pip install --upgrade atomlab",
        )
    return info, table


def _truncated(path: Path, needed: int, size: int) -> InputError:
    return InputError(
        "The file is truncated", got=f"{path.name}, {size} bytes", allowed=f"{needed} bytes", mend="Copy it again"
    )


def check_tensors(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse tensors that are not the model's, by name, shape and precision."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or extra:
        said = [f"{len(n)} {word} ({', '.join(n[:3])}{', ...' if len(n) > 3 else ''})"
                for n, word in ((missing, "missing"), (extra, "unknown")) if n]  # fmt: skip
        raise InputError(f"The tensors in {path.name} are not those of its model", got=" and ".join(said))
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape or found[name].dtype != tensor.dtype:
            raise InputError(
                f"The tensor '{name}' in {path.name} does not fit the model",
                got=f"{found[name].dtype} {tuple(found[name].shape)}",
                allowed=f"{tensor.dtype} {tuple(tensor.shape)}",
            )


def version() -> str:
    """AtomLab's own."""
    from . import __version__

    return __version__
