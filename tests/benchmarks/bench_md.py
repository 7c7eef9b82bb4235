"""MD of 64 silicon atoms with the embedded model through ASE: steps per second of one core, and ASE's own share.

    python tests/benchmarks/bench_md.py [--quick]

VelocityVerlet at 300 K, 1 fs, blocks of steps in turn with each backend and with a calculator that computes nothing
(what is left then is ASE: the integrator, its copies and comparisons); the model alone is its energy and forces with
the graph given. CPU time of one thread.
"""

from __future__ import annotations

import numpy as np
from ase import units
from ase.calculators.calculator import Calculator, all_changes
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from shapes import silicon
from side import alternate, backends, begin, on, summary, write

import atomlab
from atomlab.build import build
from atomlab.potential import outputs


class Nothing(Calculator):
    """Zero forces at no cost."""

    implemented_properties = ["energy", "free_energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Zeros."""
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "free_energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}


def dynamics(calc) -> VelocityVerlet:
    """An MD at 300 K that is ready to go."""
    atoms = silicon(64)
    atoms.calc = calc
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(0))
    return VelocityVerlet(atoms, timestep=1.0 * units.fs)


def main() -> None:
    """One row."""
    given, allocator = begin(__doc__.split("\n")[0])
    model = atomlab.load("si-base", device="cpu").eval()
    graph = build(silicon(64), model.needs).to(dtype=model.dtype)
    block = 5 if given.quick else 50
    nothing = dynamics(Nothing())
    calls = {"ase alone": lambda: nothing.run(block)}
    for name in backends():
        md = dynamics(model.calculator())
        calls[f"ours {name}"] = on(name, lambda md=md: md.run(block))
        calls[f"model alone {name}"] = on(name, lambda: [outputs(model, graph) for _ in range(block)])
    found = summary(alternate(calls, rounds=7, warm=1, quick=given.quick))
    ms = {name: value / block for name, value in found["ms"].items()}
    row = {"case": "md", "shape": "si-base", "dtype": str(model.dtype).removeprefix("torch."), "system": "Si 64"}
    row |= {"ms": ms, "turns": found["turns"], "steps_per_turn": block}
    row["steps_per_s"] = {name: 1000 / ms[f"ours {name}"] for name in backends()}
    row["ase_share"] = {name: ms["ase alone"] / ms[f"ours {name}"] for name in backends()}
    row["model_share"] = {name: ms[f"model alone {name}"] / ms[f"ours {name}"] for name in backends()}
    for name in backends():
        print(
            f"  {name}: {row['steps_per_s'][name]:.0f} steps/s; of a step's {ms[f'ours {name}']:.2f} ms ASE takes "
            f"{100 * row['ase_share'][name]:.0f} %, the model {100 * row['model_share'][name]:.0f} %",
            flush=True,
        )
    write("bench_md", [row], given, allocator=allocator)


if __name__ == "__main__":
    main()
