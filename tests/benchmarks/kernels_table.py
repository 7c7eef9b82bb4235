"""results/kernels.md from the JSON files: targets and what was reached, times, scaling, the profile of what was not.

    python tests/benchmarks/kernels_table.py [FOLDER OF THE JSON FILES]

Measures nothing. A ratio is of medians of one run; ours is the compiled backend where it was there, else the reference.
"""

# ruff: noqa: E402 (the folder comes before the import that needs it)
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from kernels_why import SECOND_CORE, explanations, floors, mine, number, table, threads

FILES = (
    "against_mace",
    "against_others",
    "against_steps",
    "against_lists",
    "bench_scaling",
    "bench_start",
    "bench_md",
    "bench_profile",
)
Row = dict[str, Any]


@dataclass
class Target:
    """One line of the table of targets; `reached` is None where nothing could be measured."""

    what: str
    against: str
    asked: str
    reached: float | None
    met: bool
    told: str
    note: str = ""
    profiles: tuple[str, ...] = ()
    needed: float = 0.0  # ms that would reach it
    ms: float = 0.0
    backend: str = "numba"
    system: str = ""
    threads: Row | None = None
    group: str = ""


class Results:
    """All rows of all files."""

    def __init__(self, folder: Path):
        self.files = {name: folder / f"{name}.json" for name in FILES}
        self.data = {name: json.loads(path.read_text()) for name, path in self.files.items() if path.exists()}

    def rows(self, case: str, **fixed: str) -> list[Row]:
        """Rows of a case with these values."""
        every = [row for data in self.data.values() for row in data["rows"] if row["case"] == case]
        return [row for row in every if all(row.get(key) == value for key, value in fixed.items())]

    def stamps(self) -> list[Row]:
        """Of every file, the stamps of its rows without repetition."""
        found = {json.dumps(r["machine"], sort_keys=True): r["machine"] for d in self.data.values() for r in d["rows"]}
        return list(found.values())


def ratio_targets(results: Results, case: str, against: str, asked: float, name: str, **fixed: str) -> Iterator[Target]:
    """One target per row of a case: `against` over ours, at least `asked`."""
    found = results.rows(case, **fixed)
    if not found:
        yield Target(name, against, f"{asked:g}x", None, False, "not measured")
    for row in found:
        label = ", ".join(x for x in (name, row["dtype"], row["system"]) if x)
        who, ms = mine(row), row["ms"]
        if against not in ms or not who:
            yield Target(label, against, f"{asked:g}x", None, False, "not compared", row.get("why", "not at hand"))
            continue
        value = ms[against] / ms[who]
        told = f"{number(ms[against])} -> {number(ms[who])} ms ({who.removeprefix('ours ')})"
        yield Target(
            label, against, f"{asked:g}x", value, value >= asked, f"{value:.1f}x", told, (profile_of(row),),
            ms[against] / asked, ms[who], system=row["system"],
        )  # fmt: skip


def profile_of(row: Row) -> str:
    """Which profile belongs to a row."""
    case, shape, wide = row["case"].removesuffix(" with lists"), row["shape"], "water" in row["system"]
    if case == "step":
        return f"step-{shape}"
    name = shape if case in ("inference", "calculator") else case
    return name + "-64bit" * (row["dtype"] == "float64" and case != "reann") + "-water" * (wide and case != "reann")


