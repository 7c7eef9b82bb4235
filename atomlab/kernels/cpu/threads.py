"""Rows of a result, split over threads.

A compiled function `f(start, stop, ...)` writes its own rows only, so the threads share nothing and the numbers do not
depend on how many there are. Plain Python threads serve, since the functions run without the GIL: no threading layer of
Numba is started, which could abort the process or fight with torch's OpenMP for the cores. As many threads are used as
torch is set to (`torch.set_num_threads`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch

__all__ = ["over_rows", "shares"]

# Operations before a second thread pays. A core does about 20 in a nanosecond where they are vectors (0.01 to 0.1 ns
# each was measured; scalar loops count theirs 10 to 100 times), and handing work to a thread that sleeps takes 10 to
# 60 µs of both: this is some 100 µs of work.
LEAST = 2_000_000
_idle: list[_Worker] = []
_made = 0
_lock = threading.Lock()


class _Worker:
    """A thread that does one thing at a time and sleeps in between. Two locks wake it in half the time of a queue."""

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._call: Callable[[], None] | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._serve, daemon=True, name="atomlab-kernels").start()

    def _serve(self) -> None:
        while True:
            self._go.acquire()
            assert self._call is not None
            try:
                self._call()
            except BaseException as error:  # the thread's one way to tell
                self._error = error
            self._call = None  # arrays are not held while it sleeps
            self._done.release()

    def start(self, call: Callable[[], None]) -> None:
        """Do this; `wait` before the next."""
        self._call = call
        self._go.release()

    def wait(self) -> BaseException | None:
        """Until it is done; what went wrong."""
        self._done.acquire()
        error, self._error = self._error, None
        return error


def over_rows(function: Callable, rows: int, *args: object, work: int = 0, ends: np.ndarray | None = None) -> None:
    """function(start, stop, *args) over 0..rows. `work`: operations in all; below `LEAST` one thread does it.

    ends (rows + 1,): running count of the work before each row (a row pointer), to split evenly; else rows count alike.
    """
    cuts = shares(rows, work, ends)
    if len(cuts) == 2:
        function(0, rows, *args)
        return
    busy, mine = [], [(cuts[0], cuts[1])]
    try:
        for a, b in pairwise(cuts[1:]):
            worker = _free(len(cuts) - 2) if a < b else None
            if worker is not None:
                worker.start(partial(function, a, b, *args))
                busy.append(worker)
            elif a < b:  # the others serve another Python thread
                mine.append((a, b))
        for a, b in mine:
            function(a, b, *args)
    finally:
        errors = [worker.wait() for worker in busy]  # they write to what the caller owns
        _idle.extend(busy)
    for error in errors:
        if error is not None:
            raise error


def shares(rows: int, work: int = 0, ends: np.ndarray | None = None) -> list[int]:
    """Where `over_rows` cuts: 0, ..., rows, a place more than there are threads at work."""
    threads = min(torch.get_num_threads(), rows)
    if threads < 2 or work < LEAST:
        return [0, rows]
    if ends is None:
        return [rows * t // threads for t in range(threads + 1)]
    inner = ends[0] + (ends[-1] - ends[0]) * np.arange(1, threads) / threads
    return [0, *np.searchsorted(ends, inner).clip(0, rows).tolist(), rows]


def _free(most: int) -> _Worker | None:
    """A thread with nothing to do, if there are or may be so many."""
    global _made
    with _lock:
        if _idle:
            return _idle.pop()
        if _made >= most:
            return None
        _made += 1
    return _Worker()


def _forget() -> None:
    """Threads do not survive a fork."""
    global _made, _lock
    _made, _lock = 0, threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
