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


def missing() -> str:
    """Why these kernels cannot be used here; empty where they can."""
    return ""