def targets(results: Results) -> list[Target]:
    """All of them, in order."""
    mace, made = "mace-torch", []
    for case, shape, against, asked, name in (
        ("inference", "medium", mace, 25, "medium, energy + forces + stress"),
        ("calculator", "medium", "symmetrix-xl plain", 5, "medium, through ASE on both sides"),
        ("inference", "teaching", mace, 10, "teaching, energy + forces + stress"),
        ("step", "medium", mace, 8, "training step, medium"),
        ("step", "teaching", mace, 4, "training step, teaching"),
    ):
        made += ratio_targets(results, case, against, asked, name, shape=shape)
    for row in results.rows("memory", shape="medium"):
        theirs, ours = row["mb"][mace], row["mb"][mine(row)]
        note = f"{theirs:.0f} -> {ours:.0f} MB above the loaded model"
        name = f"peak memory, medium, {row['dtype']}, {row['system']}"
        told = f"1/{theirs / ours:.1f}" if ours >= 1 else f"below 1 MB of {theirs:.0f} MB"
        made.append(Target(name, mace, "at most 1/5", ours / theirs, ours * 5 <= theirs, told, note))
    others = [*ratio_targets(results, "gptff", "theirs", 3, "GPTFF v2")]
    others += ratio_targets(results, "dimenetpp", "theirs", 5, "DimeNet++, quarter size")
    others += ratio_targets(results, "reann", "theirs", 2, "REANN, lists given")
    others += ratio_targets(results, "reann with lists", "theirs", 2, "REANN, lists searched by both")
    others += _epochs(results)
    single = list(_single(results))
    for group, found in (("MACE", made), ("Other models", others), ("Threads, start, MD", single)):
        for t in found:
            t.group = group
    return made + others + single


def _epochs(results: Results) -> Iterator[Target]:
    for row in results.rows("epoch"):
        for backend, value in row["ratio"].items():
            ms = row["ms"]
            one, two = ms[f"ours REANN {backend}"], ms[f"ours EquiREANN {backend}"]
            yield Target(
                f"EquiREANN's epoch over REANN's, {backend}", "each other", "within 5 %", value, value <= 1.05,
                f"{value:.3f}", f"{number(one)} and {number(two)} ms", ("step-reann", "step-equireann"), 1.05 * one,
                two, backend, "epoch",
            )  # fmt: skip


def _single(results: Results) -> Iterator[Target]:
    """Targets that are no ratio to another program."""
    for row in results.rows("threads"):
        yield _second_thread(row)
    for row in results.rows("start"):
        if "empty" in row["system"]:
            value = row["first_s"]
            note = f"compiled kernels serve after {row['settled_s']:.0f} s"
            yield Target(
                f"first call without a cache, {row['shape']}", "-", "< 2 s", value, value < 2, f"{value:.2f} s", note
            )
    for row in results.rows("md"):
        for backend, value in row["steps_per_s"].items():
            ase, model = 100 * row["ase_share"][backend], 100 * row["model_share"][backend]
            note = f"ASE itself {ase:.0f} % of a step, the model {model:.0f} %"
            name = f"MD of 64 Si through ASE, si-base, {backend}"
            yield Target(name, "-", ">= 100 steps/s", value, value >= 100, f"{value:.0f} steps/s", note)


def _second_thread(row: Row) -> Target:
    """Medium against what the second core is worth; a smaller shape must not be slower with two."""
    name, pairs = f"two threads against one, {row['shape']}, {row['dtype']}, {row['system']}", row["pairs"]
    gain, worth = row["gain"], row["gemm_gain"]
    told, note = "", f"{gain:.2f}x; two processes of products {worth:.2f}x; {pairs} pairs"
    if worth < SECOND_CORE and "cpu_gain" in row:
        gain, worth, told = row["cpu_gain"], 2.0, " by CPU time"
        note = f"{gain:.2f}x for the first thread; other programs had the second core"
    if row["shape"] != "medium":
        return Target(name, "ours", "not slower", gain, gain >= 0.95, f"{gain:.2f}x{told}", note, threads=row)
    share = gain / worth
    told = f"{share:.3f}{told}"
    return Target(name, "ours", "0.85 of the products'", share, share >= 0.85, told, note, threads=row)


def times(results: Results, title: str, *cases: str) -> str:
    """All times of some cases, with every program as a column."""
    rows = [row for case in cases for row in results.rows(case) if row["ms"]]
    if not rows:
        return ""
    programs = list(dict.fromkeys(name for row in rows for name in row["ms"]))
    lines, compared = [], any(row.get("deviation") is not None for row in rows)
    for row in rows:
        label = ", ".join(x for x in (row["case"], row["shape"], row["dtype"], row["system"]) if x)
        off = row.get("deviation")
        cells = [number(row["ms"][name]) if name in row["ms"] else "" for name in programs]
        lines.append([label, *cells, *(["" if off is None else f"{off:.0e}"] * compared), str(row["turns"])])
    return f"\n## {title}\n\n{table(['ms', *programs, *['forces off by'] * compared, 'turns'], lines)}"


