"""Neighbour lists: ours (vesin's search, sorted, mirrored and paired), vesin alone, matscipy and ASE.

    .venv-parity/bin/python tests/benchmarks/against_lists.py [--quick]

Full lists of pairs with their shifts, rattled silicon, 5 and 6 Å; ours gives more (sorted by receiver, the reverse of
each pair, vectors). `ours skin` is a step of the skin list: no search, the list filtered to the cutoff.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from ase.neighborlist import primitive_neighbor_list
from shapes import silicon
from side import alternate, arguments, one_thread, quiet, say, summary, write
from vesin import NeighborList

from atomlab.neighbours import SkinList, pairs


def row(atoms, cutoff: float, quick: bool) -> dict:
    """Times of one structure at one cutoff."""
    positions, cell, pbc = atoms.positions, np.asarray(atoms.cell.array), atoms.pbc
    search, skin = NeighborList(cutoff=cutoff, full_list=True, n_threads=1), SkinList(cutoff, 0.5)
    calls = {
        "ours": lambda: pairs(positions, cell, pbc, cutoff).i,
        "ours skin": lambda: skin(positions, cell, pbc).i,
        "vesin": lambda: search.compute(positions, cell, pbc, quantities="ijS")[0],
        "ase": lambda: primitive_neighbor_list("ijS", pbc, cell, positions, cutoff)[0],
    }
    if find_spec("matscipy"):
        from matscipy.neighbours import neighbour_list

        calls["matscipy"] = lambda: neighbour_list("ijS", atoms, cutoff)[0]
    counts = {name: len(call()) for name, call in calls.items()}
    if len(set(counts.values())) != 1:
        raise RuntimeError(f"the lists differ in length: {counts}")
    times = alternate(calls, seconds=20, quick=quick)
    made = {"case": "lists", "shape": f"{cutoff:g} Å", "dtype": "float64", "system": f"Si {len(atoms)}"}
    return {**made, **summary(times), "pairs": counts["ours"]}


def main() -> None:
    """All sizes."""
    given = arguments(__doc__.split("\n")[0])
    quiet()
    one_thread()
    rows = []
    for n in (8, 64) if given.quick else (8, 64, 512, 4096, 10648):
        for cutoff in (5.0, 6.0):
            rows.append(row(silicon(n), cutoff, given.quick))
            say(rows[-1], "ase")
    write("against_lists", rows, given)


if __name__ == "__main__":
    main()
