"""Models that mace-torch makes and saves on the spot are read, and give its energies, forces and stress.

Runs in the environment of `make parity`, where mace-torch is; elsewhere it is skipped.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

pytest.importorskip("mace.calculators", reason="mace-torch lives in the environment of `make parity`")

from e3nn import o3
from mace.calculators import MACECalculator

import atomlab
from mace import modules

ELEMENTS = [1, 8, 14]
E0 = np.array([-13.6, -430.0, -107.0])
RESIDUAL = "RealAgnosticResidualInteractionBlock"
CASES = {
    "0a small": {"first": RESIDUAL, "then": RESIDUAL, "hidden": "16x0e", "l": 3, "correlation": 3},
    "0a medium": {"first": RESIDUAL, "then": RESIDUAL, "hidden": "8x0e+8x1o", "l": 3, "correlation": 3},
    "0b3": {
        "first": "RealAgnosticDensityInteractionBlock",
        "then": "RealAgnosticDensityResidualInteractionBlock",
        "hidden": "8x0e+8x1o",
        "l": 3,
        "correlation": 3,
        "distance_transform": "Agnesi",
        "pair_repulsion": True,
    },
    "teaching": {"first": RESIDUAL, "then": RESIDUAL, "hidden": "16x0e", "l": 2, "correlation": 2},
}


def theirs(case: dict) -> torch.nn.Module:
    extra = {k: case[k] for k in ("distance_transform", "pair_repulsion") if k in case}
    torch.manual_seed(7)
    return modules.ScaleShiftMACE(
        r_max=4.5,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=case["l"],
        interaction_cls=modules.interaction_classes[case["then"]],
        interaction_cls_first=modules.interaction_classes[case["first"]],
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=o3.Irreps(case["hidden"]),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=E0,
        avg_num_neighbors=12.0,
        atomic_numbers=ELEMENTS,
        correlation=case["correlation"],
        radial_type="bessel",
        radial_MLP=[32, 32],
        atomic_inter_scale=0.8,
        atomic_inter_shift=0.1,
        **extra,
    )


@pytest.fixture
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", CASES)
def test_a_saved_model_gives_its_makers_numbers(name, tmp_path, double):
    model, path = theirs(CASES[name]), tmp_path / "made_here.model"
    torch.save(model, path)
    ours = atomlab.load(path, dtype="float64").calculator()
    reference = MACECalculator(models=[model], device="cpu", default_dtype="float64")
    silicon = bulk("Si", cubic=True)
    silicon.rattle(0.1, seed=1)
    water = molecule("H2O")
    for atoms in (silicon, water):
        alone = sum(E0[ELEMENTS.index(z)] for z in atoms.numbers)
        found, wanted = atoms.copy(), atoms.copy()
        found.calc, wanted.calc = ours, reference
        energy = wanted.get_potential_energy() - alone
        assert found.get_potential_energy() - alone == pytest.approx(energy, rel=1e-8, abs=1e-9)
        forces = wanted.get_forces()
        assert np.abs(found.get_forces() - forces).max() <= 1e-8 * np.abs(forces).max() + 1e-10
        if atoms.pbc.all():
            stress = wanted.get_stress()
            assert np.abs(found.get_stress() - stress).max() <= 1e-8 * np.abs(stress).max() + 1e-10
