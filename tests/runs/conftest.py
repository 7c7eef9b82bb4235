"""The toy task in this process and in those that runs start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atomlab.runs import handle, worker
from runs import toy


@pytest.fixture(autouse=True)
def toys(workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes started by runs know the toy task, and none outlives its test."""
    started = []
    detached = handle.detached

    def known(command, log):
        process = detached([*toy.COMMAND, *command[command.index("atomlab.runs.worker") + 1 :]], log)
        started.append(process)
        return process

    monkeypatch.setattr(handle, "detached", known)
    monkeypatch.setattr(worker, "detached", known)
    yield
    for process in started:
        process.kill()
        process.wait()
