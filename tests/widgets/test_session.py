"""The session without a browser: what each event does, who hears of it, what comes back after a restart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atomlab.checkpoint import FIRST, embedded
from atomlab_widgets.session import SESSION_FILE, Selection, Session, State, reduce, restored


def after(*events: dict) -> State:
    state = State()
    for event in events:
        state = reduce(state, event)
    return state


def test_a_click_is_the_same_whatever_was_clicked() -> None:
    state = after({"do": "select", "source": "md-0001", "frame": 7, "atoms": [3, 1, 3]})
    assert state.selection == Selection("md-0001", 7, (1, 3), False)
    assert reduce(state, {"do": "select", "frame": 8}).selection == Selection("md-0001", 8)  # marks were of frame 7
    assert reduce(state, {"do": "mark", "atoms": []}).selection.atoms == ()


def test_following_ends_with_any_click_and_frames_move_it_only_while_it_lasts() -> None:
    state = after({"do": "follow", "source": "md-0001", "frame": 3}, {"do": "advance", "source": "md-0001", "frame": 9})
    assert state.selection == Selection("md-0001", 9, (), True)
    state = reduce(state, {"do": "select", "source": "dataset", "frame": 2})
    assert reduce(state, {"do": "advance", "source": "md-0001", "frame": 10}) == state


def test_another_data_set_forgets_what_was_said_about_the_old_one() -> None:
    old = after(
        {"do": "leave_out", "frames": [4, 2]},
        {"do": "message", "key": "data.close", "text": "close pairs"},
        {"do": "message", "key": "run.x.failed", "text": "failed"},
        {"do": "select", "frame": 5},
    )
    assert old.left_out == (2, 4)
    new = reduce(old, {"do": "data", "data": "sw-si"})
    assert (new.data, new.left_out, new.selection) == ("sw-si", (), Selection())
    assert [m.key for m in new.messages] == ["run.x.failed"]
    assert reduce(old, {"do": "data", "data": old.data}) == old


def test_a_message_stays_until_dismissed_and_then_stays_away() -> None:
    say = {"do": "message", "key": "a", "text": "one"}
    state = after(say, {**say, "text": "two"})
    assert [m.text for m in state.messages] == ["two"]
    gone = reduce(state, {"do": "dismiss", "key": "a"})
    assert gone.messages == () and reduce(gone, say) == gone
    assert [m.text for m in reduce(gone, {**say, "again": True}).messages] == ["one"]


def test_a_deleted_run_is_forgotten_everywhere() -> None:
    state = after(
        {"do": "overlay", "run": "finetune-0001"},
        {"do": "overlay", "run": "finetune-0002"},
        {"do": "select", "source": "finetune-0001"},
        {"do": "message", "key": "run.finetune-0001.lost", "text": "lost"},
        {"do": "forget", "run": "finetune-0001"},
    )
    assert state.shown_runs == ("finetune-0002",) and state.selection == Selection() and state.messages == ()


def test_an_unknown_event_is_an_error() -> None:
    with pytest.raises(KeyError):
        reduce(State(), {"do": "selct"})


def test_watchers_hear_only_their_part_and_one_fault_does_not_stop_the_others(tmp_path: Path) -> None:
    session, heard = Session(tmp_path), []

    def broken(old: State, new: State) -> None:
        raise ValueError("a fault of a panel")

    session.watch(("tab",), broken)
    session.watch(("tab",), lambda old, new: heard.append(new.tab))
    session.watch(("model",), lambda old, new: heard.append(new.model))
    session.dispatch("tab", tab="md")
    assert heard == ["md"]
    assert "a fault of a panel" in session.state.messages[0].text and "Traceback" in session.state.messages[0].detail


def test_events_from_many_threads_are_all_applied(tmp_path: Path) -> None:
    session = Session(tmp_path)
    threads = [
        threading.Thread(target=lambda k=k: [session.dispatch("leave_out", frames=[100 * k + n]) for n in range(20)])
        for k in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.dispatch("tab", tab="runs")
    assert len(session.state.left_out) == 120 and session.state.tab == "runs"


def test_a_restart_brings_the_same_state_back(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.dispatch("setting", panel="md", values={"steps": 500})
    session.dispatch("select", source="dataset", frame=3, atoms=[5])
    session.dispatch("overlay", run="finetune-0002")
    session.dispatch("tab", tab="map")
    again = Session(tmp_path).state
    assert again.settings == {"md": {"steps": 500}} and again.selection == Selection("dataset", 3, (5,))
    assert (again.tab, again.shown_runs) == ("map", ("finetune-0002",))
    assert [p.name for p in tmp_path.iterdir()] == [SESSION_FILE], "no half-written file is left"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"selection": 5}', json.dumps({"selection": {"frme": 1}})])
def test_a_broken_session_file_is_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / SESSION_FILE).write_text(content)
    state = restored(tmp_path / SESSION_FILE)
    assert state.selection == Selection() and state.tab == "data"


def test_the_labs_kernel_imports_neither_torch_nor_umap(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from widgets import fake_lab, fake_runs
from widgets.fake_runs import write_finetune, write_md, write_map
from atomlab_widgets.client import Client
folder = Path(sys.argv[1])
write_finetune(folder); md = write_md(folder, 5); write_map(folder, md)
lab = fake_lab.make(folder, start=False)
client = Client(folder)
for kind in ("finetune", "md", "map"):
    client.schema(kind)
client.models(), client.datasets()
lab.hub.source.load("sw-ge").join(); lab.hub.book.look(); lab.view.load()
for name, panel in lab.panels.items():
    lab.session.dispatch("tab", tab=name); panel.load()
assert not lab.session.messages or all(m.level != "error" for m in lab.session.messages), lab.session.messages
print(sorted({"torch", "umap", "sklearn", "numba", "pynndescent"} & set(sys.modules)))
"""
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tests, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_one_model_is_the_first_everywhere() -> None:
    """The Lab opens with it, its worker practises with it, and an installation compiles its kernels."""
    assert State().model == FIRST and FIRST in embedded()
    root = Path(__file__).resolve().parents[2]
    for place in ("Makefile", "binder/postBuild"):
        assert re.search(rf"atomlab kernels [^\n]*{FIRST}\b", (root / place).read_text()), place
