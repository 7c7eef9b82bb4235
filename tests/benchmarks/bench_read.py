"""How long a 60 MB extended XYZ takes to come in: ours and ASE's reader, small molecules and cells of 64 atoms.

CPU seconds of one thread: `make bench`, or `python tests/benchmarks/bench_read.py [--quick | MB]`.
"""

import sys
import tempfile
import time
from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk, molecule

import atomlab
from atomlab.data.formats import write_extxyz


def frames(make, megabytes):
    rng, one = np.random.default_rng(0), make()
    size = 110 * len(one) + 200  # bytes of a frame, roughly
    for k in range(int(1e6 * megabytes / size)):
        atoms = one.copy()
        atoms.positions += rng.normal(size=atoms.positions.shape) / 50
        atoms.arrays["forces"] = rng.normal(size=atoms.positions.shape)
        atoms.info.update(energy=-float(k) / 7, config_type="bench")
        yield atoms


def timed(what, function):
    start = time.process_time()
    n = len(function())
    print(f"  {what:12s} {time.process_time() - start:6.1f} s CPU, {n} structures", flush=True)


def main(megabytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.extxyz"
        for name, make in (
            ("Ge64", lambda: bulk("Ge", cubic=True).repeat(2)),
            ("ethanol", lambda: molecule("CH3CH2OH")),
        ):
            start = time.process_time()
            write_extxyz(path, frames(make, megabytes))
            print(f"{name}: {path.stat().st_size / 1e6:.0f} MB, written in {time.process_time() - start:.1f} s CPU")
            timed("atomlab.read", lambda: atomlab.read(path))
            timed("ase.io.read", lambda: ase.io.read(path, ":"))


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else "60"
    main(2.0 if given == "--quick" else float(given))
