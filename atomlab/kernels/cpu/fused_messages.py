"""Source of the loops over edges of a fused pass, written out for one coupling (l1, l2, l3) or one highest l.

A radial function is read in one of two ways. Tabulated: eight polynomial coefficients per vector of channels, so that a
value and its slope cost 15 multiplications and no memory of their own. Given: one row of values (and of slopes) a bond.
The functions write an atom's own rows only: messages to it, and, seen from the sender, the gradients of all edges that
leave it, whose bonds are those of the edges that enter it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["COEFFICIENTS", "Pattern", "density_source", "path_source"]

COEFFICIENTS = 8  # of a tabulated function in one interval: degree 7
Pattern = tuple[tuple[int, int, int], ...]

HEAD = """
from atomlab.kernels.cpu.simd import kernel, vectors

S = vectors("{real}", {wide})
load, store, fma, mul, fill, total = S.load, S.store, S.fma, S.mul, S.fill, S.total
"""
NAMES = "start, stop, first, sender, pair, sign, y, ny, where, local, table, slopes, stride, offset, slope_stride"
TYPES = "i, i, I, I, I, R, R, i, I, R, R, R, i, i, i"  # i: integer, I: array of them, R: array of reals


def path_source(path: Sequence[int], pattern: Pattern, real: str, wide: int, table: bool) -> str:
    """`forward` and `backward` of one path of the convolution.

    pattern: (m3, m1, m2) where the coupling is not 0, in the order of the array `cg` of its values. forward writes
    Σ R Y h of the senders' features h (A, 2 l1 + 1, K) to rows `at + (i (2 l3 + 1) + m3) row` of out; backward, from g
    laid out as out, adds to gh, to gy (E, ny) and to gr (E,).
    """
    loop = _Loop(real, wide, table)
    return HEAD.format(real=real, wide=wide) + _path_forward(path, pattern, loop) + _path_backward(path, pattern, loop)


def _path_forward(path: Sequence[int], pattern: Pattern, loop: _Loop) -> str:
    l1, l2, l3 = path
    used = sorted({(m3, m1) for m3, m1, _ in pattern})
    text = loop.define("forward", "h, size, cg, out, at, row", "R, i, R, R, i, i")
    text += loop.clear(f"at + i * {2 * l3 + 1} * row", 2 * l3 + 1, "size")
    start = [f"hb = sender[e] * {2 * l1 + 1} * size", f"o = at + i * {2 * l3 + 1} * row"]
    text += loop.edges([f"yb = p * ny + {l2 * l2}", "s = sign[e]", *_angular(l2, pattern), *start])
    body = [f"t{m1} = mul(r, load(h, hb + {m1} * size + k))" for m1 in sorted({m1 for _, m1 in used})]
    for m3 in sorted({m3 for m3, _ in used}):
        body.append(f"v = load(out, o + {m3} * row + k)")
        body += [f"v = fma(w{m3}_{m1}, t{m1}, v)" for a, m1 in used if a == m3]
        body.append(f"store(out, o + {m3} * row + k, v)")
    return text + loop.channels(body, slope=False)


def _path_backward(path: Sequence[int], pattern: Pattern, loop: _Loop) -> str:
    l1, l2, l3 = path
    used = sorted({(m3, m1) for m3, m1, _ in pattern})
    mine = sorted({m1 for _, m1 in used})
    text = loop.define("backward", "h, size, cg, g, at, row, gh, gy, gr", "R, i, R, R, i, i, R, R, R")
    start = [f"hb = i * {2 * l1 + 1} * size", f"o = at + sender[e] * {2 * l3 + 1} * row", "q = fill(0)"]
    start += [f"c{m3}_{m1} = q" for m3, m1 in used if l2 > 0]
    text += loop.edges([f"yb = p * ny + {l2 * l2}", "s = -sign[e]", *_angular(l2, pattern), *start])
    body = [line for m1 in mine for line in (f"h{m1} = load(h, hb + {m1} * size + k)", f"t{m1} = mul(r, h{m1})")]
    seen: set[int] = set()
    for m3, m1 in used:
        if f"v = load(g, o + {m3} * row + k)" not in body:
            body.append(f"v = load(g, o + {m3} * row + k)")
        body.append(f"u{m1} = fma(w{m3}_{m1}, v, u{m1})" if m1 in seen else f"u{m1} = mul(w{m3}_{m1}, v)")
        seen.add(m1)
        body += [f"c{m3}_{m1} = fma(v, t{m1}, c{m3}_{m1})"] * (l2 > 0)
    for m1 in mine:
        body += [f"b = hb + {m1} * size + k", f"store(gh, b, fma(r, u{m1}, load(gh, b)))"]
        body.append(f"q = fma(mul(dr, h{m1}), u{m1}, q)")
    after = ["gr[e] += total(q)"]
    for m2 in sorted({m2 for _, _, m2 in pattern}) if l2 > 0 else ():
        after.append("v = fill(0)")
        after += [f"v = fma(fill(cg[{n}]), c{m3}_{m1}, v)" for n, (m3, m1, m) in enumerate(pattern) if m == m2]
        after.append(f"gy[e * ny + {l2 * l2 + m2}] += total(v)" + " * s" * (l2 % 2))
    return text + loop.channels(body, slope=True) + _lines(12, after)


def _angular(l2: int, pattern: Pattern) -> list[str]:
    """w{m3}_{m1} = Σ_m2 C Y for the edge at hand; odd harmonics carry the sign of its direction."""
    lines = [f"y{m2} = y[yb + {m2}]" + " * s" * (l2 % 2) for m2 in sorted({m2 for _, _, m2 in pattern})]
    for place in sorted({(m3, m1) for m3, m1, _ in pattern}):
        terms = (f"cg[{n}] * y{m2}" for n, (m3, m1, m2) in enumerate(pattern) if (m3, m1) == place)
        lines.append(f"w{place[0]}_{place[1]} = fill({' + '.join(terms)})")
    return lines


def density_source(l_max: int, real: str, wide: int, table: bool) -> str:
    """`forward` and `backward` of the first layer's sums over neighbours, kept apart by the senders' elements.

    out, in blocks of l: (A, 2 l + 1, row) = Σ R Y, the H functions of an element at kind * H; backward adds to
    gy (E, ny) and gr (E,).
    """
    loop = _Loop(real, wide, table)
    places = [(l, m) for l in range(l_max + 1) for m in range(2 * l + 1)]
    start = ["yb = p * ny", "s = sign[e]"]
    start += [f"w{l}_{m} = fill(y[yb + {l * l + m}]" + " * s" * (l % 2) + ")" for l, m in places]
    start += [f"o{l} = (atoms * {l * l} + i * {2 * l + 1}) * row + kind[sender[e]] * size" for l in range(l_max + 1)]
    names, types = "kind, atoms, size, row", "I, i, i, i"
    forward = loop.define("forward", f"{names}, out", f"{types}, R")
    for l in range(l_max + 1):
        forward += loop.clear(f"(atoms * {l * l} + i * {2 * l + 1}) * row", 2 * l + 1, "row")
    body = [f"store(out, o{l} + {m} * row + k, fma(w{l}_{m}, r, load(out, o{l} + {m} * row + k)))" for l, m in places]
    forward += loop.edges(start) + loop.channels(body, slope=False)

    backward = loop.define("backward", f"{names}, g, gy, gr", f"{types}, R, R, R")
    backward += loop.edges([*start, "q = fill(0)", *(f"c{l}_{m} = q" for l, m in places if l)])
    body, after = ["u = mul(w0_0, load(g, o0 + k))"], ["gr[e] += total(q)"]
    for l, m in places[1:]:
        body += [f"v = load(g, o{l} + {m} * row + k)", f"u = fma(w{l}_{m}, v, u)", f"c{l}_{m} = fma(r, v, c{l}_{m})"]
        after.append(f"gy[e * ny + {l * l + m}] += total(c{l}_{m})" + " * s" * (l % 2))
    backward += loop.channels([*body, "q = fma(dr, u, q)"], slope=True) + _lines(12, after)
    return HEAD.format(real=real, wide=wide) + forward + backward


class _Loop:
    """The parts that all these functions share."""

    def __init__(self, real: str, wide: int, table: bool):
        self.real, self.wide, self.table = real, wide, table

    def define(self, name: str, names: str, types: str) -> str:
        spelled = {"i": "int64", "I": "int64[::1]", "R": f"{self.real}[::1]"}
        signature = ", ".join(spelled[t] for t in f"{TYPES}, {types}".split(", "))
        start = [f'@kernel("void({signature})")', f"def {name}({NAMES}, {names}):", "    for i in range(start, stop):"]
        return "\n\n" + _lines(0, start)

    def clear(self, start: str, rows: int, size: str) -> str:
        lines = [f"for m in range({rows}):", f"    for k in range(0, {size}, {self.wide}):"]
        return _lines(8, [*lines, f"        store(out, {start} + m * row + k, fill(0))"])

    def edges(self, start: Sequence[str]) -> str:
        """The loop over an atom's edges, up to the loop over channels."""
        radial = ["x = fill(local[p])"] if self.table else ["sb = p * slope_stride"]
        lines = _lines(12, ["p = pair[e]", *start, "rb = where[p] * stride + offset", *radial])
        return "        for e in range(first[i], first[i + 1]):\n" + lines

    def channels(self, body: Sequence[str], slope: bool) -> str:
        """The loop over channels, with the radial function r and its slope dr."""
        lines = []
        if self.table:
            last = COEFFICIENTS - 1
            lines += [f"z = rb + k * {COEFFICIENTS}", f"r = load(table, z + {last * self.wide})"]
            for power in range(last - 1, -1, -1):
                lines += ["dr = r" if power == last - 1 else "dr = fma(dr, x, r)"] * slope
                lines.append(f"r = fma(r, x, load(table, z + {power * self.wide}))")
        else:
            lines += ["r = load(table, rb + k)", *(["dr = load(slopes, sb + k)"] * slope)]
        return f"            for k in range(0, size, {self.wide}):\n" + _lines(16, [*lines, *body])


def _lines(indent: int, lines: Iterable[str]) -> str:
    return "".join(" " * indent + line + "\n" for line in lines)
