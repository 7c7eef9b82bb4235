"""What a check is, and how the list of them is run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from ase import Atoms

from ...build import build
from ...potential import Outputs, Potential, outputs
from .structures import cluster, crystal, probe_elements, random_cell

__all__ = ["CHECKS", "Finding", "Subject", "check", "health", "judged"]


@dataclass
class Finding:
    """What one check found. `status` is 'pass', 'fail' or 'not claimed'; `curve` holds what a picture needs."""

    name: str
    status: str
    text: str
    value: float | None = None
    limit: float | None = None
    curve: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Plain JSON data."""
        return asdict(self)


class Subject:
    """The potential under test, in float64, and the elements that it is probed with."""

    def __init__(self, potential: Potential, elements: Sequence[int] | None = None):
        self.original = potential
        self.potential = (
            copy.deepcopy(potential).to(torch.float64) if any(True for _ in potential.parameters()) else potential
        ).eval()  # a dropout must not make findings random
        self.elements = probe_elements(potential.card.elements, elements)

    def outputs(self, atoms: Atoms | Sequence[Atoms], *want: str) -> Outputs:
        """Energy and what else is wanted, in float64."""
        return outputs(self.potential, build(atoms, self.potential.needs), ("energy", *want))

    def energy(self, atoms: Atoms) -> float:
        """Energy of one structure in eV."""
        return float(self.outputs(atoms).energy[0])

    def probes(self) -> list[Atoms]:
        """A rattled crystal, a random cell of all probed elements and a cluster."""
        return [
            crystal(self.elements[0], rattle=0.08, seed=1),
            random_cell(self.elements, seed=2),
            cluster(self.elements, seed=3),
        ]


Check = Callable[[Subject], Finding]
CHECKS: dict[str, Check] = {}


def check(function: Check) -> Check:
    """Add a check to the list, under its function's name."""
    CHECKS[function.__name__] = function
    return function


def health(potential: Potential, elements: Sequence[int] | None = None, only: Sequence[str] = ()) -> Iterator[Finding]:
    """Run the checks one after another; a check that breaks is a finding that says why, and the rest go on."""
    subject = Subject(potential, elements)
    for name in only or CHECKS:
        try:
            yield CHECKS[name](subject)
        except (ArithmeticError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
            yield Finding(name, "fail", f"The check could not be finished: {type(error).__name__}: {error}")


def judged(name: str, value: float, limit: float, text: str, **kw) -> Finding:
    """Pass where the value is within its limit."""
    return Finding(name, "pass" if value <= limit else "fail", text, float(value), limit, **kw)
