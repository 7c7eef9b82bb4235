"""Stillinger-Weber against LAMMPS, every classical potential against finite differences, EMT against ASE."""

import numpy as np
import pytest
import torch
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT as AseEMT
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

import atomlab
from atomlab.architectures.classical import StillingerWeber
from atomlab.build import build
from atomlab.errors import AtomLabError, InputError
from atomlab.potential import outputs

# pair_style sw of LAMMPS (22 Jul 2025), units metal, unlike pairs by the same mixing rules: energy (eV), force on the
# first atom (eV/Å), sum of squares of all forces, stress xx yy zz yz xz xy (eV/Å^3, tension positive)
LAMMPS = {
    "Si64": (-176.17430624112674, [4.215207132309452, -5.5639423003395665, 4.534085639901473], 8985.662128996293,
             [-0.14758770275746924, -0.15482196384087726, -0.14198464467524613, -0.019167491598709886,
              0.013508357173720481, 0.006703082487254617]),
    "Ge64": (-146.3381626737403, [2.55343990220954, -6.277456909467162, 3.9882933214609837], 7476.372139235658,
             [-0.1715181450182482, -0.18849495660344417, -0.1726353621765581, -0.01003827685435272,
              0.010683610020936471, 0.004079172945848197]),
    "Si8": (-30.70599259873259, [0.5051844265949494, -2.355236459418808, 5.800881207556984], 146.1731346539848,
            [-0.0070025878339787856, -0.021403685204442458, -0.02325044532976323, 0.02700350798292901,
             -0.025788381506889852, 0.10043275198983893]),
    "Ge8": (-27.009549899732463, [0.46974698782148916, -2.178371465297557, 5.527349699429764], 124.9038640988392,
            [-0.0158666565280274, -0.015671205553809717, -0.03297370753679443, 0.02383927747837948,
             -0.02807182710374819, 0.07552221240781734]),
    "SiGe64": (-199.71971601447098, [3.338307253926977, -4.755049364774706, 3.7717718366055166], 3859.6145933748103,
               [-0.05644027758566106, -0.057738127649933565, -0.053127179401242924, -0.011515537127667562,
                0.011468136074568107, 0.0036962774176619233]),
}  # fmt: skip


def cell(symbol, a, amplitude, sheared):
    atoms = bulk(symbol, "diamond", a=a, cubic=True)
    if sheared:
        shear = np.array([[1, 0, 0], [0.1, 1.02, 0], [-0.05, 0.07, 0.97]])
        atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    else:
        atoms = atoms.repeat(2)
    k = np.arange(3 * len(atoms)).reshape(-1, 3)
    atoms.positions += amplitude * np.sin(1.7 * k + 0.3 * k**2 % 7)
    return atoms


def case(name):
    if name == "SiGe64":
        atoms = cell("Si", 5.5, 0.3, False)
        atoms.numbers = np.where(np.arange(64) * 7 % 5 < 2, 32, 14)
        return atoms, ["Si", "Ge"]
    symbol = name[:2]
    small = {"Si": 5.43, "Ge": 5.66}[symbol]
    dense = {"Si": 5.3, "Ge": 5.5}[symbol]
    return (cell(symbol, small, 0.2, True) if name.endswith("8") else cell(symbol, dense, 0.35, False)), [symbol]


@pytest.mark.parametrize("name", LAMMPS)
def test_stillinger_weber_gives_what_lammps_gives(name):
    atoms, elements = case(name)
    atoms.calc = atomlab.create("stillinger-weber", elements=elements).calculator()
    energy, force, squares, stress = LAMMPS[name]
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-10)
    forces = atoms.get_forces()
    assert np.abs(forces[0] - force).max() < 1e-11
    assert (forces**2).sum() == pytest.approx(squares, rel=1e-12)
    # LAMMPS' unit of pressure (1.6021765e6 bar per eV/Å^3) was used to convert its stress
    assert np.abs(atoms.get_stress() - stress).max() < 1e-12


def test_cohesive_energy_of_the_published_crystals():
    # two bonds per atom, each -epsilon at the minimum of the two-body term; the angles are ideal
    for symbol, epsilon, a in (("Si", 2.1683, 5.43095), ("Ge", 1.93, 5.65362)):
        atoms = bulk(symbol, "diamond", a=a, cubic=True)
        atoms.calc = atomlab.create("stillinger-weber", elements=[symbol]).calculator()
        assert atoms.get_potential_energy() / 8 == pytest.approx(-2 * epsilon, abs=2e-5)
        assert np.abs(atoms.get_stress()).max() < 1e-3


