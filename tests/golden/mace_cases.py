"""The golden MACE cases: models of another program, with its numbers."""

import json
from pathlib import Path

import numpy as np
import torch
from ase import Atoms

from atomlab.architectures.mace import MACE
from atomlab.architectures.published import mace as published

CASES = (
    "m1_density_zbl_agnesi_L1",
    "m2_residual_L1",
    "m3_mace_L0_corr2",
    "m5_single_layer_corr1",
    "m6_two_heads_3layers",
    "m7_agnostic_soft_L2",
    "m8_saved_model",
)


def weights(folder: Path, case: str) -> dict[str, torch.Tensor]:
    """The state dict under upstream's names."""
    with np.load(folder / f"{case}.npz") as arrays:
        return {k: torch.from_numpy(arrays[k]) for k in arrays.files if not k.startswith("__")}


def case_of(folder: Path, case: str) -> tuple[MACE, dict]:
    """The model in float64, and what is known about it."""
    known = json.loads((folder / f"{case}.json").read_text())
    if case == "m8_saved_model":
        return published.read(folder / f"{case}.model").double(), known
    return published.from_upstream(weights(folder, case), known["config"], case), known


def structures(folder: Path) -> dict[str, Atoms]:
    """The structures by name."""
    listed = json.loads((folder / "structures.json").read_text())
    return {k: Atoms(s["symbols"], s["positions"], cell=s["cell"], pbc=s["pbc"]) for k, s in listed.items()}


def close(mine, reference, rtol=1e-8) -> bool:
    """|difference| <= rtol * max|reference| + 1e-10."""
    mine, reference = np.asarray(mine), np.asarray(reference)
    assert mine.shape == reference.shape
    return bool(np.abs(mine - reference).max(initial=0.0) <= rtol * np.abs(reference).max(initial=0.0) + 1e-10)
