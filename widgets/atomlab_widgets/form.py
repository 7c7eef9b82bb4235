"""Spec -> form: the JSON schema of a task's settings gives the fields with unit, range, default and reason.

One declaration (the pydantic model of a task) makes the form here, the options of the command, the checks and the docs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anywidget
from traitlets import Dict, List

from .action import script

MAIN = 5  # at most so many settings in sight; the rest is folded
MORE = "more settings"


class Form(anywidget.AnyWidget):
    """A form. `values` holds only what differs from the defaults; `unfolded` remembers which folds are open."""

    _esm = script("form.js")
    fields = List().tag(sync=True)
    values = Dict().tag(sync=True)
    unfolded = List().tag(sync=True)


@dataclass(frozen=True)
class Look:
    """How a panel shows a task's settings, where that differs from what the schema says."""

    main: Sequence[str] = ()  # in sight, at most `MAIN` of them; empty: those that the task marks
    own: Sequence[str] = ()  # in sight below them: what one choice among the main ones asks for
    hidden: Iterable[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # plainer words than the settings' own names
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # setting -> choice -> words
    hints: Mapping[str, str] = field(default_factory=dict)  # what an empty field says
    folds: Mapping[str, str] = field(default_factory=dict)  # setting -> the fold that it is in
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)  # role -> names that are offered


def fields(
    schema: Mapping[str, Any], look: Look = Look(), suggested: Mapping[str, tuple[Any, str]] | None = None
) -> list[dict]:
    """Fields of a form from a JSON schema (as pydantic makes it), those in sight first.

    A property's `unit` and `reason` (or `source`) come from `json_schema_extra`. Settings in a nested model become
    `outer.inner`. `suggested`: name -> (value, why): a better start, which replaces the task's own default.
    """
    hidden = set(look.hidden)
    every = {f["name"]: f for f in _walk(schema, schema.get("$defs", {}), "")}
    found = {n: f for n, f in every.items() if n not in hidden and n.split(".")[0] not in hidden}
    main = ([n for n in look.main if n in found] or [n for n, f in found.items() if f["main"]])[:MAIN]
    own = [n for n in look.own if n in found and n not in main]
    rest = [n for n in found if n not in main and n not in own]
    rest.sort(key=lambda n: n not in look.folds)  # a stable sort: what has no fold of its own comes last
    result = []
    for name in [*main, *own, *rest]:
        one = found[name]
        one |= {"main": name in main, "own": name in own, "fold": look.folds.get(name, MORE)}
        one["auto"] = look.hints.get(name, one["auto"])
        one |= {"label": look.labels.get(name, one["label"]), "known": list(look.known.get(one["role"], ()))}
        if one["kind"] == "choice":
            one["options"] = [[v, look.words.get(name, {}).get(str(v), text)] for v, text in one["options"]]
        if suggested and name in suggested:
            one["default"], why = suggested[name]
            one["reason"] = sentence(why, one["reason"])
        result.append(one)
    return result


def _walk(schema: Mapping, defs: Mapping, prefix: str) -> Iterable[dict]:
    for name, prop in schema.get("properties", {}).items():
        options, nullable = _options(prop, defs)
        if options.get("type") == "object" and options.get("properties"):
            yield from _walk(options, defs, f"{prefix}{name}.")
        elif (made := _field(f"{prefix}{name}", prop, options, nullable)) is not None:
            yield made


def _options(prop: Mapping, defs: Mapping) -> tuple[dict, bool]:
    """The property with its `$ref`, `allOf` and "or null" opened, and whether null is allowed."""
    merged, nullable = dict(prop), False
    if "$ref" in merged:
        merged = {**defs[merged.pop("$ref").rsplit("/", 1)[-1]], **merged}
    for part in merged.pop("allOf", []):
        merged = {**_options(part, defs)[0], **merged}
    choices = merged.pop("anyOf", None)
    if choices:
        nullable = any(c.get("type") == "null" for c in choices)
        real = [_options(c, defs)[0] for c in choices if c.get("type") != "null"]
        simple = [c for c in real if c.get("type") in ("number", "integer", "boolean", "string") or "enum" in c]
        pick = next((c for c in simple if c.get("type") == "number"), (simple or real or [{}])[0])
        merged = {**pick, **merged}
    return merged, nullable


def _field(name: str, prop: Mapping, options: Mapping, nullable: bool) -> dict | None:
    kind = _kind(options)
    if kind is None:
        return None  # tables and lists of objects: given in a spec file, not in a form
    default = prop.get("default", options.get("default"))
    made = {
        "name": name,
        "label": _label(name.rsplit(".", 1)[-1], prop.get("title")),
        "kind": kind,
        "unit": options.get("unit", ""),
        "min": options.get("minimum", options.get("exclusiveMinimum")),
        "max": options.get("maximum", options.get("exclusiveMaximum")),
        "open_min": "exclusiveMinimum" in options,
        "default": default,
        "nullable": nullable or default is None,
        "main": bool(options.get("main", prop.get("main"))),
        "reason": sentence(
            prop.get("description") or options.get("description", ""), options.get("reason"), options.get("source")
        ),
        "auto": "",
        "role": str(options.get("role", prop.get("role")) or ""),
        "item": str((options.get("additionalProperties") or {}).get("type", "")) if kind == "pairs" else "",
    }
    if kind == "choice":
        values = options.get("enum") or [options["const"]]
        words = options.get("words", {})
        made["options"] = [[v, words.get(str(v), str(v))] for v in values]
        if nullable:
            made["options"].insert(0, [None, "automatic"])
    return made


def _label(name: str, title: str | None) -> str:
    """The title where somebody wrote one (pydantic makes "Frame Every" of frame_every), small at the beginning."""
    plain = name.replace("_", " ")
    if not title or title.lower() == plain:
        return plain
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _kind(options: Mapping) -> str | None:
    if "enum" in options or "const" in options:
        return "choice"
    kind = options.get("type")
    if kind == "object":  # {name: value}
        values = options.get("additionalProperties")
        return "pairs" if isinstance(values, dict) and values.get("type") in ("string", "number") else None
    if kind == "array":
        return "list" if options.get("items", {}).get("type", "string") in ("string", "number", "integer") else None
    return {"integer": "int", "number": "number", "boolean": "bool", "string": "text"}.get(str(kind))


def sentence(*parts: str | None) -> str:
    """The parts as sentences, one after the other."""
    return " ".join(p.strip().rstrip(".") + "." for p in parts if p and p.strip())


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}: what a spec wants."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        inner = result
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return result
