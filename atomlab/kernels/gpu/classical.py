"""Operations that are one formula of each row: energies of the classical potentials, parts of many-body functions."""

from __future__ import annotations

from ..formulas import register
from .pointwise import call

register("triton", call)
