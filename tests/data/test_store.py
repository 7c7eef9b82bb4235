"""A store holds the same data set as the file it was made from, is never read half, and is not held in memory."""

import gc
import pickle
import signal
import subprocess
import sys
import weakref

import lmdb
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import atomlab
from atomlab import cli
from atomlab.data import build_store, convert, findings, statistics, store
from atomlab.data.loader import batch_indices, batches
from atomlab.errors import InputError
from atomlab.graph import Needs

NEEDS = Needs((3.5,))


def some(n=60, seed=0):
    """Molecules and crystals with labels, of which some are missing; keys of all plain kinds."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        atoms = molecule(["H2O", "CH4", "CO2"][k % 3]) if k % 4 else bulk("Si", cubic=True)
        atoms.positions += 0.05 * rng.standard_normal(atoms.positions.shape)
        atoms.info.update(REF_energy=-10.0 * len(atoms) + rng.normal(), config_type="abc"[k % 3], number=k)
        if k % 5:
            atoms.arrays["REF_forces"] = rng.normal(size=(len(atoms), 3)) / 10
        if k % 4 == 0:
            atoms.info["REF_stress"] = rng.normal(size=6) / 100
        atoms.info.update(table={"a": [1, 2.5]}, vector=rng.normal(size=3), flag=bool(k % 2))
        atoms.arrays["tags"] = np.arange(len(atoms))
        made.append(atoms)
    return made


@pytest.fixture
def data():
    return atomlab.read(some())


@pytest.fixture
def lazy(data, tmp_path, monkeypatch):
    """The same data in a store that keeps nothing, as a large one."""
    monkeypatch.setattr(store, "KEPT_ATOMS", 0)
    data.write(tmp_path / "some.lmdb")
    return atomlab.read(tmp_path / "some.lmdb")


def same(a: Atoms, b: Atoms) -> bool:
    if a != b or a.info.keys() != b.info.keys() or a.arrays.keys() != b.arrays.keys():
        return False
    infos = all(np.array_equal(a.info[k], b.info[k]) and type(a.info[k]) is type(b.info[k]) for k in a.info)
    return infos and all(np.array_equal(a.arrays[k], b.arrays[k]) for k in a.arrays)


def test_every_structure_comes_back_to_the_last_bit(data, lazy):
    assert len(lazy) == len(data) and all(same(a, b) for a, b in zip(data, lazy))
    assert same(lazy[-1], data[-1]) and same(lazy[7:9][1], data[8])
    frame = lazy[3]
    frame.positions += 1.0
    frame.info["vector"][:] = 0.0
    assert same(lazy[3], data[3])


def test_all_that_is_asked_of_a_data_set_has_the_same_answer(data, lazy):
    mask = data.sizes > 3
    for a, b in ((data, lazy), (data[10:40], lazy[10:40]), (data[mask], lazy[mask]), (data[[5, 2]], lazy[[5, 2]])):
        assert a.hash() == b.hash() and a.elements == b.elements and a.labels == b.labels
        assert np.array_equal(a.sizes, b.sizes) and np.array_equal(a.energies, b.energies)
        assert np.array_equal(a.composition_matrix(), b.composition_matrix())
        assert a.info("config_type") == b.info("config_type") and b.info("no such key") == [None] * len(a)
        assert a.duplicates() == b.duplicates() and findings(a) == findings(b)
        left, right = a.summary(), b.summary()
        assert pickle.dumps({**left, "reading": 0}) == pickle.dumps({**right, "name": left["name"], "reading": 0})
        assert statistics.atomic_energies(a) == statistics.atomic_energies(b)
    for by in ("random", "composition", "config_type"):
        one, two = data.split(valid=0.3, by=by, seed=3), lazy.split(valid=0.3, by=by, seed=3)
        assert one.train.hash() == two.train.hash() and one.reasons == two.reasons
    for limit in ({"structures": 4}, {"atoms": 30}, {"edges": 300}):
        orders = [batch_indices(d, NEEDS, **limit, shuffle=True, seed=1) for d in (data, lazy)]
        assert orders[0] == orders[1]


def test_a_store_among_other_data(data, lazy, tmp_path):
    data[:5].write(tmp_path / "few.extxyz")
    mixed = atomlab.read([tmp_path / "few.extxyz", tmp_path / "some.lmdb"])
    assert mixed.hash() == (data[:5] + data).hash() == (data[:5] + lazy).hash()
    assert mixed[2:8].elements == (data[:5] + data)[2:8].elements
    assert np.array_equal(mixed.composition_matrix(), (data[:5] + data).composition_matrix())
    assert len(set(mixed.entries.identities().tolist())) == len(mixed)
    assert pickle.loads(pickle.dumps(lazy)).hash() == data.hash()


def test_graphs_are_of_the_batch_only(lazy):
    """No structure of a large store outlives the batch that it was read for."""
    read, original = [], store.Store.entry

    def seen(self, k):
        entry = original(self, k)
        read.append(weakref.ref(entry))
        return entry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.Store, "entry", seen)
        alive = []
        gc.freeze()  # what other tests have left need not be looked through at every batch
        try:
            for _ in batches(lazy, NEEDS, structures=4, shuffle=True):
                gc.collect()
                alive.append(sum(entry() is not None for entry in read))
        finally:
            gc.unfreeze()
    assert len(read) == len(lazy) and max(alive) <= 4


def test_a_small_store_is_read_once(data, tmp_path, monkeypatch):
    data.write(tmp_path / "small.lmdb")
    small = atomlab.read(tmp_path / "small.lmdb")
    assert small.entries[4] is small[2:].entries[2]


def test_batches_begin_where_they_are_asked_to(lazy):
    whole = list(batches(lazy, NEEDS, structures=7, shuffle=True, seed=2))
    rest = list(batches(lazy, NEEDS, structures=7, shuffle=True, seed=2, start=6))
    assert len(rest) == len(whole) - 6
    assert all((a.positions == b.positions).all() for a, b in zip(whole[6:], rest))


# --- built from files -------------------------------------------------------------------------------------------------


def foreign(n=30):
    """Frames as another program writes them: Hartree, bohr, virials, own names."""
    frames = some(n)
    for atoms in frames:
        atoms.info["E_dft"] = atoms.info.pop("REF_energy") / 27.2
        if "REF_forces" in atoms.arrays:
            atoms.arrays["F_dft"] = atoms.arrays.pop("REF_forces")
        if "REF_stress" in atoms.info:
            atoms.info["virial"] = -atoms.info.pop("REF_stress") * 160.0
    return frames


@pytest.mark.parametrize("ending", [".extxyz", ".extxyz.gz"])
def test_a_file_is_read_as_atomlab_read_does(tmp_path, ending):
    path = tmp_path / f"other{ending}"
    build_store_write(path, foreign())
    options = {"keys": {"energy": "E_dft", "forces": "F_dft"}, "units": {"energy": "Ha", "positions": "bohr"}}
    told = []
    made = convert([path], tmp_path / "other.lmdb", **options, progress=told.append)
    want = atomlab.read(path, **options)
    assert made.hash() == want.hash() and made.reading == want.reading and made.name == want.name
    assert told[-1] == len(want)
    with pytest.raises(InputError, match="canonical labels in eV"):
        atomlab.read(tmp_path / "other.lmdb", units={"energy": "Ha"})


def build_store_write(path, frames):
    from atomlab.data.formats import write_extxyz

    write_extxyz(path, frames)


@pytest.mark.parametrize("ending", ["db", "traj"])
def test_files_of_ase(tmp_path, ending):
    from ase.db import connect
    from ase.io import write

    frames = []
    for k in range(6):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=k)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    path = tmp_path / f"emt.{ending}"
    if ending == "db":
        with connect(path) as db:
            for atoms in frames:
                db.write(atoms, source="here")
    else:
        write(path, frames)
    assert convert([path], tmp_path / "emt.lmdb").hash() == atomlab.read(path).hash()
    both = convert([path, tmp_path / "emt.lmdb"], tmp_path / "both.lmdb")
    assert len(both) == 12 and len(both.duplicates()) == 6 and any("more than once" in text for text in both.reading)


def test_what_cannot_be_read_is_refused_and_leaves_no_store(tmp_path):
    frames = some(20)
    frames[13].positions[0, 0] = np.nan
    build_store_write(tmp_path / "bad.extxyz", frames)
    with pytest.raises(InputError, match=r"bad.extxyz, frame 13: the position 0"):
        convert([tmp_path / "bad.extxyz"], tmp_path / "bad.lmdb")
    assert not (tmp_path / "bad.lmdb").exists()
    odd = molecule("H2O")
    odd.info["thing"] = object()
    with pytest.raises(InputError, match="cannot be stored"):
        atomlab.Dataset([odd]).write(tmp_path / "odd.lmdb")
    for sources, target, words in (
        ([], "x.lmdb", "at least one source"),
        (["none.xyz"], "x.lmdb", "no file"),
        (["bad.extxyz"], "no/x.lmdb", "no such folder"),
    ):
        with pytest.raises(InputError, match=words):
            convert([tmp_path / name for name in sources], tmp_path / target)


# --- interrupted ------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken_off(tmp_path, monkeypatch):
    """A file of 60 frames, of which 30 are in the store when the building breaks off."""
    monkeypatch.setattr(build_store, "CHUNK", 10)
    build_store_write(tmp_path / "long.extxyz", some())

    def stop(done):
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert([tmp_path / "long.extxyz"], tmp_path / "long.lmdb", progress=stop)
    return tmp_path


def test_half_a_store_is_never_read_as_whole(broken_off):
    target, part = broken_off / "long.lmdb", broken_off / "long.lmdb.part"
    assert part.exists() and not target.exists()
    with pytest.raises(InputError, match="not finished.*long.lmdb` again"):
        atomlab.read(part)
    part.rename(target)
    with pytest.raises(InputError, match="never finished.*30 structures"):
        atomlab.read(target)


def test_it_goes_on_where_it_ended(broken_off):
    told = []
    made = convert([broken_off / "long.extxyz"], broken_off / "long.lmdb", progress=told.append)
    assert told == [40, 50, 60]
    assert made.hash() == atomlab.read(broken_off / "long.extxyz").hash()
    assert made.info("number") == list(range(60)) and sorted(p.name for p in broken_off.iterdir()) == [
        "long.extxyz", "long.lmdb",
    ]  # fmt: skip


def test_of_another_source_it_begins_anew_and_says_so(broken_off):
    build_store_write(broken_off / "long.extxyz", some(40, seed=1))
    told = []
    with pytest.warns(UserWarning, match=r"begun from other sources \(30 structures\): it is built anew"):
        made = convert([broken_off / "long.extxyz"], broken_off / "long.lmdb", progress=told.append)
    assert told == [10, 20, 30, 40] and made.hash() == atomlab.read(broken_off / "long.extxyz").hash()


def test_killed_in_its_midst(tmp_path):
    build_store_write(tmp_path / "long.extxyz", some())
    code = (
        "import os, signal, sys\nfrom atomlab.data import build_store\nbuild_store.CHUNK = 10\n"
        "build_store.convert([sys.argv[1]], sys.argv[2],"
        " progress=lambda n: n == 20 and os.kill(os.getpid(), signal.SIGKILL))"
    )
    files = [str(tmp_path / "long.extxyz"), str(tmp_path / "long.lmdb")]
    done = subprocess.run([sys.executable, "-c", code, *files], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    told = []
    assert convert(files[:1], files[1], progress=told.append).hash() == atomlab.read(files[0]).hash()
    assert told == [60]  # forty more, in one transaction of up to a thousand


def test_it_grows_beyond_its_first_size(tmp_path, monkeypatch, data):
    monkeypatch.setattr(build_store, "_FIRST_SIZE", 1 << 15)
    data.write(tmp_path / "grown.lmdb")
    assert atomlab.read(tmp_path / "grown.lmdb").hash() == data.hash()


# --- files that are no stores -----------------------------------------------------------------------------------------


def test_damaged_and_foreign_files_are_refused(data, tmp_path):
    path = tmp_path / "a.lmdb"
    data.write(path)
    whole = path.read_bytes()
    (tmp_path / "cut.lmdb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short"):
        atomlab.read(tmp_path / "cut.lmdb")
    (tmp_path / "text.lmdb").write_text("no LMDB at all" * 1000)
    with pytest.raises(InputError, match="cannot be read as a store"):
        atomlab.read(tmp_path / "text.lmdb")
    with lmdb.open(str(tmp_path / "other.lmdb"), subdir=False) as env, env.begin(write=True) as change:
        change.put(b"0", b"another program's")
    with pytest.raises(InputError, match="no store of AtomLab"):
        atomlab.read(tmp_path / "other.lmdb")
    with lmdb.open(str(path), subdir=False, max_dbs=3) as env, env.begin(write=True) as change:
        table = env.open_db(b"about", txn=change)
        change.put(b"about", change.get(b"about", db=table).replace(b'"version": 1', b'"version": 99'), db=table)
    with pytest.raises(InputError, match="newer version.*Upgrade"):
        atomlab.read(path)


def test_the_command(tmp_path, capsys):
    build_store_write(tmp_path / "f.extxyz", foreign(8))
    words = ["convert", str(tmp_path / "f.extxyz"), str(tmp_path / "f.lmdb"), "--keys", "energy=E_dft,forces=F_dft"]
    assert cli.main([*words, "--units", "energy=Ha"]) == 0
    assert "8 structures, labels: energy, forces, stress" in capsys.readouterr().out
    assert cli.main(words) == 2 and "such a file already" in capsys.readouterr().err
    assert cli.main([*words, "--force"]) == 0
    back = tmp_path / "back.extxyz"
    assert cli.main(["convert", str(tmp_path / "f.lmdb"), str(back)]) == 0
    assert atomlab.read(back).hash() == atomlab.read(tmp_path / "f.lmdb").hash()
    assert cli.main(["convert", str(back)]) == 2 and cli.main([*words[:3], "--keys", "energy", "--force"]) == 2
