"""Run directories written by hand, as a worker would write them, so that the Lab is tested without one.

`write_*` make finished runs; `Writer` appends to a running one; `FakeClient` stands where `atomlab.runs` is asked.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import TrajectoryWriter

from atomlab.checkpoint import FIRST
from atomlab.runs.control import Lock, request, withdraw
from atomlab.runs.directory import create
from atomlab.runs.events import EventLog
from atomlab.runs.spec import schema


def germanium(frames: int = 12, seed: int = 0) -> list[Atoms]:
    """Rattled 64-atom Ge crystals with labels of a harmonic spring: not physics, but real shapes and units."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(frames):
        atoms = bulk("Ge", "diamond", a=5.66, cubic=True).repeat(2)
        shift = rng.normal(0, 0.03 + 0.006 * k, atoms.positions.shape)
        if k == frames - 1:  # one frame that the data doctor must find: a close pair
            shift[1] = -0.4 * (atoms.positions[1] - atoms.positions[0])
        shift -= shift.mean(0)
        atoms.positions += shift
        atoms.info["REF_energy"] = float(-3.8 * len(atoms) + 2.0 * (shift**2).sum())
        atoms.arrays["REF_forces"] = -4.0 * shift
        atoms.info["config_type"] = f"{300 * (k + 1)}K"
        made.append(atoms)
    return made


class Writer:
    """A run that goes on in this process: it holds the lock and writes events."""

    def __init__(self, workspace: Path, spec: dict[str, Any]):
        self.path = create(spec, str(spec.get("label", "")), under=workspace)
        self._lock = Lock(self.path / "lock")
        assert self._lock.acquire()
        self._log = EventLog(self.path)
        self.event("state", state="running", reason="started")

    def event(self, kind: str, **values: Any) -> None:
        """Append one event."""
        self._log.write(kind, values)

    def metric(self, arm: str, split: str, epoch: float, force: float, energy: float) -> None:
        """One metric event (eV/Å, eV/atom)."""
        self.event(
            "metric",
            arm=arm,
            split=split,
            epoch=epoch,
            step=int(epoch * 10),
            seconds=epoch,
            loss=force**2,
            forces_rmse=force,
            energy_rmse=energy,
        )

    def end(self, state: str = "done", reason: str = "", text: str = "") -> Path:
        """The last words; the lock is given back."""
        if text:
            self.event("result", metrics={}, text=text)
        self.event("state", state=state, reason=reason)
        self.release()
        return self.path

    def release(self) -> None:
        """Give the lock back without a word, as a killed process does."""
        self._log.close()
        self._lock.release()


def finetune_events(writer: Writer, epochs: int = 40, pause: float = 0.0, asked: Any = None) -> bool:
    """A whole fine-tune with its twin; False if it was asked to stop."""
    writer.event(
        "plan",
        values={"learning_rate": 0.002},
        reasons={"learning_rate": "a fifth of the base's, because its weights start near the goal"},
    )
    writer.event("base", forces_rmse=0.62, energy_rmse=0.031)
    start = time.monotonic()
    for k in range(epochs + 1):
        if asked is not None and asked():
            return False
        fine, twin = 0.06 + 0.5 * np.exp(-k / 6), 0.15 + 1.1 * np.exp(-k / 15)
        writer.metric("finetune", "train", k, 0.9 * fine, 0.03 * fine)
        writer.metric("scratch", "train", k, 0.9 * twin, 0.05 * twin)
        if k % 3 == 0:
            writer.metric("finetune", "valid", k, fine, 0.04 * fine)
            writer.metric("scratch", "valid", k, twin, 0.06 * twin)
        left = (time.monotonic() - start) / (k + 1) * (epochs - k)
        writer.event("progress", done=k, total=epochs, unit="epoch", left_s=left, text=f"epoch {k} of {epochs}")
        time.sleep(pause)
    return True


def write_parity(path: Path, frames: list[Atoms]) -> None:
    """parity.npz of the force components of some frames."""
    true = np.concatenate([a.arrays["REF_forces"] for a in frames])
    rng = np.random.default_rng(1)
    np.savez(
        path / "parity.npz", forces_true=true, forces_predicted=true + rng.normal(0, 0.05, true.shape),
        frame=np.repeat(np.arange(len(frames)), [len(a) for a in frames]),
        atom=np.concatenate([np.arange(len(a)) for a in frames]),
    )  # fmt: skip


def write_finetune(workspace: Path, epochs: int = 40) -> Path:
    """A finished fine-tune with its model (an empty file), twin and parity."""
    writer = Writer(workspace, {"kind": "finetune", "model": "si-base", "data": "sw-ge", "strategy": "transfer"})
    finetune_events(writer, epochs)
    (writer.path / "best.safetensors").write_bytes(b"")
    write_parity(writer.path, germanium(4))
    writer.event("parity", file="parity.npz")
    return writer.end(text="done: force RMSE 0.62 -> 0.06 eV/Å (scratch 0.23)")


