"""Downloads that are interrupted, slow, wrong, changed or impossible: nothing half or strange is ever used."""

import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from atomlab.architectures.published import download
from atomlab.architectures.published.download import fetch, place
from atomlab.errors import InputError, on_notice

pytestmark = pytest.mark.filterwarnings("ignore::atomlab.errors.Notice")


def sha(content):
    return hashlib.sha256(content).hexdigest()


def files(entry):
    """What lies in the model's folder, besides the lock."""
    folder = place(entry).parent
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock")) if folder.is_dir() else []


def test_a_file_is_fetched_once(entry, site, cache):
    path = fetch(entry)
    assert path.read_bytes() == site.content and path == cache / "models" / "toy" / "weights.bin"
    assert fetch(entry) == path and len(site.seen) == 1
    assert files(entry) == ["pins.json", "weights.bin"]


def test_licence_size_and_address_are_told_before_the_first_byte(entry, site):
    seen = []
    part = place(entry).with_name("weights.bin.part")
    stop = on_notice(lambda code, text: seen.append((text, part.exists())))
    fetch(entry)
    stop()
    text, begun = seen[0]
    assert not begun and "CC0 (toy licence)" in text and "0.262 MB" in text and site.url in text and "Toy, 2024" in text


@pytest.mark.parametrize("where", [1, 100_000, 262_143])
def test_a_broken_transfer_goes_on_where_it_stopped(entry, site, where):
    site.breaks = [where]
    assert fetch(entry).read_bytes() == site.content
    whole = where // download.PIECE * download.PIECE
    assert site.seen == [None, f"bytes={whole}-" if whole else None]


def test_what_came_is_kept_for_the_next_call(entry, site):
    site.breaks = [50_000, 20_000, 0, 0]
    with pytest.raises(InputError, match=r"broke off after 65536 bytes: the connection was closed.*kept.*go on"):
        fetch(entry)
    assert files(entry) == ["weights.bin.part", "weights.bin.part.json"]
    assert fetch(entry).read_bytes() == site.content
    assert site.seen[-1] == "bytes=65536-"
    assert files(entry) == ["pins.json", "weights.bin"]


def test_a_file_that_changed_meanwhile_is_taken_whole(entry, site):
    site.breaks = [50_000, 0, 0, 0]
    with pytest.raises(InputError, match="broke off"):
        fetch(entry)
    site.content, site.etag = site.content[::-1], '"two"'
    assert fetch(entry).read_bytes() == site.content
    site.breaks, site.content, site.etag = [50_000, 0, 0, 0], b"short", '"three"'
    other = dataclasses.replace(entry, name="other")
    site.content *= 20_000
    with pytest.raises(InputError, match="broke off"):
        fetch(other)
    site.content = b"short"  # less than what is here, under the same tag
    assert fetch(other).read_bytes() == b"short"


@pytest.mark.parametrize("fault", ["no ranges", "no tag", "weak tag"])
def test_without_a_safe_way_to_go_on_it_begins_again(entry, site, fault):
    site.breaks = [100_000]
    site.ranges = fault != "no ranges"
    site.etag = {"no ranges": '"one"', "no tag": "", "weak tag": 'W/"one"'}[fault]
    assert fetch(entry).read_bytes() == site.content


def test_slow_is_fine_and_silent_is_not(entry, site, impatient):
    site.pause, site.piece = 0.02, 16_384
    assert fetch(entry).read_bytes() == site.content
    other = dataclasses.replace(entry, name="other")
    site.stops = [30_000, 0, 0, 0]
    start = time.monotonic()
    with pytest.raises(InputError, match="broke off after 16384 bytes: the server does not answer"):
        fetch(other)
    assert time.monotonic() - start < 10


def test_a_known_hash_is_checked(entry, site, told):
    right = dataclasses.replace(entry, sha256=sha(site.content))
    assert fetch(right).read_bytes() == site.content
    assert not any("not verified" in text for text in told) and files(right) == ["weights.bin"]
    wrong = dataclasses.replace(entry, name="wrong", sha256=sha(b"something else"))
    with pytest.raises(InputError, match="not the one that its authors published") as error:
        fetch(wrong)
    assert sha(site.content) in str(error.value) and wrong.sha256 in str(error.value)
    assert files(wrong) == []
    place(right).write_bytes(b"tampered")
    with pytest.raises(InputError, match=r"not the one.*8 bytes"):
        fetch(right)


