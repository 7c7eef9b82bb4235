"""What every pass without autograd must stand, whatever its model; called by the tests of each.

`run(graph)` is the pass of one model: `Outputs` with energy, forces, virial and features.
"""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from atomlab import kernels
from atomlab.kernels.cpu import threads
from atomlab.potential import outputs

ALL = ("energy", "forces", "virial", "features")
NAMES = ("energy", "atoms", "forces", "virial", "features")


def analytic(model, graph, want=ALL):
    """What the model's pass gives; it must not leave the graph to autograd."""
    with kernels.use("numba"), kernels.steady():
        out = model.analytic(graph, want)
    assert out is not None
    return out


def by_autograd(model, graph):
    """The same by autograd through the reference."""
    with kernels.use("reference"):
        return outputs(model, graph, ALL)


def assert_close(mine, theirs, tolerance, names=NAMES):
    for name in names:
        a, b = getattr(mine, name), getattr(theirs, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape and not a.requires_grad, name
            assert (a - b).abs().max() <= tolerance * b.abs().max(), name


def batch_and_members(run, model, graph_of, structures, tolerance):
    """The pass of a batch equals autograd, and that of each member alone its part; graph_of(model[, atoms])."""
    graph, start = graph_of(model), 0
    found = run(model, graph)
    assert_close(found, by_autograd(model, graph), tolerance)
    for k, atoms in enumerate(structures):
        alone = run(model, replace(graph_of(model, atoms), head=graph.head[k : k + 1]))
        part = slice(start, start + len(atoms))
        start += len(atoms)
        for mine, all_ in ((alone.energy, found.energy[k]), (alone.forces, found.forces[part]),
                           (alone.virial[0], found.virial[k])):  # fmt: skip
            assert torch.allclose(mine, all_, rtol=tolerance, atol=tolerance), f"structure {k}"


def same_with_threads(run, graph, members, monkeypatch, tolerance=1e-13):
    """Three threads within a pass give the numbers of one; four passes at once don't touch each other's arrays."""
    monkeypatch.setattr(threads, "LEAST", 0)
    one, before = run(graph), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert_close(run(graph), one, tolerance)
    finally:
        torch.set_num_threads(before)
    alone = [run(g) for g in members]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, members))
    assert all(torch.equal(a.forces, b.forces) for a, b in zip(alone, together))


def inference_mode(run, model, graph_of):
    """A look in inference mode, at a copy of `model`, spoils nothing for what comes after; run(model, graph) here."""
    graph = graph_of(model)
    before = run(model, graph)
    with torch.inference_mode():
        within = run(copy.deepcopy(model), graph_of(model))
    assert torch.equal(within.forces, before.forces) and torch.equal(run(model, graph).forces, before.forces)
    assert not before.forces.is_inference()


def no_number_stays_none(run, graph):
    """A position that is no number: the energy and that atom's force are none either."""
    positions = graph.positions.clone()
    positions[2, 0] = float("nan")
    out = run(graph.moved(positions))
    assert torch.isnan(out.energy).all() and torch.isnan(out.forces[2]).all()
