"""Memory of a process that asks for the same hundreds of MB again and again."""

from __future__ import annotations

import ctypes
import platform

__all__ = ["keep_freed"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # the numbers of glibc's mallopt


def keep_freed() -> bool:
    """Let freed memory stay with this process until it ends; whether that could be had (glibc only).

    Otherwise a training step gives its large tensors back to the system and gets fresh pages for the next ones, which
    cost a fault each: up to a quarter of a step of MACE with 128 channels. For processes that end with their work.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all([libc.mallopt(_MMAP_MAX, 0), libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1), libc.mallopt(_TOP_PAD, 2**26)])
