"""MACE beside mace-torch with the same weights: energy + forces + stress, a training step, symmetrix, peak memory.

    .venv-parity/bin/python tests/benchmarks/against_mace.py [--quick] [inference | step | calculator | memory ...]

Neighbours are given in `inference` and `step`; `calculator` goes through ASE on both sides, lists included.
mace-torch's parameters are frozen for inference, as its calculator does, and it gets a tuned allocator.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from shapes import SHAPES, mace_batch, mace_torch, ours, silicon, water
from side import (
    alternate,
    backends,
    begin,
    child,
    deviation,
    on,
    say,
    summary,
    write,
)

from atomlab.build import build
from atomlab.potential import outputs

SYSTEMS = {"Si 64": lambda: silicon(64), "Si 216": lambda: silicon(216), "water 192": lambda: water(192)}
CASES = ("inference", "step", "calculator", "memory")
WANT = ("energy", "forces", "stress")


def frozen(model: torch.nn.Module, dtype: str) -> torch.nn.Module:
    """In that type, without gradients for its parameters."""
    model = model.to(getattr(torch, dtype)).eval()
    for p in model.parameters():
        p.requires_grad_(False)
    return model


def inference(shape: str, dtype: str, quick: bool) -> list[dict]:
    """Energy, forces and stress of each system."""
    made = mace_torch(shape)
    mine, theirs = ours(made, dtype).eval(), frozen(made, dtype)
    rows = []
    for system, make in SYSTEMS.items():
        if quick and system != "Si 64":
            continue
        atoms = make()
        batch = mace_batch([atoms], theirs, getattr(torch, dtype))
        graph = build(atoms, mine.needs).to(dtype=mine.dtype)
        calls = {"mace-torch": lambda batch=batch: theirs(dict(batch), compute_stress=True)}
        for name in backends():
            calls[f"ours {name}"] = on(name, lambda graph=graph: outputs(mine, graph, WANT))
        reference, found = calls["mace-torch"](), calls[list(calls)[-1]]()
        times = alternate(calls, rounds=7, warm=2 if shape == "medium" else 4, quick=quick)
        off = deviation(found.forces, reference["forces"].detach())
        edges = len(next(iter(graph.edges.values())).i)
        row = {"case": "inference", "shape": shape, "dtype": dtype, "system": system, **summary(times)}
        rows.append({**row, "deviation": off, "edges": edges, "atoms": len(atoms)})
        say(rows[-1], "mace-torch")
    return rows


def step(shape: str, dtype: str, quick: bool) -> list[dict]:
    """Energy + forces with their graph, squared loss, backward, Adam; 4 x 64 Si."""
    frames = [silicon(64, seed) for seed in range(1, 5)]
    made = mace_torch(shape)
    mine, theirs = ours(made, dtype).train(), made.to(getattr(torch, dtype)).train()
    batch = mace_batch(frames, theirs, getattr(torch, dtype))
    graph = build(frames, mine.needs).to(dtype=mine.dtype)
    generator = torch.Generator().manual_seed(0)
    energies = torch.randn(4, generator=generator, dtype=torch.float64)
    forces = torch.randn(256, 3, generator=generator, dtype=torch.float64).to(mine.dtype)

    def loss(e, f):
        return ((e.double() - energies) / 64).square().mean() + 10.0 * (f - forces).square().mean()

    # a rate this small leaves the weights alone: every turn is the same work
    optimisers = {m: torch.optim.Adam(m.parameters(), lr=1e-12) for m in (mine, theirs)}

    def run(model, evaluate):
        optimisers[model].zero_grad(set_to_none=True)
        value = loss(*evaluate())
        value.backward()
        optimisers[model].step()
        return float(value.detach())

    def their_evaluation():
        out = theirs(dict(batch), training=True)
        return out["energy"], out["forces"]

    def my_evaluation():
        out = outputs(mine, graph, ("energy", "forces"), create_graph=True)
        return out.energy, out.forces

    for p in mine.parameters():
        p.requires_grad_(True)
    calls = {"mace-torch": lambda: run(theirs, their_evaluation)}
    for name in backends():
        calls[f"ours {name}"] = on(name, lambda: run(mine, my_evaluation))
    calls["mace-torch"](), calls[list(calls)[-1]]()
    off = gradient_deviation(mine, theirs)
    times = alternate(calls, rounds=7, warm=1, least=3, seconds=60.0, quick=quick)
    row = {"case": "step", "shape": shape, "dtype": dtype, "system": "4 x Si 64", **summary(times), "deviation": off}
    say(row, "mace-torch")
    return [row]


def gradient_deviation(mine: torch.nn.Module, theirs: torch.nn.Module) -> float:
    """Of the loss's gradients, over the parameters that both have under one name and size, relative to the largest."""
    reference = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    pairs = [
        (p.grad.flatten(), reference[name].flatten())
        for name, p in mine.named_parameters()
        if p.grad is not None and name in reference and p.numel() == reference[name].numel()
    ]
    if not pairs:
        raise RuntimeError("no parameter has the same name in both models")
    return deviation(torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs]))


