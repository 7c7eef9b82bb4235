"""The health card finds by itself what GPTFF's published weights do not keep: extensivity, and continuity at 5 Å."""

from dataclasses import replace

import pytest

from atomlab.analysis.health import health
from atomlab.architectures import create
from atomlab.architectures.published.gptff import read
from atomlab.testing import check_potential

# eV: jump of an isolated pair of silicon at 5 Å, measured independently
JUMPS = {"v1": 29.0, "v2": 33.0}


@pytest.fixture(scope="module", params=list(JUMPS))
def version(request):
    return request.param


@pytest.fixture(scope="module")
def model(shared, version):
    return read(shared / f"weights/gptff/gptff_{version}.pth")


def found(potential, *names, elements=(14,)):
    return {f.name: f for f in health(potential, elements, names)}


def test_missing_extensivity_is_measured_where_the_card_admits_it(model):
    """The card of a published GPTFF says so: nothing is failed, but the size of the effect is told."""
    findings = found(model, "extensivity", "locality")
    for finding in findings.values():
        assert finding.status == "not claimed" and abs(finding.value) > finding.limit
    effect = findings["extensivity"].curve["effect"]
    assert len(effect) == 3 and all(e < -10 for e in effect)  # meV/atom
    assert "meV/atom" in findings["extensivity"].text and "not extensive" in findings["extensivity"].text
    assert "is not local" in findings["locality"].text


def test_missing_extensivity_is_failed_where_the_card_claims_it(model):
    """The finding rests on energies, not on the card."""
    boast = read_again(model)
    boast.card = replace(model.card, extensive=True, local=True)
    findings = found(boast, "extensivity", "locality")
    assert {f.status for f in findings.values()} == {"fail"}
    with pytest.raises(AssertionError, match=r"extensivity: supercells of 2, 4, 8 cells differ by -\d"):
        check_potential(boast, [14], only=["extensivity"])


def test_a_dropout_makes_no_finding_random(model):
    training = read_again(model).train()
    effects = [found(training, "extensivity")["extensivity"].curve["effect"] for _ in range(2)]
    assert effects[0] == effects[1]


def test_the_jump_at_five_angstrom_is_found(model, version):
    finding = found(model, "continuity")["continuity"]
    assert finding.status == "fail" and "at 5 Å" in finding.text
    assert finding.curve["cutoff"] == pytest.approx([3.5, 5.0])
    assert finding.value == pytest.approx(JUMPS[version], abs=0.5) == max(finding.curve["jump"])


def test_the_jump_is_found_for_other_elements_too(model):
    for elements in ([22, 8], [11, 17]):
        finding = found(model, "continuity", elements=elements)["continuity"]
        assert finding.status == "fail" and finding.value > 0.1 and "at 5 Å" in finding.text


def test_what_gptff_does_keep_passes(model):
    findings = found(model, "forces", "stress", "rotation", "translation_and_order", "batch")
    assert {f.status for f in findings.values()} == {"pass"}, {f.name: f.text for f in findings.values()}


def test_a_model_without_these_faults_passes_the_same_checks():
    mace = create("mace", elements=[14], channels=4, radial_hidden=[8])
    assert {f.status for f in found(mace, "extensivity", "locality", "continuity").values()} == {"pass"}


def read_again(model):
    """A second object with the same weights, whose card may be changed."""
    other = create("gptff", **model.config).to(model.dtype)
    other.load_state_dict(model.state_dict())
    return other
