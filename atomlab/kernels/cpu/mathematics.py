"""All that formulas need of whole vectors beside arithmetic."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from types import SimpleNamespace

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import exponential
from . import trigonometric as waves
from .exponential import exponentials
from .simd import _scalar, _Vector
from .trigonometric import trigonometric

__all__ = ["STAMP", "mathematics"]

# compiled code that uses this depends on it
STAMP = hashlib.sha256(Path(__file__).read_bytes() + (exponential.STAMP + waves.STAMP).encode()).hexdigest()[:16]


@functools.cache
def mathematics(dtype: str, width: int) -> SimpleNamespace:
    """root(v), the square root, with `exponentials` and `trigonometric`: on vectors of `width` numbers of `dtype`."""
    base = types.float32 if dtype == "float32" else types.float64
    kind, vector = _Vector(base, width), ir.VectorType(_scalar(base), width)
    suffix = f"v{width}f{32 if dtype == 'float32' else 64}"

    @intrinsic
    def root(typing, x):
        def code(context, builder, signature, args):
            shape = ir.FunctionType(vector, [vector])
            return builder.call(cgutils.get_or_insert_function(builder.module, shape, f"llvm.sqrt.{suffix}"), args)

        return kind(kind), code

    return SimpleNamespace(root=root, **vars(exponentials(dtype, width)), **vars(trigonometric(dtype, width)))
