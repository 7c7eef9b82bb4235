"""The task md: dynamics with a model; frames into trajectory.traj, energies into the events, state beside them."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import TrajectoryWriter

from ... import checkpoint, data
from ...errors import InputError
from ...simulate.guards import Breakdown
from ...simulate.md import Frame, simulate
from ...simulate.observables.rdf import RDF
from ...simulate.structures import repeated, structure
from ..execute import Halted, RunIO, Stopped
from ..inputs import located, prepare_torch
from ..spec import INPUTS
from ..tasks import MDSpec

__all__ = ["run"]

TRAJECTORY, STATE = "trajectory.traj", "md-state.npz"
_STATE_EVERY = 2.0  # seconds between two saved states
_RDF_EVERY = 20  # frames between two rdf events
_PROGRESS_EVERY = 0.5  # seconds


def run(spec: MDSpec, io: RunIO) -> None:
    """Run or go on with the dynamics that `spec` describes."""
    prepare_torch(spec)
    potential = checkpoint.load(located(spec.model, io), device=spec.device, dtype=spec.dtype, head=spec.head)
    atoms = repeated(structure(located(spec.structure, io), _read), spec.supercell)
    state = _load(io.path(STATE)) if io.path(STATE).exists() else None
    written = Written(io, spec, state)
    try:
        for frame in simulate(potential, atoms, spec, state, head=spec.head, check=io.check):
            written.add(frame)
    except Stopped:
        written.finish()
        raise
    except Breakdown as end:
        written.finish()
        raise Halted(f"Stopped: {str(end)[0].lower()}{str(end)[1:]}", code=end.code, atoms=list(end.atoms)) from end
    else:
        written.finish()
    finally:
        written.close()


def _read(path: str) -> Any:
    if Path(path).suffix == ".traj" and Path(path).parent.name == INPUTS:
        return ase.io.read(path, index=":")  # what we wrote ourselves, with velocities and fixed atoms
    return data.read(path)


class Written:
    """What a run leaves: each frame in the trajectory and in the events, now and then g(r), progress and the state."""

    def __init__(self, io: RunIO, spec: MDSpec, state: dict[str, Any] | None):
        self.io, self.spec = io, spec
        self.path = io.path(TRAJECTORY)
        if state is None:
            self.path.unlink(missing_ok=True)
        else:
            # frames after the saved state are made again
            shorten(self.path, int(state["index"]) + 1)
            io.emit(
                "state",
                state="running",
                reason=f"goes on from step {int(state['step'])}",
                frames=int(state["index"]) + 1,
            )
        self.trajectory = TrajectoryWriter(str(self.path), "w" if state is None else "a")
        self.rdf: RDF | None = None
        self.first: tuple[float, int] | None = None
        self.last: Frame | None = None
        self.saved = self.told = time.monotonic()
        self.temperatures: list[float] = []
        self.rates: list[float] = []

    def add(self, frame: Frame) -> None:
        """Write one frame."""
        self.trajectory.write(_with_results(frame.atoms))
        self.io.emit("frame", **frame.values())
        self.last = frame
        self.temperatures.append(frame.temperature)
        if frame.steps_per_s:
            self.rates.append(frame.steps_per_s)
        self._count_pairs(frame)
        now = time.monotonic()
        if self.first is None:
            self.first = (now, frame.step)
        if now - self.told > _PROGRESS_EVERY or frame.step == self.spec.steps:
            self.told = now
            self._progress(frame, now)
        if now - self.saved > _STATE_EVERY:
            self.save()

    def _count_pairs(self, frame: Frame) -> None:
        if not frame.atoms.pbc.all():
            return
        if self.rdf is None:
            self.rdf = RDF()
        self.rdf.add(frame.atoms)
        if frame.index % _RDF_EVERY == 0:
            self.io.emit("rdf", r=np.round(self.rdf.r, 4), g=np.round(self.rdf.g, 4), frames=self.rdf.frames)

    def _progress(self, frame: Frame, now: float) -> None:
        start, step = self.first or (now, frame.step)
        done = frame.step - step
        left = (now - start) / done * (self.spec.steps - frame.step) if done else None
        text = f"{frame.time_fs:.0f} fs, {frame.temperature:.0f} K"
        self.io.emit("progress", done=frame.step, total=self.spec.steps, unit="step", left_s=left, text=text)

    def save(self) -> None:
        """The state to go on from: the last frame's."""
        if self.last is None:
            return
        state = self.last.state
        self.io.save(STATE, lambda path: _dump(path, state))
        self.saved = time.monotonic()

    def finish(self) -> None:
        """The last state, the last g(r), and the result."""
        self.save()
        last = self.last
        if last is None:
            return
        if self.rdf is not None:
            self.io.emit("rdf", r=np.round(self.rdf.r, 4), g=np.round(self.rdf.g, 4), frames=self.rdf.frames)
        second = self.temperatures[len(self.temperatures) // 2 :]
        rate = float(np.median(self.rates)) if self.rates else None
        metrics = {
            "steps": last.step,
            "frames": last.index + 1,
            "time_fs": last.time_fs,
            "mean_temperature": float(np.mean(second)),
            "potential_energy": last.potential_energy,
            "steps_per_s": rate,
        }
        text = f"{last.time_fs / 1000:.3g} ps, mean temperature of the second half {np.mean(second):.0f} K"
        if rate:
            text += f", {rate:.0f} steps/s ({rate * self.spec.timestep * 0.0864:.3g} ns/day)"
        self.io.result(metrics, text)

    def close(self) -> None:
        """Close the trajectory."""
        self.trajectory.close()


def _with_results(atoms: Atoms) -> Atoms:
    """A copy that carries its energy and forces, and no calculator that would compute anything."""
    copy, found = atoms.copy(), atoms.calc.results
    copy.calc = SinglePointCalculator(copy, energy=found["energy"], forces=found["forces"].copy())
    return copy


def shorten(path: Path, frames: int) -> None:
    """Leave the first `frames` frames of a trajectory file. Only the count in its header changes (ASE's ULM format:
    24 bytes of magic, then version, number of items and position of their offsets as 64-bit integers)."""
    if not path.exists() or path.stat().st_size < 48:
        if frames:
            raise InputError("The trajectory that should be continued is missing or empty", got=path)
        return
    with path.open("rb+") as file:
        file.seek(32)
        (there,) = struct.unpack("<q", file.read(8))
        if there < frames:
            raise InputError(f"The trajectory should hold {frames} frames", got=f"{there} in {path}")
        file.seek(32)
        file.write(struct.pack("<q", frames))


def _dump(path: Path, state: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **state)


def _load(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
