"""Fetch a published file once: a broken transfer goes on where it stopped, a changed file is refused.

Files lie in `cache()/models/NAME/FILE`. A file of which no hash is known is pinned: its SHA-256 is written into
`pins.json` beside it, with the day, and every later use compares. Nothing here runs unless a model was asked for by
its name. No torch.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, notice
from .catalogue import Published

if TYPE_CHECKING:
    from requests import Response

__all__ = ["cache", "cached", "fetch", "place"]

ATTEMPTS = 4  # of one call; each goes on where the one before stopped
TIMEOUT = (15.0, 60.0)  # s: to connect, and between two pieces
PIECE = 2**14  # bytes: less than this is lost where a transfer breaks
PINS = "pins.json"


def cache() -> Path:
    """The folder of what was downloaded: ATOMLAB_CACHE, or the platform's cache folder (~/.cache/atomlab on Linux)."""
    import pooch

    return Path(os.environ.get("ATOMLAB_CACHE") or pooch.os_cache("atomlab")).expanduser()


def place(entry: Published) -> Path:
    """Where the file of this model is, or would be."""
    return cache() / "models" / entry.name / entry.file


def cached(entry: Published) -> Path | None:
    """The file if it is here already, unchecked."""
    path = place(entry)
    return path if path.is_file() else None


def fetch(entry: Published) -> Path:
    """The checked file of a published model; downloaded if it is not here yet.

    Licence, size and address are told before the first byte is kept. Raises InputError, in words, if there is no
    connection (with the address and the place for the file), if the transfer broke (what came is kept for the next
    call), and if the file is not the one that is known or pinned.
    """
    path = place(entry)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if not path.is_file():  # another process may have fetched it while this one waited
                _download(entry, path)
                return path
    _check(entry, path, path)
    return path


