"""What is measured along a trajectory, against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from atomlab.errors import InputError
from atomlab.simulate.observables.adf import ADF
from atomlab.simulate.observables.msd import diffusion, mean_square_displacement
from atomlab.simulate.observables.rdf import RDF
from atomlab.simulate.observables.vdos import vibrations


def test_rdf_counts_the_neighbours_of_a_crystal() -> None:
    """Integrated over a shell, 4 pi r^2 rho g(r) gives 4, 12 and 12 neighbours in diamond."""
    atoms = bulk("Ge", "diamond", 5.66, cubic=True)
    rdf = RDF(r_max=7.0, bins=700)
    rdf.add(atoms)
    rdf.add(atoms)
    counted = np.cumsum(4 / 3 * np.pi * np.diff(rdf.edges**3) * len(atoms) / atoms.get_volume() * rdf.g)
    for r, n in ((3.0, 4), (4.3, 16), (5.0, 28)):
        assert counted[np.searchsorted(rdf.r, r)] == pytest.approx(n)


def test_rdf_of_an_ideal_gas_is_one() -> None:
    rng = np.random.default_rng(0)
    rdf = RDF(r_max=6.0, bins=12)
    for _ in range(20):
        rdf.add(Atoms("Ar300", positions=rng.uniform(0, 12, (300, 3)), cell=[12] * 3, pbc=True))
    assert rdf.g[3:] == pytest.approx(np.ones(9), abs=0.05)


def test_partial_rdf() -> None:
    salt = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    unlike, like = RDF(3.5, 70, between=(11, 17)), RDF(3.5, 70, between=(11, 11))
    for rdf in (unlike, like):
        rdf.add(salt)
    assert unlike.r[np.argmax(unlike.g)] == pytest.approx(2.82, abs=0.05)
    assert like.g.max() == 0
    absent = RDF(3.5, 70, between=(11, 19))
    absent.add(salt)
    assert absent.g.max() == 0


def test_rdf_refuses_what_has_no_density() -> None:
    with pytest.raises(InputError, match="periodic in all directions"):
        RDF().add(Atoms("Ar2", positions=[[0, 0, 0], [3, 0, 0]]))
    with pytest.raises(InputError, match="positive range"):
        RDF(r_max=-1)


def test_angles_of_diamond_and_of_random_directions() -> None:
    adf = ADF(cutoff=3.0, bins=180)
    adf.add(bulk("Ge", "diamond", 5.66, cubic=True))
    assert adf.angle[np.argmax(adf.density)] == pytest.approx(109.5, abs=0.6)
    assert adf.density.sum() == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    gas = ADF(cutoff=4.0, bins=18)
    for _ in range(10):
        gas.add(Atoms("Ar200", positions=rng.uniform(0, 12, (200, 3)), cell=[12] * 3, pbc=True))
    assert gas.density == pytest.approx(np.sin(np.radians(gas.angle)) * np.pi / 360, abs=3e-4)
    assert np.isnan(ADF(1.0).density).all()


def test_mean_square_displacement_is_the_sum_written_out() -> None:
    rng = np.random.default_rng(1)
    r = np.cumsum(rng.standard_normal((40, 5, 3)), axis=0) + 1e3
    direct = [np.mean(np.sum((r[t:] - r[: 40 - t]) ** 2, axis=2)) for t in range(40)]
    np.testing.assert_allclose(mean_square_displacement(r, drift=True), direct, atol=1e-9)
    moving = r + 5.0 * np.arange(40)[:, None, None]
    np.testing.assert_allclose(mean_square_displacement(moving), mean_square_displacement(r), atol=1e-7)


def test_diffusion_of_a_random_walk() -> None:
    """Steps of variance s^2 per direction every dt: D = s^2 / 2 dt."""
    rng = np.random.default_rng(2)
    walk = np.cumsum(0.3 * rng.standard_normal((400, 1000, 3)), axis=0)
    assert diffusion(mean_square_displacement(walk, drift=True), spacing=4.0) == pytest.approx(0.09 / 8, rel=0.05)
    with pytest.raises(InputError, match="Too few frames"):
        diffusion(np.zeros(1), 1.0)


def test_vibrations_have_their_frequencies() -> None:
    """Two oscillators of 5 and 12 THz with kinetic energies 1 : 3, which is how their areas compare."""
    t = np.arange(2000) * 2.0  # fs
    v = np.zeros((2000, 4, 3))
    v[:, 0, 0], v[:, 1, 0] = np.cos(2 * np.pi * 5e-3 * t), -np.cos(2 * np.pi * 5e-3 * t)
    v[:, 2, 1], v[:, 3, 1] = (f * np.sqrt(3) * np.sin(2 * np.pi * 12e-3 * t) for f in (1, -1))
    frequency, density = vibrations(v, np.full(4, 28.0), 2.0)
    step = frequency[1]
    assert density.sum() * step == pytest.approx(1.0)
    low, high = density[frequency < 8].sum() * step, density[frequency > 8].sum() * step
    assert frequency[np.argmax(density * (frequency < 8))] == pytest.approx(5.0, abs=step)
    assert frequency[np.argmax(density)] == pytest.approx(12.0, abs=step)
    assert high / low == pytest.approx(3.0, rel=1e-3)
    with pytest.raises(InputError, match="Nothing moves"):
        vibrations(np.zeros((10, 2, 3)), np.ones(2), 1.0)
