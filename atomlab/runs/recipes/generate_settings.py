"""What can be set for a generated data set. Imports neither torch nor ASE: the command and the Lab's forms read it."""

from __future__ import annotations

import math
from typing import Any, Literal

import pydantic

__all__ = ["GenerateSettings"]


def _field(default: Any, unit: str, text: str, main: bool = False, **limits: Any) -> Any:
    return pydantic.Field(default, description=text, json_schema_extra={"unit": unit, "main": main}, **limits)


class GenerateSettings(pydantic.BaseModel, extra="forbid"):
    """What to generate. Every temperature has a random stream of its own, so that adding one changes no other."""

    element: Literal["Si", "Ge"] = _field("Ge", "", "Element of the Stillinger-Weber teacher", main=True)
    cells: int = _field(2, "", "Cubic diamond cells of 8 atoms along each edge; 2 gives 64 atoms", ge=1, le=6)
    lowest: float = _field(300.0, "K", "Lowest temperature", main=True, gt=0, le=10000)
    highest: float = _field(3600.0, "K", "Highest temperature", main=True, gt=0, le=10000)
    step: float = _field(100.0, "K", "Step between temperatures", main=True, gt=0)
    melt_from: float = _field(
        1700.0, "K", "From this temperature on the cell is melted first; below, it starts as a crystal", gt=0
    )
    melt_at: float = _field(7000.0, "K", "Temperature at which a crystal is melted", gt=0, le=20000)
    melt_time: float = _field(2.0, "ps", "Time spent there", ge=0)
    settle_time: float = _field(2.0, "ps", "Time at zero pressure, whose second half gives the mean volume", gt=0)
    equilibrate_time: float = _field(0.5, "ps", "Time at that volume before the first frame is kept", ge=0)
    spacing: float = _field(400.0, "fs", "Time between frames that are kept", gt=0)
    frames: int = _field(8, "", "Frames kept at each temperature", main=True, ge=1)
    timestep: float = _field(1.0, "fs", "Time step of the dynamics", gt=0, le=5)
    friction: float = _field(0.01, "1/fs", "Friction of the Langevin thermostat", gt=0, le=1)
    seed: int = _field(0, "", "Seed of everything random", ge=0)

    @property
    def temperatures(self) -> list[float]:
        """Those from lowest to highest, in K."""
        n = math.floor((self.highest - self.lowest) / self.step + 1e-9) + 1
        return [float(self.lowest + k * self.step) for k in range(max(n, 1))]

    @property
    def set_name(self) -> str:
        """Name of the data set: sw-ge."""
        return f"sw-{self.element.lower()}"
