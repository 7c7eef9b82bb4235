"""Make the embedded model atomlab-tiny: structures, labels, training, errors, health; README.md says what each step is.

    python tests/reproduce/atomlab_tiny/run.py                                     measure what is shipped (a minute)
    python tests/reproduce/atomlab_tiny/run.py --work DIRECTORY --steps label,divide,train,measure,ship

A step leaves its files in DIRECTORY, so that the next can be called by itself and a stopped one goes on. Only `label`
needs the parity environment (`make parity` makes it).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from ase.data import chemical_symbols

import atomlab
from atomlab import checkpoint
from atomlab.analysis.descriptors import describe
from atomlab.analysis.health import health
from atomlab.analysis.select import averages, farthest_points
from atomlab.data import Dataset
from atomlab.training import table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
NAME, SET = "atomlab-tiny", "atomlab-tiny-set"
SPEC = checkpoint.EMBEDDED / f"{NAME}.yaml"
PARITY = ROOT / ".venv-parity" / "bin" / "python"
STEPS = ("label", "divide", "train", "measure", "ship")
SHARES = {"valid": 0.02, "test": 0.05}
MAIN = ("energy", "forces")
SHIPPED = 500  # structures of the set that is shipped with the model


def label(work: Path) -> None:
    """labelled-0.extxyz.gz: all structures with the teacher's energies, forces and stresses."""
    subprocess.run([str(PARITY), str(HERE / "teacher.py"), str(work)], check=True)


def divide(work: Path) -> None:
    """train, valid and test: what has one group (a crystal of several elements with all its disturbances, a molecule's
    formula, a heap) is in one of them."""
    whole = atomlab.read(sorted(work.glob("labelled-*.extxyz.gz")))
    parts = whole.split(by="group", stratify="family", **SHARES)
    for name in ("train", "valid", "test"):
        parts[name].write(work / f"{name}.extxyz.gz")
    print(*parts.reasons, sep="\n")


def train(work: Path) -> None:
    """run/: from random weights. A run that was stopped goes on, and so does one whose `epochs` have been raised: the
    state is taken up, the schedule is the new one's."""
    given = {"data": str(work / "train.extxyz.gz"), "valid_data": str(work / "valid.extxyz.gz"), "e0": energies()}
    spec, run = yaml.safe_load(SPEC.read_text()) | given, work / "run"
    if not (run / "spec.yaml").exists():
        atomlab.run(spec, directory=run)
        return
    there = yaml.safe_load((run / "spec.yaml").read_text())
    (run / "spec.yaml").write_text(yaml.safe_dump(there | {"epochs": spec["epochs"]}, sort_keys=False))
    atomlab.attach(run).resume(wait=True)


def energies() -> dict[str, float]:
    """E0: what the teacher gives an atom whose neighbours are out of reach."""
    return json.loads((HERE / "prototypes.json").read_text())["e0"]


def measure(work: Path) -> None:
    """measured.json: errors by kind of structure on the test set, and health."""
    potential = atomlab.load(work / "run", device="cpu")
    test, learned = (atomlab.read(work / f"{name}.extxyz.gz") for name in ("test", "train"))
    told = {
        **measured(potential, test),
        "wide": wide(potential),
        "data": {"structures": len(learned), "atoms": int(learned.sizes.sum()), "hash": learned.hash()},
        "seconds": round(atomlab.attach(work / "run").result().metrics["seconds"]),
        "spec": yaml.safe_load(SPEC.read_text()),
    }
    (work / "measured.json").write_text(json.dumps(told, indent=1) + "\n")


def compare(work: Path, other: Path, learned: Iterable[Path]) -> None:
    """Another model's errors beside this one's in measured.json, on those structures of the test set (by the text that
    made them) that it has not learned from either."""
    test, known = atomlab.read(work / "test.extxyz.gz"), {*atomlab.read(list(learned)).info("made_by")}
    both = test[[k for k, text in enumerate(test.info("made_by")) if text not in known]]
    told = {
        name: _short(atomlab.evaluate(atomlab.load(path, device="cpu"), both).errors())
        for name, path in (("this", work / "run"), ("other", other))
    }
    for kind, here in told["this"]["forces"]["per_kind"].items():
        pairs = [(told["other"][of]["per_kind"][kind]["mae"], told["this"][of]["per_kind"][kind]["mae"]) for of in MAIN]
        print(
            f"{kind:<12} {here['labels']:>6} forces" + "".join(f"  {1e3 * a:7.1f} -> {1e3 * b:7.1f}" for a, b in pairs)
        )
    path = work / "measured.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"compared": {"frames": len(both), **told}}, indent=1) + "\n"
    )


def measured(potential: Any, data: Dataset) -> dict[str, Any]:
    """Errors on `data` by kind of structure, and all findings of the health checks."""
    found = atomlab.evaluate(potential, data)
    errors = found.errors()
    print(f"{len(data)} structures of {data.name}\n{table(errors)}")
    findings = list(health(potential))
    for finding in findings:
        print(f"{finding.status:<12} {finding.name:<22} {finding.text}")
    return {
        "errors": {"frames": len(data), "units": "eV/atom, eV/Å, eV/Å^3", **_short(errors)},
        "health": {finding.name: [finding.status, finding.text] for finding in findings},
    }


