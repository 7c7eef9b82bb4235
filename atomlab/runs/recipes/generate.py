"""Make a labelled data set with a classical potential: bulk cells over a range of temperatures, solid and molten.

This is how the embedded `sw-si` and `sw-ge` were made (the transfer learning paper's Stillinger-Weber set, in small):
`python -m atomlab.runs.recipes.generate --element Ge --path sw-ge.extxyz.gz`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.nptberendsen import NPTBerendsen

from ...architectures import create
from ...build import build
from ...data import Dataset, read
from ...fields import reference_key
from ...potential import Potential, outputs
from ..execute import RunIO, Stopped
from ..inputs import prepare_torch
from .generate_settings import GenerateSettings

__all__ = ["GenerateSettings", "generate", "run", "save"]

Emit = Callable[..., None]


def run(spec: Any, io: RunIO) -> None:
    """The task generate. After each temperature the data set is written, so that a stopped run keeps and goes on."""
    prepare_torch(spec)
    settings = GenerateSettings(**{name: getattr(spec, name) for name in GenerateSettings.model_fields})
    path = io.path(f"{settings.set_name}.extxyz.gz")
    frames: list[Atoms] = list(read(path)) if path.exists() else []

    def emit(kind: str, **values: Any) -> None:
        save(frames, settings, path)
        io.emit(kind, **values)

    try:
        generate(settings, emit, io.check, frames)
    except Stopped:
        io.result({"structures": len(frames)}, f"{len(frames)} structures so far, in {path}")
        raise
    io.result({"structures": len(frames)}, f"{len(frames)} structures in {path}")


def generate(
    settings: GenerateSettings,
    emit: Emit,
    check: Callable[[], None] = lambda: None,
    frames: list[Atoms] | None = None,
) -> list[Atoms]:
    """Run the dynamics and return labelled frames, sorted by temperature and time.

    `emit("progress", ...)` is called after each temperature; `check()` often: it may raise to stop. `frames`: of an
    earlier call that was stopped; new ones are appended to it, a whole temperature at a time. Frames carry
    `REF_energy`, `REF_forces`, `REF_stress` and in `info`: config_type and group (one per temperature), temperature
    (K), time (ps since the first equilibration) and start ("crystal" or "melt").
    """
    teacher = create("stillinger-weber", elements=[settings.element])
    frames, began = [] if frames is None else frames, time.monotonic()
    total = len(settings.temperatures) * settings.frames
    there = {frame.info["temperature"] for frame in frames}
    temperatures = [t for t in settings.temperatures if t not in there]
    for k, temperature in enumerate(temperatures):
        frames += [_labelled(frame, teacher) for frame in _trajectory(settings, temperature, teacher, check)]
        spent = time.monotonic() - began
        emit(
            "progress", done=len(frames), total=total, unit="structure",
            left_s=spent * (len(temperatures) - k - 1) / (k + 1), text=f"{settings.element} at {temperature:g} K",
        )  # fmt: skip
    return frames


def _trajectory(
    s: GenerateSettings, temperature: float, teacher: Potential, check: Callable[[], None]
) -> Iterator[Atoms]:
    """Frames at one temperature: (melt), settle the volume at zero pressure, equilibrate, sample."""
    rng = np.random.default_rng([s.seed, round(10 * temperature)])
    atoms = bulk(s.element, "diamond", cubic=True).repeat(s.cells)
    atoms.rattle(0.02, rng=rng)
    atoms.calc = teacher.calculator(skin=0.8)
    melted = temperature >= s.melt_from
    if melted:
        _warm(atoms, s.melt_at, rng)
        _run(_langevin(atoms, s, s.melt_at, rng), s.melt_time, s, check)
    _warm(atoms, temperature, rng)
    _settle(atoms, s, temperature, check)
    dynamics = _langevin(atoms, s, temperature, rng)
    _run(dynamics, s.equilibrate_time, s, check)
    label = f"{temperature:g}K"
    for k in range(s.frames):
        if k:
            _run(dynamics, s.spacing / 1000, s, check)
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info.update(
            config_type=label, group=f"{s.set_name}-{label}", temperature=temperature,
            time=round(s.equilibrate_time + k * s.spacing / 1000, 6), start="melt" if melted else "crystal",
        )  # fmt: skip
        yield frame


def _warm(atoms: Atoms, temperature: float, rng: np.random.Generator) -> None:
    """Velocities of exactly that temperature, without drift."""
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(atoms.get_masses() * units.kB * temperature)[:, None]
    atoms.set_momenta(momenta - momenta.mean(0))
    atoms.set_momenta(atoms.get_momenta() * np.sqrt(temperature / atoms.get_temperature()))


def _langevin(atoms: Atoms, s: GenerateSettings, temperature: float, rng: np.random.Generator) -> Langevin:
    return Langevin(
        atoms, s.timestep * units.fs, temperature_K=temperature, friction=s.friction / units.fs, rng=rng, fixcm=False
    )


def _settle(atoms: Atoms, s: GenerateSettings, temperature: float, check: Callable[[], None]) -> None:
    """Bring the cell to zero pressure, and leave it at the mean volume of the second half."""
    # 100 GPa for the bulk modulus of both: it only sets how fast the volume follows
    dynamics = NPTBerendsen(
        atoms, s.timestep * units.fs, temperature_K=temperature, pressure_au=0.0, taut=100 * units.fs,
        taup=500 * units.fs, compressibility_au=1.0 / (100 * units.GPa),
    )  # fmt: skip
    lengths: list[float] = []
    dynamics.attach(lambda: lengths.append(atoms.cell.lengths()[0]), interval=10)
    _run(dynamics, s.settle_time, s, check)
    mean = float(np.mean(lengths[len(lengths) // 2 :]))
    atoms.set_cell(atoms.cell.array * (mean / atoms.cell.lengths()[0]), scale_atoms=True)


def _run(dynamics: Any, picoseconds: float, s: GenerateSettings, check: Callable[[], None]) -> None:
    steps = round(1000 * picoseconds / s.timestep)
    for begin in range(0, steps, 100):
        check()
        dynamics.run(min(100, steps - begin))


def _labelled(frame: Atoms, teacher: Potential) -> Atoms:
    """Coordinates as they will be written (1e-6 Å), wrapped into the cell, and the teacher's labels of exactly
    these."""
    frame.set_cell(np.round(frame.cell.array, 6))
    frame.wrap()
    frame.positions = np.round(frame.positions, 6)
    out = outputs(teacher, build(frame, teacher.needs), ("energy", "forces", "stress"))
    frame.info[reference_key("energy")] = round(float(out.energy[0]), 8)
    frame.info[reference_key("stress")] = np.round(out.stress[0].numpy(), 10)
    frame.arrays[reference_key("forces")] = np.round(out.forces.numpy(), 8)
    return frame


def save(frames: list[Atoms], settings: GenerateSettings, path: str | Path) -> Path:
    """Write the frames and, beside them, a JSON card that says how they were made."""
    dataset = Dataset(frames, name=settings.set_name)
    path = dataset.write(path)
    teacher = create("stillinger-weber", elements=[settings.element])
    given = settings.model_dump(exclude_defaults=True)
    options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in given.items())
    card = {
        "name": settings.set_name,
        "description": f"Bulk {settings.element}, {len(frames[0])} atoms, {settings.lowest:g} to {settings.highest:g} "
        "K, "
        "crystal and melt, labelled by a Stillinger-Weber potential",
        "structures": len(frames),
        "elements": [settings.element],
        "labels": ["energy", "forces", "stress"],
        "level_of_theory": teacher.card.level_of_theory,
        "teacher": {"architecture": teacher.kind, "config": teacher.config, "reference": teacher.card.reference},
        "command": f"python -m atomlab.runs.recipes.generate {options} --path {path.name}".replace("  ", " "),
        "settings": settings.model_dump(),
        "seed": settings.seed,
        "content_sha256": dataset.hash(),
        "made_by": f"atomlab {version('atomlab')}",
        "licence": "CC0-1.0",
    }
    path.with_name(path.name.split(".")[0] + ".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def main(arguments: list[str] | None = None) -> None:
    """Command line of this module: one option for each setting, and --path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--path", required=True, help="file to write (.extxyz or .extxyz.gz)")
    for name, field in GenerateSettings.model_fields.items():
        parser.add_argument(
            "--" + name.replace("_", "-"), default=None, help=f"{field.description} (default {field.default})"
        )
    values = {k: v for k, v in vars(parser.parse_args(arguments)).items() if v is not None}
    path = values.pop("path")
    settings = GenerateSettings(**values)

    def emit(kind: str, **event: Any) -> None:
        print(
            f"{event['done']} of {event['total']} structures: {event['text']}, {event['left_s']:.0f} s left", flush=True
        )

    print(save(generate(settings, emit), settings, path))


if __name__ == "__main__":
    main()