def md_events(writer: Writer, frames: int = 40, pause: float = 0.0, asked: Any = None) -> bool:
    """A moving crystal, written frame by frame; False if it was asked to stop."""
    rng = np.random.default_rng(2)
    atoms = bulk("Ge", "diamond", a=5.66, cubic=True).repeat(2)
    home = atoms.positions.copy()
    phase = rng.uniform(0, 2 * np.pi, home.shape)
    with TrajectoryWriter(str(writer.path / "trajectory.traj"), "a") as file:
        for k in range(frames):
            if asked is not None and asked():
                return False
            atoms.positions = home + min(1.0, k / 15) * 0.4 * np.sin(0.7 * k + phase)
            forces = -2.0 * (atoms.positions - home)
            temperature = 1200 * (1 - np.exp(-k / 8)) + 40 * np.sin(k)
            potential = -240 + 6 * (1 - np.exp(-k / 8))
            atoms.calc = SinglePointCalculator(atoms, energy=potential, forces=forces)
            file.write(atoms)
            kinetic = 1.5 * 64 * 8.617e-5 * temperature
            writer.event(
                "frame", index=k, step=10 * k, time_fs=20.0 * k, temperature=temperature,
                potential_energy=potential, kinetic_energy=kinetic,
                conserved=-240.0 + 0.01 * np.sin(k), pressure=0.01, steps_per_s=60.0,
            )  # fmt: skip
            if k % 10 == 9:
                r = np.linspace(0.05, 6, 60)
                writer.event(
                    "rdf",
                    r=r.tolist(),
                    g=(1 + 3 * np.exp(-(((r - 2.45) / 0.15) ** 2)) - np.exp(-((r / 2) ** 2))).tolist(),
                )
            writer.event(
                "progress",
                done=10 * (k + 1),
                total=10 * frames,
                unit="step",
                left_s=(frames - k) * pause,
                text=f"step {10 * (k + 1)} of {10 * frames}",
            )
            time.sleep(pause)
    return True


def write_md(workspace: Path, frames: int = 40) -> Path:
    """A finished MD with its trajectory."""
    writer = Writer(
        workspace, {"kind": "md", "model": "si-base", "structure": "sw-ge#3", "temperature": 1200.0, "timestep": 2.0}
    )
    md_events(writer, frames)
    return writer.end(text=f"done: {10 * frames} steps, 1198 K on average")


def write_map_file(path: Path, frames: int = 12, md_frames: int = 10, umap: bool = True) -> None:
    """map.npz: four clouds of training and test atoms, and an MD cloud of which a part lies outside."""
    rng = np.random.default_rng(3)
    sets, frame, atom = [], [], []
    for name, count in (("train", frames - 3), ("test", 3), ("md", md_frames)):
        first = {"train": 0, "test": frames - 3, "md": 0}[name]
        for f in range(count):
            sets += [name] * 64
            frame += [first + f] * 64
            atom += list(range(64))
    n = len(sets)
    sets_, md = np.array(sets), np.array(sets) == "md"
    centre = np.array([[0, 0], [3, 1], [1, 3], [-2, 2]])[rng.integers(0, 4, n)].astype(float)
    outside = md & (rng.random(n) < 0.15)
    centre[outside] = (6, -3)
    xy = centre + rng.normal(0, 0.45, (n, 2))
    similarity = np.where(outside, rng.uniform(0.95, 0.985, n), rng.uniform(0.9925, 0.9999, n))
    near = np.sort(rng.uniform(0.9, similarity[:, None], (n, 5)))[:, ::-1]
    arrays = {
        "set": sets_, "frame": np.array(frame), "atom": np.array(atom), "number": np.full(n, 32), "pca": xy,
        "similarity": similarity, "force_error": np.where(md, np.nan, rng.gamma(2, 0.03, n)),
        "nearest_frame": rng.integers(0, frames - 3, (n, 5)), "nearest_atom": rng.integers(0, 64, (n, 5)),
        "nearest_similarity": near, "threshold": np.array(0.9923), "time": np.where(md, 20.0 * np.array(frame), np.nan),
    }  # fmt: skip
    if umap:
        arrays["umap"] = xy @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + 3
    np.savez(path / "map.npz", **arrays)


def write_map(workspace: Path, md: Path | None = None) -> Path:
    """A finished map."""
    spec = {"kind": "map", "model": "si-base", "train": "sw-ge"} | ({"md": str(md)} if md else {})
    writer = Writer(workspace, spec)
    write_map_file(writer.path)
    writer.event("map", file="map.npz")
    return writer.end(text="done: 1408 environments, 90 unknown")


