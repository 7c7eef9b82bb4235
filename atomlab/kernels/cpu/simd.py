"""Explicit SIMD for Numba: vectors of channels as LLVM vector types.

LLVM maps a vector of any width to what the processor has, so one width serves all: 16 numbers of float32, 8 of float64,
or fewer where the number of channels asks for it. Only NaN-safe fast-math flags are set: NaN in gives NaN out.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

__all__ = ["FAST", "kernel", "vectors", "width"]

FAST = {"contract", "reassoc", "arcp", "nsz", "afn"}
_FLAGS = ("contract", "reassoc", "nsz")
WIDEST = {"float32": 16, "float64": 8}


def width(channels: int, dtype: str) -> int:
    """How many channels one vector holds: it divides their number."""
    return math.gcd(channels, WIDEST[dtype])


def kernel(signature: str):
    """`@kernel("void(int64, int64, float32[::1])")`: compiled where it stands, kept on disk, runs without the GIL."""
    return numba.njit(
        signature, cache=True, nogil=True, fastmath=FAST, boundscheck=False, error_model="numpy", inline="never"
    )


class _Vector(types.Type):
    def __init__(self, base: types.Type, width: int):
        self.base, self.width = base, width
        super().__init__(name=f"vector_{base}x{width}")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, front: _Vector):
        super().__init__(manager, front, ir.VectorType(_scalar(front.base), front.width))


def _scalar(base: types.Type) -> ir.Type:
    return ir.FloatType() if base == types.float32 else ir.DoubleType()


@functools.cache
def vectors(dtype: str, width: int) -> SimpleNamespace:
    """The operations on vectors of `width` numbers of `dtype`, for use inside kernels.

    load(array, start), store(array, start, v), fill(x), add, sub, mul, fma(a, b, c) = a b + c, total(v) = Σ v; zero()
    and one() are spelled fill(x) with a typed x. Arrays are one-dimensional and contiguous.
    """
    base = types.float32 if dtype == "float32" else types.float64
    kind = _Vector(base, width)
    vector = ir.VectorType(_scalar(base), width)
    align = 4 if dtype == "float32" else 8
    suffix = f"v{width}f{8 * align}"

    def address(context, builder, array_type, array, index, index_type):
        data = context.make_array(array_type)(context, builder, array).data
        place = builder.gep(data, [context.cast(builder, index, index_type, types.intp)])
        return builder.bitcast(place, vector.as_pointer())

    @intrinsic
    def load(typing, array, index):
        def code(context, builder, signature, args):
            where = address(context, builder, signature.args[0], args[0], args[1], signature.args[1])
            return builder.load(where, align=align)

        return kind(array, index), code

    @intrinsic
    def store(typing, array, index, value):
        def code(context, builder, signature, args):
            where = address(context, builder, signature.args[0], args[0], args[1], signature.args[1])
            builder.store(args[2], where, align=align)
            return context.get_dummy_value()

        return types.void(array, index, kind), code

    @intrinsic
    def fill(typing, x):
        def code(context, builder, signature, args):
            number = context.cast(builder, args[0], signature.args[0], base)
            empty = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))

        return kind(x), code

    def binary(name):
        @intrinsic
        def operation(typing, a, b):
            def code(context, builder, signature, args):
                return getattr(builder, name)(args[0], args[1], flags=_FLAGS)

            return kind(kind, kind), code

        return operation

    @intrinsic
    def fma(typing, a, b, c):
        def code(context, builder, signature, args):
            shape = ir.FunctionType(vector, [vector, vector, vector])
            return builder.call(cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.{suffix}"), args)

        return kind(kind, kind, kind), code

    @intrinsic
    def total(typing, a):
        def code(context, builder, signature, args):
            shape = ir.FunctionType(_scalar(base), [_scalar(base), vector])
            add = cgutils.get_or_insert_function(builder.module, shape, f"llvm.vector.reduce.fadd.{suffix}")
            return builder.call(add, [ir.Constant(_scalar(base), -0.0), args[0]], fastmath=("reassoc",))

        return base(kind), code

    return SimpleNamespace(
        load=load, store=store, fill=fill, fma=fma, total=total,
        add=binary("fadd"), sub=binary("fsub"), mul=binary("fmul"), div=binary("fdiv"), width=width,
    )  # fmt: skip
