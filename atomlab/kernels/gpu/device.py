"""What a kernel needs around it: whether tensors are its own, its source as a compiled function, and the launch."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import linecache
from collections.abc import Callable
from typing import Any
from weakref import ref

import torch
import triton
from torch import Tensor

from ...errors import notice
from ..dispatch import OPS
from ..formula import Node
from . import INTERPRETED

__all__ = ["INTERPRETED", "REALS", "compiled", "kept", "launch", "ours", "specified", "spelled", "warps", "wide"]

REALS = {torch.float32: "tl.float32", torch.float64: "tl.float64"}
UNTRIED = (
    "The kernels for GPUs are tested in an interpreter and compile, but have not been tried on a GPU yet: compare with "
    "ATOMLAB_KERNELS=reference before you trust them. tests/benchmarks/bench_gpu.py does that, and measures them."
)
WIDEST = 128  # numbers that one program holds of each row


def ours(*tensors: Tensor) -> bool:
    """Whether these kernels take the tensors: one real type, on a GPU; on the CPU under Triton's interpreter only."""
    first = tensors[0]
    place = "cpu" if INTERPRETED else "cuda"
    return (
        first.dtype in REALS
        and all(t.dtype == first.dtype and t.device == first.device for t in tensors)
        and (first.device.type == place)
    )


_TEXT = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "sin": "tl.sin({0})", "cos": "tl.cos({0})", "exp": "tl.exp({0})", "log": "tl.log({0})", "sqrt": "root({0})",
    "tanh": "tanh({0})", "sigmoid": "sigmoid({0})", "where": "tl.where({0}, {1}, {2})", "less": "{0} < {1}",
}  # fmt: skip


def spelled(node: Node, args: list[str]) -> str:
    """A node of a formula in Triton's language.

    Numbers stand in the expressions: Triton makes float32 of a Python number that a variable holds, also in a kernel
    for float64.
    """
    if node.kind == "constant":
        return repr(node.value) if node.value >= 0 else f"({node.value!r})"
    if node.kind == "bessel":
        shift, top = node.value
        return f"spherical_j({args[0]}, {args[1]} + {shift}, {top + shift})"
    return _TEXT[node.kind].format(*args)


@functools.cache
def compiled(source: str) -> Any:
    """The function `kernel` of a source text. Triton keeps its machine code on disk by the text's hash."""
    name = f"<atomlab kernel {hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # where Triton reads a function's text
    space: dict[str, Any] = {"__name__": __name__}
    exec(compile(source, name, "exec"), space)
    return space["kernel"]


def launch(kernel: Any, grid: tuple[int, ...], *args: Any, warps: int = 4, **constants: Any) -> None:
    """Start a kernel on the device and the stream of its first tensor; an empty grid starts nothing.

    Arguments are tensors and whole numbers. A Python float would arrive as float32: numbers belong into the source.
    """
    if 0 in grid:
        return
    first = args[0]
    if first.is_cuda:
        notice("kernels-gpu", UNTRIED)
    with torch.cuda.device(first.device) if first.is_cuda else contextlib.nullcontext():
        kernel[grid](*args, num_warps=warps, enable_fp_fusion=True, **constants)


def specified(op: str) -> Callable:
    """The reference of an operation, in torch."""
    return OPS[op]["reference"]


def wide(columns: int) -> int:
    """Numbers of a row that one program takes: a power of two, as Triton's blocks are."""
    return min(WIDEST, triton.next_power_of_2(max(columns, 1)))


def warps(block: int) -> int:
    """Groups of 32 threads for that many numbers."""
    return max(1, min(4, block // 32))


_kept: dict[tuple, tuple[ref, int, Any]] = {}


def kept(tensor: Tensor, what: object, make: Callable[[Tensor], Any]) -> Any:
    """make(tensor), made once as long as the tensor lives unchanged: indices serve many layers and steps, and asking a
    GPU for numbers waits for all its work."""
    if tensor.is_inference():  # has no count of its changes
        return make(tensor)
    key = (id(tensor), what)
    found = _kept.get(key)
    if found is None or found[0]() is not tensor or found[1] != tensor._version:
        found = _kept[key] = (ref(tensor, lambda _: _kept.pop(key, None)), tensor._version, make(tensor))
    return found[2]
