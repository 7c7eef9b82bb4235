"""Errors and notices that say what was got, what is allowed and how to mend it."""

from __future__ import annotations

import difflib
import threading
import warnings
from collections.abc import Callable, Iterable

__all__ = ["AtomLabError", "InputError", "Notice", "nearest", "notice", "on_notice"]


class AtomLabError(Exception):
    """Base of all errors that AtomLab raises on purpose."""


class InputError(AtomLabError, ValueError):
    """Something that a person gave cannot be used.

    Parameters
    ----------
    what: the sentence that says what is wrong.
    got: what was given. allowed: what would have been accepted. mend: how to put it right.
    """

    def __init__(self, what: str, *, got: object = None, allowed: object = None, mend: str | None = None):
        self.what, self.got, self.allowed, self.mend = what, got, allowed, mend
        parts = [what.rstrip(". ") + "."]
        if got is not None:
            parts.append(f"Got: {got}.")
        if allowed is not None:
            parts.append(f"Allowed: {_listed(allowed)}.")
        if mend:
            parts.append(mend if mend.endswith("?") else mend.rstrip(". ") + ".")
        super().__init__(" ".join(parts))

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.got, self.allowed, self.mend)


def _rebuild(cls, what, got, allowed, mend):
    return cls(what, got=got, allowed=allowed, mend=mend)


def _listed(allowed: object) -> str:
    if isinstance(allowed, str) or not isinstance(allowed, Iterable):
        return str(allowed)
    return ", ".join(str(a) for a in allowed)


def nearest(name: str, options: Iterable[str]) -> str:
    """A sentence `Did you mean 'x'?` for the option nearest to `name`, or an empty string."""
    close = difflib.get_close_matches(str(name), [str(o) for o in options], n=1, cutoff=0.5)
    return f"Did you mean '{close[0]}'?" if close else ""


class Notice(UserWarning):
    """Something that was decided or found, and that a person should know. Never an error."""


_said: set[str] = set()
_listeners: list[Callable[[str, str], None]] = []
_lock = threading.Lock()


def notice(code: str, text: str) -> None:
    """Say `text` once per process and `code`: as a Python warning and to every listener (a run's events, the Lab)."""
    with _lock:
        first = code not in _said
        _said.add(code)
        listeners = list(_listeners)
    for listener in listeners:
        listener(code, text)
    if first:
        warnings.warn(text, Notice, stacklevel=3)


def on_notice(listener: Callable[[str, str], None]) -> Callable[[], None]:
    """Call `listener(code, text)` at every notice from now on; returns the function that ends this."""
    with _lock:
        _listeners.append(listener)

    def remove() -> None:
        with _lock:
            if listener in _listeners:
                _listeners.remove(listener)

    return remove
