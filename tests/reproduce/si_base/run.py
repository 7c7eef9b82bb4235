"""Train the embedded model si-base from atomlab/embedded/si-base.yaml, measure it on frames it has never seen, ship it.

About 12 minutes of one core. Writes result.json beside this file, and with `--ship` the model into atomlab/embedded/.
`--run DIRECTORY` goes on from a run that is there already (finished: only measures).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import yaml

import atomlab
from atomlab import checkpoint
from atomlab.training import table

HERE = Path(__file__).resolve().parent
SPEC = checkpoint.EMBEDDED / "si-base.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="the run's directory; by default a new one in the workspace")
    parser.add_argument("--ship", action="store_true", help="put the model into atomlab/embedded/")
    chosen = parser.parse_args()
    run = atomlab.attach(chosen.run) if chosen.run else atomlab.run(SPEC)
    run.wait()
    spec = yaml.safe_load(SPEC.read_text())
    data = atomlab.read(spec["data"])
    split = data.split(train=spec["train"], valid=spec["valid"])
    used = {id(entry) for part in (split.train, split.valid) for entry in part.entries}
    test = data[[k for k, entry in enumerate(data.entries) if id(entry) not in used]]
    potential = atomlab.load(run.directory, device="cpu", dtype="float32")
    errors = atomlab.evaluate(potential, test).errors()
    print(f"{len(test)} test frames\n{table(errors)}")
    short = {name: {k: float(f"{v[k]:.4g}") for k in ("mae", "rmse")} for name, v in errors.items()}
    about = {
        "errors": {"test": short, "frames": len(test), "units": "eV/atom, eV/Å, eV/Å^3"},
        "data": data.name,
        "data_hash": data.hash(),
        "teacher": "stillinger-weber",
        "spec": spec,
        "seconds": round(run.result().metrics["seconds"], 1),
    }
    (HERE / "result.json").write_text(json.dumps(about, indent=1) + "\n")
    if chosen.ship:
        rmse = {name: values["rmse"] for name, values in short.items()}
        potential.card = replace(
            potential.card,
            name="si-base",
            level_of_theory="Stillinger-Weber",
            licence="MIT",
            contains={**potential.card.contains, "d3": "no"},
            description="A small MACE of silicon, crystal and melt from 300 to 3600 K: a base to start from, not for "
            f"science. It learned a Stillinger-Weber potential (Phys. Rev. B 31 (1985) 5262) from the embedded sw-si; "
            f"on {len(test)} frames that it has not seen: forces {1e3 * rmse['forces']:.0f} meV/Å, energy "
            f"{1e3 * rmse['energy']:.1f} meV/atom (RMSE).",
        )
        path = checkpoint.save(potential, checkpoint.EMBEDDED / "si-base.safetensors", about)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
