"""A potential small enough to train in a second, with everything that the training room asks of one."""

import numpy as np
import torch
from ase.build import bulk
from torch import nn

from atomlab.architectures.classical import StillingerWeber
from atomlab.architectures.trainable import Trainable, element_numbers
from atomlab.data import read
from atomlab.graph import Needs
from atomlab.kernels import segment_sum
from atomlab.potential import Card, Terms
from atomlab.training import State, fit


class Toy(Trainable):
    """A neural pair energy between embedded elements; per-atom energies through a second layer."""

    kind = "toy"

    def __init__(self, elements=(14,), heads=("default",), cutoff=4.0, width=8, dropout=0.0):
        elements = list(element_numbers(elements))
        config = {"elements": elements, "heads": list(heads), "cutoff": cutoff, "width": width, "dropout": dropout}
        super().__init__(config, Card(name="toy", elements=elements, heads=tuple(heads)))
        self.needs = Needs((cutoff,))
        self.embedding = nn.Parameter(torch.randn(len(elements), width))
        self.pair = nn.Sequential(nn.Linear(8 + 2 * width, 16), nn.SiLU(), nn.Linear(16, width))
        self.atom = nn.Sequential(nn.Linear(width, 16), nn.SiLU(), nn.Dropout(dropout), nn.Linear(16, len(heads)))

    def forward(self, graph):
        cutoff = self.config["cutoff"]
        species, e = self.species(graph), graph.edges[cutoff]
        r = graph.vectors(cutoff).norm(dim=1, keepdim=True)
        waves = torch.sin(r / cutoff * torch.pi * torch.arange(1, 9, dtype=r.dtype)) / r
        x = torch.cat([waves, self.embedding[species[e.i]], self.embedding[species[e.j]]], dim=1)
        smooth = (1 - (r / cutoff) ** 2) ** 3
        density = segment_sum(self.pair(x) * smooth, e.i, len(graph.numbers))
        energy, atoms = self.total(graph, species, self.by_head(self.atom(density), graph.head[graph.batch]))
        return Terms(energy, atoms, density)

    def parameter_groups(self):
        return {
            "embedding": [self.embedding],
            "interactions.0": list(self.pair.parameters()),
            "readouts": list(self.atom.parameters()),
        }

    def _inherit(self, parent, rows, source):
        self.embedding.copy_(parent.embedding[rows])
        self.pair.load_state_dict(parent.pair.state_dict())
        self.atom.load_state_dict(parent.atom.state_dict())


def frames(element="Si", n=6, seed=0, stress=False, constant=-1.5):
    """Rattled 8-atom diamond cells with Stillinger-Weber labels; the energies lie `constant` eV/atom lower."""
    rng, out = np.random.default_rng(seed), []
    teacher = StillingerWeber([element])
    for k in range(n):
        atoms = bulk(element, cubic=True)
        atoms.set_cell(atoms.cell * (1 + 0.02 * rng.standard_normal()), scale_atoms=True)
        atoms.positions += 0.15 * rng.standard_normal(atoms.positions.shape)
        work = atoms.copy()
        work.calc = teacher.calculator()
        atoms.info["REF_energy"] = work.get_potential_energy() + constant * len(atoms)
        atoms.arrays["REF_forces"] = work.get_forces()
        if stress:
            atoms.info["REF_stress"] = work.get_stress()
        atoms.info["config_type"] = "cold" if k % 2 else "hot"
        out.append(atoms)
    return out


def toy(elements=("Si",), seed=0, dtype=torch.float64, **config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Toy(elements=elements, **config).to(dtype)


def dataset(*args, **kw):
    return read(frames(*args, **kw))


def interrupted(plan, path, stop_at):
    """Events before and after: `plan()` is trained to step `stop_at`, saved in `path`, and gone on with afresh."""
    first = plan()
    state, before = State(first), []
    for event in fit(first, state):
        before.append(event)
        if state.step == stop_at:
            break
    state.save(path)
    torch.rand(5)  # what else happens in a process must not matter
    again = plan()
    return before, list(fit(again, State.load(path, again)))
