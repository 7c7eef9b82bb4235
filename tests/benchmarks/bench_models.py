"""One table of all models: parity with their published selves, derivatives, extensivity, smoothness, size, speed.

`make bench`, or `python tests/benchmarks/bench_models.py [--quick] [NAME ...]`. Writes results/models.md and
results/models.json beside this file (only when all models are measured). Parity needs the reference data beside the
repository. Times are CPU time of one thread for energy and forces in float32 (a formula: float64), neighbours given:
the fastest of several.
"""

# ruff: noqa: E402 (threads and the tests' folder come before the imports that need them)
from __future__ import annotations

import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]  # for the golden cases

import torch
from ase import Atoms
from ase.build import bulk
from golden_parity import PARITY
from shapes import OURS

import atomlab
from atomlab.analysis.health import Finding, health
from atomlab.architectures.published import gptff
from atomlab.build import build
from atomlab.potential import Potential, outputs

RESULTS = HERE / "results"
SHARED = Path(os.environ.get("ATOMLAB_SHARED") or HERE.parents[2] / "shared")
CHECKS = ("forces", "stress", "extensivity", "continuity")


@dataclass
class Row:
    """One model's results. parity: largest relative deviation, None where nothing is there to compare with."""

    model: str
    kind: str
    parity: float | None
    parity_at: str
    findings: dict[str, dict]
    parameters: int
    ms_per_atom: dict[int, float]
    note: str


def random(potential: Potential) -> Potential:
    """Weights at random, so that no term is zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in potential.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p.dtype))
    return potential.eval()


def created(name: str, **config) -> Callable[[], Potential]:
    return lambda: random(atomlab.create(name, **{"elements": [14], **config}))


def published_gptff(version: str) -> Callable[[], Potential]:
    path = SHARED / f"weights/gptff/gptff_{version}.pth"
    return (lambda: gptff.read(path)) if path.exists() else created("gptff", attention=version == "v2")


def formula(name: str) -> Callable[[], Potential]:
    return lambda: atomlab.create(name)


# name in the table -> (maker, parity, element, note)
MODELS: dict[str, tuple[Callable[[], Potential], str, str, str]] = {
    "MACE, si-base": (lambda: atomlab.load("si-base", device="cpu"), "mace", "Si", "embedded"),
    "MACE, as MPA-0 medium": (created("mace", **OURS["medium"]), "mace", "Si", "published size, random weights"),
    "MBNN": (created("mbnn"), "", "Si", "random weights"),
    "AtomFT on MBNN": (
        lambda: random(atomlab.create("atomft", base=created("mbnn")())), "", "Si", "random weights",
    ),
    "DimeNet++, chemtrain": (created("dimenetpp", form="paper"), "dimenetpp-paper", "Si", "quarter, random weights"),
    "DimeNet++, common": (
        created("dimenetpp", form="common"), "dimenetpp-common", "Si",
        "quarter, random weights; the reference rounds Bessel zeros to float32",
    ),
    "GPTFF v1": (published_gptff("v1"), "gptff-v1", "Si", "published weights"),
    "GPTFF v2": (published_gptff("v2"), "gptff-v2", "Si", "published weights"),
    "REANN": (created("reann"), "reann", "Si", "random weights"),
    "EquiREANN": (created("equireann"), "equireann", "Si", "random weights"),
    "Stillinger-Weber": (formula("stillinger-weber"), "", "Si", "formula"),
    "Lennard-Jones": (formula("lennard-jones"), "", "Ar", "formula"),
    "Morse": (formula("morse"), "", "Cu", "formula"),
    "EMT": (formula("emt"), "emt", "Cu", "ASE's"),
}  # fmt: skip


def cell(symbol: str, atoms: int) -> Atoms:
    """A rattled crystal of 64 or 216 atoms."""
    unit = bulk(symbol, cubic=True) if symbol == "Si" else bulk(symbol)
    n = round((atoms / len(unit)) ** (1 / 3))
    made = unit.repeat(n)
    made.rattle(0.05, seed=1)
    assert len(made) == atoms
    return made


def speed(potential: Potential, symbol: str, atoms: int) -> float:
    """ms per atom."""
    graph = build(cell(symbol, atoms), potential.needs).to(dtype=potential.dtype)
    times: list[float] = []
    while len(times) < 4 or (sum(times) < 3 and len(times) < 20):
        start = time.process_time()
        outputs(potential, graph, ("energy", "forces"))
        times.append(time.process_time() - start)
    return 1000 * min(times[1:]) / atoms


def worst(name: str) -> tuple[float | None, str]:
    if not name or (name != "emt" and not SHARED.is_dir()):
        return None, ""
    where, value = max(PARITY[name](SHARED), key=lambda found: found[1])
    return value, where


def measured(name: str) -> Row:
    make, parity, symbol, note = MODELS[name]
    torch.manual_seed(0)
    potential = make()
    elements = Atoms(symbol).numbers.tolist()
    findings: list[Finding] = list(health(potential, elements, CHECKS))
    value, where = worst(parity)
    parameters = sum(p.numel() for p in potential.parameters())
    times = {n: speed(potential, symbol, n) for n in (64, 216)}
    table = {f.name: f.as_dict() for f in findings}
    return Row(name, potential.kind, value, where, table, parameters, times, note)


def told(row: Row) -> Iterator[str]:
    """The cells of a row."""
    yield row.model
    yield "-" if row.parity is None else f"{row.parity:.0e}"
    for name in ("forces", "stress"):
        yield f"{row.findings[name]['status']} ({row.findings[name]['value']:.0e})"
    size, jump = row.findings["extensivity"], row.findings["continuity"]
    yield f"{size['status']} ({size['value']:.2g} meV/atom)"
    yield f"{jump['status']} ({1000 * jump['value']:.2g} meV)"
    yield f"{row.parameters:,}"
    yield from (f"{row.ms_per_atom[n]:.3g}" for n in (64, 216))
    yield row.note


HEAD = (
    "model", "golden parity", "forces = -dE/dx", "stress = dE/dε/V", "extensive", "smooth at cutoffs", "parameters",
    "ms/atom, 64 atoms", "ms/atom, 216 atoms", "what it is",
)  # fmt: skip
TEXT = """# All models in one table