def calculator(shape: str, dtype: str, quick: bool) -> list[dict]:
    """One step of each ASE calculator after a small move: neighbour list (with its skin) and ASE included."""
    from mace.calculators import MACECalculator

    made = mace_torch(shape, None if shape == "medium" else [1, 8, 14])
    mine = ours(made, dtype).eval()
    calls, atoms = {}, silicon(64)

    def stepping(calc):
        moved = atoms.copy()
        moved.calc = calc
        start, turn = moved.positions.copy(), [0]

        def call():
            turn[0] += 1
            moved.positions = start
            moved.positions[0, 0] += 1e-3 * (turn[0] % 7 + 1)
            moved.get_stress()
            return moved.get_forces()

        return call

    calls["mace-torch"] = stepping(MACECalculator(models=[made], device="cpu", default_dtype=dtype))
    for name in backends():
        calls[f"ours {name}"] = on(name, stepping(mine.calculator()))
    try:
        calls["symmetrix-xl plain"] = stepping(symmetrix(made, dtype))
    except Exception as error:
        print(f"symmetrix-xl is left out: {type(error).__name__}: {error}")
    reference = calls["mace-torch"]()
    off = {name: deviation(call(), reference) for name, call in calls.items()}
    times = alternate(calls, rounds=9, warm=2, quick=quick)
    row = {"case": "calculator", "shape": shape, "dtype": dtype, "system": "Si 64", **summary(times)}
    row |= {"deviation": off[[n for n in calls if n.startswith("ours")][-1]], "deviations": off}
    say(row, "mace-torch")
    return [row]


def symmetrix(made: torch.nn.Module, dtype: str):
    """Its plain C++ path (no Kokkos, nothing compiled at run time); it knows l_max 3 only."""
    from symmetrix import Symmetrix
    from symmetrix.extract_mace_data import extract_mace_data

    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "made.model", Path(folder) / "made.json"
        torch.save(made.double(), source)
        path.write_text(json.dumps(extract_mace_data(str(source), species=[14])))
        made.to(getattr(torch, dtype))
        return Symmetrix(str(path), dtype=dtype, use_kokkos=False, streamed_edges="materialized")


PEAK = """
import sys, json, torch
from side import Peak, one_thread, on, quiet
from shapes import silicon, mace_batch
quiet()
one_thread()
who, path, dtype, atoms, backend = sys.argv[1:]
frames = [silicon(8), silicon(int(atoms))]
if who == "mace-torch":
    model = torch.load(path, weights_only=False).to(getattr(torch, dtype)).eval()
    for p in model.parameters():
        p.requires_grad_(False)
    batches = [mace_batch([frame], model, getattr(torch, dtype)) for frame in frames]
    calls = [lambda batch=batch: model(dict(batch), compute_stress=True) for batch in batches]
else:
    import atomlab
    from atomlab.build import build
    from atomlab.potential import outputs
    model = atomlab.load(path, dtype=dtype).eval()
    graphs = [build(frame, model.needs).to(dtype=model.dtype) for frame in frames]
    want = ("energy", "forces", "stress")
    calls = [on(backend, lambda graph=graph: outputs(model, graph, want)) for graph in graphs]
for _ in range(3):
    calls[0]()
with Peak() as first:
    calls[1]()
with Peak() as later:
    calls[1]()
print(json.dumps({"first_mb": first.mb, "later_mb": later.mb, "how": first.how, "base_mb": first.base}))
"""


def memory(shape: str, dtype: str, quick: bool) -> list[dict]:
    """Peak memory of a process above what it held after import, loading, building the graph and a call for 8 atoms
    (which loads or compiles what each side needs); the allocator is left as it is."""
    atoms = 64 if quick else 216
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.model"
        torch.save(mace_torch(shape), path)
        child(PEAK, "ours", str(path), dtype, "8", backends()[-1])  # fills the kernel cache
        for name, who, backend in [("mace-torch", "mace-torch", "-"), *((f"ours {b}", "ours", b) for b in backends())]:
            rows[name] = child(PEAK, who, str(path), dtype, str(atoms), backend)
    mb = {name: row["first_mb"] for name, row in rows.items()}
    row = {"case": "memory", "shape": shape, "dtype": dtype, "system": f"Si {atoms}", "mb": mb, "details": rows}
    print(f"  memory {shape} {dtype} Si {atoms}: {', '.join(f'{n} {v:.0f} MB' for n, v in mb.items())}", flush=True)
    return [row]


def main() -> None:
    """All cases, or those named."""
    given, allocator = begin(__doc__.split("\n")[0], *CASES)
    rows = []
    for case in given.cases:
        for shape in ["teaching"] if given.quick and case != "calculator" else reversed(SHAPES):
            for dtype in ["float32"] if given.quick or case in ("memory", "calculator") else ["float32", "float64"]:
                rows += globals()[case](shape, dtype, given.quick)
    write("against_mace", rows, given, allocator=allocator)


if __name__ == "__main__":
    main()