def sizes(results: Results) -> str:
    """ms per atom against size."""
    rows = results.rows("sizes")
    if not rows:
        return ""
    programs = list(dict.fromkeys(name for row in rows for name in row["ms"]))
    head = ["ms/atom", "edges", *programs]
    lines = []
    for row in rows:
        ms = [number(row["ms"][n] / row["atoms"]) if n in row["ms"] else "" for n in programs]
        lines.append([f"{row['shape']}, {row['system']}", str(row["edges"]), *ms])
    return f"\n## From 8 to 10,648 atoms\n\nSilicon, float32, energy + forces + stress.\n\n{table(head, lines)}"


def machines(results: Results) -> str:
    """The machine and the programs, once each; then when, at which commit and under which load."""
    whats: dict[str, list[str]] = {}
    for m in sorted(results.stamps(), key=lambda m: m["date"]):
        versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
        processor = f"{m['processor']} ({', '.join(m['instructions'])}), {m['cores']} cores, {m['memory_gb']} GB"
        what = f"{processor}; Python {m['python']}, {versions}"
        state = f", {m['state']}" if m["state"] else ""
        kind = ", SMOKE RUN" if m["quick"] else ""
        whats.setdefault(what, []).append(f"{m['date']} at {m['commit']} (load {m['load'][0]}{state}{kind})")
    return "".join(f"- {what}: {'; '.join(whens)}.\n" for what, whens in whats.items())


def page(results: Results) -> str:
    """The whole file."""
    all_targets = targets(results)
    lines, group = [], ""
    for t in all_targets:
        if t.group != group:
            group = t.group
            lines.append([f"**{group}**", "", "", "", "", ""])
        met = "yes" if t.met else "**no**" if t.reached is not None else "-"
        lines.append([t.what, t.against, t.asked, t.told, met, t.note])
    unmet = [t for t in all_targets if not t.met and t.reached is not None]
    loaded = any(m["quick"] for m in results.stamps())
    title = "# What the kernels reach" + (" (SMOKE RUN: these are no measurements)" if loaded else "")
    allocators = {data["allocator"] for data in results.data.values() if "allocator" in data}
    others = ("gptff", "dimenetpp", "reann", "reann with lists")
    more = times(results, "MACE", "inference", "step", "calculator")
    more += times(results, "Other models beside their own programs", *others)
    more += times(results, "Training steps of the other models", "training step")
    more += times(results, "Models that have no other program here", "no peer")
    more += times(results, "For orientation: CHGNet's own inference beside our GPTFF v2 (another model)", "chgnet")
    more += times(results, "An epoch", "epoch")
    more += times(results, "Neighbour lists", "lists") + sizes(results)
    return f"""{title}

Made by `make bench` (`tests/benchmarks/`; this page by `kernels_table.py` from the JSON files beside it). Compared
programs alternate in one process; times are CPU time of one thread, medians; ratios are of medians of one run, with the
same weights on both sides. Allocator: {"; ".join(sorted(allocators))};
peak memory is measured with the allocator untouched.

{table(["", "against", "asked", "reached", "met", "times"], lines)}
{machines(results)}{explanations(results, unmet)}{threads(results)}{floors(results)}{more}"""


def main() -> None:
    """Read, write, say what is not reached."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results"
    results = Results(folder)
    if not results.data:
        sys.exit(f"no results in {folder}: run `make bench` first")
    (folder / "kernels.md").write_text(page(results), encoding="utf-8")
    for t in targets(results):
        word = "met    " if t.met else "NOT MET" if t.reached is not None else "absent "
        print(f"  {word} {t.what}: {t.told} ({t.asked})")
    print(f"written: {folder / 'kernels.md'}")


if __name__ == "__main__":
    main()
