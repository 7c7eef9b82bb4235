"""Every operation's specification in plain torch, one file per kind."""

from .angular import edge_lengths, sine_basis, triplet_cosines
from .attention import structure_attention
from .classical import lennard_jones, morse, stillinger_weber_three, stillinger_weber_two
from .orbitals import cosine_envelope, gaussian_waves, monomials, orbital_density, orbital_sum
from .segments import gather, segment_sum

__all__ = [
    "lennard_jones",
    "morse",
    "stillinger_weber_three",
    "stillinger_weber_two",
    "gather",
    "segment_sum",
    "edge_lengths",
    "sine_basis",
    "triplet_cosines",
    "structure_attention",
    "cosine_envelope",
    "gaussian_waves",
    "monomials",
    "orbital_density",
    "orbital_sum",
]
