"""Kernels for the CPU, compiled by Numba: one file per kind of operation, their loops as templates in `loops/`."""

from . import (
    classical,
    contraction,
    convolution,
    densities,
    gates,
    harmonics,
    layers,
    manybody,
    matrices,
    monomials,
    orbitals,
    perceptron,
    products,
    radial,
    segments,
    triplets,
    waves,
)

__all__ = [
    "LEFT_TO_TORCH",
    "classical",
    "contraction",
    "convolution",
    "densities",
    "gates",
    "harmonics",
    "layers",
    "manybody",
    "matrices",
    "missing",
    "monomials",
    "orbitals",
    "perceptron",
    "products",
    "radial",
    "segments",
    "triplets",
    "waves",
]


# Operations that stay torch's on a CPU, and why. Shares are of a training step of GPTFF v2 on 64 atoms of silicon.
LEFT_TO_TORCH = {
    "triplet_cosines": "0.2 % of a training step; a pass without autograd has its own (`angles`)",
    "structure_attention": "1 % of a training step, with dropout; a pass without autograd has its own (`encoder`)",
    "half_edges": "whole numbers, 0.02 ms for each neighbour list; MACE's pass orders its edges itself",
    "safe_norm": "five operations, which no kernel outruns",
    "cosine_envelope": "a few operations once for each graph; orbital_waves is ours",
    "gaussian_waves": "orbital_waves is ours",
    "orbital_sum": "embedded_orbitals and carried_orbitals are ours",
    "spherical_bessel": "spherical_waves is ours",
    "zonal_harmonics": "zonal_parts is ours",
}


def missing() -> str:
    """Why these kernels cannot be used here; empty where they can."""
    return ""
