"""The task map: what stands in map.npz, when, and that a stop is answered while UMAP works."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.io.trajectory import TrajectoryWriter

from analysis.toy import Toy
from atomlab import errors
from atomlab.analysis import descriptors, similarity
from atomlab.analysis.projection import PCA
from atomlab.errors import InputError
from atomlab.runs.events import EventLog, Tail
from atomlab.runs.execute import RunIO, Stopped
from atomlab.runs.recipes import map as recipe
from atomlab.runs.spec import as_command, parse
from atomlab.runs.tasks import MapSpec

COLUMNS = {
    "set", "frame", "atom", "number", "pca", "umap", "similarity", "force_error", "nearest_frame", "nearest_atom",
    "nearest_similarity", "time",
}  # fmt: skip


def silicon(seed, stretch=1.0, labelled=False):
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(atoms.cell * stretch, scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    if labelled:
        atoms.arrays["REF_forces"] = Toy().calculator().get_forces(atoms) + 0.1
    return atoms


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """A training set without labels in one frame, a test set, and an MD of 7 frames."""
    monkeypatch.setattr(errors, "_said", set())
    data = {
        "train": [silicon(k, labelled=k != 2) for k in range(6)],
        "test": [silicon(50, labelled=True), silicon(51, 1.2, labelled=True)],
    }
    monkeypatch.setattr(recipe.checkpoint, "load", lambda name, device, dtype, head: Toy())
    monkeypatch.setattr("atomlab.data.read", data.__getitem__, raising=False)
    md = tmp_path / "md"
    md.mkdir()
    log = EventLog(md)
    with TrajectoryWriter(str(md / "trajectory.traj"), "w") as trajectory:
        for k in range(7):
            trajectory.write(silicon(100 + k))
            log.write("frame", {"index": k, "time_fs": 20.0 * k})
    log.close()
    return SimpleNamespace(**data, md=md)


def test_the_spec_comes_back_from_its_file():
    spec = MapSpec(model="si-base", train="sw-ge", layer=1, points=500)
    assert parse(spec.model_dump(mode="json")) == spec
    assert as_command(spec) == "atomlab map si-base sw-ge --layer 1 --points 500"
    with pytest.raises(InputError, match="'neighbours' should be greater than or equal to 2"):
        parse({"kind": "map", "model": "a", "train": "b", "neighbours": 1})


def run(tmp_path, **settings):
    folder = tmp_path / "map"
    folder.mkdir(exist_ok=True)
    io = RunIO(folder)
    seen = []
    save = io.save

    def saved(name, write):
        path = save(name, write)
        if name == "map.npz":
            seen.append(arrays(path))
        return path

    io.save = saved
    try:
        recipe.run(MapSpec(model="toy", train="train", **settings), io)
    finally:
        io.close()
    return seen, Tail(folder).read(), folder


def arrays(path: Path):
    with np.load(path, allow_pickle=False) as file:
        return {k: file[k] for k in file.files}


def test_the_map_holds_what_the_panel_draws(tmp_path, sets):
    (first, last), events, folder = run(tmp_path, test="test", md=str(sets.md), every=3, neighbours=10)
    assert set(last) >= COLUMNS
    n = {name: int((last["set"] == name).sum()) for name in ("train", "test", "md")}
    assert n == {"train": 48, "test": 16, "md": 24}
    assert all(len(last[c]) == 88 for c in COLUMNS)

    # components at once, the UMAP later, all else the same
    kinds = [e["kind"] for e in events]
    assert [e["ready"] for e in events if e["kind"] == "map"] == ["pca", "umap"]
    assert np.isnan(first["umap"]).all() and np.isfinite(last["umap"]).all()
    for name in set(last) - {"umap"}:
        np.testing.assert_array_equal(first[name], last[name])
    train = np.concatenate(descriptors(Toy(), sets.train))
    np.testing.assert_allclose(last["pca"][:48], PCA().fit([train]).transform(train), atol=1e-10)

    # similarity and neighbours are those of the public function
    report = similarity(Toy(), sets.test, sets.train, elements="all")
    test = last["set"] == "test"
    np.testing.assert_allclose(last["similarity"][test], report.similarity, atol=1e-12)
    np.testing.assert_array_equal(last["nearest_atom"][test], report.nearest_atom)
    assert last["threshold"] == pytest.approx(report.threshold.value)
    np.testing.assert_allclose(last["structure_similarity"][:2], report.stratified, atol=1e-12)
    # training points know other structures
    mine = last["set"] == "train"
    assert (last["nearest_frame"][mine] != last["frame"][mine][:, None]).all()

    # the MD's frames are named as in the trajectory, with their times
    md = last["set"] == "md"
    assert sorted(set(last["frame"][md])) == [0, 3, 6]
    np.testing.assert_allclose(last["time"][md], 20.0 * last["frame"][md])
    assert np.isnan(last["time"][~md]).all()

    # force errors where there are labels
    np.testing.assert_allclose(last["force_error"][test], 0.1 * 3**0.5, atol=1e-12)
    assert np.isnan(last["force_error"][md]).all()
    assert np.isnan(last["force_error"][mine]).sum() == 8

    result = json.loads((folder / "result.json").read_text())
    assert result["metrics"]["test"]["unknown"] >= 8 and "atoms unknown" in result["text"]
    assert result["metrics"]["test_force_error"] == pytest.approx(0.1 * 3**0.5)
    assert {row["frame"] for row in result["metrics"]["md"]["least_known"]} <= {0, 3, 6}
    texts = [e["text"] for e in events if e["kind"] == "progress"]
    assert any("describing the training set" in t for t in texts)
    assert any("compiles first" in t for t in texts)
    assert kinds.index("map") < len(kinds) - 1 - kinds[::-1].index("progress")


def test_a_stop_is_answered_while_umap_works(tmp_path, sets, monkeypatch):
    def forever(self, values, options):
        (tmp_path / "map" / "control").mkdir()
        (tmp_path / "map" / "control" / "stop").touch()
        time.sleep(3)

    monkeypatch.setattr(recipe.UMAP, "_trained", forever)
    began = time.monotonic()
    with pytest.raises(Stopped):
        run(tmp_path, test="test")
    assert time.monotonic() - began < 3
    # what was made is kept
    assert np.isfinite(arrays(tmp_path / "map" / "map.npz")["pca"]).all()


def test_what_goes_wrong_in_the_thread_is_raised(tmp_path, sets, monkeypatch):
    def broken(self, values, options):
        raise ZeroDivisionError("umap")

    monkeypatch.setattr(recipe.UMAP, "_trained", broken)
    with pytest.raises(ZeroDivisionError, match="umap"):
        run(tmp_path)


def test_samples_are_said_and_name_their_places(tmp_path, sets, monkeypatch):
    monkeypatch.setattr(recipe, "MD_ENVIRONMENTS", 20)
    monkeypatch.setattr(recipe.UMAP, "_trained", lambda self, values, options: None)
    monkeypatch.setattr(recipe.UMAP, "_placed", lambda self, block: np.zeros((len(block), 2)))
    sets.test.extend(silicon(60 + k) for k in range(40))
    with pytest.warns(errors.Notice) as notices:
        (_, last), _, _ = run(tmp_path, test="test", md=str(sets.md), points=100)
    said = " ".join(str(n.message) for n in notices)
    assert "12 of the 42 test structures" in said and "one of every 3 of the 7 frames" in said
    test = last["set"] == "test"
    frames = sorted(set(last["frame"][test]))
    assert len(frames) == 12 and max(frames) > 12
    report = similarity(Toy(), [sets.test[k] for k in frames], sets.train, elements="all")
    np.testing.assert_allclose(last["similarity"][test], report.similarity, atol=1e-12)


def test_a_training_set_alone_and_a_missing_trajectory(tmp_path, sets, monkeypatch):
    monkeypatch.setattr(recipe.UMAP, "_trained", lambda self, values, options: None)
    monkeypatch.setattr(recipe.UMAP, "_placed", lambda self, block: np.zeros((len(block), 2)))
    (_, last), _, folder = run(tmp_path)
    assert set(last["set"]) == {"train"} and len(last["structure_set"]) == 0
    assert json.loads((folder / "result.json").read_text())["text"].startswith("48 training environments")
    with pytest.raises(InputError, match="no trajectory"):
        run(tmp_path, md=str(tmp_path / "nowhere"))
