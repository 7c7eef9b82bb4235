"""Kernels for the CPU, compiled by Numba: one file per kind of operation, their loops as templates in `loops/`."""

from . import contraction, convolution, gates, products, segments

__all__ = ["contraction", "convolution", "gates", "missing", "products", "segments"]


def missing() -> str:
    """Why these kernels cannot be used here; empty where they can."""
    return ""
