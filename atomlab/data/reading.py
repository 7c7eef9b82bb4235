"""`atomlab.read`: any file -> checked structures with labels under one name, in one unit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from ase import Atoms

from ..errors import InputError, nearest, notice
from .dataset import Dataset
from .entry import Entry
from .formats import lift_results, read_file
from .formats.ase_files import stale_sentence
from .labels import Convention, volume
from .rows import joined
from .store import read_store
from .survey import canonical

__all__ = ["check_frame", "embedded_names", "found", "name_of", "read", "remarks"]

Source: TypeAlias = "str | os.PathLike | Atoms | Dataset | Sequence[Any]"


def read(
    source: Source, keys: Mapping[str, str | None] | None = None, units: Mapping[str, str] | None = None
) -> Dataset:
    """Read structures with their labels.

    Parameters
    ----------
    source: name of an embedded data set ("sw-si", "sw-ge"); a file (extended XYZ, gzipped or not; ASE .db, .traj; VASP
        vasprun.xml, OUTCAR; mlearn .json; a store .lmdb (`atomlab convert`), which is read structure by structure when
        it is used; structures without labels as .cif, .vasp, POSCAR, .pdb); a list of files;
        one or several ase.Atoms.
    keys: {label: key in the file} for labels "energy", "forces", "stress", "virials" that stand under unusual names;
        None as key means: don't read that label. Others are found by their usual names (`atomlab.fields`).
    units: how the file's numbers are to be understood where they are not eV, eV/Å, eV/Å^3 (stress positive under
        tension): "energy" ("eV", "meV", "Ha", "kcal/mol", "kJ/mol", each also with "/atom"), "forces" ("Ha/bohr",
        ...), "stress" ("GPa", "kbar", "eV/Å^3"), "virials" (an energy), "positions" ("Å", "bohr", "nm");
        "stress_sign", "virials_sign": "tension" or "compression", when a positive value is meant; "stress_order":
        "xx yy zz xy yz zx".

    Returns
    -------
    A Dataset whose frames carry `info["REF_energy"]` (eV), `arrays["REF_forces"]` (n, 3) eV/Å, `info["REF_stress"]`
    (6,) eV/Å^3 in the order xx yy zz yz xz xy, tension positive; `.reading` says in sentences which key was read as
    what.

    Raises InputError, in words, for what cannot be used: see `tests/data/test_bad_input.py` for the list.
    """
    convention = Convention(dict(keys or {}), dict(units or {}))
    if isinstance(source, Dataset):
        if convention.keys or convention.units:
            raise InputError("A Dataset is already read: keys and units can only be given when a file is read")
        return source
    if isinstance(source, Atoms):
        source = [source]
    if isinstance(source, str | os.PathLike):
        return _read_path(Path(source), convention)
    return _read_list(list(source), convention)


def embedded_names() -> dict[str, Path]:
    """The data sets that come with AtomLab: name -> file."""
    folder = Path(str(resources.files("atomlab") / "embedded"))
    return {path.name.split(".")[0]: path for path in sorted(folder.glob("*.extxyz*"))}


def _read_path(path: Path, convention: Convention) -> Dataset:
    path = found(path.expanduser())
    if path.name.endswith((".lmdb", ".lmdb.part")):
        if convention.keys or convention.units:
            raise InputError(
                "A store holds canonical labels in eV and Å: keys and units can't be given", got=path.name,
                mend="Give them when the store is built: atomlab convert",
            )  # fmt: skip
        return read_store(path)
    frames, said = read_file(path)
    said += canonical(frames, convention, path.name)
    return _checked(frames, said, name_of(path), path)


def name_of(path: Path) -> str:
    """What a data set from a file is called."""
    return path.name.split(".")[0] if path.suffix in (".gz", ".extxyz", ".xyz") else path.stem


def found(path: Path) -> Path:
    """The file of that path, or of an embedded data set's name."""
    if path.is_file():
        return path
    names = embedded_names()
    if str(path) in names:
        return names[str(path)]
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.is_file())
        raise InputError(
            "A folder cannot be read, only files in it", got=path, mend=f"It holds: {', '.join(inside[:8])}"
        )
    folder = path.parent
    beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    # a name without an ending was meant for an embedded data set first
    near = [nearest(path.name, options) for options in ((beside, names) if path.suffix else (names, beside))]
    hint = (near[0] or near[1]) if folder.is_dir() else f"There is no folder {folder}."
    raise InputError(
        f"There is no file or embedded data set '{path}'", allowed=f"a file, or {', '.join(names)}", mend=hint
    )


