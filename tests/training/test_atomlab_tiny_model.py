"""The embedded model atomlab-tiny and its small set are what their cards say, and the model is healthy."""

import json

import pytest

import atomlab
from atomlab import checkpoint
from atomlab.analysis.health import health
from atomlab.data import embedded_names

NAME, SET = "atomlab-tiny", "atomlab-tiny-set"


@pytest.fixture(scope="module")
def model():
    return atomlab.load(NAME, device="cpu")


def test_the_set_is_what_its_card_says():
    data, path = atomlab.read(SET), embedded_names()[SET]
    card = json.loads(path.with_name(f"{SET}.json").read_text())
    assert len(data) == card["structures"] and data.hash() == card["content_sha256"] and len(data.elements) >= 12
    assert data.labels == ("energy", "forces", "stress") == tuple(card["labels"]) and path.stat().st_size < 1e6


def test_it_has_the_errors_of_its_card(model):
    about = checkpoint.header(NAME)["metadata"]
    assert (checkpoint.EMBEDDED / f"{NAME}.safetensors").stat().st_size < 3e6
    assert "CHGNet" in model.card.level_of_theory and model.card.contains["zbl"] == "model"
    assert about["set"]["hash"] == atomlab.read(SET).hash()
    errors = atomlab.evaluate(model, atomlab.read(SET)).errors()
    for name, expected in about["set"]["errors"].items():
        assert errors[name]["mae"] == pytest.approx(expected["mae"], rel=0.01)


def test_it_is_healthy(model):
    """What has been learned, not what mathematics promises: that holds for random weights too."""
    for elements in ([14, 29, 8], [11, 17, 13]):
        found = {f.name: f for f in health(model, elements, only=("isolated_atoms", "dimers", "compression"))}
        assert {name: f.status for name, f in found.items()} == dict.fromkeys(found, "pass"), found
