"""The least work of a MACE's energy and forces, the work of any other call, and how fast this machine is.

Counted for one pass that shares all it can: the radial network once per pair (both directions share it), the first
layer's convolution on the network's last hidden layer (senders there are one vector per element), forward and one
backward with respect to the geometry, weights per element contracted beforehand, each tensor of an edge written once
and read once per pass. A table in place of the radial network takes its share away (`without_mlp`).

Other models' calls are counted as the torch reference makes them (`counted`): matrix products by their operations and
by their operands, everything else as one operation for each number that it makes and no memory, as if it were fused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from atomlab.architectures.mace import MACE
from atomlab.architectures.spherical import wigner_3j
from atomlab.graph import Graph

__all__ = ["counted", "mace_work", "rates"]


def mace_work(model: MACE, graph: Graph) -> dict[str, float]:
    """MFLOP by part, their `total` and `without_mlp`, and `mb`: megabytes to and from memory."""
    c, atoms = model.config, len(graph.numbers)
    edges = len(graph.edges[c["cutoff"]].i)
    pairs, k, species = edges / 2, c["channels"], len(graph.numbers.unique())
    widths = [c["radial_basis"], *c["radial_hidden"]]
    hidden = sum(a * b for a, b in pairwise(widths))
    components = (1 + c["l_edges"]) ** 2
    work = {"mlp": 0.0, "gemm": 0.0, "convolution": 0.0, "contraction": 0.0, "density": 0.0}
    radial = 0
    for t, (interaction, product) in enumerate(zip(model.interactions, model.products)):
        last = t == c["layers"] - 1
        inner = (1 + c["l_nodes"]) ** 2 if t else 1
        outer = 1 if last else (1 + c["l_nodes"]) ** 2
        # forward and backward are alike: 2 operations a product, twice
        work["gemm"] += 4 * atoms * k * k * (components + inner * (t > 0) + 2 * outer)
        if t == 0:
            work["mlp"] += 4 * pairs * hidden
            work["density"] += 3 * 2 * edges * components * widths[-1]
            work["gemm"] += 4 * atoms * components * widths[-1] * k * species
        else:
            paths = interaction.paths
            work["mlp"] += 4 * pairs * (hidden + widths[-1] * len(paths) * k)
            work["convolution"] += edges * k * sum(6 * _meetings(*p) + 4 * (2 * p[2] + 1) for p in paths)
            radial += len(paths) * k
        for contraction in product.symmetric_contractions.contractions:
            work["contraction"] += atoms * k * _contraction(contraction)
    work = {name: value / 1e6 for name, value in work.items()}
    size = torch.tensor([], dtype=model.dtype).element_size()
    per_edge = 3 * 2 * components + 3 * (c["layers"] - 1) * k * (1 + c["l_nodes"]) ** 2
    per_pair = 5 * radial + 4 * c["layers"] * sum(c["radial_hidden"])
    per_atom = 8 * k * components * c["layers"]
    total = sum(work.values())
    moved = size * (per_edge * edges + per_pair * pairs + per_atom * atoms) / 1e6
    return {**work, "total": total, "without_mlp": total - work["mlp"], "mb": moved}


class _Numbers(TorchDispatchMode):
    """Counts the numbers that operations make, and the bytes of products' operands and results."""

    def __init__(self) -> None:
        super().__init__()
        self.made, self.bytes = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        results = [x for x in (out if isinstance(out, tuple | list) else [out]) if isinstance(x, torch.Tensor)]
        if function.overloadpacket in flop_registry:
            tensors = [x for x in args if isinstance(x, torch.Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in (*tensors, *results))
        elif not any(r.alias_info for r in function._schema.returns) and "empty" not in str(function):
            self.made += sum(x.numel() for x in results)
        return out


def counted(call: Callable[[], object]) -> dict[str, float]:
    """MFLOP of products and of the rest, their `total`, and `mb`, of a call with the torch reference."""
    with FlopCounterMode(display=False) as products:
        call()
    with _Numbers() as numbers:
        call()
    work = {"products": products.get_total_flops() / 1e6, "rest": numbers.made / 1e6}
    return {**work, "total": sum(work.values()), "mb": numbers.bytes / 1e6}


def _meetings(l1: int, l2: int, l3: int) -> int:
    """Pairs (m1, m3) that a path connects, whatever m2."""
    return int((np.abs(np.asarray(wigner_3j(l1, l2, l3))).sum(1) > 1e-12).sum())


def _contraction(contraction) -> float:
    """Operations of one atom and channel: monomials and their weighted sum, and the same backward."""
    index, basis, _ = contraction._tables(torch.zeros(1, dtype=torch.float64))
    weights = int((basis.abs().sum(2) > 1e-12).sum())
    products = sum(len(tuples) * order for order, tuples in enumerate(index))
    return 2 * weights + products + 2 * weights + 2 * (products + sum(len(tuples) for tuples in index))


def rates() -> dict[str, float]:
    """GFLOP/s of torch's matrix product (float32, float64), GB/s of a triad over 192 MB, best of several."""
    found = {}
    for name in ("float32", "float64"):
        a = torch.randn(576, 128, dtype=getattr(torch, name))
        b, c = torch.randn(128, 128, dtype=a.dtype), torch.empty_like(a)
        found[f"gflops_{name}"] = 2e-9 * 576 * 128 * 128 / _best(lambda a=a, b=b, c=c: torch.mm(a, b, out=c), 200)
    x, y, z = (torch.ones(2**23, dtype=torch.float64) for _ in range(3))
    found["gbytes"] = 1e-9 * 3 * 8 * 2**23 / _best(lambda: torch.add(x, y, alpha=2.0, out=z), 10)
    return found


def _best(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(15):
        start = time.process_time()
        for _ in range(repeats):
            call()
        best = min(best, (time.process_time() - start) / repeats)
    return best
