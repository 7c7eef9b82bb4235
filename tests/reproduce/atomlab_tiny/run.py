"""Make the embedded model atomlab-tiny: structures, labels, training, errors, health; README.md says what each step is.

    python tests/reproduce/atomlab_tiny/run.py                                     measure what is shipped (a minute)
    python tests/reproduce/atomlab_tiny/run.py --work DIRECTORY --steps label,divide,train,second,measure,ship

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
SPECS = {"train": checkpoint.EMBEDDED / f"{NAME}.yaml", "second": checkpoint.EMBEDDED / f"{NAME}-second.yaml"}
PARITY = ROOT / ".venv-parity" / "bin" / "python"
STEPS = ("label", "divide", "train", "second", "measure", "ship")
SHARES = {"valid": 0.04, "test": 0.08}
SHIPPED = 500  # structures of the set that is shipped with the model


def label(work: Path) -> None:
    """labelled-0.extxyz.gz: all structures with the teacher's energies, forces and stresses."""
    subprocess.run([str(PARITY), str(HERE / "teacher.py"), str(work)], check=True)


def divide(work: Path) -> None:
    """train, valid and test: a crystal (composition and prototype) with all its disturbances is in one of them.

    second: train, and the squeezed structures of what is neither in valid nor in test.
    """
    whole = atomlab.read(sorted(work.glob("labelled-*.extxyz.gz")))
    parts = whole.split(by="group", stratify="family", **SHARES)
    for name in ("train", "valid", "test"):
        parts[name].write(work / f"{name}.extxyz.gz")
    held_out = {*parts.valid.info("group"), *parts.test.info("group")}
    squeezed = atomlab.read(work / "squeezed.extxyz.gz")
    rows = [k for k, group in enumerate(squeezed.info("group")) if group not in held_out]
    (parts.train + squeezed[rows]).write(work / "second.extxyz.gz")
    print(*parts.reasons, f"{len(rows)} squeezed structures for the second stage.", sep="\n")


def train(work: Path) -> None:
    """run/: the first stage, from random weights."""
    given = {"data": str(work / "train.extxyz.gz"), "valid_data": str(work / "valid.extxyz.gz")}
    _run("train", work, work / "run", **given)


def second(work: Path) -> None:
    """second/: the second stage, from the first one's best weights. Its last weights (averaged) are kept: a validation
    set without squeezed structures would choose the first ones."""
    given = {"model": str(work / "run" / "best.safetensors"), "data": str(work / "second.extxyz.gz")}
    _run("second", work, work / "second", **given)


def _run(stage: str, work: Path, run: Path, **given: str) -> None:
    """The run of an embedded spec on these files. One that was stopped goes on, and so does one whose `epochs` have
    been raised: the state is taken up, the schedule is the new one's."""
    spec = yaml.safe_load(SPECS[stage].read_text()) | given | {"e0": energies()}
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
    potential = atomlab.load(work / "second", device="cpu")
    test, learned = (atomlab.read(work / f"{name}.extxyz.gz") for name in ("test", "second"))
    told = {
        **measured(potential, test),
        "wide": wide(potential),
        "data": {"structures": len(learned), "atoms": int(learned.sizes.sum()), "hash": learned.hash()},
        "seconds": {name: _seconds(work / folder) for name, folder in (("train", "run"), ("second", "second"))},
        "specs": {name: yaml.safe_load(path.read_text()) for name, path in SPECS.items()},
    }
    (work / "measured.json").write_text(json.dumps(told, indent=1) + "\n")


def _seconds(run: Path) -> int:
    return round(atomlab.attach(run).result().metrics["seconds"])


def measured(potential: Any, data: Dataset) -> dict[str, Any]:
    """Errors on `data` by kind of structure, and all findings of the health checks."""
    found = atomlab.evaluate(potential, data)
    errors = found.errors()
    print(f"{len(data)} structures of {data.name}\n{table(errors)}")
    short = {
        name: _two(values) | {"per_kind": {k: _two(v) for k, v in values["per_config_type"].items()}}
        for name, values in errors.items()
    }
    findings = list(health(potential))
    for finding in findings:
        print(f"{finding.status:<12} {finding.name:<22} {finding.text}")
    return {
        "errors": {"frames": len(data), "units": "eV/atom, eV/Å, eV/Å^3", **short},
        "health": {finding.name: [finding.status, finding.text] for finding in findings},
    }


def wide(potential: Any) -> dict[str, Any]:
    """What the health checks say of all pairs and all elements: `atomlab check` probes three elements."""
    (pairs,) = health(potential, list(potential.card.elements), only=("dimers",))
    alone = {chemical_symbols[z]: next(health(potential, [z], only=("compression",))) for z in potential.card.elements}
    holes = {symbol: finding.text for symbol, finding in alone.items() if finding.status == "fail"}
    print(f"all pairs: {pairs.text}\nunder compression: {holes or 'no holes'}")
    return {"dimers": pairs.text, "compression": holes}


def _two(values: dict[str, Any]) -> dict[str, float]:
    return {key: float(f"{values[key]:.4g}") for key in ("mae", "rmse")} | {"labels": values["count"]}


def ship(work: Path) -> None:
    """The model and a small set into atomlab/embedded, result.json beside this file; refused if a check fails."""
    told = json.loads((work / "measured.json").read_text())
    failed = [name for name, (status, _) in told["health"].items() if status == "fail"]
    if failed:
        raise SystemExit(f"Not shipped: the health check fails in {', '.join(failed)}.")
    potential = atomlab.load(work / "second", device="cpu")
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
        "surfaces, molecules, dimers and random heaps: to try things with, not for science. On "
        f"{frames['frames']} structures of crystals and molecules that it has not seen: forces "
        f"{1e3 * frames['forces']['mae']:.0f} meV/Å, energy {1e3 * frames['energy']['mae']:.0f} meV/atom (MAE). Holes "
        f"remain under compression to 0.6 of the length: {', '.join(told['wide']['compression']) or 'none'}.",
    )
    small = _chosen(potential, atomlab.read(work / "second.extxyz.gz"))
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
    chosen = parser.parse_args(None if arguments is None else list(arguments))
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


if __name__ == "__main__":
    main()