def _download(entry: Published, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    _receive(entry, part)
    try:
        _check(entry, part, path)
    except InputError:
        _forget(part)
        raise
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    _forget(part)


def _check(entry: Published, found: Path, path: Path) -> None:
    """Compare a file with the hash that is known or pinned; pin it where there is none."""
    import pooch

    got, size = pooch.file_hash(str(found), alg="sha256"), found.stat().st_size
    pins = _pins(path)
    if entry.sha256 and got != entry.sha256:
        raise InputError(
            f"The file of '{entry.name}' is not the one that its authors published",
            got=f"{path.name}, {size} bytes, SHA-256 {got}",
            allowed=f"SHA-256 {entry.sha256}",
            mend=f"Remove {path} if it is there and try again; a file that you trust can be loaded by its path",
        )
    pin = pins.get(path.name)
    if not entry.sha256 and pin and got != pin["sha256"]:
        raise InputError(
            f"The file of '{entry.name}' is not the one that was taken on {pin['date']}",
            got=f"{path.name}, {size} bytes, SHA-256 {got}",
            allowed=f"{pin['bytes']} bytes, SHA-256 {pin['sha256']}",
            mend=f"If the change is right, remove {path} and its line in {path.with_name(PINS)}, and load it again",
        )
    if not entry.sha256 and not pin:
        _pin(path, got, size)
        notice(
            f"not-verified-{entry.name}-{got}",
            f"{path.name} is not verified: no hash of it is known. It has {size} bytes and the SHA-256 {got}; from now "
            f"on another file in its place is refused ({path.with_name(PINS)}).",
        )


def _pins(path: Path) -> dict[str, Any]:
    place = path.with_name(PINS)
    if not place.is_file():
        return {}
    try:
        pins = json.loads(place.read_text(encoding="utf-8"))
        return {name: {key: pin[key] for key in ("sha256", "bytes", "date")} for name, pin in pins.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "The list of pinned files is damaged", got=f"{place}: {error}", mend="Remove it to pin the files anew"
        ) from error


def _pin(path: Path, sha256: str, size: int) -> None:
    pins = {**_pins(path), path.name: {"sha256": sha256, "bytes": size, "date": datetime.now(UTC).date().isoformat()}}
    place = path.with_name(PINS)
    temporary = place.with_suffix(".tmp")
    temporary.write_text(json.dumps(pins, indent=1), encoding="utf-8")
    os.replace(temporary, place)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process fetches a file; the others wait until it is there."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            notice(f"waiting-{path}", f"Another process is downloading {path.name}; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- the transfer -----------------------------------------------------------------------------------------------------


class _Broken(Exception):
    """The transfer stopped before its end."""


def _receive(entry: Published, part: Path) -> None:
    """Bring the whole file to `part`, which may hold the beginning of it already."""
    import requests

    last: Exception | None = None
    for _ in range(ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            return _attempt(entry, part)
        except requests.HTTPError as error:
            raise InputError(
                f"The server does not give the file of '{entry.name}': {error}", mend=_by_hand(entry)
            ) from error
        except (_Broken, requests.RequestException) as error:
            last = error
        if (part.stat().st_size if part.exists() else 0) <= before and isinstance(last, requests.ConnectionError):
            break  # no connection at all: trying at once again is of no use
    came = part.stat().st_size if part.exists() else 0
    if came:
        raise InputError(
            f"The download of '{entry.name}' broke off after {came} bytes: {_reason(last)}",
            mend=f"What came is kept: load it again to go on from there. Or: {_by_hand(entry)}",
        ) from last
    raise InputError(
        f"'{entry.name}' is not here yet, and it cannot be fetched: {_reason(last)}",
        mend=_by_hand(entry),
    ) from last


def _reason(error: Exception | None) -> str:
    import requests

    if isinstance(error, requests.Timeout) or "timed out" in str(error):  # within a body it is a ConnectionError
        return "the server does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was closed"
    return "there is no connection to its server" if isinstance(error, requests.ConnectionError) else str(error)


def _by_hand(entry: Published) -> str:
    return (
        f"Fetch {entry.url} (licence: {entry.licence}) where there is a connection, and put the file to {place(entry)}"
    )


def _attempt(entry: Published, part: Path) -> None:
    """One request; the rest of the file is added to what is there, if the server still has the same one."""
    import requests

    state = _state(part)
    have = part.stat().st_size if part.exists() and state.get("validator") else 0
    headers = {"Accept-Encoding": "identity"}  # pieces of a compressed stream could not be put together
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": state["validator"]}
    with requests.get(entry.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416 and have:
            _forget(part)  # more is here than the server has
            raise _Broken("the server has another file by now")
        if response.status_code >= 500:
            raise _Broken(f"the server says {response.status_code} {response.reason}")
        response.raise_for_status()
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise requests.HTTPError(f"{entry.url} gave a web page, not the file")
        if have and not _goes_on(response, have):
            have = 0
        total = _length(response, have)
        _room(part, entry, total, have)
        _write_state(part, response)
        _announce(entry, total, have)
        _copy(response, part, entry, have, total)
    came = part.stat().st_size
    if total is not None and came != total:
        raise _Broken(f"{came} of {total} bytes came")


def _goes_on(response: Response, have: int) -> bool:
    """Whether the answer is the rest of what is here, and not the whole once more."""
    return response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _length(response: Response, have: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    plain = response.headers.get("Content-Encoding", "identity") == "identity"
    return have + int(length) if length.isdigit() and plain else None


def _room(part: Path, entry: Published, total: int | None, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise InputError(
            f"There is no room for '{entry.name}' in {cache()}",
            got=f"{free / 1e6:.0f} MB free",
            allowed=f"{(total - have) / 1e6:.0f} MB",
            mend="Choose another folder with the environment variable ATOMLAB_CACHE",
        )


def _announce(entry: Published, total: int | None, have: int) -> None:
    size = f"{total / 1e6:.3g} MB" if total is not None else "size unknown"
    went_on = f", from {have / 1e6:.3g} MB on" if have else ""
    notice(
        f"download-{entry.name}-{have}",
        f"Downloading '{entry.name}' ({size}{went_on}) from {entry.url}. Licence: {entry.licence}. Please cite: "
        f"{entry.reference}.",
    )


def _copy(response: Response, part: Path, entry: Published, have: int, total: int | None) -> None:
    from tqdm import tqdm

    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=entry.file, disable=None, leave=False)
    with bar, part.open("r+b" if have else "wb") as file:
        file.seek(have)
        for piece in response.iter_content(PIECE):
            file.write(piece)
            bar.update(len(piece))


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _state(part: Path) -> dict[str, Any]:
    """What the server called the file whose beginning is here: without that, nothing can be added to it."""
    with contextlib.suppress(OSError, ValueError):
        state = json.loads(_state_file(part).read_text(encoding="utf-8"))
        return state if isinstance(state, dict) else {}
    return {}


def _write_state(part: Path, response: Response) -> None:
    etag = response.headers.get("ETag", "")
    # a weak tag says nothing about the bytes
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    _state_file(part).write_text(json.dumps({"validator": validator}), encoding="utf-8")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_file(part).unlink(missing_ok=True)
