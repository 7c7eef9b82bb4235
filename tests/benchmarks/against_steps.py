"""Training steps of the models other than MACE, beside their own programs where these are; and models without one.

    .venv-parity/bin/python tests/benchmarks/against_steps.py [--quick] [gptff | dimenetpp | reann | mbnn | alone ...]

A step is energy and forces with their graph, a squared loss on both, and its gradients; a batch of 4 structures.
Where a program takes one structure at a time (REANN's scripted model), it gets the four as one of separate parts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from against_others import GPTFF_V2, REANN_WEIGHTS, absent, pyg_forces, pyg_network
from ase import Atoms
from shapes import silicon, water
from side import alternate, backends, begin, deviation, on, say, summary, write
from torch.nn.attention import SDPBackend, sdpa_kernel

import atomlab
from atomlab.architectures.published import dimenetpp, gptff, reann
from atomlab.build import build
from atomlab.graph import Graph
from atomlab.potential import outputs

CASES = ("gptff", "dimenetpp", "reann", "mbnn", "alone")


def learn(model: torch.nn.Module, evaluate: Callable) -> Callable[[], torch.Tensor]:
    """A step; returns the forces. `evaluate` gives energies and forces with their graph."""

    def call():
        for p in model.parameters():
            p.grad = None
        energy, forces = evaluate()
        (energy.double().square().mean() + forces.square().mean()).backward()
        return forces.detach()

    return call


def ours(model, graph: Graph) -> Callable[[], torch.Tensor]:
    """Our step."""
    model.train().requires_grad_(True)

    def evaluate():
        out = outputs(model, graph, ("energy", "forces"), create_graph=True)
        return out.energy, out.forces

    return learn(model, evaluate)


def batch(frames: list[Atoms], model) -> Graph:
    """The frames as our batch."""
    return build(frames, model.needs).to(dtype=model.dtype)


def compared(shape: str, system: str, theirs: Callable, mine: Callable, quick: bool) -> list[dict]:
    """One row; the forces of both are compared."""
    calls = {"theirs": theirs, **{f"ours {name}": on(name, mine) for name in backends()}}
    off = deviation(calls[list(calls)[-1]](), theirs())
    times = alternate(calls, rounds=7, warm=2, quick=quick)
    row = {"case": "training step", "shape": shape, "dtype": "float32", "system": system, **summary(times)}
    say(row | {"deviation": off}, "theirs")
    return [row | {"deviation": off}]


def gptff_rows(quick: bool) -> list[dict]:
    """GPTFF v2 by its package. Dropout is off on both sides."""
    if not find_spec("gptff") or not GPTFF_V2.exists():
        return absent("training step", "GPTFF v2", "the package gptff or its weights are not here")
    from gptff.graph import CrystalGraphBatch, CrystalGraphConverter
    from gptff.model import model as package
    from gptff.model.prediction import predict_energy_forces_stress

    frames = [silicon(64, seed) for seed in range(1, 5)]
    state = torch.load(GPTFF_V2, map_location="cpu", weights_only=True)
    theirs = package.tModLodaer_t(type("Settings", (), {**state["cfg"], "device": "cpu"}))
    theirs.load_state_dict(state["state_dict"])
    for part in theirs.train().modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        elif isinstance(part, torch.nn.MultiheadAttention):
            part.dropout = 0.0
    converter = CrystalGraphConverter()
    graphs = CrystalGraphBatch.from_graphs([converter.convert_ase_atoms(atoms) for atoms in frames])
    mine = gptff.read(GPTFF_V2)
    step = ours(mine, batch(frames, mine))
    mine.eval()  # no dropout
    their_step = learn(theirs, lambda: predict_energy_forces_stress(theirs, graphs, create_graph=True)[:2])

    def differentiable():
        with sdpa_kernel(SDPBackend.MATH):  # torch's fused attention on a CPU has no second derivative
            return their_step()

    return compared("GPTFF v2", "4 x Si 64", differentiable, step, quick)


def dimenetpp_rows(quick: bool) -> list[dict]:
    """DimeNet++ by torch_geometric."""
    if not find_spec("torch_geometric"):
        return absent("training step", "DimeNet++ quarter", "the package torch_geometric is not here")
    network = pyg_network().requires_grad_(True)
    mine = dimenetpp.from_upstream(network.state_dict(), cutoff=5.0, envelope=6)
    graph = batch([silicon(64, seed) for seed in range(1, 5)], mine)
    evaluate = pyg_forces(network, graph, create_graph=True)
    return compared("DimeNet++ quarter", "4 x Si 64", learn(network, evaluate), ours(mine, graph), quick)


def reann_rows(quick: bool) -> list[dict]:
    """REANN's scripted density and networks, with our lists."""
    path = Path(os.environ.get("ATOMLAB_PEERS") or "peers") / "REANN_PES_FLOAT.pt"
    if not path.exists() or not REANN_WEIGHTS.exists():
        return absent("training step", "REANN water", "its TorchScript model or weights are not here")
    theirs = torch.jit.load(str(path))
    for p in theirs.parameters():
        p.requires_grad_(True)
    mine = reann.read(REANN_WEIGHTS, activation="relu_like").float()
    frames = [water(96, seed) for seed in range(1, 5)]
    graph = batch(frames, mine)
    edges = graph.edges[mine.needs.cutoff]
    species = (graph.numbers == 1).long()
    pairs = torch.stack([edges.i, edges.j])
    shifts = torch.einsum("ek,ekl->el", edges.shift.float(), graph.cell[graph.batch[edges.i]])

    def evaluate():
        x = graph.positions.detach().requires_grad_(True)
        atoms = theirs.nnmod(theirs.density(x, pairs, shifts, species), species)[:, 0]
        energy = torch.zeros(graph.size).index_add(0, graph.batch, atoms)
        return energy, -torch.autograd.grad(energy.sum(), x, create_graph=True)[0]

    return compared("REANN water", "4 x water 96", learn(theirs, evaluate), ours(mine, graph), quick)


