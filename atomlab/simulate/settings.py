"""What a person may choose about molecular dynamics: the command's options, the Lab's form and the checks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MDSettings"]


def _setting(default: Any, description: str, unit: str = "", main: bool = False, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"unit": unit, "main": main}, **limits)


class MDSettings(BaseModel):
    """Molecular dynamics: ensemble, temperature, steps, and when to stop because something is wrong."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    ensemble: Literal["nve", "nvt-langevin", "nvt-nose-hoover", "npt"] = _setting(
        "nvt-langevin",
        "What is kept constant. nve: the energy. nvt-langevin: the temperature, by friction and noise (BAOAB). "
        "nvt-nose-hoover: the temperature, by a deterministic chain. npt: temperature and pressure (isotropic MTK)",
        main=True,
    )
    temperature: float = _setting(
        300.0, "Temperature of the thermostat and of the first velocities", "K", main=True, ge=0, le=1e5
    )
    timestep: float = _setting(
        2.0,
        "Time between two steps; a warning says when it is long for the lightest atom",
        "fs",
        main=True,
        gt=0,
        le=20,
    )
    steps: int = _setting(1000, "How many steps", "steps", main=True, ge=0, le=10**9)
    pressure: float = _setting(0.0, "Pressure that npt keeps, compression positive", "GPa", ge=-100, le=1000)
    thermostat_time: float = _setting(
        100.0,
        "Time in which the thermostat acts: 1/friction (Langevin) or its period (Nosé-Hoover, npt)",
        "fs",
        gt=0,
        le=1e6,
    )
    barostat_time: float = _setting(1000.0, "Period of the barostat of npt", "fs", gt=0, le=1e7)
    velocities: Literal["thermal", "keep", "zero"] = _setting(
        "thermal",
        "First velocities. thermal: drawn at the temperature, without drift. keep: the structure's own. zero: at rest",
    )
    frame_every: int = _setting(10, "Write a frame and its energies every so many steps", "steps", ge=1, le=10**7)
    seed: int = _setting(0, "Seed of the velocities and of the thermostat's noise", ge=0, le=2**32 - 1)
    closest: float = _setting(
        0.5, "Stop when two atoms are closer than this share of the sum of their covalent radii; 0 = never", ge=0, le=1
    )
    max_temperature: float | None = _setting(
        None, "Stop when it gets hotter; without a value ten times the temperature, but at least 5000 K", "K", gt=0
    )
    skin: float = _setting(
        0.5, "Neighbours are searched anew when an atom has moved by half of this; 0 = at every step", "Å", ge=0, le=5
    )
