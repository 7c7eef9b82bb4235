"""GPTFF, DimeNet++, REANN beside their own programs with the same weights; CHGNet as a yardstick; EquiREANN's epoch.

    .venv-parity/bin/python tests/benchmarks/against_others.py [--quick] [gptff dimenetpp reann chgnet epoch]

Neighbours (and triplets) are given on both sides unless a row says so. REANN's TorchScript model is looked for as
REANN_PES_DOUBLE.pt and REANN_PES_FLOAT.pt in the folder that ATOMLAB_PEERS names: its authors' `PES` class, scripted,
with the weights of ../shared/golden/reann_h2o_weights.npz. What is not at hand is a row without times that says why.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from shapes import silicon, water
from side import (
    SHARED,
    alternate,
    backends,
    begin,
    deviation,
    on,
    say,
    summary,
    write,
)

import atomlab
from atomlab.architectures.published import dimenetpp, gptff, reann
from atomlab.build import build
from atomlab.potential import outputs

CASES = ("gptff", "dimenetpp", "reann", "chgnet", "epoch")
GPTFF_V2 = SHARED / "weights/gptff/gptff_v2.pth"
REANN_WEIGHTS = SHARED / "golden/reann_h2o_weights.npz"
PAPER: dict = {  # REANN and EquiREANN of the cumulenes
    "elements": ["C", "H"], "cutoff": 6.0, "waves": 8, "degree": 2, "rounds": 2, "hidden": [16, 16],
    "message_hidden": [16, 16],
}  # fmt: skip


def absent(case: str, shape: str, why: str) -> list[dict]:
    """A row that says what could not be compared."""
    print(f"  {case}: not compared: {why}", flush=True)
    return [{"case": case, "shape": shape, "dtype": "", "system": "", "ms": {}, "why": why}]


def compared(case: str, shape: str, dtype: str, system: str, theirs: Callable, mine: Callable, quick: bool) -> dict:
    """One row: `theirs` and each of our backends in turn; both return forces."""
    calls = {"theirs": theirs, **{f"ours {name}": on(name, mine) for name in backends()}}
    off = deviation(calls[list(calls)[-1]](), theirs())
    times = alternate(calls, rounds=9, warm=3, quick=quick)
    row = {"case": case, "shape": shape, "dtype": dtype, "system": system, **summary(times), "deviation": off}
    say(row, "theirs")
    return row


def evaluation(model, atoms: Atoms, want=("energy", "forces", "stress")) -> Callable[[], torch.Tensor]:
    """Our forces, with the graph built."""
    graph = build(atoms, model.needs).to(dtype=model.dtype)
    return lambda: outputs(model, graph, want).forces


def gptff_rows(quick: bool) -> list[dict]:
    """The package's model with the published v2 weights: energy, forces, stress; float32, as its containers are."""
    if not find_spec("gptff") or not GPTFF_V2.exists():
        return absent("gptff", "v2", "the package gptff or its weights are not here")
    from gptff.graph import CrystalGraphBatch, CrystalGraphConverter
    from gptff.model import model as package
    from gptff.model.prediction import predict_energy_forces_stress

    state = torch.load(GPTFF_V2, map_location="cpu", weights_only=True)
    theirs = package.tModLodaer_t(type("Settings", (), {**state["cfg"], "device": "cpu"}))
    theirs.load_state_dict(state["state_dict"])
    theirs.eval().requires_grad_(False)
    mine = gptff.read(GPTFF_V2).eval()
    rows = []
    for system, atoms in (("Si 64", silicon(64)), ("water 96", water(96))):
        batch = CrystalGraphBatch.from_graphs([CrystalGraphConverter().convert_ase_atoms(atoms)])

        def call(batch=batch):
            return predict_energy_forces_stress(theirs, batch, create_graph=False)[1].detach()

        rows.append(compared("gptff", "v2", "float32", system, call, evaluation(mine, atoms), quick))
    return rows


def pyg_network() -> torch.nn.Module:
    """torch_geometric's DimeNet++ of a quarter of its size, random weights."""
    from torch_geometric.nn.models import DimeNetPlusPlus

    torch.manual_seed(0)
    return DimeNetPlusPlus(
        hidden_channels=32, out_channels=1, num_blocks=4, int_emb_size=16, basis_emb_size=8, out_emb_channels=64,
        num_spherical=7, num_radial=6, cutoff=5.0, envelope_exponent=5, output_initializer="glorot_orthogonal",
    )  # fmt: skip