def wide(potential: Any) -> dict[str, Any]:
    """What the health checks say of all pairs and all elements: `atomlab check` probes three elements."""
    (pairs,) = health(potential, list(potential.card.elements), only=("dimers",))
    alone = {chemical_symbols[z]: next(health(potential, [z], only=("compression",))) for z in potential.card.elements}
    holes = {symbol: finding.text for symbol, finding in alone.items() if finding.status == "fail"}
    print(f"all pairs: {pairs.text}\nunder compression: {holes or 'no holes'}")
    return {"dimers": pairs.text, "compression": holes}


def _short(errors: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _two(values) | {"per_kind": {k: _two(v) for k, v in values["per_config_type"].items()}}
        for name, values in errors.items()
    }


def _two(values: dict[str, Any]) -> dict[str, float]:
    return {key: float(f"{values[key]:.4g}") for key in ("mae", "rmse")} | {"labels": values["count"]}


def ship(work: Path) -> None:
    """The model and a small set into atomlab/embedded, result.json beside this file; refused if a check fails."""
    told = json.loads((work / "measured.json").read_text())
    failed = [name for name, (status, _) in told["health"].items() if status == "fail"]
    if failed:
        raise SystemExit(f"Not shipped: the health check fails in {', '.join(failed)}.")
    potential = atomlab.load(work / "run", device="cpu")
    frames = told["errors"]
    potential.card = replace(
        potential.card,
        name=NAME,
        level_of_theory="CHGNet 0.3.0 (PBE and PBE+U with the Materials Project's 2020 corrections), ZBL below 0.8 of "
        "the summed covalent radii",
        licence="MIT (the teacher CHGNet: BSD-3-Clause)",
        reference="Deng et al., Nat. Mach. Intell. 5 (2023) 1031 (the teacher)",
        contains={**potential.card.contains, "d3": "no"},
        description=f"A small MACE of {len(potential.card.elements)} elements that learned from CHGNet on crystals, "
        "surfaces, molecules, dimers, alloys and random heaps: to try things with, not for science. On "
        f"{frames['frames']} structures that it has not seen: forces "
        f"{1e3 * frames['forces']['mae']:.0f} meV/Å, energy {1e3 * frames['energy']['mae']:.0f} meV/atom (MAE). Holes "
        f"remain under compression to 0.6 of the length: {', '.join(told['wide']['compression']) or 'none'}.",
    )
    small = _chosen(potential, atomlab.read(work / "train.extxyz.gz"))
    path = small.write(checkpoint.EMBEDDED / f"{SET}.extxyz.gz")
    shipped = atomlab.read(path)
    errors = {name: _two(values) for name, values in atomlab.evaluate(potential, shipped).errors().items()}
    told["set"] = {"name": SET, "structures": len(small), "hash": shipped.hash(), "errors": errors}
    model = checkpoint.save(potential, checkpoint.EMBEDDED / f"{NAME}.safetensors", told)
    _card(path, small)
    (HERE / "result.json").write_text(json.dumps(told, indent=1) + "\n")
    print(*(f"{p.name}: {p.stat().st_size / 1e3:.0f} kB" for p in (model, path)), sep="\n")


def _chosen(potential: Any, data: Dataset) -> Dataset:
    """Farthest points of the structures' mean descriptors, isolated atoms left out; in the order of the data."""
    rows = np.array([k for k, n in enumerate(data.sizes) if n > 1])
    order, _ = farthest_points(averages(describe(potential, data[rows])), SHIPPED)
    return data[np.sort(rows[order])]


def _card(path: Path, small: Dataset) -> None:
    told = {
        "name": SET,
        "description": f"{len(small)} structures that {NAME} learned from, the farthest points of its descriptors",
        "structures": len(small),
        "elements": sorted({symbol for atoms in small for symbol in atoms.symbols}),
        "labels": list(small.labels),
        "level_of_theory": "CHGNet 0.3.0 + ZBL below 0.8 of the summed covalent radii",
        "command": "python tests/reproduce/atomlab_tiny/run.py --work DIRECTORY",
        "content_sha256": atomlab.read(path).hash(),
        "licence": "CC0-1.0",
    }
    path.with_name(f"{SET}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def main(arguments: Iterable[str] | None = None) -> None:
    """The steps that are asked for; without a directory, what is shipped is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, help="where the steps keep their files")
    parser.add_argument("--steps", default=",".join(STEPS), help="by default all, in this order")
    parser.add_argument("--against", type=Path, help="measure: another model, for comparison")
    parser.add_argument("--learned", type=Path, nargs="+", help="files with all that the other model has learned from")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    if chosen.against and not chosen.learned:
        parser.error("--against needs --learned: what the other model has learned from is no test of it")
    torch.set_num_threads(1)
    if chosen.work is None:
        if NAME not in checkpoint.embedded():
            print(f"{NAME} is not shipped: --work DIRECTORY makes it (README.md says how long that takes).")
            return
        measured(atomlab.load(NAME, device="cpu"), atomlab.read(SET))
        return
    chosen.work.mkdir(parents=True, exist_ok=True)
    for step in chosen.steps.split(","):
        if step not in STEPS:
            raise SystemExit(f"There is no step '{step}', but {', '.join(STEPS)}.")
        print(f"== {step}", flush=True)
        globals()[step](chosen.work.absolute())
        if step == "measure" and chosen.against:
            compare(chosen.work, chosen.against, chosen.learned)


if __name__ == "__main__":
    main()
