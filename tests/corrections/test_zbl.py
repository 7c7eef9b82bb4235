"""ZBL by its formula, by the promises of a potential, and the guard against adding it twice."""

import math

import pytest
import torch
from ase import Atoms

from atomlab.analysis.health.structures import dimer
from atomlab.build import build
from atomlab.corrections.zbl import ZBL
from atomlab.errors import InputError
from atomlab.potential import Sum
from atomlab.testing import check_potential


def test_by_its_formula():
    r, a = 1.1, 0.4543 * 0.529 / (14**0.3 + 8**0.3)
    rates = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
    phi = sum(c * math.exp(-k * r / a) for c, k in rates)
    x = r / (1.11 + 0.66)
    envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    model = ZBL([8, 14])
    energy = float(model.energy(build(dimer(14, 8, r), model.needs))[0])
    assert energy == pytest.approx(14.3996 * 14 * 8 / r * phi * envelope, rel=1e-12)
    assert float(model.energy(build(dimer(14, 8, 1.78), model.needs))[0]) == 0.0


def test_the_promises_of_a_potential():
    check_potential(ZBL([8, 14]))


def test_a_second_one_is_refused():
    with pytest.raises(InputError, match="twice"):
        Sum(ZBL([14]), ZBL([14]))


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="order 3"):
        ZBL([14], p=2)


def test_float32_agrees():
    model = ZBL([14])
    graph = build(Atoms("Si2", [[0, 0, 0], [1.5, 0, 0]]), model.needs)
    assert torch.allclose(model.energy(graph), model.energy(graph.to(dtype=torch.float32)), rtol=1e-5)