def _read_list(items: list[Any], convention: Convention) -> Dataset:
    if not items:
        raise InputError("A data set needs at least one structure", got="an empty list")
    if all(isinstance(item, str | os.PathLike) for item in items):
        parts = [_read_path(Path(item), convention) for item in items]
        entries = joined([part.entries for part in parts])
        said = [f"{part.name}: {text}" for part in parts for text in part.reading]
        return Dataset(entries, name=" + ".join(part.name for part in parts), reading=said)
    wrong = next((item for item in items if not isinstance(item, Atoms)), None)
    if wrong is not None:
        raise InputError("A data set is a list of ase.Atoms or of file names", got=type(wrong).__name__)
    frames = []
    for atoms in items:
        frame = atoms.copy()
        frame.info = {k: np.array(v) if isinstance(v, np.ndarray) else v for k, v in atoms.info.items()}
        frame.calc = atoms.calc
        frames.append(frame)
    said = stale_sentence(sum(lift_results(frame) for frame in frames))
    said += canonical(frames, convention, "the list of structures")
    return _checked(frames, said, "structures", None)


def _checked(frames: list[Atoms], said: list[str], name: str, path: Path | None) -> Dataset:
    for k, atoms in enumerate(frames):
        check_frame(atoms, f"{path.name if path else 'the list'}, frame {k}")
        atoms.set_constraint()
    entries = [Entry(atoms) for atoms in frames]
    dataset = Dataset(entries, name=name, path=path, reading=said)
    for code, text in remarks(dataset.labels, dataset.duplicates()):
        if code != "no-labels":  # the sentences of reading say that already
            dataset.reading.append(text)
        notice(f"{code}-{name}-{len(dataset)}", f"'{name}': {text}")
    return dataset


def remarks(labels: Sequence[str], doubles: list[list[int]]) -> list[tuple[str, str]]:
    """(code, sentence) of what a person should know about a data set that was read."""
    out = []
    if not labels:
        out.append(("no-labels", "no energies, forces or stresses; it can be used for dynamics and maps only."))
    if doubles:
        count, first = sum(len(d) - 1 for d in doubles), doubles[0][:5]
        out.append(("duplicates", f"{count} structures occur more than once, for example frames {first}."))
    return out


def check_frame(atoms: Atoms, where: str) -> None:
    """What no later room could use."""
    if len(atoms) == 0:
        raise InputError(f"{where}: a structure without atoms")
    if atoms.numbers.min() < 1 or atoms.numbers.max() > 118:
        raise InputError(
            f"{where}: an atomic number that no element has", got=int(atoms.numbers.max()), allowed="1 to 118"
        )
    for what, values in (("position", atoms.positions), ("cell vector", atoms.cell.array)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise InputError(
                f"{where}: the {what} {bad[0]} holds a value that is not a finite number", got=values[bad[0]].tolist(),
                mend="Leave that structure out",
            )  # fmt: skip
    if atoms.pbc.all() and volume(atoms) is None:
        raise InputError(
            f"{where}: the structure is periodic, but its cell has no volume", got=atoms.cell.array.round(6).tolist(),
            mend="Give it a cell, or set pbc to F F F",
        )  # fmt: skip
    rows = atoms.cell.array[atoms.pbc]
    if len(rows) and np.linalg.matrix_rank(rows, tol=1e-9 * max(1.0, float(np.abs(rows).max()))) < len(rows):
        raise InputError(
            f"{where}: periodic along {atoms.pbc.tolist()}, but a cell vector of these is missing or not independent",
            got=atoms.cell.array.round(6).tolist(), mend="Give the cell vectors, or switch that periodicity off",
        )  # fmt: skip
