"""A cache of the test's own, a site, and the notices that were given."""

import pytest

from atomlab import errors
from atomlab.architectures.published import download
from atomlab.architectures.published.catalogue import Published
from published.server import Site, served


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("ATOMLAB_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(errors, "_said", set())
    return folder


@pytest.fixture
def site():
    content = bytes(range(256)) * 1024  # 262,144 bytes
    site = Site(content)
    server, thread = served(site)
    yield site
    site.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def entry(site):
    return Published("toy", "mace", (14,), "PBE", "CC0 (toy licence)", "Toy, 2024", site.url)


@pytest.fixture
def told():
    heard = []
    stop = errors.on_notice(lambda code, text: heard.append(text))
    yield heard
    stop()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (2.0, 0.3))
