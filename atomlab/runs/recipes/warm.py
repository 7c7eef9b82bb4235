"""What happens once: in a process before anyone waits for it, and on a machine when its kernels are compiled."""

from __future__ import annotations

import torch
from ase.build import bulk

from ... import checkpoint
from ...build import build
from ...kernels import steady
from ...potential import Potential, outputs
from . import finetune, md

__all__ = ["practise", "warm"]


def warm() -> None:
    """Import the first tasks, and take one step of everything with the model that the Lab opens with.

    The first optimiser of a process imports torch's compiler (a second, 70 MB), the first backward starts its threads,
    and the first use of kernels loads them, or compiles them where this machine has not done so yet.
    """
    assert finetune.run
    assert md.run
    practise(checkpoint.load(checkpoint.FIRST, dtype="float32"))


def practise(potential: Potential) -> None:
    """One step of a training and one of a dynamics: afterwards the kernels that the model needs are on this machine."""
    atoms = bulk("Si", cubic=True)
    atoms.numbers[:] = [potential.card.elements[k % len(potential.card.elements)] for k in range(len(atoms))]
    optimiser = torch.optim.Adam(
        [p for p in potential.parameters() if p.requires_grad] or [torch.zeros(1)], amsgrad=True
    )
    graph = build(atoms, potential.needs).to(potential.device, potential.dtype)
    with steady():
        out = outputs(potential, graph, ("energy", "forces", "stress"), create_graph=True)
        loss = out.energy.sum() + out.forces.square().sum()
        if loss.requires_grad:
            loss.backward()
        optimiser.step()
        outputs(potential, graph, ("energy", "forces", "stress", "features"))