def mbnn_rows(quick: bool) -> list[dict]:
    """MBNN and AtomFT on it, which no other program here computes."""
    mbnn = atomlab.create("mbnn", elements=["Si"])
    rows = no_peer({"MBNN": mbnn}, quick)  # AtomFT freezes its base
    return rows + no_peer({"AtomFT on MBNN": atomlab.create("atomft", base=mbnn)}, quick)


def alone_rows(quick: bool) -> list[dict]:
    """The others that no other program here computes."""
    models = {
        "EquiREANN": atomlab.create("equireann", elements=["Si"]),
        "DimeNet++ of chemtrain": atomlab.create("dimenetpp", elements=["Si"], form="paper"),
        "Stillinger-Weber": atomlab.create("stillinger-weber"),
    }
    return no_peer(models, quick)


def no_peer(models: dict[str, torch.nn.Module], quick: bool) -> list[dict]:
    """Inference and step of the models: reference against compiled."""
    rows, want = [], ("energy", "forces", "stress")
    for name, model in models.items():
        one, four = batch([silicon(64)], model), batch([silicon(64, seed) for seed in range(1, 5)], model)
        todo = {"inference": ("Si 64", lambda m=model, g=one: outputs(m.eval(), g, want))}
        if any(True for _ in model.parameters()):
            todo["step"] = ("4 x Si 64", ours(model, four))
        for what, (system, call) in todo.items():
            calls = {f"ours {backend}": on(backend, call) for backend in backends()}
            row = {"case": "no peer", "shape": f"{name}, {what}", "system": system}
            row |= {"dtype": str(model.dtype).removeprefix("torch."), **summary(alternate(calls, quick=quick))}
            rows.append(row)
            say(row, "ours reference")
    return rows


def main() -> None:
    """All cases, or those named."""
    given, allocator = begin(__doc__.split("\n")[0], *CASES)
    rows = [row for case in given.cases for row in globals()[f"{case}_rows"](given.quick)]
    write("against_steps", rows, given, allocator=allocator)


if __name__ == "__main__":
    main()
