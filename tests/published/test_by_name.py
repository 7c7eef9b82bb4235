"""Models by name: the table, what it claims, and `load` from the authors' files served locally."""

import dataclasses
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import requests
from ase.build import bulk

import atomlab
from atomlab import checkpoint, cli
from atomlab.architectures.published.catalogue import PUBLISHED, find, suggestion
from atomlab.errors import InputError, Notice
from atomlab.potential import Sum

quiet = pytest.mark.filterwarnings("ignore::atomlab.errors.Notice")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something was downloaded that nobody asked for")

    monkeypatch.setattr(requests, "get", refuse)
    monkeypatch.setattr(requests.Session, "request", refuse)


def energy(model, symbol="Si"):
    atoms = bulk(symbol, cubic=True)
    atoms.rattle(0.1, seed=1)
    atoms.calc = model.calculator()
    return atoms.get_potential_energy()


# --- the catalogue ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", PUBLISHED.values(), ids=lambda entry: entry.name)
def test_every_entry_is_complete(entry):
    assert re.fullmatch(r"[a-z0-9-]+", entry.name) and entry.architecture in atomlab.models("architecture")
    assert entry.url.startswith(("https://github.com/", "https://raw.githubusercontent.com/"))
    assert re.fullmatch(r"[\w.-]+\.(model|pth|pt)", entry.file)
    assert entry.elements == tuple(sorted(set(entry.elements))) and entry.licence and entry.reference
    assert set(entry.contains) == {"zbl", "d3"}
    assert set(entry.contains.values()) <= {"no", "model", "labels", "unknown"}
    assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)


def test_what_the_issue_names_is_there():
    names = "mp-0a-small mp-0a-medium mp-0a-large mp-0b3-medium mpa-0-medium".split()
    assert {*(f"mace-{n}" for n in names), "gptff-v1", "gptff-v2", "reann-h2o"} <= set(PUBLISHED)
    assert {e.licence for e in PUBLISHED.values() if e.name.startswith("mace-mp")} == {"MIT"}


def test_known_sizes_and_hashes_are_those_of_the_files(shared):
    import hashlib

    for version in ("v1", "v2"):
        content = (shared / f"weights/gptff/gptff_{version}.pth").read_bytes()
        entry = PUBLISHED[f"gptff-{version}"]
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        assert len(content) / 1e6 == pytest.approx(entry.megabytes, abs=0.005)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mace-mp-0b3-medium", "mace-mp-0b3-medium"),
        ("MACE-MP-0b3 medium", "mace-mp-0b3-medium"),
        ("MACE-MPA-0", "mace-mpa-0-medium"),
        ("GPTFF v1", "gptff-v1"),
        ("gptff_v2", "gptff-v2"),
        ("mace-mp-0b3", "mace-mp-0b3-medium"),
    ],
)
def test_names_as_people_write_them(written, meant):
    assert find(written).name == meant


def test_names_that_are_none():
    assert all(find(name) is None for name in ("mace", "gptff", "reann", "si-base", "", "mace-mp-0b3-med"))
    assert "mace-mp-0b3-medium" in suggestion("mace-mp-0b3-med")
    with pytest.raises(InputError, match="several published models.*mace-mp-0a-small, mace-mp-0a-medium"):
        find("MACE-MP-0a")


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_a_mapping_that_prints(no_network):
    table = atomlab.models()
    assert isinstance(table, Mapping)
    assert {"si-base", "mace-mpa-0-medium", "mace"} <= set(table) and len(table) == len(list(table))
    entry = table["mace-mpa-0-medium"]
    assert len(entry.elements) == 89 and entry.licence == "MIT" and entry.megabytes == 79.5
    assert (entry.dispersion, entry.zbl, entry.kind, entry.here) == ("no", "model", "published", False)
    assert "2401.00096" in entry.reference and entry.source.startswith("https://")
    assert table["mace-off23-small"].dispersion == "labels" and table["emt"].elements == (13, 28, 29, 46, 47, 78, 79)
    assert table["si-base"].elements == (14,) and 0 < table["si-base"].megabytes < 3
    assert table["mace-mp-0a-small"].megabytes is None  # nothing is invented
    lines = repr(table).splitlines()
    row = next(line for line in lines if " mace-mpa-0-medium" in line)
    assert re.search(r"89 elements +no +model +79\.5 +MIT", row)
    assert all(any(f"  {name} " in line for line in lines) for name in table)
    assert "<td" in table._repr_html_() and "mace-mpa-0-medium" in table._repr_html_()
    assert "not downloaded yet" in str(entry) and "Mo Tc Ru" in str(entry)


def test_kinds_of_models(no_network):
    assert set(atomlab.models("published")) == set(PUBLISHED)
    assert set(atomlab.models("embedded")) == set(checkpoint.embedded())
    assert {"mace", "emt", "atomft"} <= set(atomlab.models("architecture"))
    with pytest.raises(InputError, match="Did you mean 'published'"):
        atomlab.models("publised")


def test_names_are_never_two_things():
    assert len(atomlab.models()) == sum(len(atomlab.models(k)) for k in ("published", "embedded", "architecture"))