Made by `make bench` (`tests/benchmarks/bench_models.py`).

{table}

- Golden parity: the largest relative deviation of energies (without E0), forces and virials from the numbers of the
  programs that the architecture reproduces, in float64, over all reference cases of that architecture: for GPTFF the
  published weights of the row, else other weights than the row's. A dash: no other program's numbers are there.
- Forces, stress, extensivity and smoothness are checks of `atomlab check`: central differences in float64, relative to
  the largest force or virial; the largest difference per atom of supercells of 2, 4 and 8 cells; the largest jump where
  a pair crosses a cutoff. "Not claimed" means that the model's card says so; it is measured all the same.
- ms/atom: CPU time of one thread for energy and forces of a rattled crystal, neighbours given, float32 (formulas:
  float64), the fastest of several, on {machine}, torch {torch}.
"""


def report(rows: list[Row]) -> str:
    """The page."""
    lines = [HEAD, ["---"] * len(HEAD), *(list(told(row)) for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return TEXT.format(table=table, machine=processor(), torch=torch.__version__.split("+")[0])


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(names: list[str]) -> None:
    """Measure the named models, or all, and print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", atomlab.errors.Notice)
    if "--quick" in names:  # a smoke run
        names = [name for name in names if name != "--quick"] or ["MACE, si-base"]
    rows = []
    for name in names or MODELS:
        rows.append(measured(name))
        print(f"  {name:24s} " + "  ".join(list(told(rows[-1]))[1:-1]), flush=True)
    if not names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "models.md").write_text(report(rows), encoding="utf-8")
        data = {"machine": processor(), "torch": torch.__version__, "rows": [asdict(row) for row in rows]}
        (RESULTS / "models.json").write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
        print(f"written: {RESULTS / 'models.md'}")


if __name__ == "__main__":
    main(sys.argv[1:])
