"""What is measured along a trajectory, against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from atomlab.errors import InputError
from atomlab.simulate.observables.rdf import RDF


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
