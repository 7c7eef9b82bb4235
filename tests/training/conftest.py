"""The toy is registered as an architecture for the tests of this folder."""

import pytest

from atomlab import architectures
from training.toy import Toy


@pytest.fixture(autouse=True)
def registered_toy(monkeypatch):
    known = architectures.architecture
    monkeypatch.setattr(architectures, "architecture", lambda name: Toy if name == "toy" else known(name))
