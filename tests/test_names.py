"""The public names are what they say, whatever has been imported: no room takes the name of a function."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import types

import pytest

import atomlab
import atomlab_widgets

# Names that users' scripts rely on, with parameters that must not change.
PROMISED = {
    "load": ("device", "dtype", "head"),
    "read": ("keys",),
    "evaluate": (),
    "create": (),
    "models": (),
    "save": (),
    "finetune": ("strategy", "wait", "directory"),
    "train": (),
    "md": (),
    "map": (),
    "run": (),
    "attach": (),
    "descriptors": ("invariant",),
    "similarity": ("elements",),
    "lab": (),
}
# Parts of these are extras or exist on some machines only.
OPTIONAL = {"triton", "dftd3", "lmdb", "phonopy", "ipywidgets", "anywidget", "nglview", "plotly", "jscatter", "pandas"}


def import_everything(package: types.ModuleType) -> dict[str, str]:
    """Import every submodule; what went wrong, by name ("" where nothing did)."""
    told = {}
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".", onerror=lambda name: None):
        if found.name.endswith("__main__"):
            continue
        told[found.name] = ""
        try:
            importlib.import_module(found.name)
        except Exception as error:
            missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
            if missing.split(".")[0] not in OPTIONAL:
                told[found.name] = repr(error)
    return told


@pytest.fixture(scope="module", autouse=True)
def all_imported() -> dict[str, str]:
    return import_everything(atomlab) | import_everything(atomlab_widgets)


def test_every_submodule_can_be_imported(all_imported: dict[str, str]) -> None:
    assert not {name: error for name, error in all_imported.items() if error}


def test_the_promised_names_are_public() -> None:
    assert not set(PROMISED) - set(atomlab.__all__)


@pytest.mark.parametrize("name", atomlab.__all__)
def test_a_public_name_is_no_module(name: str) -> None:
    value = getattr(atomlab, name)
    assert not isinstance(value, types.ModuleType), f"importing a submodule has overwritten atomlab.{name}"
    assert callable(value)
    assert (value.__doc__ or "").strip(), f"atomlab.{name} has no docstring"
    # fetched once more, after everything: still the same object
    assert getattr(atomlab, name) is value


@pytest.mark.parametrize("name", [name for name, parameters in PROMISED.items() if parameters])
def test_promised_parameters(name: str) -> None:
    have = inspect.signature(getattr(atomlab, name)).parameters
    assert not set(PROMISED[name]) - set(have)


def test_a_panel_is_no_module() -> None:
    values = {name: getattr(atomlab_widgets, name) for name in getattr(atomlab_widgets, "__all__", ())}
    overwritten = [name for name, value in values.items() if isinstance(value, types.ModuleType)]
    assert not overwritten, f"importing a submodule has overwritten these names of atomlab_widgets: {overwritten}"
    assert all(callable(value) for value in values.values())


def test_rooms_and_public_names_are_different(all_imported: dict[str, str]) -> None:
    for package in (atomlab, atomlab_widgets):
        rooms = {name.split(".")[1] for name in all_imported if name.startswith(package.__name__ + ".")}
        same = rooms & set(getattr(package, "__all__", ()))
        assert not same, f"in {package.__name__} these are rooms and public names at once: {sorted(same)}"


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    with pytest.raises(AttributeError, match="load"):
        _ = atomlab.lode
