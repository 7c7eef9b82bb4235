"""A Lab on fake runs and a fake data set, for tests and for looking at it: `make(workspace)`."""

from __future__ import annotations

from pathlib import Path

from atomlab.data import read
from atomlab_widgets import Lab, Session
from atomlab_widgets.hub import Hub

from .fake_runs import FakeClient, germanium


def make(workspace: str | Path, pause: float = 0.15, length: int = 40, start: bool = True) -> Lab:
    """The Lab; `pause`: seconds between two epochs or frames of a fake run, of which there are `length`."""
    folder = Path(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(folder)
    lab = Lab(session=session, client=FakeClient(folder, pause, length))
    lab.hub.source.give("sw-ge", read(germanium()))
    return lab.start() if start else lab


def session(workspace: str | Path) -> Session:
    """A session on fake runs, for panels in cells of their own."""
    folder = Path(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    made = Session(folder)
    hub = Hub(made, FakeClient(folder))
    made.resources.append(hub)
    hub.source.give("sw-ge", read(germanium()))
    return made