def test_a_file_without_a_known_hash_is_shown_and_pinned(entry, site, told):
    path = fetch(entry)
    said = next(text for text in told if "not verified" in text)
    assert sha(site.content) in said and "262144 bytes" in said
    pins = json.loads((path.parent / "pins.json").read_text())
    assert pins["weights.bin"]["sha256"] == sha(site.content) and pins["weights.bin"]["bytes"] == 262144
    fetch(entry)
    assert sum("not verified" in text for text in told) == 1


def test_a_different_file_is_refused_after_pinning(entry, site):
    path = fetch(entry)
    first = site.content
    path.write_bytes(b"changed on disk")
    with pytest.raises(InputError, match=r"not the one that was taken on \d{4}-\d\d-\d\d.*15 bytes.*remove"):
        fetch(entry)
    path.unlink()
    site.content = b"changed on the server"
    with pytest.raises(InputError, match=f"not the one that was taken.*{sha(site.content)}.*{sha(first)}"):
        fetch(entry)
    assert files(entry) == ["pins.json"]
    site.content = first
    assert fetch(entry).read_bytes() == first
    path.unlink()
    (path.parent / "pins.json").unlink()
    site.content = b"accepted by hand"
    assert fetch(entry).read_bytes() == b"accepted by hand"
    (path.parent / "pins.json").write_text("{")
    with pytest.raises(InputError, match="list of pinned files is damaged"):
        fetch(entry)


def test_offline_it_says_which_file_to_put_where(entry, site, tmp_path, told):
    gone = dataclasses.replace(entry, url="http://127.0.0.1:9/files/weights.bin")
    with pytest.raises(InputError, match="not here yet.*no connection") as error:
        fetch(gone)
    text = str(error.value)
    assert gone.url in text and str(place(gone)) in text and "CC0 (toy licence)" in text
    place(gone).write_bytes(site.content)
    assert fetch(gone).read_bytes() == site.content and site.seen == []
    assert any("not verified" in text for text in told)


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"status": 404}, "404"), ({"kind": "text/html; charset=utf-8"}, "a web page"), ({"status": 503}, "says 503")],
)
def test_answers_that_are_no_file(entry, site, fault, words):
    for name, value in fault.items():
        setattr(site, name, value)
    with pytest.raises(InputError, match=words) as error:
        fetch(entry)
    assert str(place(entry)) in str(error.value) and files(entry) == []


def test_no_room_is_said_before_anything_is_written(entry, site, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"no room for 'toy'.*ATOMLAB_CACHE"):
        fetch(entry)
    assert files(entry) == []


def test_a_killed_process_leaves_no_half_file_and_the_next_goes_on(entry, site):
    site.pause, site.piece = 0.05, 16_384
    code = (
        "import sys; from atomlab.architectures.published import catalogue as c, download as d;"
        "d.fetch(c.Published('toy', 'mace', (14,), 'PBE', 'CC0', 'Toy', sys.argv[1]))"
    )
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, site.url])
    part = place(entry).with_name("weights.bin.part")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (part.exists() and part.stat().st_size > 30_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert files(entry) == ["weights.bin.part", "weights.bin.part.json"]
    site.pause = 0.0
    assert fetch(entry).read_bytes() == site.content
    assert int(site.seen[-1].removeprefix("bytes=").rstrip("-")) >= 16_384


def test_two_at_once_fetch_it_once(entry, site):
    site.pause = 0.005
    threads = [threading.Thread(target=fetch, args=(entry,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert place(entry).read_bytes() == site.content and len(site.seen) == 1


def test_the_cache_is_where_convention_and_environment_say(entry, monkeypatch, tmp_path):
    monkeypatch.delenv("ATOMLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert download.cache() == tmp_path / "xdg" / "atomlab"
    monkeypatch.setenv("ATOMLAB_CACHE", str(tmp_path / "own"))
    assert place(entry) == tmp_path / "own" / "models" / "toy" / "weights.bin"