def pyg_forces(network, graph, create_graph: bool = False) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """Energy and forces of torch_geometric's DimeNet++ for periodic structures: its blocks, with the lists handed in.

    Its forward searches neighbours without periodicity, so the lines between list and blocks are done here.
    """
    edges = next(iter(graph.edges.values()))
    i, j, back = edges.i.numpy(), edges.j.numpy(), edges.reverse.numpy()
    first = np.searchsorted(i, np.arange(len(graph.numbers) + 1))
    counts = first[j + 1] - first[j]
    ji = np.repeat(np.arange(len(i)), counts)
    kj = np.arange(len(ji)) - np.repeat(np.cumsum(counts) - counts, counts) + first[j[ji]]
    keep = kj != back[ji]
    idx_ji, idx_kj = torch.from_numpy(ji[keep]), torch.from_numpy(kj[keep])
    network.triplets = len(idx_ji)

    def call():
        positions = graph.positions.detach().requires_grad_(True)
        d = -graph.moved(positions).vectors(edges.cutoff)
        dist = d.pow(2).sum(dim=-1).sqrt()
        ij, jk = d[idx_ji], d[idx_kj]
        angle = torch.atan2(torch.cross(ij, jk, dim=1).norm(dim=-1), (ij * jk).sum(dim=-1))
        rbf, sbf = network.rbf(dist), network.sbf(dist, angle, idx_kj)
        x = network.emb(graph.numbers, rbf, edges.i, edges.j)
        out = network.output_blocks[0](x, rbf, edges.i, num_nodes=len(positions))
        for block, read in zip(network.interaction_blocks, network.output_blocks[1:]):
            x = block(x, rbf, sbf, idx_kj, idx_ji)
            out = out + read(x, rbf, edges.i, num_nodes=len(positions))
        energy = out.new_zeros(graph.size, 1).index_add(0, graph.batch, out)[:, 0]
        return energy, -torch.autograd.grad(energy.sum(), positions, create_graph=create_graph)[0]

    return call


def dimenetpp_rows(quick: bool) -> list[dict]:
    """torch_geometric's network, quarter size, random weights: energy and forces of 64 Si."""
    if not find_spec("torch_geometric"):
        return absent("dimenetpp", "quarter", "the package torch_geometric is not here")
    network = pyg_network().eval().requires_grad_(False)
    atoms, rows = silicon(64), []
    for dtype in ("float32", "float64"):
        network.to(getattr(torch, dtype))
        mine = dimenetpp.from_upstream(network.state_dict(), cutoff=5.0, envelope=6).eval()
        graph = build(atoms, mine.needs).to(dtype=mine.dtype)
        both = pyg_forces(network, graph)

        def call(both=both):
            return both()[1]

        want = ("energy", "forces")
        rows.append(
            compared("dimenetpp", "quarter", dtype, "Si 64", call, evaluation(mine, atoms, want), quick)
            | {"triplets": network.triplets}
        )
    return rows


def reann_rows(quick: bool) -> list[dict]:
    """The authors' scripted model of water: its density and networks (lists given), and its whole call beside our
    calculator (lists searched by both)."""
    folder = Path(os.environ.get("ATOMLAB_PEERS") or "peers")
    files = {"float32": folder / "REANN_PES_FLOAT.pt", "float64": folder / "REANN_PES_DOUBLE.pt"}
    if not REANN_WEIGHTS.exists():
        return absent("reann", "water model", "its published weights are not here")
    if not all(path.exists() for path in files.values()):
        return absent("reann", "water model", "its TorchScript model is not in the folder that ATOMLAB_PEERS names")
    atoms, rows = water(96), []
    for dtype, path in files.items():
        real = getattr(torch, dtype)
        scripted = torch.jit.load(str(path)).to(real)
        mine = reann.read(REANN_WEIGHTS, activation="relu_like").to(real).eval()
        species = torch.tensor([0 if z == 8 else 1 for z in atoms.numbers])
        given = [torch.ones(3), torch.tensor(atoms.positions), torch.tensor(atoms.cell.array)]
        period, positions, cell = (value.to(real) for value in given)
        mass = torch.tensor(atoms.get_masses()).to(real)
        start = positions.clone()  # its list wraps and centres what it is given, in place
        pairs, shifts = scripted.neigh_list(period, start, cell, mass)

        def theirs(model=scripted, start=start, pairs=pairs, shifts=shifts, species=species):
            x = start.detach().clone().requires_grad_(True)
            energy = model.nnmod(model.density(x, pairs, shifts, species), species).sum()
            return -torch.autograd.grad(energy, x)[0]

        mine_call = evaluation(mine, atoms, ("energy", "forces"))
        rows.append(compared("reann", "water model", dtype, "water 96", theirs, mine_call, quick))

        def whole(model=scripted, period=period, positions=positions, cell=cell, species=species, mass=mass):
            return model(period, positions, cell, species, mass)[1]

        calculator = mine.calculator(skin=0.0)

        def ours(calc=calculator):
            calc.calculate(atoms, ("energy", "forces"))
            return calc.results["forces"]

        rows.append(compared("reann with lists", "water model", dtype, "water 96", whole, ours, quick))
    return rows


