"""Rows of a result, split over threads.

A compiled function `f(start, stop, ...)` writes its own rows only, so the threads share nothing and the numbers do not
depend on how many there are. Plain Python threads serve, since the functions run without the GIL: no threading layer of
Numba is started, which could abort the process or fight with torch's OpenMP for the cores. As many threads are used as
torch is set to (`torch.set_num_threads`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch

__all__ = ["over_rows", "shares"]

_pools: dict[int, ThreadPoolExecutor] = {}
LEAST = 30_000  # numbers to compute before a second thread pays


def over_rows(function: Callable, rows: int, *args: object, work: int = 0, ends: np.ndarray | None = None) -> None:
    """function(start, stop, *args) over 0..rows. `work`: numbers computed in all; below `LEAST` one thread does it.

    ends (rows + 1,): running count of the work before each row (a row pointer), to split evenly; else rows count alike.
    """
    cuts = shares(rows, work, ends)
    if len(cuts) == 2:
        function(0, rows, *args)
        return
    others = [_pool(len(cuts) - 1).submit(function, a, b, *args) for a, b in pairwise(cuts[1:]) if a < b]
    function(cuts[0], cuts[1], *args)
    for other in others:
        other.result()


def shares(rows: int, work: int = 0, ends: np.ndarray | None = None) -> list[int]:
    """Where `over_rows` cuts: 0, ..., rows, a place more than there are threads at work."""
    threads = min(torch.get_num_threads(), rows)
    if threads < 2 or work < LEAST:
        return [0, rows]
    if ends is None:
        return [rows * t // threads for t in range(threads + 1)]
    inner = ends[0] + (ends[-1] - ends[0]) * np.arange(1, threads) / threads
    return [0, *np.searchsorted(ends, inner).clip(0, rows).tolist(), rows]


def _pool(threads: int) -> ThreadPoolExecutor:
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads - 1, thread_name_prefix="atomlab-kernels"))
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # threads do not survive a fork
