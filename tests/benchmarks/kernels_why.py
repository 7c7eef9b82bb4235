"""For `kernels_table.py`: why a target was not reached (profile and floor), all floors, what a second thread does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels_table import Results, Target

Row = dict[str, Any]
SECOND_CORE = 1.7  # of two processes of products against one, below which wall times tell nothing


def number(value: float) -> str:
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]) + "\n"


def mine(row: Row) -> str:
    """Which of a row's times is ours."""
    names = [name for name in row.get("ms") or row.get("mb") or {} if name.startswith("ours")]
    return next((name for name in names if "numba" in name), names[0] if names else "")


def explanations(results: Results, unmet: list[Target]) -> str:
    """A paragraph for each target that was not reached."""
    if not unmet:
        return ""
    profiles = {row["shape"]: row for row in results.rows("profile")}
    texts, told = [], set()
    for t in unmet:
        said = [_needed(t, profiles)] if t.needed else []
        for name in t.profiles:
            if name in profiles and (name, t.backend) not in told:
                told.add((name, t.backend))
                said.append(_profile(profiles[name], t.backend))
            elif name in profiles:
                said.append("Its time goes where it does above.")
        if t.threads:
            said.append(_threads(t.threads))
        missing = [name for name in t.profiles if name not in profiles]
        if missing:
            said.append(f"Not profiled yet: {', '.join(missing)}.")
        texts.append(f"- **{t.what}**: {t.told}, asked {t.asked}. {' '.join(x for x in said if x)}\n")
    return f"\n## What was not reached, and where its time goes\n\n{_rates(results)}\n{''.join(texts)}"


def _rates(results: Results) -> str:
    speed = results.data.get("bench_profile", {}).get("rates")
    if not speed:
        return ""
    return (
        f"A floor is the larger of two times: operations at the rate of this machine's matrix products "
        f"({speed['gflops_float32']:.0f} GFLOP/s in float32, {speed['gflops_float64']:.0f} in float64, one thread) and "
        f"bytes at that of a triad ({speed['gbytes']:.0f} GB/s); for MACE the least work there is, for other models "
        "what the reference's operations come to (`floor.py`). Shares are of CPU time under torch's profiler.\n"
    )


def _needed(t: Target, profiles: dict[str, Row]) -> str:
    """How the time that was asked for stands to the floor of the same call."""
    text = f"Asked for are {number(t.needed)} ms, reached {number(t.ms)} ms."
    row = profiles.get(t.profiles[0]) if t.profiles else None
    if row is None or "floor_ms" not in row:
        return text
    work, floor = row["work"], row["floor_ms"]["all"]
    of = "" if row.get("system", "") in ("", t.system) else f" for {row['system']}"
    text += f" Floor{of}: {number(work['total'])} MFLOP and {number(work['mb'])} MB, {number(floor)} ms"
    if not of:
        text += f": what was asked is {t.needed / floor:.2f} of it, what was reached {t.ms / floor:.2f}"
    return text + "."


def _profile(row: Row, backend: str) -> str:
    who = f"ours {backend}" if f"ours {backend}" in row["profile"] else mine(row)
    parts = [f"{p['name']} {100 * p['share']:.0f} %" for p in row["profile"][who] if p["share"] >= 0.02]
    more = ""
    if "step" in row["shape"] and "work" in row:
        more = f", {number(row['work']['total'])} MFLOP and {number(row['work']['mb'])} MB"
    where = ", ".join(x for x in (row["shape"], row.get("system")) if x)
    return f"Of {where} ({number(row['ms'][who])} ms{more}): {', '.join(parts)}."