EXAMPLES = {
    "stillinger-weber": lambda: bulk("Si", cubic=True),
    "lennard-jones": lambda: bulk("Ar", cubic=True),
    "morse": lambda: bulk("Cu", cubic=True),
    "emt": lambda: fcc111("Pt", (2, 2, 2), vacuum=3.0, periodic=True),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_forces_and_stress_are_derivatives(name):
    atoms = EXAMPLES[name]()
    atoms.rattle(0.1, seed=3)
    atoms.calc = atomlab.create(name).calculator()
    some = [0, len(atoms) - 1]
    assert np.abs(calculate_numerical_forces(atoms, 1e-4, iatoms=some) - atoms.get_forces()[some]).max() < 2e-6
    assert np.abs(calculate_numerical_stress(atoms, 1e-5) - atoms.get_stress()).max() < 1e-8


@pytest.mark.parametrize("name", ["stillinger-weber", "lennard-jones", "morse"])
def test_energy_is_closed_under_two_derivatives_and_smooth_at_the_cutoff(name):
    potential = atomlab.create(name)
    atoms = EXAMPLES[name]().repeat((1, 1, 1))
    atoms.rattle(0.1, seed=4)
    graph = build(atoms, potential.needs)

    def energy(x):
        return potential(graph.moved(x)).energy.sum()

    x = graph.positions.clone().requires_grad_(True)
    assert torch.autograd.gradgradcheck(energy, (x,), atol=1e-5, rtol=1e-4)
    # a pair that crosses the cutoff: neither the energy nor the force jumps
    two = atoms[:2]
    two.pbc, two.cell = False, None
    values = []
    for r in potential.cutoff + np.array([-1e-4, 1e-4]):
        two.positions = [[0, 0, 0], [r, 0, 0]]
        out = outputs(potential, build(two, potential.needs))
        values.append((out.energy.item(), out.forces[0, 0].item()))
    assert np.abs(np.subtract(*values)).max() < 1e-6
    assert values[1] == (0.0, 0.0)


def test_energies_of_atoms_add_up_and_a_supercell_is_a_multiple():
    potential = atomlab.create("stillinger-weber", elements=["Ge", "Si"])
    atoms = bulk("Ge", cubic=True)
    atoms.numbers[::3] = 14
    atoms.rattle(0.1, seed=1)
    one, two = (outputs(potential, build(a, potential.needs)) for a in (atoms, atoms.repeat((2, 1, 1))))
    assert one.atoms.sum().item() == pytest.approx(one.energy.item())
    assert two.energy.item() == pytest.approx(2 * one.energy.item())


def test_a_potential_is_made_again_from_its_config():
    for name, config in {
        "stillinger-weber": {"elements": ["Si", "Ge"]},
        "lennard-jones": {"elements": ["Ar", "Kr"], "epsilon": [0.0103, 0.0141], "sigma": [3.4, 3.65], "cutoff": 7.0},
        "morse": {"elements": [29], "depth": 0.3},
        "emt": {},
    }.items():
        potential = atomlab.create(name, **config)
        again = type(potential)(**potential.config)
        assert again.config == potential.config and again.needs == potential.needs and potential.kind == name


def test_what_has_no_parameters_is_refused_by_name():
    with pytest.raises(InputError, match="C.*parameters="):
        atomlab.create("stillinger-weber", elements=["C"])
    with pytest.raises(InputError, match="Ge"):
        potential = atomlab.create("stillinger-weber", elements=["Si"])
        potential(build(bulk("Ge"), potential.needs))
    with pytest.raises(InputError, match="epsilon"):
        StillingerWeber(["C"], {"C": {"epsilon": 1.0}})
    with pytest.raises(InputError, match="sigma"):
        atomlab.create("lennard-jones", elements=["Ar", "Kr"], sigma=[3.4])
    carbon = StillingerWeber(["C"], {"C": {"epsilon": 3.55, "sigma": 1.4, "lambda": 44.0}})
    assert carbon.cutoff == pytest.approx(1.8 * 1.4)


def test_emt_is_ase_s_and_refuses_a_second_derivative():
    potential = atomlab.create("emt")
    for atoms in (bulk("Cu", cubic=True), molecule("H2O"), fcc111("Ag", (1, 1, 2), vacuum=4.0)):
        if "O" in atoms.get_chemical_symbols():
            atoms.numbers[:] = [13, 29, 79]
        atoms.rattle(0.05, seed=1)
        reference = atoms.copy()
        reference.calc = AseEMT()
        out = outputs(potential, build(atoms, potential.needs), ("energy", "forces", "virial"))
        assert out.energy.item() == pytest.approx(reference.get_potential_energy())
        assert np.abs(out.forces.numpy() - reference.get_forces()).max() < 1e-10
    graph = build(bulk("Cu"), potential.needs)
    x = graph.positions.clone().requires_grad_(True)
    energy = potential(graph.moved(x)).energy.sum()
    with pytest.raises(AtomLabError, match="differences of forces"):
        torch.autograd.grad(energy, x, create_graph=True)
