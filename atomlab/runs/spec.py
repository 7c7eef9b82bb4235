"""What a run is described by: checked settings, their text as command and as Python, sentences for mistakes."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from ..errors import InputError, nearest

__all__ = [
    "INPUTS",
    "ModelSpec",
    "Spec",
    "as_command",
    "as_python",
    "changed",
    "details",
    "inputs_of",
    "ordered",
    "parse",
    "positional",
    "schema",
    "setting",
]

FUNCTIONS = ("finetune", "train", "md", "map")  # tasks that are public functions; the others go through atomlab.run
INPUTS = "inputs"  # the folder in a run for what was neither a name nor a file


def setting(
    default: Any = ..., description: str = "", unit: str = "", main: bool = False, role: str = "", first: bool = False,
    **limits: Any,
) -> Any:  # fmt: skip
    """A field of a spec.

    role: "model", "data" or "structure" for inputs by name or path. first: given without its name, as in
    `atomlab finetune MODEL DATA`.
    """
    extra: dict[str, Any] = {"unit": unit, "main": main, "role": role, "first": first}
    return Field(default, description=description, json_schema_extra=extra, **limits)


class Spec(BaseModel):
    """What all runs have in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: str
    name: str = setting("", "A name of your own for the run's directory", max_length=60)
    seed: int = setting(0, "Seed of everything random in this run", ge=0, le=2**32 - 1)
    threads: int = setting(
        0,
        "Threads of the CPU; 0: OMP_NUM_THREADS, else one less than the cores, so that the screen stays quick",
        ge=0,
        le=1024,
    )

    def label(self) -> str:
        """The tail of the run directory's name."""
        about = {name: details(field) for name, field in type(self).model_fields.items()}
        told = [name for name in inputs_of(type(self)) if about[name]["first"] or about[name]["main"]]
        values = [getattr(self, name) for name in told]
        words = [_short(value) for value in values if value and not value.startswith(f"{INPUTS}/")]
        return self.name or "-".join(dict.fromkeys(words))


class ModelSpec(Spec):
    """What runs have in common that compute with a model."""

    device: str = setting(
        "auto", "Where to compute: auto takes a GPU if there is one", pattern=r"^(auto|cpu|cuda(:\d+)?)$"
    )
    dtype: Literal["float32", "float64"] = setting("float32", "Precision of the model; energies are summed in float64")


def _short(value: str) -> str:
    head = value.split("#")[0]
    name = Path(head).name
    if found := re.match(r"[a-z]+-\d{4,}", name):
        return found[0]  # another run, by its kind and number
    return name.split(".")[0] if os.sep in head or "." in name else head.split(",")[0]


def inputs_of(kind: type[Spec]) -> dict[str, str]:
    """{field: role} of the fields that name a model, a data set or a structure."""
    return {name: role for name, field in kind.model_fields.items() if (role := details(field).get("role"))}


def positional(kind: type[Spec]) -> list[str]:
    """Fields that are given without their name."""
    return [name for name, field in kind.model_fields.items() if details(field).get("first")]


def details(field: FieldInfo) -> dict[str, Any]:
    """unit, main, role and first of a setting."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def parse(data: Mapping[str, Any]) -> Spec:
    """The checked spec of plain data; a mistake is said in one sentence."""
    from .tasks import TASKS

    kind = data.get("kind")
    if kind not in TASKS:
        raise InputError(
            "There is no such kind of run", got=kind, allowed=sorted(TASKS), mend=nearest(str(kind), TASKS)
        )
    model = TASKS[kind][0]
    try:
        return model(**data)
    except ValidationError as error:
        raise mistake(error, model, data) from None


def mistake(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> InputError:
    """The first fault that pydantic found, as an InputError."""
    # a wrong name first: it is likely the cause of what else is missing
    found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
    name = str(found["loc"][0]) if found["loc"] else ""
    fields = [n for n in model.model_fields if n != "kind"]
    if found["type"] == "extra_forbidden":
        return InputError(
            f"There is no setting '{name}'",
            mend=nearest(name, fields) or f"The settings are: {', '.join(fields)}",
        )
    if found["type"] == "missing":
        field = model.model_fields.get(name)
        return InputError(f"'{name}' must be given", allowed=(field.description if field else None))
    text = found["msg"].removeprefix("Value error, ")
    if not name:
        return InputError(text[:1].upper() + text[1:])
    unit = details(model.model_fields[name]).get("unit") if name in model.model_fields else ""
    got = repr(data.get(name)) + (f" {unit}" if unit else "")
    if found["type"] == "literal_error":
        allowed = str(found.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
        return InputError(
            f"'{name}' has no such choice", got=got, allowed=allowed, mend=_guess(data.get(name), allowed)
        )
    return InputError(f"'{name}' {text.replace('Input should', 'should') if 'Input should' in text else text}", got=got)


def _guess(value: Any, allowed: str) -> str:
    return nearest(str(value), [a.strip().strip("'") for a in allowed.split(",")])


def changed(spec: Spec) -> dict[str, Any]:
    """The settings that differ from their defaults, without `kind`; plain data."""
    data = spec.model_dump(mode="json")
    out = {}
    for name, field in type(spec).model_fields.items():
        default = field.get_default(call_default_factory=True)
        if name != "kind" and getattr(spec, name) != default:
            out[name] = data[name]
    return out


def _located(spec: Spec, directory: Path | None) -> dict[str, Any]:
    """Changed settings; what lies in the run's own inputs/ by its full path."""
    values = changed(spec)
    for name in inputs_of(type(spec)):
        value = values.get(name)
        if directory is not None and isinstance(value, str) and value.startswith(f"{INPUTS}/"):
            values[name] = str(Path(directory).absolute() / value)
    return values


def as_command(spec: Spec, directory: Path | None = None) -> str:
    """The shortest command line that repeats this run. `directory`: of the run, for inputs written into it."""
    values = _located(spec, directory)
    words = ["atomlab", spec.kind]
    words += [str(values.pop(name)) for name in positional(type(spec)) if name in values]
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, text_of(value)]
    return shlex.join(words)


def text_of(value: Any) -> str:
    """A value as one word of a command line, read back as YAML."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("...").strip()


def as_python(spec: Spec, directory: Path | None = None) -> str:
    """The shortest Python that repeats this run."""
    values = _located(spec, directory)
    if spec.kind not in FUNCTIONS:
        return f"import atomlab\n\natomlab.run({ {'kind': spec.kind, **values}!r})"
    arguments = [repr(values.pop(name)) for name in positional(type(spec)) if name in values]
    arguments += [f"{name}={value!r}" for name, value in values.items()]
    return f"import atomlab\n\natomlab.{spec.kind}({', '.join(arguments)})"


def schema(kind: str) -> dict[str, Any]:
    """JSON schema of a task's settings with `unit`, `main`, `role` and limits: what forms are made from."""
    from .tasks import TASKS

    return TASKS[kind][0].model_json_schema()


def ordered(fields: Iterable[str], model: type[Spec]) -> list[str]:
    """Field names, the main ones first."""
    return sorted(fields, key=lambda name: not details(model.model_fields[name]).get("main"))