def test_panels_can_list_models_without_torch():
    code = (
        "import sys, atomlab, atomlab.checkpoint as c; t = atomlab.models('published'), atomlab.models('embedded');"
        "h = c.header('MACE-MPA-0'); assert 'torch' not in sys.modules;"
        "print(len(h['elements']), h['potential']['kind'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["89", "mace"], done.stderr


def test_the_command(capsys, no_network):
    assert cli.main(["models"]) == 0
    told = capsys.readouterr().out
    assert "mace-mpa-0-medium" in told and "si-base" in told and "equireann" in told and "+d3:pbe" in told
    assert cli.main(shlex.split("models 'GPTFF v2'")) == 0
    assert "GPL-3.0" in capsys.readouterr().out
    assert cli.main(["models", "gptff-v3"]) == 2
    assert "Did you mean 'gptff-v2'" in capsys.readouterr().err


# --- load -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(site, monkeypatch):
    """Serve a file in place of a published one."""

    def serve(name, path):
        site.content = path.read_bytes()
        monkeypatch.setitem(PUBLISHED, name, dataclasses.replace(PUBLISHED[name], url=site.url))

    return serve


@quiet
def test_gptff_by_name(served, site, shared, told):
    path = shared / "weights/gptff/gptff_v1.pth"
    served("gptff-v1", path)
    model = atomlab.load("GPTFF v1", device="cpu", dtype="float64")
    assert energy(model) == energy(atomlab.load(path, device="cpu", dtype="float64"))
    assert model.card.name == "gptff-v1" and model.card.licence.startswith("GPL-3.0")
    assert tuple(sorted(model.card.elements)) == PUBLISHED["gptff-v1"].elements
    assert not any("not verified" in text for text in told)
    assert atomlab.models()["gptff-v1"].here
    site.seen.clear()
    atomlab.load("gptff-v1", device="cpu")
    assert site.seen == []


@quiet
def test_a_mace_by_name_has_the_catalogues_card(served, shared, told):
    path = shared / "golden/mace/m8_saved_model.model"
    served("mace-off23-small", path)
    model = atomlab.load("mace-off23-small", device="cpu", head="new")
    assert energy(model, "Si") == energy(atomlab.load(path, device="cpu", head="new"), "Si")
    card = model.card
    assert card.licence.startswith("ASL") and card.contains["d3"] == "labels" and "2312.15211" in card.reference
    assert card.contains["zbl"] == ("model" if model.config["zbl"] else "no")  # what the file says
    assert any("not verified" in text for text in told) and any("ASL" in text for text in told)
    pytest.importorskip("dftd3")
    with pytest.raises(InputError, match=r"already contains D3 \(in its labels\).*twice"):
        atomlab.load("mace-off23-small+d3:pbe", device="cpu", head="new")


@quiet
def test_a_file_that_no_reader_knows_is_refused_by_name_too(served, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"not a model" * 100)
    served("mace-mp-0a-small", junk)
    with pytest.raises(InputError, match=r"is no model.*1100 bytes.*remove it and .*pins\.json"):
        atomlab.load("mace-mp-0a-small")


def test_a_published_file_that_is_cut_short_is_refused(served, shared, tmp_path):
    whole = (shared / "golden/mace/m8_saved_model.model").read_bytes()
    half = tmp_path / "half.model"
    half.write_bytes(whole[: len(whole) // 2])
    served("mace-mp-0a-medium", half)
    with pytest.warns(Notice), pytest.raises(InputError, match="damaged.*remove it"):
        atomlab.load("mace-mp-0a-medium")


def test_nearly_right_names_download_nothing(no_network):
    with pytest.raises(InputError, match="Did you mean 'mace-mp-0b3-medium'"):
        atomlab.load("mace-mp-0b3-medum")
    with pytest.raises(InputError, match="`atomlab models` lists"):
        atomlab.load("mace")


def test_offline_load_says_what_to_do(monkeypatch):
    monkeypatch.setitem(
        PUBLISHED, "gptff-v2", dataclasses.replace(PUBLISHED["gptff-v2"], url="http://127.0.0.1:9/gptff_v2.pth")
    )
    with pytest.raises(
        InputError, match=r"Fetch http://127\.0\.0\.1:9/gptff_v2\.pth .*put the file to .*gptff_v2\.pth"
    ):
        atomlab.load("gptff-v2")


@quiet
def test_a_run_with_a_published_model(served, shared, tmp_path):
    served("gptff-v1", shared / "weights/gptff/gptff_v1.pth")
    atoms = bulk("Si")
    atoms.info["REF_energy"] = -10.0
    atoms.write(tmp_path / "si.extxyz")
    spec = {"kind": "evaluate", "model": "gptff-v1+zbl", "data": str(tmp_path / "si.extxyz")}
    run = atomlab.run(spec, directory=tmp_path / "run")
    assert run.state == "done" and run.spec.model == "gptff-v1+zbl"
    assert any(e["kind"] == "notice" and "Licence: GPL-3.0" in e["text"] for e in run.events())


def test_a_correction_behind_a_name():
    assert isinstance(atomlab.load("si-base+zbl", device="cpu"), Sum)
    assert np.isfinite(energy(atomlab.load("si-base+zbl", device="cpu")))
