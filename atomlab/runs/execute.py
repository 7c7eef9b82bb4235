"""`execute(directory)`: the only way anything runs, whoever asks: command line, script, panel, worker, cluster job."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import AtomLabError, InputError, on_notice
from .control import Lock, requested, withdraw
from .directory import read_spec
from .events import EventLog, last_event, plain

__all__ = ["Halted", "RunIO", "Stopped", "execute"]

RESERVE = 1 << 18  # bytes kept back for the last words on a full disk
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_BEAT = 1.0  # seconds between two touches of the heartbeat
_LOOK = 0.05  # seconds between two looks at control/ while paused


class Stopped(AtomLabError):
    """Raised by `RunIO.check` when the run was asked to stop; what was made is kept."""


class Halted(AtomLabError):
    """Raised by a task that cannot sensibly go on (atoms on top of each other, a loss that is no number).

    The message is the reason that a person reads, `values` go into the event beside it; what was made is kept.
    """

    def __init__(self, reason: str, **values: Any):
        self.values = values
        super().__init__(reason)


class RunIO:
    """What a task sees of its run. Its holder is the only writer of events.jsonl.

    `listener` is called with every event after it was written (a progress bar); `resumed` tells whether this run had
    been started before, so that the task looks for its saved state.
    """

    def __init__(self, directory: Path, listener: Callable[[dict[str, Any]], None] | None = None):
        self.directory = Path(directory)
        self.resumed = last_event(self.directory, "state") is not None
        self._listener = listener
        self._log = EventLog(self.directory)
        self._beaten = 0.0
        self._signal = ""
        _keep_reserve(self.directory / "reserve")

    def path(self, name: str) -> Path:
        """RUN/name."""
        return self.directory / name

    def emit(self, kind: str, **values: Any) -> None:
        """Append an event to the log."""
        self._beat()
        event = self._log.write(kind, values, sync=kind in ("state", "result"))
        if self._listener:
            self._listener(event)

    def check(self) -> None:
        """Act on requests: stop raises Stopped, pause waits here. Cheap: call it at every step."""
        self._beat()
        self._check_stop()
        if not requested(self.directory, "pause"):
            return
        self.emit("state", state="paused", reason="paused on request")
        while requested(self.directory, "pause"):
            self._check_stop()
            self._beat()
            time.sleep(_LOOK)
        self.emit("state", state="running", reason="goes on after a pause")

    def _check_stop(self) -> None:
        if self._signal:
            raise Stopped(self._signal)
        if requested(self.directory, "stop"):
            raise Stopped("stopped on request")

    def save(self, name: str, write: Callable[[Path], Any]) -> Path:
        """RUN/name is written whole or not at all: `write` gets a temporary path with the same ending."""
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".new-{target.name}")
        try:
            write(new)
            with new.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(new, target)
        finally:
            new.unlink(missing_ok=True)
        return target

    def result(self, metrics: dict[str, Any], text: str) -> None:
        """Write result.json and say what came out."""
        data = json.dumps({"metrics": plain(metrics), "text": text}, indent=1, ensure_ascii=False)
        self.save("result.json", lambda path: path.write_text(data, encoding="utf-8"))
        self.emit("result", metrics=metrics, text=text)

    def interrupt(self, reason: str) -> None:
        """The next `check` stops the run. Called from signal handlers."""
        self._signal = reason

    def free_reserve(self) -> None:
        """Give the space back that was kept for the last event."""
        self.path("reserve").unlink(missing_ok=True)

    def close(self) -> None:
        """Close the log; the reserve goes, a run that has ended needs none."""
        self.free_reserve()
        self._log.close()

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten < _BEAT:
            return
        self._beaten = now
        with contextlib.suppress(OSError):  # a full disk must not hide behind a failed heartbeat
            if self.path("heartbeat").exists():
                os.utime(self.path("heartbeat"))
            else:
                self.path("heartbeat").write_text(f"pid {os.getpid()} on {platform.node()}\n")


def _keep_reserve(path: Path) -> None:
    # not sparse and not compressible, so that the space is really kept
    path.write_bytes(os.urandom(RESERVE))


def execute(
    directory: str | os.PathLike[str],
    listener: Callable[[dict[str, Any]], None] | None = None,
    from_queue: bool = False,
) -> None:
    """Run what RUN/spec.yaml describes, from its beginning or from its last saved state.

    Returns when the run is done or was stopped. A failure is written into the run (reason in the events, traceback in
    log.txt) and raised again. Refuses a run that another process holds, or that is done. `from_queue`: only if it is
    still waiting there.
    """
    path = Path(directory).absolute()
    read_spec(path)  # says in words when there is no run here
    lock = Lock(path / "lock")
    if not lock.acquire():
        raise InputError(
            "Another process is already executing this run", got=path, mend=f"Follow it: atomlab watch {path}"
        )
    try:
        if from_queue and not requested(path, "queued"):
            return
        withdraw(path, "queued")
        if (last_event(path, "state") or {}).get("state") == "done":
            raise InputError("This run is done", got=path, mend="Fork it to run it again with other settings")
        io = _opened(path, listener)
        try:
            _guarded(path, io)
        finally:
            io.close()
    finally:
        lock.release()


def _opened(path: Path, listener: Callable[[dict[str, Any]], None] | None) -> RunIO:
    try:
        return RunIO(path, listener)
    except OSError as error:
        if not _disk_is_full(error, path):
            raise
        raise AtomLabError(_full_disk(path)) from error


def _guarded(path: Path, io: RunIO) -> None:
    """One run with everything that can happen to it turned into its last event."""
    remove = on_notice(lambda code, text: io.emit("notice", code=code, text=text))
    try:
        with _signals(io):
            io.emit("state", state="running", reason="resumed" if io.resumed else "started", pid=os.getpid())
            io.check()
            _task(path)(io)
            io.emit("state", state="done", reason="done")
    except Stopped as stop:
        withdraw(path, "stop", "pause")
        io.emit("state", state="stopped", reason=str(stop), by="user")
    except Halted as halt:
        io.emit("state", state="stopped", reason=str(halt), by="guard", **halt.values)
    except KeyboardInterrupt:
        io.emit("state", state="stopped", reason="interrupted", by="user")
        raise
    except BaseException as error:
        if not _disk_is_full(error, path):
            _fail(io, error)
            raise
        io.free_reserve()
        io.emit("state", state="stopped", reason=_full_disk(path), by="disk")
    finally:
        remove()


def _task(path: Path) -> Callable[[RunIO], None]:
    from .spec import parse
    from .tasks import TASKS

    spec = parse(read_spec(path))
    function = TASKS[spec.kind][1]
    return lambda io: function(spec, io)


def _fail(io: RunIO, error: BaseException) -> None:
    text = str(error) if isinstance(error, AtomLabError) else f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError), io.path("log.txt").open("a", encoding="utf-8") as log:
        log.write("".join(traceback.format_exception(error)))
    if not isinstance(error, AtomLabError):
        error.add_note(f"The traceback is in {io.path('log.txt')}.")
    io.emit("state", state="failed", reason=text, input=isinstance(error, InputError))


def _disk_is_full(error: BaseException | None, path: Path) -> bool:
    """Whether this error means that there is no space: libraries in other languages raise errors of their own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if isinstance(error, Exception) and ("No space left" in str(error) or "os error 28" in str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _full_disk(path: Path) -> str:
    return (
        f"There is no space left on the disk of {path}. What was saved before is whole. "
        f"Free some space, then go on: atomlab resume {path}"
    )


@contextlib.contextmanager
def _signals(io: RunIO) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run at its next step and keep what was made; a second Ctrl-C interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: object) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else "the system (SIGTERM)"
        if io._signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        io.interrupt(f"stopped by {name}")
        if number == signal.SIGINT and sys.stderr is not None:
            print("\nStopping after this step; once more to break off at once.", file=sys.stderr)

    old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
