"""exp and sigmoid of whole vectors: LLVM has no vector code of its own for them."""

from __future__ import annotations

import functools
import hashlib
import math
from pathlib import Path
from types import SimpleNamespace

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .simd import _FLAGS, _scalar, _Vector

__all__ = ["STAMP", "exponentials"]

STAMP = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]  # compiled code that uses this depends on it
# where exp is cut off, the mantissa's bits, ln 2 in two parts (the first one short), degree of the Taylor polynomial
_CONSTANTS = {
    "float32": (87.0, 23, 0.693359375, -2.12194440e-4, 7),
    "float64": (708.0, 52, 6.93145751953125e-1, 1.42860682030941723212e-6, 13),
}


@functools.cache
def exponentials(dtype: str, width: int) -> SimpleNamespace:
    """exp(v) and sigmoid(v) on vectors of `width` numbers of `dtype`, right to a few units in the last place.

    NaN stays NaN; arguments beyond 87 (float32) or 708 (float64) are taken as that.
    """
    base = types.float32 if dtype == "float32" else types.float64
    kind, vector = _Vector(base, width), ir.VectorType(_scalar(base), width)
    whole = ir.VectorType(ir.IntType(32 if dtype == "float32" else 64), width)
    top, bits, ln2_high, ln2_low, degree = _CONSTANTS[dtype]
    suffix = f"v{width}f{32 if dtype == 'float32' else 64}"

    def all_of(x):
        return ir.Constant(vector, [x] * width)

    def fma(builder, a, b, c):
        shape = ir.FunctionType(vector, [vector] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.{suffix}"), (a, b, c))

    def exp_code(builder, x):
        # exp x = 2^n exp(x - n ln 2): adding 1.5 * 2^bits leaves the nearest integer n in the last bits
        x = builder.select(builder.fcmp_ordered(">", x, all_of(top)), all_of(top), x)
        x = builder.select(builder.fcmp_ordered("<", x, all_of(-top)), all_of(-top), x)
        magic = all_of(1.5 * 2.0**bits)
        shifted = fma(builder, x, all_of(1.0 / math.log(2.0)), magic)
        n = builder.fsub(shifted, magic)
        rest = fma(builder, n, all_of(-ln2_high), x)
        rest = fma(builder, n, all_of(-ln2_low), rest)
        total = all_of(1.0 / math.factorial(degree))
        for k in range(degree - 1, -1, -1):
            total = fma(builder, total, rest, all_of(1.0 / math.factorial(k)))
        exponent = builder.shl(builder.bitcast(shifted, whole), ir.Constant(whole, [bits] * width))
        power = builder.bitcast(builder.add(exponent, builder.bitcast(all_of(1.0), whole)), vector)
        return builder.fmul(total, power, flags=_FLAGS)

    @intrinsic
    def exp(typing, x):
        return kind(kind), lambda context, builder, signature, args: exp_code(builder, args[0])

    @intrinsic
    def sigmoid(typing, x):
        def code(context, builder, signature, args):
            one = all_of(1.0)
            below = builder.fadd(one, exp_code(builder, builder.fneg(args[0])))
            return builder.fdiv(one, below, flags=_FLAGS)

        return kind(kind), code

    return SimpleNamespace(exp=exp, sigmoid=sigmoid)
