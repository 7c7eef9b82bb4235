"""What the Lab makes of run directories: folded events, panels' words and buttons, the map's points and atoms."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from atomlab.data import findings
from atomlab_widgets.frames import SYMBOLS, of_atoms, pdb, turned
from atomlab_widgets.panels.curves import parity
from atomlab_widgets.runlog import Log, RunBook, fold, thinned
from atomlab_widgets.screen import Lab
from atomlab_widgets.session import Selection

from . import fake_lab, fake_runs
from .fake_runs import Writer


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = fake_lab.make(tmp_path / "runs", pause=0.01, start=False)
    made.hub.source.load("sw-ge").join(20)
    yield made
    made.close()


def until(lab: Lab, what, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        lab.hub.book.sync()
        time.sleep(0.02)


def items(action, kind: str = "") -> list[str]:
    return [i["id"] for i in action.items if not kind or i["kind"] == kind]


def test_symbols_are_in_their_places() -> None:
    from ase.data import chemical_symbols

    assert list(SYMBOLS) == chemical_symbols[: len(SYMBOLS)] and len(SYMBOLS) == 119


def test_a_resumed_run_forgets_what_it_makes_again() -> None:
    log = Log()
    for step in (1, 2, 3, 2, 3):
        fold(log, {"kind": "metric", "arm": "finetune", "split": "train", "step": step, "epoch": step, "loss": 1.0})
        fold(log, {"kind": "frame", "step": step, "temperature": 300.0})
    assert log.metrics["finetune", "train"]["step"] == [1, 2, 3] and log.frames["step"] == [1, 2, 3]
    assert np.isnan(log.metrics["finetune", "train"]["forces_rmse"]).all()


def test_the_twins_plan_is_not_the_runs_plan() -> None:
    log = Log()
    fold(
        log, {"kind": "plan", "arm": "finetune", "values": {"learning_rate": 0.002}, "reasons": {"learning_rate": "a"}}
    )
    fold(log, {"kind": "plan", "arm": "scratch", "values": {"learning_rate": 0.01}, "reasons": {"learning_rate": "b"}})
    assert log.plan["values"] == {"learning_rate": 0.002}


def test_thinning_keeps_the_ends() -> None:
    x, y = thinned([list(range(10_001)), list(range(10_001))], most=100)
    assert len(x) <= 102 and (x[0], x[-1]) == (0, 10_000) and x == y
    assert thinned([[1, 2], [3, 4]]) == [[1, 2], [3, 4]]


def test_the_book_sees_runs_come_grow_get_lost_and_go(tmp_path: Path) -> None:
    book = RunBook(tmp_path)
    assert book.look() == set()
    writer = Writer(tmp_path, {"kind": "md"})
    book._scanned = -9
    assert book.look() == {"md-0001"} and book.runs["md-0001"].state == "running"
    assert book.look() == set()
    writer.event("progress", done=5, total=10, unit="step", left_s=61.0)
    assert book.look() == {"md-0001"} and "61 s left" in book.runs["md-0001"].sentence()
    writer.release()
    assert book.look() == {"md-0001"} and book.runs["md-0001"].state == "lost"
    import shutil

    shutil.rmtree(writer.path)
    book._scanned = -9
    assert book.look() == {"md-0001"} and not book.runs


def test_a_triclinic_cell_is_turned_with_its_atoms() -> None:
    cell = np.array([[3.0, 1.0, 0.5], [-1.0, 4.0, 0.3], [0.7, -0.2, 5.0]])
    atoms = Atoms("SiGe", scaled_positions=[[0, 0, 0], [0.25, 0.5, 0.75]], cell=cell, pbc=True)
    positions, cellpar = turned(of_atoms(atoms))
    from ase.geometry import cellpar_to_cell

    viewer = cellpar_to_cell(cellpar)  # what a PDB reader makes of lengths and angles: a along x
    assert np.allclose(positions @ np.linalg.inv(viewer), [[0, 0, 0], [0.25, 0.5, 0.75]], atol=1e-8)
    assert np.isclose(np.linalg.norm(positions[1] - positions[0]), atoms.get_distance(0, 1))
    assert pdb(of_atoms(atoms)).startswith("CRYST1") and "CRYST1" not in pdb(
        of_atoms(Atoms("H2", [[0, 0, 0], [0, 0, 1]]))
    )


def test_the_button_is_never_dead_and_starts_one_run(lab: Lab) -> None:
    panel = lab.panels["finetune"]
    lab.session.dispatch("tab", tab="finetune")
    assert items(panel.buttons, "primary") == ["start"]
    panel.buttons.click("start")
    panel.buttons.click("start")
    assert len(lab.hub.client.started) == 1
    until(lab, lambda: panel.run is not None and panel.run.state == "running")
    assert {"pause", "stop"} <= set(items(panel.buttons)) and "start" not in items(panel.buttons)
    until(lab, lambda: panel.run.state == "done")
    assert items(panel.buttons, "primary") == ["goto-md"], "the next step is the one primary button"
    assert "0.06" in panel.note.value
    lab.hub.source.status = "failed"
    panel.refresh()
    assert "goto-data" in items(panel.buttons), "the button's place says where to get what is missing"


def test_every_panel_has_one_primary_at_most(lab: Lab) -> None:
    for name, panel in lab.panels.items():
        lab.session.dispatch("tab", tab=name)
        assert len(items(panel.buttons, "primary")) <= 1, name


def test_stop_pause_and_resume_reach_the_run(lab: Lab) -> None:
    lab.hub.client.length = 100_000
    panel = lab.panels["md"]
    lab.session.dispatch("tab", tab="md")
    panel.buttons.click("start")
    until(lab, lambda: panel.run is not None and panel.run.log.frames["step"])
    assert lab.session.selection.follow and lab.session.selection.source == "md-0001"
    panel.buttons.click("pause")
    assert (panel.run.path / "control" / "pause").exists()
    panel.buttons.click("resume")
    assert not (panel.run.path / "control" / "pause").exists()
    panel.buttons.click("stop")
    until(lab, lambda: panel.run.state == "stopped")
    assert "resume" in items(panel.buttons) and not lab.session.selection.follow


def test_a_guards_stop_is_a_message_that_shows_its_atoms(lab: Lab) -> None:
    writer = Writer(lab.session.workspace, {"kind": "md"})
    fake_runs.md_events(writer, 3)
    words = "Stopped: atoms 12 and 40 came closer than 0.9 Å at 1.23 ps"
    writer.event("state", state="stopped", reason=words, by="guard", atoms=[12, 40])
    writer.release()
    until(lab, lambda: any("atoms 12 and 40" in m.text for m in lab.session.messages))
    message = next(m for m in lab.session.messages if "atoms 12" in m.text)
    assert "Stopped" not in message.text.replace("stopped", ""), "said once"
    strip = lab.widget.children[-1]
    strip.click(message.key, "show")
    assert lab.session.selection == Selection("md-0001", 2, (12, 40))


def test_settings_are_values_with_unit_range_and_reason(lab: Lab) -> None:
    for name in ("finetune", "md"):
        form = lab.panels[name].form
        assert 1 <= sum(f["main"] for f in form.fields) <= 5
        silent = [f["name"] for f in form.fields if not f["reason"]]
        assert not silent, silent
    timestep = next(f for f in lab.panels["md"].form.fields if f["name"] == "timestep")
    assert (timestep["unit"], timestep["min"], timestep["max"], timestep["open_min"]) == ("fs", 0, 20, True)
    lab.session.dispatch("tab", tab="finetune")
    for model, wanted, why in (("atomlab-tiny", "naive", "knows Ge"), ("si-base", "transfer", "never seen Ge")):
        lab.session.dispatch("model", model=model)
        strategy = next(f for f in lab.panels["finetune"].form.fields if f["name"] == "strategy")
        assert strategy["default"] == wanted and why in strategy["reason"]
    lab.panels["md"].form.values = {"timestep": 9.0}
    assert "long for Ge" in lab.panels["md"].warning() and lab.session.settings["md"] == {"timestep": 9.0}


def test_map_points_and_atoms_find_each_other(lab: Lab) -> None:
    md = fake_runs.write_md(lab.session.workspace, 12)
    fake_runs.write_map(lab.session.workspace, md)
    lab.hub.book.look()
    panel, data = lab.panels["map"], lab.hub.map()
    lab.session.dispatch("tab", tab="map")
    outside = data.unknown
    assert len(outside) > 20 and (data.sets[outside] == "md").all()
    panel.buttons.click("unknown") if panel.scatter else panel.take(outside[:10])
    chosen = lab.session.selection
    assert chosen.source == md.name and chosen.atoms
    for atom in chosen.atoms:
        point = data.point_of(chosen, atom)
        assert point is not None and data.atom[point] == atom and data.frame[point] == chosen.frame
    assert panel.table.order == sorted(panel.table.order, key=lambda p: data.similarity[p])
    assert data.of_frame(chosen, 64, data.similarity).shape == (64,)


def test_a_frame_has_one_number_wherever_it_is_named(lab: Lab, tmp_path: Path) -> None:
    """Counted from 0 as in Python: `dataset[k]`, `sw-ge#k`, and what table, view, messages, plots and map say."""
    panels, hub, last = lab.panels, lab.hub, 11
    finding = next(f for f in findings(hub.source.dataset) if f.code == "close-pairs")
    assert finding.frames == (last,) and f"in frame {last} " in finding.text
    assert panels["data"]._cells(last)[0] == str(last) and "close pairs" in panels["data"]._cells(last)[-1]
    lab.session.dispatch("select", source="dataset", frame=last)
    assert f"sw-ge frame {last} of 0–{last}<" in hub.frame_title(lab.session.selection, *hub.frame("dataset", last))
    lab.session.dispatch("select", source="dataset", frame=4)
    assert panels["md"].starts()[:2] == [
        ("sw-ge#4", "the shown frame (sw-ge 4)"), (f"sw-ge#{last}", f"the frame highest in energy ({last})"),
    ]  # fmt: skip
    with pytest.raises(IndexError, match="no frame 12.*counted from 0"):
        hub.source.dataset[last + 1]
    fake_runs.write_parity(tmp_path, fake_runs.germanium())
    points = parity(tmp_path / "parity.npz")[0]
    assert max(frame for frame, _ in points["customdata"]) == last
    assert "frame %{customdata[0]}, atom %{customdata[1]}" in points["hovertemplate"]
    fake_runs.write_map(lab.session.workspace, fake_runs.write_md(lab.session.workspace, 12))
    hub.book.look()
    found = hub.map()
    point = int(np.flatnonzero(found.frame == last)[0])
    assert f"frame {last}, atom 0" in found.name_of(point) and f" {last}, atom 0" in found.short_name(point)


def test_the_table_sorts_filters_and_leaves_out(lab: Lab) -> None:
    panel = lab.panels["data"]
    lab.hub.source._check(lab.hub.source.dataset, lab.hub.source._turn)
    assert panel.table.order == list(range(12))
    panel.table.sort = {"column": "force", "down": True}
    force = lab.hub.source.columns.force
    assert panel.table.order == list(np.argsort(force, kind="stable")[::-1])
    panel.choose.click("filter", "600K")
    assert panel.table.order == [1] or set(panel.table.order) <= {1, 11}
    panel.choose.click("filter", "")
    message = next(m for m in lab.session.messages if m.key.startswith("data."))
    lab.widget.children[-1].click(message.key, "leave_out")
    assert lab.session.left_out and lab.panels["finetune"].values()["left_out"] == list(lab.session.left_out)


def test_the_same_colour_for_a_run_everywhere(lab: Lab) -> None:
    fake_runs.write_finetune(lab.session.workspace, 5)
    fake_runs.write_finetune(lab.session.workspace, 5)
    lab.hub.book.look()
    colours = {r.name: r.color for r in lab.hub.book.of()}
    assert len(set(colours.values())) == 2


def test_copied_text_gives_only_what_differs(tmp_path: Path) -> None:
    from atomlab_widgets.client import Client

    client = Client(tmp_path)
    values = {"model": "m", "structure": "bulk:Ge,size=2x2x2", "temperature": 300.0, "steps": 500}
    assert client.command("md", values) == "atomlab md m --steps 500"
    assert client.python("md", values).endswith("atomlab.md('m', steps=500)")
