"""Sine and cosine of whole vectors, and a choice between vectors: LLVM has no vector code of its own for them."""

from __future__ import annotations

import functools
import hashlib
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .simd import _scalar, _Vector

__all__ = ["STAMP", "trigonometric"]

STAMP = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]  # compiled code that uses this depends on it
# bits of the mantissa, place of the sign, π/2 rounded to the type and what that leaves, highest power
_CONSTANTS = {
    "float32": (23, 31, float(np.float32(math.pi / 2)), math.pi / 2 - float(np.float32(math.pi / 2)), 11),
    "float64": (52, 63, math.pi / 2, 6.123233995736766e-17, 17),
}


@functools.cache
def trigonometric(dtype: str, width: int) -> SimpleNamespace:
    """sine(v), cosine(v) on vectors of `width` numbers of `dtype`, right to some units of the last place of 1.

    For arguments up to some thousands; NaN stays NaN. pick(a, b, x, y) is x where a < b, else y.
    """
    base = types.float32 if dtype == "float32" else types.float64
    kind, vector = _Vector(base, width), ir.VectorType(_scalar(base), width)
    whole = ir.VectorType(ir.IntType(32 if dtype == "float32" else 64), width)
    bits, last, half_pi, half_pi_rest, powers = _CONSTANTS[dtype]
    suffix = f"v{width}f{32 if dtype == 'float32' else 64}"

    def all_of(x):
        return ir.Constant(vector, [x] * width)

    def integers(n):
        return ir.Constant(whole, [n] * width)

    def fma(builder, a, b, c):
        shape = ir.FunctionType(vector, [vector] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, shape, f"llvm.fma.{suffix}"), (a, b, c))

    def wave_code(builder, x, shift):
        # x = n π/2 + rest; the quarter n + shift decides between sine and cosine of the rest, and the sign
        magic = all_of(1.5 * 2.0**bits)
        shifted = fma(builder, x, all_of(2.0 / math.pi), magic)
        n = builder.fsub(shifted, magic)
        rest = fma(builder, n, all_of(-half_pi), x)
        rest = fma(builder, n, all_of(-half_pi_rest), rest)
        square = builder.fmul(rest, rest)
        sine = cosine = all_of(0.0)
        for k in range(powers, -1, -1):
            coefficient = all_of((-1) ** (k // 2) / math.factorial(k))
            if k % 2:
                sine = fma(builder, sine, square, coefficient)
            else:
                cosine = fma(builder, cosine, square, coefficient)
        quarter = builder.add(builder.bitcast(shifted, whole), integers(shift))
        odd = builder.and_(quarter, integers(1))
        odd = builder.icmp_unsigned("!=", odd, integers(0))
        value = builder.select(odd, cosine, builder.fmul(sine, rest))
        sign = builder.and_(builder.shl(quarter, integers(last - 1)), integers(1 << last))
        return builder.bitcast(builder.xor(builder.bitcast(value, whole), sign), vector)

    @intrinsic
    def sine(typing, x):
        return kind(kind), lambda context, builder, signature, args: wave_code(builder, args[0], 0)

    @intrinsic
    def cosine(typing, x):
        return kind(kind), lambda context, builder, signature, args: wave_code(builder, args[0], 1)

    @intrinsic
    def pick(typing, a, b, x, y):
        def code(context, builder, signature, args):
            return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

        return kind(kind, kind, kind, kind), code

    return SimpleNamespace(sine=sine, cosine=cosine, pick=pick)