def check_events(writer: Writer, pause: float = 0.0, asked: Any = None) -> bool:
    """A health check as of a model that is not extensive and jumps at its cutoff; False if it was asked to stop."""
    r = np.linspace(0.8, 6.0, 40)
    dimer = {"SiSi": {"r": r.tolist(), "e": (5 * np.exp(-4 * (r - 2)) - 3 * np.exp(-2 * (r - 2.2) ** 2)).tolist()}}
    said = [
        ("forces", "pass", "forces differ from -dE/dx by at most 9.7e-09 of the largest force", {}),
        (
            "extensivity",
            "not claimed",
            "supercells of 2, 4, 8 cells differ by -1.3, -5.6, -9 meV/atom; its card says that it is not extensive",
            {"cells": [2, 4, 8], "effect": [-1.3, -5.6, -9.0]},
        ),
        ("continuity", "fail", "the largest jump at a cutoff is 0.924 meV, at 5 Å", {"cutoff": [5.0], "jump": [0.9]}),
        ("dimers", "pass", "all dimer curves rise at short distance", dimer),
        ("elements", "pass", "2 elements: Si, Ge", {"numbers": [14, 32]}),
    ]
    for k, (name, status, text, curve) in enumerate(said, 1):
        if asked is not None and asked():
            return False
        writer.event("finding", name=name, status=status, text=text, value=float(k), limit=None, curve=curve)
        writer.event("progress", done=k, total=len(said), unit="check", left_s=None, text=name)
        time.sleep(pause)
    return True


def write_check(workspace: Path, model: str = FIRST) -> Path:
    """A finished health check of a model."""
    writer = Writer(workspace, {"kind": "check", "model": model})
    check_events(writer)
    return writer.end(text=f"{model}: 4 of 5 checks passed or were not claimed; failed: continuity\n  pass  forces")


class FakeClient:
    """What the Lab asks of `atomlab.runs`, done by threads that write run directories."""

    def __init__(self, workspace: Path, pause: float = 0.15, length: int = 40):
        self.workspace, self.pause_s, self.length = workspace, pause, length
        self.started: list[tuple[str, dict]] = []

    def schema(self, kind: str) -> dict[str, Any]:
        return schema(kind)

    def elements(self, model: str) -> tuple[int, ...]:
        return (14,) if model == "si-base" else (14, 32)

    def ground(self, model: str) -> str | None:
        return "sw-si" if model == "si-base" else "atomlab-tiny-set"

    def levels(self, model: str, data: str) -> tuple[str, str]:
        return "Stillinger-Weber" if model == "si-base" else "CHGNet 0.3.0", "Stillinger-Weber"

    def warm(self) -> None:
        pass

    def worker(self) -> str:
        return "ready"

    def start(self, kind: str, values: dict[str, Any]) -> Path:
        self.started.append((kind, dict(values)))
        writer = Writer(self.workspace, {"kind": kind, **values})
        threading.Thread(target=self._go, args=(writer, kind), daemon=True).start()
        return writer.path

    def _go(self, writer: Writer, kind: str) -> None:
        def asked() -> bool:
            while (writer.path / "control" / "pause").exists() and not (writer.path / "control" / "stop").exists():
                time.sleep(0.05)
            return (writer.path / "control" / "stop").exists()

        if kind == "map":
            write_map_file(writer.path)
            writer.event("map", file="map.npz")
            whole = True
        elif kind == "check":
            whole = check_events(writer, self.pause_s, asked)
        else:
            whole = {"finetune": finetune_events, "md": md_events}[kind](writer, self.length, self.pause_s, asked)
        if kind == "finetune":
            (writer.path / "best.safetensors").write_bytes(b"")
        writer.end(
            "done" if whole else "stopped",
            "" if whole else "asked to stop",
            "done: force RMSE 0.62 -> 0.06 eV/Å (scratch 0.23)" if whole else "",
        )

    def stop(self, path: Path) -> None:
        request(path, "stop")

    def pause(self, path: Path) -> None:
        request(path, "pause")

    def resume(self, path: Path) -> None:
        withdraw(path, "pause")

    def delete(self, path: Path) -> None:
        import shutil

        shutil.rmtree(path)

    def command(self, kind: str, values: dict[str, Any]) -> str:
        return f"atomlab {kind} {json.dumps(values)}"

    def python(self, kind: str, values: dict[str, Any]) -> str:
        return f"import atomlab\n\natomlab.{kind}(**{values!r})"

    def models(self) -> list[str]:
        return [FIRST, "si-base"]

    def datasets(self) -> list[str]:
        return ["sw-ge"]
