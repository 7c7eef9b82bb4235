"""The event log of a run: one JSON object per line, appended only, numbered from 1.

Only the holder of the run's lock writes. A reader may look at any time: a last line that is not complete yet, or never
will be because its writer was killed, is left alone. NaN and infinity are written as null, since JSON has neither.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["EventLog", "Tail", "last_event", "plain"]

FILE = "events.jsonl"
_BLOCK = 1 << 16


def plain(value: Any) -> Any:
    """The same as plain JSON data: arrays become lists, NaN and infinity None, paths text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # numpy and torch, without importing either
        return plain(value.tolist())
    return str(value)


class EventLog:
    """The writer. Goes on from the last complete line of an older log."""

    def __init__(self, directory: Path):
        self.path = Path(directory) / FILE
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._drop_half_a_line()
        last = last_event(directory)
        self.seq = last["seq"] if last else 0

    def _drop_half_a_line(self) -> None:
        size = os.fstat(self._fd).st_size
        end = _last_newline(self.path, size) + 1
        if end < size:
            os.ftruncate(self._fd, end)

    def write(self, kind: str, values: dict[str, Any], sync: bool = False) -> dict[str, Any]:
        """Append one event; with `sync` it is on the disk when this returns. OSError where there is no space."""
        event = {"seq": self.seq + 1, "time": round(time.time(), 3), "kind": kind, **plain(values)}
        data = (json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n").encode()
        size = os.fstat(self._fd).st_size
        try:
            _write_all(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, size)  # a full disk may have taken half of the line
            raise
        self.seq += 1
        if sync:
            os.fsync(self._fd)
        return event

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _last_newline(path: Path, end: int) -> int:
    """Position of the last line break before `end`, -1 if there is none."""
    with path.open("rb") as file:
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found
            end = start
    return -1


class Tail:
    """Reads what is new since it last looked; a line that is not complete yet is left for the next time."""

    def __init__(self, directory: Path):
        self.path = Path(directory) / FILE
        self.offset = 0

    def read(self) -> list[dict[str, Any]]:
        """The events since the last call, oldest first."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return []
        data = data[: data.rfind(b"\n") + 1]
        self.offset += len(data)
        return [json.loads(line) for line in data.splitlines() if line.strip()]


def last_event(directory: Path, kind: str | None = None) -> dict[str, Any] | None:
    """The newest complete event (of that kind), read from the end of the file; None if there is none."""
    wanted = None if kind is None else f'"kind": "{kind}"'.encode()
    for line in _lines_backwards(Path(directory) / FILE):
        if wanted is None or wanted in line:
            event = json.loads(line)
            if kind is None or event["kind"] == kind:
                return event
    return None


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        end = _last_newline(path, file.seek(0, os.SEEK_END)) + 1
        rest = b""
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            lines = (file.read(end - start) + rest).split(b"\n")
            rest, end = lines[0], start
            yield from (line for line in reversed(lines[1:]) if line.strip())
        if rest.strip():
            yield rest
