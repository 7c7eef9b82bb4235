"""The list of checks passes on a sound potential and catches each fault that it exists for."""

import pytest
import torch

from atomlab.analysis.health import CHECKS, health
from atomlab.graph import Needs
from atomlab.kernels import segment_sum
from atomlab.potential import Card, Potential, Terms
from atomlab.testing import STRUCTURAL, check_potential


class Pair(Potential):
    """A smooth repulsive pair energy, with faults on request."""

    needs = Needs(cutoffs=(5.0,))

    def __init__(self, fault="", claims=True):
        super().__init__({}, Card(name="pair", elements=(14, 32), extensive=claims, local=claims))
        self.fault = fault
        self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
        self.register_buffer("atomic_energies", torch.tensor([[-1.0, -2.0]], dtype=torch.float64))

    def pair_energy(self, d):
        r = d.norm(dim=1)
        e = 0.5 * (1 - r / 5.0) ** 4 / r
        if self.fault == "jump":
            e = e + 0.01
        if self.fault == "direction":
            e = e * (1 + 0.1 * d[:, 2] ** 2)
        if self.fault == "hole":
            e = e - 3 * torch.exp(-(((r - 1.4) / 0.2) ** 2))
        return e

    def forward(self, graph):
        d = graph.vectors(5.0)
        e = graph.edges[5.0]
        if self.fault == "forces":
            d = d * 0.1 + 0.9 * d.detach()
        atoms = segment_sum(self.scale * self.pair_energy(d), e.i, len(graph.numbers)).double()
        if self.fault == "whole":
            atoms = atoms * torch.tanh(atoms.sum())
        if self.fault != "isolated":
            atoms = atoms + self.atomic_energies[0][(graph.numbers == 32).long()]
        return Terms(segment_sum(atoms, graph.batch, graph.size), atoms)


def found(**kw):
    return {f.name: f for f in health(Pair(**kw))}


def test_a_sound_potential_passes_everything():
    findings = found()
    assert set(findings) == set(CHECKS)
    assert {n: f.text for n, f in findings.items() if f.status != "pass"} == {}
    assert "ms per atom" in findings["speed"].text


@pytest.mark.parametrize(
    "fault,caught",
    [
        ("forces", "forces"),
        ("forces", "stress"),
        ("direction", "rotation"),
        ("jump", "continuity"),
        ("whole", "extensivity"),
        ("whole", "locality"),
        ("whole", "batch"),
        ("isolated", "isolated_atoms"),
        ("hole", "dimers"),
        ("hole", "compression"),
    ],
)
def test_every_fault_is_caught(fault, caught):
    assert found(fault=fault)[caught].status == "fail"


def test_what_the_card_does_not_claim_is_measured_and_not_failed():
    findings = found(fault="whole", claims=False)
    for name in ("extensivity", "locality"):
        assert findings[name].status == "not claimed" and findings[name].value > 0


def test_check_potential_fails_in_words():
    assert len(check_potential(Pair())) == len(STRUCTURAL)
    with pytest.raises(AssertionError, match="continuity: the largest jump at a cutoff is 20 meV, at 5 Å"):
        check_potential(Pair(fault="jump"), only=["continuity"])
    with pytest.raises(ValueError, match="no checks"):
        check_potential(Pair(), only=["contunuity"])


def test_a_check_that_breaks_is_a_finding():
    broken = Pair()
    broken.forward = lambda graph: (_ for _ in ()).throw(RuntimeError("no such thing"))
    findings = list(health(broken, only=["forces", "speed"]))
    assert all(f.status == "fail" and "no such thing" in f.text for f in findings)
