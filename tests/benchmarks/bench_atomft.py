"""What a block of AtomFT costs: inference and a training step for NI = 0 to 4 blocks on an MBNN, and the base alone.

    python tests/benchmarks/bench_atomft.py [--quick]

The AtomFT paper finds both linear in NI, with a slope of 0.2 to 0.3 of the base's inference time. Writes
results/atomft.json (not with --quick). One thread, CPU time, best of several.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

from atomlab.architectures import create
from atomlab.architectures.atomft import AtomFT
from atomlab.build import build
from atomlab.potential import outputs

BLOCKS = (0, 1, 2, 3, 4)
HERE = Path(__file__).parent


def best(call, repeats: int) -> float:
    """Shortest CPU time in ms."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(1000 * (time.process_time() - start))
    return min(times)


def step(model, graph) -> None:
    """Energy and forces with their graph, a loss, its gradients."""
    out = outputs(model, graph, create_graph=True)
    (out.energy.square().mean() + out.forces.square().mean()).backward()


def line(values: list[float]) -> tuple[float, float]:
    """Slope per block, and the largest distance from a straight line by the range."""
    slope, start = np.polyfit(BLOCKS, values, 1)
    off = np.abs(np.array(values) - (slope * np.array(BLOCKS) + start)).max()
    return float(slope), float(off / (max(values) - min(values)))


def main(quick: bool) -> None:
    """Measure and write."""
    repeats = 2 if quick else 7
    torch.set_num_threads(1)
    cell = bulk("Si", "diamond", a=5.43, cubic=True)
    cell.rattle(0.05, seed=1)
    atoms = cell * 2
    torch.manual_seed(0)
    base = create("mbnn", elements=["Si"], hidden=(128, 128, 80))
    graph = build(atoms, base.needs).to(dtype=torch.float32)
    alone = {"inference": best(lambda: outputs(base, graph), repeats), "step": best(lambda: step(base, graph), repeats)}
    table = {"inference": [], "step": []}
    for n in BLOCKS:
        model = AtomFT(base, blocks=n)
        table["inference"].append(best(lambda model=model: outputs(model, graph), repeats))
        table["step"].append(best(lambda model=model: step(model, graph), repeats))
    result = {"atoms": len(atoms), "blocks": BLOCKS, "base_ms": alone, "ms": table}
    for what, values in table.items():
        slope, off = line(values)
        result[what] = {"slope_ms": slope, "slope_by_base_inference": slope / alone["inference"], "off_line": off}
        share = slope / alone["inference"]
        print(f"{what}: base {alone[what]:.1f} ms; NI 0..4: {', '.join(f'{v:.1f}' for v in values)} ms")
        print(f"  slope {share:.2f} of the base's inference, {100 * off:.0f} % off a straight line")
    if not quick:
        (HERE / "results" / "atomft.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main("--quick" in sys.argv)
