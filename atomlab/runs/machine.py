"""What this machine bears: cores and memory that this process may use, also inside a container."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["cores", "memory", "threads"]


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory that this process may use: of the machine, or the limit of its container."""
    limits = [1 << 62]
    with contextlib.suppress(OSError, ValueError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def threads() -> int:
    """Threads of a run that names no number: OMP_NUM_THREADS, else one less than the cores.

    One core stays for the browser and the notebook. A thread that waits for a busy core makes all others wait too: two
    threads beside other work on two cores were four times slower than one.
    """
    with contextlib.suppress(ValueError):
        return max(1, int(os.environ.get("OMP_NUM_THREADS", "")))
    return max(1, cores() - 1)
