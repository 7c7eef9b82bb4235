"""The structures and MACE shapes that are compared: mace-torch makes the models on the spot, ours reads them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule

__all__ = ["OURS", "SHAPES", "created", "free_atoms", "mace_batch", "mace_torch", "ours", "silicon", "water"]

# the elements of MACE-MP-0b3 and MPA-0
ALL = [*range(1, 84), *range(89, 95)]
RESIDUAL = "RealAgnosticResidualInteractionBlock"
SHAPES: dict[str, dict[str, Any]] = {
    "medium": {
        "hidden": "128x0e+128x1o", "l": 3, "correlation": 3, "cutoff": 6.0, "bessel": 10, "mlp": [64, 64, 64],
        "first": "RealAgnosticDensityInteractionBlock", "then": "RealAgnosticDensityResidualInteractionBlock",
        "more": {"distance_transform": "Agnesi", "pair_repulsion": True},
    },
    "teaching": {
        "hidden": "32x0e", "l": 2, "correlation": 2, "cutoff": 5.0, "bessel": 8, "mlp": [64, 64, 64],
        "first": RESIDUAL, "then": RESIDUAL, "more": {},
    },
}  # fmt: skip


# the same shapes in our names
OURS: dict[str, dict[str, Any]] = {
    "medium": {
        "elements": ALL, "channels": 128, "l_nodes": 1, "l_edges": 3, "correlation": 3, "cutoff": 6.0,
        "radial_basis": 10, "radial_hidden": [64, 64, 64], "transform": "agnesi", "zbl": True,
    },
    "teaching": {
        "elements": ALL, "channels": 32, "l_nodes": 0, "l_edges": 2, "correlation": 2, "cutoff": 5.0,
        "radial_basis": 8, "radial_hidden": [64, 64, 64], "first_interaction": "residual", "interaction": "residual",
        "average_neighbours": 30.0,
    },
}  # fmt: skip


def created(shape: str, dtype: str = "float32"):
    """Ours in that shape with random weights: where nothing is compared with mace-torch, mace-torch is not needed."""
    import atomlab

    return atomlab.create("mace", **OURS[shape]).to(getattr(torch, dtype)).eval()


def free_atoms(elements: list[int]) -> np.ndarray:
    """Energies of the free atoms in the compared models, eV: small, so that float32 loses nothing to them."""
    return -0.01 * np.asarray(elements, dtype=float)


def silicon(atoms: int, seed: int = 1) -> Atoms:
    """A rattled diamond crystal of 8 n1 n2 n3 atoms."""
    cells = {8: (1, 1, 1), 16: (2, 1, 1), 32: (2, 2, 1), 64: (2, 2, 2), 216: (3, 3, 3), 512: (4, 4, 4)}
    more = {1000: (5, 5, 5), 1728: (6, 6, 6), 4096: (8, 8, 8), 10648: (11, 11, 11)}
    made = bulk("Si", cubic=True, a=5.43).repeat((cells | more)[atoms])
    made.rattle(0.05, seed=seed)
    return made


def water(atoms: int, seed: int = 1) -> Atoms:
    """Water of density 1: molecules in random directions on a grid of 3.104 Å, 96 or 192 atoms."""
    cells = {96: (4, 4, 2), 192: (4, 4, 4)}[atoms]
    one, rng, a = molecule("H2O"), np.random.default_rng(seed), 3.104
    one.positions -= one.positions[0]
    parts = []
    for place in np.ndindex(*cells):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        where = (np.array(place) + 0.5) * a + rng.normal(scale=0.1, size=3)
        parts.append(Atoms(one.numbers, one.positions @ rotation.T + where))
    whole = parts[0]
    for part in parts[1:]:
        whole += part
    whole.set_cell(np.array(cells) * a)
    whole.pbc = True
    return whole


def mace_torch(shape: str, elements: list[int] | None = None) -> torch.nn.Module:
    """A model of that shape with random weights, float64, made by mace-torch."""
    import mace.calculators  # noqa: F401 (first: it lets e3nn read its own constants)
    from e3nn import o3

    from mace import modules

    c, elements = SHAPES[shape], elements or ALL
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    try:
        return modules.ScaleShiftMACE(
            r_max=c["cutoff"],
            num_bessel=c["bessel"],
            num_polynomial_cutoff=5,
            max_ell=c["l"],
            interaction_cls=modules.interaction_classes[c["then"]],
            interaction_cls_first=modules.interaction_classes[c["first"]],
            num_interactions=2,
            num_elements=len(elements),
            hidden_irreps=o3.Irreps(c["hidden"]),
            MLP_irreps=o3.Irreps("16x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=free_atoms(elements),
            avg_num_neighbors=30.0,
            atomic_numbers=elements,
            correlation=c["correlation"],
            radial_type="bessel",
            radial_MLP=c["mlp"],
            atomic_inter_scale=0.8,
            atomic_inter_shift=0.0,
            **c["more"],
        )
    finally:
        torch.set_default_dtype(before)


def ours(theirs: torch.nn.Module, dtype: str):
    """The same model read by ours from the file that mace-torch saves."""
    import atomlab

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.model"
        torch.save(theirs, path)
        return atomlab.load(path, dtype=dtype)


def mace_batch(frames: list[Atoms], theirs: torch.nn.Module, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """mace-torch's own batch of structures, neighbours searched."""
    from mace.tools import torch_geometric, utils

    from mace import data

    table = utils.AtomicNumberTable([int(z) for z in theirs.atomic_numbers])
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        graphs = [
            data.AtomicData.from_config(data.config_from_atoms(f), z_table=table, cutoff=float(theirs.r_max))
            for f in frames
        ]
        loader = torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
        return next(iter(loader)).to_dict()
    finally:
        torch.set_default_dtype(before)