def chgnet_rows(quick: bool) -> list[dict]:
    """CHGNet 0.3.0's own inference, energy + forces + stress, beside our GPTFF v2 on the same structures: a yardstick,
    another model of the same kind."""
    if not find_spec("chgnet"):
        return absent("chgnet", "0.3.0", "the package chgnet is not here")
    from chgnet.model import CHGNet
    from pymatgen.io.ase import AseAtomsAdaptor

    theirs = CHGNet.load(use_device="cpu", verbose=False)
    rows = []
    for system, atoms in (("Si 64", silicon(64)), ("water 96", water(96))):
        graph = theirs.graph_converter(AseAtomsAdaptor.get_structure(atoms))
        calls = {"CHGNet": lambda graph=graph: theirs.predict_graph(graph, task="efs")}
        if GPTFF_V2.exists():
            mine = evaluation(gptff.read(GPTFF_V2).eval(), atoms)
            calls |= {f"ours (GPTFF v2) {name}": on(name, mine) for name in backends()}
        row = {"case": "chgnet", "shape": "0.3.0", "dtype": "float32", "system": system}
        rows.append(row | summary(alternate(calls, warm=2, quick=quick)))
        say(rows[-1], "CHGNet")
    return rows


def cumulene(rng: np.random.Generator) -> Atoms:
    """C7H4 with its ends turned against each other and all atoms displaced."""
    length, bend, turn = 7, np.deg2rad(121.5), rng.uniform(0, np.pi)
    z = 1.28 * np.arange(length)
    x, dz = 1.085 * np.sin(bend), 1.085 * np.cos(bend)
    near = [[s * x, 0, dz] for s in (1, -1)]
    far = [[s * x * np.cos(turn), s * x * np.sin(turn), z[-1] - dz] for s in (1, -1)]
    atoms = Atoms("C7H4", [*[[0, 0, k] for k in z], *near, *far])
    atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
    return atoms


def epoch_rows(quick: bool) -> list[dict]:
    """An epoch of REANN and of EquiREANN as in the paper: C7H4, T = 2, N_φ = 8, L = 2, 16 x 16, batches of 64."""
    rng = np.random.default_rng(0)
    models = {"REANN": atomlab.create("reann", **PAPER), "EquiREANN": atomlab.create("equireann", **PAPER)}
    frames = [[cumulene(rng) for _ in range(64)] for _ in range(1 if quick else 5)]
    graphs = [build(batch, models["REANN"].needs).to(dtype=models["REANN"].dtype) for batch in frames]

    def epoch(model):
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-12)

        def call():
            for graph in graphs:
                optimiser.zero_grad(set_to_none=True)
                out = outputs(model, graph, ("energy", "forces"), create_graph=True)
                (out.energy.square().mean() + out.forces.square().mean()).backward()
                optimiser.step()

        return call

    calls = {f"ours {name} {b}": on(b, epoch(model.train())) for b in backends() for name, model in models.items()}
    times = alternate(calls, warm=1, quick=quick)
    row = {"case": "epoch", "shape": "T 2, N_φ 8, L 2", "dtype": "float32", "system": "C7H4, batches of 64"}
    row |= summary(times)
    row["ratio"] = {b: row["ms"][f"ours EquiREANN {b}"] / row["ms"][f"ours REANN {b}"] for b in backends()}
    say(row, "")
    return [row]


def main() -> None:
    """All cases, or those named."""
    given, allocator = begin(__doc__.split("\n")[0], *CASES)
    rows = [row for case in given.cases for row in globals()[f"{case}_rows"](given.quick)]
    write("against_others", rows, given, allocator=allocator)


if __name__ == "__main__":
    main()
