"""Writers of the files that others' programs write, so that reading can bring the numbers back."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

KBAR = 1602.1766208  # per eV/Å^3


@pytest.fixture(autouse=True)
def notices_are_said_again(monkeypatch):
    """A notice is said once per process: each test starts with none said."""
    monkeypatch.setattr("atomlab.errors._said", set())


@pytest.fixture
def silicon():
    """Eight atoms with made-up labels under the names of this project."""
    rng = np.random.default_rng(0)
    frames = []
    for k in range(6):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.info.update(REF_energy=-40.0 - k / 3, REF_stress=rng.normal(size=6) / 100, config_type="ab"[k % 2])
        atoms.arrays["REF_forces"] = rng.normal(size=(8, 3))
        frames.append(atoms)
    return frames


@pytest.fixture
def water():
    atoms = molecule("H2O")
    atoms.info["energy"] = -14.2
    return atoms


def as_mlearn(atoms: Atoms) -> dict:
    """An entry of mlearn's JSON from a frame with REF_ labels."""
    s = -atoms.info["REF_stress"] * KBAR
    sites = [
        {"species": [{"element": e, "occu": 1}], "abc": f.tolist(), "xyz": x.tolist(), "label": e, "properties": {}}
        for e, f, x in zip(atoms.symbols, atoms.get_scaled_positions(wrap=False), atoms.positions)
    ]
    return {
        "structure": {
            "@module": "pymatgen.core.structure",
            "@class": "Structure",
            "charge": None,
            "lattice": {"matrix": atoms.cell.array.tolist()},
            "sites": sites,
        },
        "group": atoms.info.get("config_type", "x"),
        "element": atoms.get_chemical_symbols()[0],
        "num_atoms": len(atoms),
        "tag": "train",
        "description": "made by a test",
        "outputs": {
            "energy": atoms.info["REF_energy"],
            "forces": atoms.arrays["REF_forces"].tolist(),
            "virial_stress": [s[0], s[1], s[2], s[5], s[3], s[4]],  # xx yy zz xy yz zx
        },
    }


def write_mlearn(path, frames):
    path.write_text(json.dumps([as_mlearn(atoms) for atoms in frames]))
    return path


def _rows(array):
    return "".join(f"<v> {' '.join(f'{x:.10f}' for x in row)} </v>\n" for row in array)


def write_vasprun(path, frames):
    """The parts of a vasprun.xml that hold structures and labels, as VASP writes them (kB, compression positive)."""
    first = frames[0]
    atoms = "".join(f"<rc><c>{s}</c><c>1</c></rc>\n" for s in first.symbols)

    def structure(a, name=""):
        cell, scaled = _rows(a.cell.array), _rows(a.get_scaled_positions(wrap=False))
        return (
            f'<structure{name}><crystal><varray name="basis">{cell}</varray></crystal>'
            f'<varray name="positions">{scaled}</varray></structure>'
        )

    def energy(a):
        e = a.info["REF_energy"]
        return (
            f'<energy><i name="e_fr_energy">{e - 0.01:.8f}</i><i name="e_wo_entrp">{e:.8f}</i>'
            f'<i name="e_0_energy">{e:.8f}</i></energy>'
        )

    def full(a):
        xx, yy, zz, yz, xz, xy = -a.info["REF_stress"] * KBAR
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])

    steps = "".join(
        f'<calculation><scstep>{energy(a)}</scstep>{structure(a)}<varray name="forces">{_rows(a.arrays["REF_forces"])}'
        f'</varray><varray name="stress">{_rows(full(a))}</varray>{energy(a)}</calculation>\n'
        for a in frames
    )
    path.write_text(
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n'
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1.0</v></varray></kpoints>\n'
        '<parameters><i name="PSTRESS">0.0</i></parameters>\n'
        f'<atominfo><atoms>{len(first)}</atoms><array name="atoms"><set>{atoms}</set></array></atominfo>\n'
        f"{structure(first, ' name=' + chr(34) + 'initialpos' + chr(34))}\n{steps}</modeling>\n"
    )
    return path


def write_outcar(path, frames):
    """The parts of an OUTCAR that hold structures and labels."""
    symbol, n = frames[0].get_chemical_symbols()[0], len(frames[0])
    lines = [
        " vasp.6.3.0 20Jan22", f" POTCAR:    PAW_PBE {symbol} 05Jan2001", f" POTCAR:    PAW_PBE {symbol} 05Jan2001",
        "   ISPIN  =      1    spin polarized calculation?", f"   ions per type =              {n}",
        "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      1",
        " k-points in reciprocal lattice and weights: Gamma", "   0.00000000  0.00000000  0.00000000       1.000", "",
    ]  # fmt: skip
    for k, a in enumerate(frames):
        xx, yy, zz, yz, xz, xy = -a.info["REF_stress"] * KBAR
        e = a.info["REF_energy"]
        lines += [
            f"--------------------------------------- Iteration {k + 1:6d}(   1)  -----------------------------------",
            "  in kB  " + " ".join(f"{x:14.6f}" for x in (xx, yy, zz, xy, yz, xz)),
            "      direct lattice vectors                 reciprocal lattice vectors",
            *(" ".join(f"{x:15.9f}" for x in (*row, 0.0, 0.0, 0.0)) for row in a.cell.array), "",
            " POSITION                                       TOTAL-FORCE (eV/Angst)", " " + "-" * 83,
            *(" ".join(f"{x:14.8f}" for x in (*x3, *f3)) for x3, f3 in zip(a.positions, a.arrays["REF_forces"])),
            " " + "-" * 83, "    total drift:    0.0 0.0 0.0", "",
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", "  " + "-" * 51,
            f"  free  energy   TOTEN  =      {e - 0.01:.8f} eV", "",
            f"  energy  without entropy=     {e:.8f}  energy(sigma->0) =     {e:.8f}", "",
        ]  # fmt: skip
    path.write_text("\n".join([*lines, " General timing and accounting informations for this job:", ""]))
    return path
