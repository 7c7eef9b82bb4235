"""Settings of a spec as options of a command, and back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn, get_args, get_origin

from ..errors import InputError, nearest
from .spec import Spec, details, ordered, positional

__all__ = ["Parser", "add_settings"]


class Parser(argparse.ArgumentParser):
    """Mistakes are sentences with the nearest name."""

    def __init__(self, name: str, text: str):
        super().__init__(prog=f"atomlab {name}", description=text, allow_abbrev=False, exit_on_error=False)

    def error(self, message: str) -> NoReturn:
        raise InputError(message[:1].upper() + message[1:], mend=f"See: {self.prog} --help")

    def read(self, words: list[str]) -> argparse.Namespace:
        """The arguments; what is unknown is named."""
        try:
            found, unknown = self.parse_known_args(words)
        except argparse.ArgumentError as error:
            self.error(str(error))
        if not unknown:
            return found
        options = [option for action in self._actions for option in action.option_strings]
        word = unknown[0].split("=")[0]
        if word.startswith("-"):
            raise InputError(f"There is no option '{word}'", mend=nearest(word, options) or f"See: {self.prog} --help")
        raise InputError(f"There is a word too many: '{word}'", mend=f"See: {self.prog} --help")


def add_settings(
    parser: Parser, spec: type[Spec], needed: bool = True
) -> Callable[[argparse.Namespace], dict[str, Any]]:
    """Options for all settings of a spec; the function that reads those that were given."""
    first = positional(spec)
    main, more = parser.add_argument_group("main settings"), parser.add_argument_group("more settings")
    names = [n for n in ordered(spec.model_fields, spec) if n != "kind"]
    for name in names:
        field, about = spec.model_fields[name], details(spec.model_fields[name])
        text = _help(field, about.get("unit", ""))
        if name in first:
            count: dict[str, Any] = {} if needed and field.is_required() else {"nargs": "?"}
            parser.add_argument(name, help=text, metavar=name.upper(), default=argparse.SUPPRESS, **count)
            continue
        group, option = (main if about.get("main") else more), f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            group.add_argument(
                option, dest=name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text
            )
        else:
            group.add_argument(option, dest=name, metavar=_word(field.annotation), default=argparse.SUPPRESS, help=text)

    def read(found: argparse.Namespace) -> dict[str, Any]:
        return {n: _value(getattr(found, n), spec.model_fields[n].annotation) for n in names if hasattr(found, n)}

    return read


def _help(field: Any, unit: str) -> str:
    default = (
        ""
        if field.is_required() or field.default in (None, "", [], {})
        else f" (default {field.default}{' ' * bool(unit)}{unit})"
    )
    return f"{field.description}{default}".replace("%", "%%")


def _word(annotation: Any) -> str:
    """The placeholder of an option: its choices, or what kind of value."""
    kinds = _kinds(annotation)
    choices = [
        c
        for k in kinds
        if get_origin(k) is not None and not isinstance(k, type)
        for c in get_args(k)
        if isinstance(c, str)
    ]
    if choices and str not in kinds:
        return "{" + ",".join(choices) + "}"
    names = {int: "N", float: "X", str: "TEXT", bool: "BOOL"}
    return next((names[k] for k in kinds if k in names), "VALUE")


def _kinds(annotation: Any) -> list[Any]:
    from types import UnionType
    from typing import Union

    return list(get_args(annotation)) if get_origin(annotation) in (Union, UnionType) else [annotation]


def _value(text: Any, annotation: Any) -> Any:
    """A word of the command line as the setting wants it: lists and tables as YAML, or a,b and A=x,B=y."""
    kinds = _kinds(annotation)
    if not isinstance(text, str) or kinds == [str]:
        return text
    if type(None) in kinds and text.lower() in ("none", "null"):
        return None
    origins = {get_origin(k) or k for k in kinds}
    if text[:1] in ("[", "{") and origins & {list, dict, tuple}:
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(
                "This is no list and no table in YAML", got=text, mend="Write [a, b] or {a: 1, b: 2}"
            ) from error
    if dict in origins and "=" in text:
        return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if list in origins:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text
