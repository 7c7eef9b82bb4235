"""Checks of what mathematics promises; they hold for random weights too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms

from .registry import Finding, Subject, check, judged
from .structures import cluster, crystal, dimer


def _slope(energy: Callable[[float], float], h: float) -> float:
    """Derivative at 0 by differences of fourth order: a steep model is not blamed for the error of a difference."""
    near, far = energy(h) - energy(-h), energy(2 * h) - energy(-2 * h)
    return (8 * near - far) / (12 * h)


@check
def forces(subject: Subject) -> Finding:
    """Forces are minus the slope of the energy (central differences, float64)."""
    worst = 0.0
    for atoms in subject.probes():
        f = subject.outputs(atoms, "forces").forces.numpy()
        for a, x in ((0, 0), (len(atoms) - 1, 2)):

            def energy(step: float, atoms=atoms, a=a, x=x) -> float:
                other = atoms.copy()
                other.positions[a, x] += step
                return subject.energy(other)

            worst = max(worst, abs(f[a, x] + _slope(energy, 1e-4)) / max(1.0, np.abs(f).max()))
    return judged("forces", worst, 1e-5, f"forces differ from -dE/dx by at most {worst:.1e} of the largest force")


@check
def stress(subject: Subject) -> Finding:
    """The virial is minus the slope of the energy in the strain."""
    worst = 0.0
    for atoms in subject.probes()[:2]:
        virial = subject.outputs(atoms, "virial").virial[0].numpy()
        for a, b in ((0, 0), (0, 1)):

            def energy(step: float, atoms=atoms, a=a, b=b) -> float:
                strain = np.eye(3)
                strain[a, b] += step / 2
                strain[b, a] += step / 2
                other = atoms.copy()
                other.set_cell(atoms.cell.array @ strain, scale_atoms=True)
                return subject.energy(other)

            worst = max(worst, abs(virial[a, b] + _slope(energy, 1e-5)) / max(1.0, np.abs(virial).max()))
    return judged(
        "stress", worst, 1e-5, f"the virial differs from -dE/dstrain by at most {worst:.1e} of its largest element"
    )


@check
def rotation(subject: Subject) -> Finding:
    """A rotated structure has the same energy and rotated forces."""
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    worst = 0.0
    for atoms in subject.probes():
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ q.T)
        turned.positions = atoms.positions @ q.T
        a, b = subject.outputs(atoms, "forces"), subject.outputs(turned, "forces")
        worst = max(worst, abs(float(a.energy - b.energy)), np.abs(a.forces.numpy() @ q.T - b.forces.numpy()).max())
    return judged(
        "rotation", worst, 1e-6, f"energy (eV) and forces (eV/Å) change by at most {worst:.1e} under rotation"
    )


@check
def translation_and_order(subject: Subject) -> Finding:
    """Moving the whole structure, wrapping atoms, or numbering them differently changes nothing."""
    worst = 0.0
    for k, atoms in enumerate(subject.probes()):
        order = np.random.default_rng(k).permutation(len(atoms))
        other = atoms[order]
        other.positions += [0.3, -1.7, 12.1]
        other.wrap()
        a, b = subject.outputs(atoms, "forces"), subject.outputs(other, "forces")
        worst = max(worst, abs(float(a.energy - b.energy)), float((a.forces[order] - b.forces).abs().max()))
    return judged("translation_and_order", worst, 1e-6, f"energy and forces change by at most {worst:.1e} eV, eV/Å")


@check
def batch(subject: Subject) -> Finding:
    """A batch gives what its members give alone."""
    frames = subject.probes()
    whole, start, worst = subject.outputs(frames, "forces"), 0, 0.0
    for k, atoms in enumerate(frames):
        one = subject.outputs(atoms, "forces")
        worst = max(worst, abs(float(whole.energy[k] - one.energy[0])))
        worst = max(worst, float((whole.forces[start : start + len(atoms)] - one.forces).abs().max()))
        start += len(atoms)
    return judged("batch", worst, 1e-7, f"a batch differs from its members by at most {worst:.1e} eV, eV/Å")


@check
def extensivity(subject: Subject) -> Finding:
    """A supercell of n cells has n times the energy."""
    atoms = crystal(subject.elements[0], rattle=0.08, seed=1)
    one = subject.energy(atoms) / len(atoms)
    sizes = [(2, 1, 1), (2, 2, 1), (2, 2, 2)]
    effect = [1000 * (subject.energy(atoms.repeat(s)) / (len(atoms) * int(np.prod(s))) - one) for s in sizes]
    worst = max(map(abs, effect))
    text = f"supercells of 2, 4, 8 cells differ by {', '.join(f'{e:+.3g}' for e in effect)} meV/atom"
    curve = {"cells": [2, 4, 8], "effect": effect}
    if not subject.potential.card.extensive:
        return Finding(
            "extensivity", "not claimed", text + "; its card says that it is not extensive", worst, 1e-3, curve
        )
    return judged("extensivity", worst, 1e-3, text, curve=curve)


@check
def locality(subject: Subject) -> Finding:
    """Two fragments far apart add up."""
    a, b = cluster(subject.elements, 5, seed=5), cluster(subject.elements, 4, seed=6)
    far = b.copy()
    far.positions += [0, 0, 50.0 + 4 * subject.potential.cutoff]
    effect = subject.energy(a + far) - subject.energy(a) - subject.energy(b)
    text = f"two distant fragments differ from their sum by {1000 * effect:+.3g} meV"
    if not subject.potential.card.local:
        return Finding("locality", "not claimed", text + "; its card says that it is not local", abs(effect), 1e-6)
    return judged("locality", abs(effect), 1e-6, text)


@check
def continuity(subject: Subject) -> Finding:
    """Energy and forces do not jump where a pair crosses a cutoff, alone and inside a cluster."""
    cutoffs = sorted({*subject.potential.needs.cutoffs, *(c for key in subject.potential.needs.triplets for c in key)})
    worst, where, jumps = 0.0, 0.0, []
    for cutoff in cutoffs:
        jump = max(_jump(subject, cutoff, a) for a in (dimer(subject.elements[0], subject.elements[0], 1.0), None))
        jumps.append(jump)
        if jump >= worst:
            worst, where = jump, cutoff
    text = f"the largest jump at a cutoff is {1000 * worst:.3g} meV" + (f", at {where:g} Å" if cutoffs else "")
    return judged("continuity", worst, 1e-5, text, curve={"cutoff": cutoffs, "jump": jumps})


def _jump(subject: Subject, cutoff: float, atoms: Atoms | None) -> float:
    """Change of the energy in eV between a pair just inside and just outside the cutoff, less its slope."""
    delta = 1e-6
    if atoms is None:
        atoms = cluster(subject.elements, 6, seed=7)
        outward = atoms.positions[-1] - atoms.positions[0]
    else:
        outward = np.array([0.0, 0.0, 1.0])
    outward = outward / np.linalg.norm(outward)
    energies = []
    for r in (cutoff - 3 * delta, cutoff - delta, cutoff + delta, cutoff + 3 * delta):
        atoms.positions[-1] = atoms.positions[0] + r * outward
        energies.append(subject.energy(atoms))
    slope = 0.5 * (energies[1] - energies[0] + energies[3] - energies[2])
    return abs(energies[2] - energies[1] - slope)
