"""Checks of what a model has learned, and of what it costs."""

from __future__ import annotations

import time

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ...build import build
from ...potential import outputs
from .registry import Finding, Subject, check, judged
from .structures import crystal, dimer, nearest_distance, random_cell


@check
def isolated_atoms(subject: Subject) -> Finding:
    """An atom without neighbours has the energy E0 that the model holds for it."""
    table = getattr(subject.potential, "atomic_energies", None)
    apart = {z: subject.energy(Atoms([z], [[0, 0, 0]])) for z in subject.elements}
    if table is None:
        text = ", ".join(f"{chemical_symbols[z]} {e:.4f} eV" for z, e in apart.items())
        return Finding("isolated_atoms", "not claimed", f"the model holds no E0; isolated atoms have {text}")
    known = list(subject.potential.card.elements)
    off = {z: e - float(table[0, known.index(z)]) for z, e in apart.items()}
    worst = max(map(abs, off.values()))
    listed = ", ".join(f"{chemical_symbols[z]} {o:+.3g} eV" for z, o in off.items())
    text = f"isolated atoms differ from E0 by {listed}"
    return judged("isolated_atoms", worst, 1e-6, text)


@check
def dimers(subject: Subject) -> Finding:
    """Two atoms pushed into each other are repelled: the dimer curve rises down to half the touching distance."""
    curves, holes = {}, []
    for k, a in enumerate(subject.elements):
        for b in subject.elements[k:]:
            touch = nearest_distance(a, b)
            r = np.linspace(0.5 * touch, max(2.5 * touch, subject.potential.cutoff), 60)
            e = np.array([subject.energy(dimer(a, b, x)) for x in r])
            name = chemical_symbols[a] + chemical_symbols[b]
            curves[name] = {"r": r.tolist(), "e": (e - e[-1]).tolist()}
            inner = e[r < 0.8 * touch]
            if (np.diff(inner) > 0).any():
                holes.append(name)
    text = (
        "all dimer curves rise at short distance"
        if not holes
        else f"the curve falls at short distance for {', '.join(holes)}"
    )
    return Finding("dimers", "fail" if holes else "pass", text, float(len(holes)), 0.0, curves)


@check
def compression(subject: Subject) -> Finding:
    """Energy per atom rises under uniform compression of crystalline and random structures: no holes."""
    curves, holes = {}, []
    scales = np.linspace(0.6, 1.0, 21)
    for name, atoms in (("crystal", crystal(subject.elements[0])), ("random", random_cell(subject.elements, seed=8))):
        e = []
        for s in scales:
            other = atoms.copy()
            other.set_cell(atoms.cell * s, scale_atoms=True)
            e.append(subject.energy(other) / len(atoms))
        curves[name] = {"scale": scales.tolist(), "e": e}
        squeezed = np.array(e)[scales < 0.85]
        if (np.diff(squeezed) > 0).any() or not np.isfinite(e).all():
            holes.append(name)
    text = (
        "energy rises down to 0.6 of the length" if not holes else f"energy falls under compression: {', '.join(holes)}"
    )
    return Finding("compression", "fail" if holes else "pass", text, float(len(holes)), 0.0, curves)


@check
def elements(subject: Subject) -> Finding:
    """Which elements the card names."""
    known = subject.potential.card.elements
    text = (
        f"{len(known)} elements: "
        + ", ".join(chemical_symbols[z] for z in known[:12])
        + ("" if len(known) < 13 else " ...")
    )
    return Finding("elements", "pass" if known else "fail", text, float(len(known)), curve={"numbers": list(known)})


@check
def speed(subject: Subject) -> Finding:
    """Energy and forces of 64 or 108 atoms, as the model was loaded, on this machine."""
    cell = crystal(subject.elements[0], rattle=0.05, seed=9)
    atoms = cell.repeat(2 if len(cell) == 8 else 3)
    graph = build(atoms, subject.original.needs).to(subject.original.device, subject.original.dtype)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        outputs(subject.original, graph)
        times.append(time.perf_counter() - start)
    ms = 1000 * float(np.median(times[1:]))
    kind = str(subject.original.dtype).removeprefix("torch.")
    place = subject.original.device.type
    text = f"{ms / len(atoms):.3g} ms per atom for {len(atoms)} atoms ({ms:.3g} ms, {kind}, {place})"
    return Finding("speed", "pass", text, ms / len(atoms))
