"""Kernels for the GPU, in Triton: one file per kind of operation.

Where a formula decides (`kernels/formula.py`), the kernels for values, first and second derivatives are made from it:
of rows by themselves (`pointwise.py`), or of edges, summed over those of each atom, bond or sender (`edgewise.py`).

State: every kernel agrees with the reference under Triton's interpreter (TRITON_INTERPRET=1, on the CPU) and compiles
to machine code for sm_80 and sm_90. None has run on a GPU yet, and nothing is known of their speed:
`tests/benchmarks/bench_gpu.py` measures both.
"""

import os
from importlib import import_module

import torch

__all__ = ["INTERPRETED", "LEFT_TO_TORCH", "load", "missing"]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # Triton reads it when it is imported
ROOMS = "angular classical contraction convolution harmonics layers manybody orbitals radial segments waves".split()

# Operations that stay torch's on a GPU, and why. Their derivatives of any order are torch's too. So are the matrix
# products of symmetric_contraction (couplings times weights), of dense, pair_dense and triplet_messages; a dense with
# nothing after it is torch's altogether. So is the copy of gather.
LEFT_TO_TORCH = {
    "element_linear": "a matrix product for each element, which cuBLAS does",
    "radial_network": "matrix products with a SiLU between them",
    "structure_attention": "matrix products and a softmax of padded structures, which cuBLAS and torch do",
    "orbital_waves": "a product with the envelope; gaussian_waves is ours",
    "embedded_orbitals": "a product of rows; orbital_sum is ours",
    "carried_orbitals": "a product and a sum of rows; orbital_sum and orbital_message are ours",
    "orbital_density": "a matrix product for each degree; the squares that follow are a small part",
    "zonal_parts": "polynomials, once for each graph",
    "spherical_waves": "its Bessel functions are ours",
    "half_edges": "whole numbers, once for each neighbour list",
}


def missing() -> str:
    """Why these kernels cannot be used here; empty where they can."""
    if INTERPRETED or torch.cuda.is_available():
        return ""
    return "needs a CUDA device (or TRITON_INTERPRET=1, which runs its kernels slowly on the CPU, for tests)"


def load() -> None:
    """Import the implementations, and Triton with them."""
    for room in ROOMS:
        import_module(f".{room}", __name__)


if not missing():  # else Triton's 0.2 s and 70 MB are saved
    load()
