"""Programs for rows beside the same layers one after another: values, and gradients in the values' places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import silu

from atomlab import kernels
from atomlab.kernels.cpu import programs, threads
from atomlab.kernels.cpu.arrays import flat
from atomlab.kernels.cpu.programs import ATOMS, Program
from atomlab.kernels.cpu.threads import over_rows

ATOM_COUNT = 40


def lists():
    """Centres (sorted, some without edges), neighbours, edges back, species; edges per centre as a row pointer."""
    rng = np.random.default_rng(0)
    many = rng.integers(0, 12, ATOM_COUNT)
    many[3] = 0
    i = np.repeat(np.arange(ATOM_COUNT), many)
    j, back = rng.integers(0, ATOM_COUNT, len(i)), rng.permutation(len(i))
    return (i, j, back, rng.integers(0, 2, ATOM_COUNT)), np.append(0, np.cumsum(many))


def weights(dtype):
    """Of three layers, one of them on elements too; widths that fill no vector."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"a": (5, 3), "bias": (5,), "table": (2, 2, 5), "b": (5, 5), "c": (20, 5), "d": (5, 5)}
    return {name: torch.randn(*shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}


def by_torch(x, w, i, j, back, species):
    y = silu(x @ w["a"].T + w["bias"] + w["table"][species[i], 0] + w["table"][species[j], 1])
    z = (y @ w["b"].T)[back]
    z = z @ w["d"].T * y + z
    z = silu(z @ w["b"].T) * y + z
    return torch.zeros(ATOM_COUNT, 20, dtype=x.dtype).index_add(0, torch.from_numpy(i), z @ w["c"].T)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("many", [1, 3])
def test_a_program_equals_its_layers(dtype, many, monkeypatch):
    monkeypatch.setattr(threads, "LEAST", 0)
    index, ends = lists()
    w, edges = weights(dtype), len(index[0])
    program = Program(dtype)
    start = program.value(3)
    y = program.layer(start, w["a"], w["bias"], curved=True, table=w["table"])
    far = program.layer(y, w["b"], kept=True)
    program.cut()
    z = program.permuted(far)
    z = program.layer(z, w["d"], times=y, plus=z)
    z = program.layer(z, w["b"], curved=True, times=y, plus=z)
    end = program.summed(program.layer(z, w["c"]))
    program.finish(start)
    assert end.rows == ATOMS
    memory = torch.full((program.size(edges, ATOM_COUNT),), float("nan"), dtype=dtype)
    x = torch.randn(edges, 3, generator=torch.Generator().manual_seed(2), dtype=dtype).requires_grad_(True)
    known = by_torch(x, w, *index)
    g = torch.cos(torch.arange(known.numel(), dtype=dtype)).view_as(known)
    (gradient,) = torch.autograd.grad(known, x, g)

    def run(function, part):
        arrays = (ends, *index, part, program.weights, flat(memory))
        over_rows(function, ATOM_COUNT, *arrays, work=1, ends=ends)

    def of(value):
        return program.of(value, memory, edges, ATOM_COUNT)[:, : value.size]

    before = torch.get_num_threads()
    torch.set_num_threads(many)
    try:
        with kernels.steady():
            code = programs.loops(str(dtype).removeprefix("torch."))
        program.of(start, memory, edges, ATOM_COUNT).zero_()
        of(start).copy_(x.detach())
        for part in program.parts(edges, ATOM_COUNT):
            run(code.forward, part)
        found = of(end).clone()
        program.of(end, memory, edges, ATOM_COUNT).zero_()
        of(end).copy_(g)
        for part in reversed(program.parts(edges, ATOM_COUNT)):
            run(code.backward, part)
    finally:
        torch.set_num_threads(before)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert (found - known).abs().max() <= tolerance * known.abs().max()
    assert (of(start) - gradient).abs().max() <= tolerance * gradient.abs().max()
    assert len({v.place for step in program.steps for v in step.outputs if v is not None and v.rows != ATOMS}) < 11