def _threads(row: Row) -> str:
    """What the second thread brings to each part, in CPU time."""
    if "parts" not in row:
        return ""
    one, two = row["first_ms"]["1"], row["first_ms"]["2"]
    scaled = [p for p in row["parts"] if p["one_ms"] >= 1.25 * p["two_ms"]]
    kernels = ", ".join(
        f"{p['name']} {p['one_ms'] / p['two_ms']:.2f}x" for p in scaled if p["one_ms"] >= 0.02 * one and p["two_ms"] > 0
    )
    alone = sum(p["one_ms"] for p in row["parts"] if p not in scaled)
    gain, memory = row["cpu_gain"], row["memory_gain"]
    text = f"By CPU time of the first thread, which load does not disturb, {gain:.2f}x ({number(one)} -> "
    text += f"{number(two)} ms). "
    text += f"Kernels that scale: {kernels}. " if kernels else "No kernel is long enough for a second thread. "
    text += f"What stays on one thread takes {number(alone)} ms of {number(one)} ({100 * alone / one:.0f} %): Python "
    text += "between the kernels, torch's small operations, geometry."
    if row["gemm_gain"] >= SECOND_CORE:
        text += f" Two processes that add long arrays reach {memory:.2f}x of one: what memory gives."
    return text


def threads(results: Results) -> str:
    """ms of each part with one thread and with two."""
    rows = [row for row in results.rows("threads") if "parts" in row]
    if not rows:
        return ""
    names = list(dict.fromkeys(p["name"] for row in rows for p in row["parts"]))
    head = ["CPU ms, 1 -> 2 threads", *(f"{row['shape']}, {row['dtype']}" for row in rows)]
    lines = []
    for name in names:
        cells = []
        for row in rows:
            p = next((p for p in row["parts"] if p["name"] == name), None)
            told = p and f"{number(p['one_ms'])} -> {number(p['two_ms'])}"
            cells.append(f"{told} ({p['one_ms'] / p['two_ms']:.2f}x)" if p and p["two_ms"] > 0 else told or "")
        if any(p["name"] == name and p["one_ms"] >= 0.05 for row in rows for p in row["parts"]):
            lines.append([name, *cells])
    whole = [f"{number(r['first_ms']['1'])} -> {number(r['first_ms']['2'])} ({r['cpu_gain']:.2f}x)" for r in rows]
    spent = [f"{number(row['process_ms']['1'])} -> {number(row['process_ms']['2'])}" for row in rows]
    lines += [["**first thread**", *whole], ["both together", *spent]]
    text = (
        "216 Si. Of each kernel the longer of the two shares; of everything else (Python, torch's small operations) "
        "what the first thread does; parts under 0.05 ms are left out. A kernel of less than about 100 µs stays on one "
        "thread (`LEAST` in `kernels/cpu/threads.py`). Means, and in the last two lines the fastest turns."
    )
    return f"\n## What a second thread does\n\n{text}\n\n{table(head, lines)}"


def floors(results: Results) -> str:
    """How far calls stand from their floors."""
    rows = [row for row in results.rows("profile") if "floor_ms" in row]
    if not rows:
        return ""
    lines = []
    for row in rows:
        w, ours, floor = row["work"], row["ms"][mine(row)], row["floor_ms"]
        names = [name for name in w if name not in ("total", "without_mlp", "mb")]
        parts = ", ".join(f"{name} {number(w[name])}" for name in names if w[name] >= 0.5)
        less = floor.get("without the radial network")
        where = ", ".join(x for x in (row["shape"], row.get("system")) if x)
        lines.append([where, number(w["total"]), parts, number(w["mb"]), number(floor["all"]),
                      number(less) if less else "", number(ours), f"{ours / floor['all']:.2f}"])  # fmt: skip
    head = ["", "MFLOP", "of it", "MB", "floor, ms", "floor without the network, ms", "ours, ms", "ours / floor"]
    text = (
        "MACE's floor is the least work there is; in float32 a table stands in place of the radial network, so ours "
        "can lie below. For the others it is what the reference's operations come to: fewer can do."
    )
    return f"\n## Floors\n\n{text}\n\n{table(head, lines)}"
