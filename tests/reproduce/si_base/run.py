"""Train the embedded model si-base from atomlab/embedded/si-base.yaml, measure it, and ship it if asked.

    python tests/reproduce/si_base/run.py [--run DIRECTORY] [--ship]

About 10 minutes of one core. Writes result.json beside this file, and with `--ship` the model into atomlab/embedded/.
`--run DIRECTORY` goes on from a run that is there already (finished: only measures). The errors are those on the frames
that chose the best weights, not on frames that nobody has seen: sw-si is small, and the model is there to start from.
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
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="the run's directory; by default a new one in the workspace")
    parser.add_argument("--ship", action="store_true", help="put the model into atomlab/embedded/")
    chosen = parser.parse_args()
    run = atomlab.attach(chosen.run) if chosen.run else atomlab.run(SPEC)
    run.wait()
    spec = yaml.safe_load(SPEC.read_text())
    data = atomlab.read(spec["data"])
    valid = data.split(valid=spec["valid"]).valid
    potential = atomlab.load(run.directory, device="cpu", dtype="float32")
    errors = atomlab.evaluate(potential, valid).errors()
    print(f"{len(valid)} validation frames\n{table(errors)}")
    short = {name: {k: float(f"{v[k]:.4g}") for k in ("mae", "rmse")} for name, v in errors.items()}
    about = {
        "errors": {"validation": short, "frames": len(valid), "units": "eV/atom, eV/Å, eV/Å^3"},
        "data": data.name,
        "data_hash": data.hash(),
        "teacher": "stillinger-weber",
        "spec": spec,
        "seconds": round(run.result().metrics["seconds"], 1),
    }
    (HERE / "result.json").write_text(json.dumps(about, indent=1) + "\n")
    if chosen.ship:
        _ship(potential, about, short, len(valid))


def _ship(potential, about, short, frames) -> None:
    rmse = {name: values["rmse"] for name, values in short.items()}
    potential.card = replace(
        potential.card,
        name="si-base",
        level_of_theory="Stillinger-Weber",
        licence="MIT",
        reference="Stillinger and Weber, Phys. Rev. B 31 (1985) 5262 (the teacher)",
        contains={**potential.card.contains, "d3": "no"},
        description="A small MACE of silicon, crystal and melt from 300 to 3600 K: a base to start from, not for "
        f"science. It learned a Stillinger-Weber potential from the embedded sw-si; on the {frames} validation frames: "
        f"forces {1e3 * rmse['forces']:.0f} meV/Å, energy {1e3 * rmse['energy']:.1f} meV/atom (RMSE).",
    )
    path = checkpoint.save(potential, checkpoint.EMBEDDED / "si-base.safetensors", about)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
