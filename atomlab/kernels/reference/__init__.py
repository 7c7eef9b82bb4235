"""Every operation's specification in plain torch, one file per kind."""

from .angular import edge_lengths, triplet_cosines, triplet_messages
from .attention import structure_attention
from .classical import lennard_jones, morse, stillinger_weber_three, stillinger_weber_two
from .contraction import element_linear, symmetric_contraction
from .convolution import edge_convolution, half_edges, pair_sum
from .dense import activated, dense, gated, pair_dense
from .harmonics import spherical_harmonics
from .manybody import (
    many_body_spherical,
    many_body_three,
    many_body_two,
    pair_inputs,
    safe_norm,
    tanh_powers,
    torsion_cosines,
    triplet_powers,
)
from .orbitals import (
    carried_orbitals,
    cosine_envelope,
    embedded_orbitals,
    gaussian_waves,
    monomials,
    orbital_density,
    orbital_message,
    orbital_sum,
    orbital_waves,
)
from .perceptron import radial_network
from .radial import agnesi_transform, bessel, polynomial_envelope, soft_transform, zbl
from .segments import gather, segment_sum
from .waves import spherical_bessel, spherical_waves, zonal_harmonics, zonal_messages, zonal_parts

__all__ = [
    "lennard_jones",
    "morse",
    "stillinger_weber_three",
    "stillinger_weber_two",
    "many_body_spherical",
    "many_body_three",
    "many_body_two",
    "pair_inputs",
    "safe_norm",
    "tanh_powers",
    "torsion_cosines",
    "triplet_powers",
    "spherical_harmonics",
    "gather",
    "segment_sum",
    "edge_lengths",
    "triplet_cosines",
    "triplet_messages",
    "structure_attention",
    "spherical_bessel",
    "zonal_harmonics",
    "spherical_waves",
    "zonal_messages",
    "zonal_parts",
    "carried_orbitals",
    "cosine_envelope",
    "embedded_orbitals",
    "gaussian_waves",
    "monomials",
    "orbital_density",
    "orbital_message",
    "orbital_sum",
    "orbital_waves",
    "agnesi_transform",
    "bessel",
    "polynomial_envelope",
    "soft_transform",
    "zbl",
    "half_edges",
    "radial_network",
    "pair_sum",
    "edge_convolution",
    "activated",
    "dense",
    "gated",
    "pair_dense",
    "element_linear",
    "symmetric_contraction",
]
