"""A potential with features that one can compute by hand: radial Gaussians by element, dipoles, and one message."""

import torch

from atomlab.architectures.mace import FeatureBlock
from atomlab.graph import Needs
from atomlab.kernels import gather, segment_sum
from atomlab.potential import Card, Potential, Terms

CUTOFF, WIDTH = 4.0, 6


class Toy(Potential):
    """Two layers of `WIDTH` invariants; the first is followed by 3 * WIDTH numbers that turn with the structure."""

    kind = "toy"
    needs = Needs((CUTOFF,))
    feature_layout = (
        FeatureBlock(0, 0, 0, WIDTH),
        FeatureBlock(0, 1, WIDTH, 4 * WIDTH),
        FeatureBlock(1, 0, 4 * WIDTH, 5 * WIDTH),
    )

    def __init__(self, dtype=torch.float64, elements=(1, 6, 8, 14, 32)):
        super().__init__({}, Card(name="toy", elements=elements))
        self.centres = torch.nn.Parameter(torch.linspace(1.0, 3.5, WIDTH, dtype=dtype))

    def forward(self, graph):
        e, d = graph.edges[CUTOFF], graph.vectors(CUTOFF)
        r = d.norm(dim=1)
        fade = (1 - r / CUTOFF) ** 2
        element = 1.0 + 0.1 * gather(graph.numbers, e.j).to(r.dtype)
        radial = torch.exp(-4 * (r[:, None] - self.centres) ** 2) * (fade * element)[:, None]
        size = len(graph.numbers)
        own = 0.05 * graph.numbers.to(r.dtype)[:, None]
        first = segment_sum(radial, e.i, size) + own
        dipole = segment_sum(radial[:, :, None] * (d / r[:, None])[:, None, :], e.i, size)
        second = segment_sum(gather(first, e.j) * radial, e.i, size) + (dipole**2).sum(2)
        features = torch.cat([first, dipole.flatten(1), second], 1)
        atoms = (first.sum(1) + second.sum(1)).double()
        readout = torch.cat([first, second], 1)
        return Terms(segment_sum(atoms, graph.batch, graph.size), atoms, features, readout)
