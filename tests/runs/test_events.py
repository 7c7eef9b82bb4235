"""The event log: appended only, numbered, readable while written and after its writer was killed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from atomlab.runs import events
from atomlab.runs.events import EventLog, Tail, last_event, plain


def test_events_are_numbered_and_read_back(tmp_path) -> None:
    log = EventLog(tmp_path)
    log.write("state", {"state": "running"})
    log.write("metric", {"loss": 0.5, "values": np.arange(3)})
    log.close()
    log = EventLog(tmp_path)  # another process goes on
    log.write("metric", {"loss": float("nan")})
    log.close()
    read = Tail(tmp_path).read()
    assert [e["seq"] for e in read] == [1, 2, 3]
    assert read[1]["values"] == [0, 1, 2]
    assert read[2]["loss"] is None  # JSON has no NaN
    assert all(isinstance(e["time"], float) for e in read)


def test_half_a_line_is_not_read_and_not_kept(tmp_path) -> None:
    log = EventLog(tmp_path)
    log.write("metric", {"loss": 1})
    log.close()
    path = tmp_path / "events.jsonl"
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "kind": "met')  # killed while writing
    tail = Tail(tmp_path)
    assert [e["seq"] for e in tail.read()] == [1]
    assert last_event(tmp_path)["seq"] == 1
    log = EventLog(tmp_path)
    log.write("metric", {"loss": 2})
    log.close()
    assert [e["seq"] for e in tail.read()] == [2]
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("block", [7, 64, 1 << 16])
def test_the_last_event_of_a_kind_is_found_from_the_end(tmp_path, monkeypatch, block: int) -> None:
    monkeypatch.setattr(events, "_BLOCK", block)
    log = EventLog(tmp_path)
    for k in range(30):
        log.write("state" if k % 10 == 0 else "metric", {"k": k, "text": "kind" * (k % 5)})
    log.close()
    assert last_event(tmp_path)["k"] == 29
    assert last_event(tmp_path, "state")["k"] == 20
    assert last_event(tmp_path, "nothing") is None
    assert EventLog(tmp_path).seq == 30


def test_a_tail_gives_each_event_once(tmp_path) -> None:
    log, tail = EventLog(tmp_path), Tail(tmp_path)
    assert tail.read() == []
    log.write("a", {})
    assert [e["kind"] for e in tail.read()] == ["a"]
    log.write("b", {})
    log.write("c", {})
    assert [e["kind"] for e in tail.read()] == ["b", "c"]
    assert tail.read() == []


def test_plain_data() -> None:
    got = plain({"a": np.float32(0.5), "b": (1, np.inf), "c": np.array([[1.0, np.nan]]), 3: None, "d": True})
    assert got == {"a": 0.5, "b": [1, None], "c": [[1.0, None]], "3": None, "d": True}
