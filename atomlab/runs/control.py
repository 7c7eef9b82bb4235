"""Who holds a run, and what others ask of it.

The lock is the operating system's: it ends with the process that holds it, however that ends. Requests are single files
in RUN/control; any process may write them, only the holder of the lock acts on them.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import IO

__all__ = ["Lock", "locked", "request", "requested", "withdraw"]

if os.name == "nt":
    import msvcrt

    def _take(file: IO[bytes], shared: bool) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

    def _give(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _take(file: IO[bytes], shared: bool) -> None:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def _give(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK}


class Lock:
    """An exclusive lock on a file: `with Lock(path) as held:`; `held` is False if another process (or Lock) has it."""

    def __init__(self, path: Path, patience: float = 0.3):
        self.path, self.patience = Path(path), patience
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Take it. Tries again for `patience` seconds: who only looks whether it is held holds it for an instant."""
        file = self.path.open("ab+")
        until = time.monotonic() + self.patience
        while True:
            try:
                _take(file, shared=False)
            except OSError as error:
                if error.errno not in _BUSY:
                    file.close()
                    raise
                if time.monotonic() >= until:
                    file.close()
                    return False
                time.sleep(0.01)
            else:
                self._file = file
                return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            _give(self._file)
            self._file.close()
            self._file = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


def locked(path: Path) -> bool:
    """Whether some process holds the lock on this file."""
    try:
        file = Path(path).open("rb+")  # noqa: SIM115
    except FileNotFoundError:
        return False
    with file:
        try:
            _take(file, shared=True)
        except OSError as error:
            if error.errno in _BUSY:
                return True
            raise
        _give(file)
    return False


def request(directory: Path, what: str, text: str = "") -> None:
    """Ask for `stop`, `pause` or (of a worker) `queued`."""
    folder = Path(directory) / "control"
    folder.mkdir(exist_ok=True)
    new = folder / f".{what}.{os.getpid()}"
    new.write_text(text, encoding="utf-8")
    os.replace(new, folder / what)


def requested(directory: Path, what: str) -> bool:
    """Whether that is asked for."""
    return os.path.exists(os.path.join(directory, "control", what))


def withdraw(directory: Path, *what: str) -> None:
    """Take requests back."""
    for name in what:
        (Path(directory) / "control" / name).unlink(missing_ok=True)
