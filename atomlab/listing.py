"""All models that have a name: those that come with AtomLab, those that others published, architectures to train."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import architectures, checkpoint
from .architectures.published import catalogue, download
from .errors import InputError, nearest

__all__ = ["Entry", "Models", "models"]

KINDS = ("embedded", "published", "architecture")
_TITLES = {
    "embedded": "Models that come with AtomLab",
    "published": "Published models, downloaded when they are asked for by name",
    "architecture": "Architectures to train: atomlab.create(NAME, elements=[...])",
}


@dataclass(frozen=True)
class Entry:
    """One named model.

    elements: atomic numbers, empty for an architecture (yours to choose). megabytes (10^6 bytes): None if not known.
    dispersion, zbl: 'no', 'model', 'labels' or 'unknown': what is inside already; '' for an architecture. source: where
    the file comes from. here: whether that is on this machine.
    """

    name: str
    kind: str
    architecture: str
    description: str
    elements: tuple[int, ...] = ()
    licence: str = ""
    reference: str = ""
    level_of_theory: str = ""
    megabytes: float | None = None
    dispersion: str = ""
    zbl: str = ""
    source: str = ""
    here: bool = True

    def __str__(self) -> str:
        """All that is known, one fact a line."""
        size = "" if self.megabytes is None else f"{self.megabytes:.3g} MB"
        facts = {
            "architecture": self.architecture if self.kind != "architecture" else "",
            "elements": _elements(self.elements, 99) + (f" ({len(self.elements)})" if len(self.elements) > 1 else ""),
            "level of theory": self.level_of_theory,
            "dispersion": self.dispersion,
            "ZBL": self.zbl,
            "licence": self.licence,
            "size": size,
            "source": self.source + ("" if self.here else " (not downloaded yet)"),
            "reference": self.reference,
        }
        lines = [f"  {what:<16}{text}" for what, text in facts.items() if text]
        return "\n".join([f"{self.name}: {self.description}", *lines])


class Models(Mapping[str, Entry]):
    """Entries by name; prints as a table, in a notebook too."""

    _COLUMNS = ("name", "elements", "dispersion", "ZBL", "MB", "licence", "about")

    def __init__(self, entries: Mapping[str, Entry]):
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _rows(self, kind: str) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for entry in self._entries.values():
            if entry.kind == kind:
                size = "" if entry.megabytes is None else f"{entry.megabytes:.3g}"
                about = (entry.name, _elements(entry.elements, 4), entry.dispersion, entry.zbl, size)
                rows.append((*about, entry.licence.split(" (")[0], entry.description))
        return rows

    def __repr__(self) -> str:
        lines: list[str] = []
        for kind in KINDS:
            rows = self._rows(kind)
            if not rows:
                continue
            used = [k for k in range(len(self._COLUMNS)) if any(row[k] for row in rows)]
            table = [[row[k] for k in used] for row in (self._COLUMNS, *rows)]
            widths = [max(len(row[k]) for row in table) for k in range(len(used))]
            lines += ["", _TITLES[kind]]
            lines += ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths)).rstrip() for row in table]
        return "\n".join(lines[1:]) or "(no models)"

    def _repr_html_(self) -> str:
        parts = []
        for kind in KINDS:
            rows = self._rows(kind)
            head = "".join(f"<th>{html.escape(c)}</th>" for c in self._COLUMNS)
            body = "".join(
                "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(c)}</td>" for c in row) + "</tr>"
                for row in rows
            )
            if rows:
                parts.append(f"<p><b>{html.escape(_TITLES[kind])}</b></p><table><tr>{head}</tr>{body}</table>")
        return "".join(parts) or "<p>(no models)</p>"


def models(kind: str | None = None) -> Models:
    """All models by name, as a table that is also a mapping: `print(atomlab.models()['mace-mpa-0-medium'])`.

    kind: only the 'embedded', the 'published' or the 'architecture' ones. Nothing is downloaded.
    """
    if kind is not None and kind not in KINDS:
        raise InputError("There is no such kind of model", got=kind, allowed=KINDS, mend=nearest(kind, KINDS))
    makers = {"embedded": _embedded, "published": _published, "architecture": _architectures}
    entries = [entry for each in KINDS if kind in (None, each) for entry in makers[each]()]
    return Models({entry.name: entry for entry in entries})


def _embedded() -> list[Entry]:
    entries = []
    for name in checkpoint.embedded():
        told = checkpoint.header(name)
        card: dict[str, Any] = told["potential"].get("card", {})
        path = checkpoint.EMBEDDED / f"{name}.safetensors"
        entries.append(
            Entry(
                name, "embedded", told["potential"]["kind"], card.get("description") or card.get("level_of_theory", ""),
                tuple(told["elements"]), card.get("licence", "unknown"), card.get("reference", ""),
                card.get("level_of_theory", ""), path.stat().st_size / 1e6, *_inside(card.get("contains", {})),
                source=str(path),
            )
        )  # fmt: skip
    return entries


def _published() -> list[Entry]:
    entries = []
    for found in catalogue.PUBLISHED.values():
        here = download.cached(found)
        size = here.stat().st_size / 1e6 if here else found.megabytes
        entries.append(
            Entry(
                found.name, "published", found.architecture, found.description, found.elements, found.licence,
                found.reference, found.level_of_theory, size, *_inside(found.contains), source=found.url,
                here=here is not None,
            )
        )  # fmt: skip
    return entries


def _architectures() -> list[Entry]:
    entries = []
    for name, text in architectures.models().items():
        made = architectures.architecture(name)
        options = inspect.signature(made).parameters
        needed = [p.name for p in options.values() if p.default is p.empty]
        if needed == ["base"]:  # a wrapper has its base's elements and licence
            entries.append(Entry(name, "architecture", name, text))
            continue
        card = architectures.create(name, **({"elements": ["Si"]} if needed else {})).card
        elements = () if "elements" in options else card.elements  # else they are one's own choice
        licence = "" if needed else card.licence  # of what one trains it is one's own choice
        entries.append(Entry(name, "architecture", name, text, elements, licence, card.reference))
    return entries


def _inside(contains: Mapping[str, str]) -> tuple[str, str]:
    """Where dispersion and ZBL are."""
    return contains.get("d3", "unknown"), contains.get("zbl", "unknown")


def _elements(numbers: tuple[int, ...], most: int) -> str:
    """Symbols, or how many where there are more than `most`."""
    from ase.data import chemical_symbols

    if len(numbers) > most:
        return f"{len(numbers)} elements"
    return " ".join(chemical_symbols[z] for z in numbers)
