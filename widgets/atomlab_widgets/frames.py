"""Where frames come from: the data set or a run's trajectory; and how they are turned for the viewer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Frame:
    """What the 3D view needs. positions (n,3) Å, cell (3,3) Å or zeros, forces (n,3) eV/Å or None."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: np.ndarray
    forces: np.ndarray | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # energy eV, name, time_fs ...

    @property
    def formula(self) -> str:
        from ase.formula import Formula

        return Formula.from_list([SYMBOLS[z] for z in self.numbers]).format("hill") if len(self.numbers) else ""


SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br "
    "Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh "
    "Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og "
).split()


def of_atoms(atoms: Any, **facts: Any) -> Frame:
    """A Frame from ase.Atoms, with REF_* labels where it has them."""
    forces = atoms.arrays.get("REF_forces", atoms.arrays.get("forces"))
    if "REF_energy" in atoms.info:
        facts.setdefault("energy", float(atoms.info["REF_energy"]))
    return Frame(atoms.numbers, atoms.positions, np.asarray(atoms.cell), np.asarray(atoms.pbc), forces, facts)


def turned(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n,3) and cell parameters (6: a, b, c in Å, angles in degrees) in the viewer's orientation.

    A file format that knows only lengths and angles draws the cell with a along x: positions must be turned with it,
    or atoms of a triclinic cell stand outside of their box.
    """
    if abs(np.linalg.det(frame.cell)) < 1e-8:
        return frame.positions, np.zeros(6)
    from ase.cell import Cell

    cell = Cell(frame.cell)
    rotation = cell.standard_form()[1]
    return frame.positions @ rotation.T, np.asarray(cell.cellpar())


def pdb(frame: Frame) -> str:
    """The frame as PDB text in the viewer's orientation."""
    positions, cellpar = turned(frame)
    lines = []
    if cellpar[0]:
        a, b, c, alpha, beta, gamma = cellpar
        lines.append(f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}{alpha:7.2f}{beta:7.2f}{gamma:7.2f} P 1")
    for i, (z, (x, y, w)) in enumerate(zip(frame.numbers, positions)):
        symbol = SYMBOLS[z].upper()
        # Serial numbers and residues wrap: the viewer counts atoms itself. Few atoms a residue, else it refuses bonds.
        lines.append(
            f"ATOM  {(i + 1) % 100000:5d} {symbol:>4s} MOL A{(i // 400) % 10000:4d}    "
            f"{x:8.3f}{y:8.3f}{w:8.3f}  1.00  0.00          {symbol:>2s}"
        )
    return "\n".join([*lines, "END"])


class Trajectory:
    """Frames of a run's trajectory.traj, readable while it is written; a few are kept."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Frame] = OrderedDict()
        self._reader: Any = None

    def _open(self) -> Any:
        from ase.io.trajectory import TrajectoryReader

        if self._reader is not None:
            self._reader.close()
        self._reader = TrajectoryReader(str(self.path))
        return self._reader

    def __len__(self) -> int:
        with self._lock:
            try:
                return len(self._open())
            except (OSError, ValueError, KeyError):  # not there yet, or its first frame is being written
                return 0

    def frame(self, index: int) -> Frame | None:
        """Frame `index` (clipped to what is there), or None where there is none yet."""
        with self._lock:
            if index in self._kept:
                return self._kept[index]
            try:
                reader = self._reader if self._reader is not None and index < len(self._reader) else self._open()
                count = len(reader)
                if not count:
                    return None
                atoms = reader[min(index, count - 1)]
            except (OSError, ValueError, KeyError, IndexError):
                return None
            frame = of_atoms(atoms)
            if atoms.calc is not None:
                frame.forces = atoms.calc.results.get("forces")
                if "energy" in atoms.calc.results:
                    frame.facts["energy"] = float(atoms.calc.results["energy"])
            if index < count:
                self._kept[index] = frame
                if len(self._kept) > 64:
                    self._kept.popitem(last=False)
            return frame
