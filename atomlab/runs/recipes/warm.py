"""What a worker does before anyone waits for it: everything that happens once in a process."""

from __future__ import annotations

import torch
from ase.build import bulk

from ...architectures import create
from ...build import build
from ...potential import outputs
from . import finetune, md

__all__ = ["warm"]


def warm() -> None:
    """Import the first tasks, and take one step of a tiny training.

    The first optimiser of a process imports torch's compiler (a second, 70 MB), the first backward starts its threads.
    """
    assert finetune.run
    assert md.run
    potential = create("mace", elements=[14], channels=2, l_edges=1, correlation=1, radial_hidden=[2])
    optimiser = torch.optim.Adam(potential.parameters(), amsgrad=True)
    graph = build(bulk("Si"), potential.needs).to(dtype=potential.dtype)
    out = outputs(potential, graph, ("energy", "forces", "stress"), create_graph=True)
    (out.energy.sum() + out.forces.square().sum()).backward()
    optimiser.step()
