"""Files of `torch.save(module)`, read as data: no code in them is run, no class of theirs is made.

Such a file is a pickle that names Python objects and asks to call them. Here every name is looked up in a list of exact
names, handed in by the caller; each becomes an inert `Stub` that keeps what it was given. Anything else is refused by
its name. Tensors are checked against the bytes of their storage before they are made.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError

__all__ = ["Opaque", "Stub", "plain_number", "read_module"]

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}
# Names that any saved module may hold and that stay inert.
_INERT = {
    "torch device",
    "torch float32",
    "torch float64",
    "torch Size",
    "numpy dtype",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    *(f"{place} {name}" for place in ("builtins", "__builtin__") for name in ("slice", "int", "float", "bool", "str")),
}
# What the pickles that torch writes (protocol 2) are made of.
_CODES = set(
    "PROTO STOP MARK POP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE EMPTY_LIST APPEND "
    "APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT "
    "GLOBAL REDUCE NEWOBJ BUILD BINPERSID".split()
)
MAX_BYTES, MAX_CODES, MAX_NUMBERS, MAX_DIMENSIONS = 1 << 28, 10_000_000, 1 << 31, 16
MAX_TUPLES = 20_000  # nested ones are hashed on the C stack, which must not run out


class Stub:
    """What stands for an object of the file: the name of its class, the arguments it was to be made with, its state."""

    __slots__ = ("args", "state")
    args: tuple[Any, ...]
    state: dict[Any, Any]
    name = ""

    def __new__(cls, *args: Any) -> Stub:
        self = super().__new__(cls)
        self.args, self.state = args, {}
        return self

    def __init__(self, *args: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {"": state}

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute of the object, wherever torch keeps it."""
        for place in (self.state, *(self.state.get(p) for p in ("_modules", "_parameters", "_buffers"))):
            if isinstance(place, dict) and name in place:
                return place[name]
        return default

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Opaque:
    """Bytes of the file that nobody opens: compiled code, mostly."""

    __slots__ = ("text",)

    def __init__(self, text: Any = "", encoding: Any = None):
        self.text = text if isinstance(text, str) else ""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state for bytes")


class _Dict(dict):
    """An OrderedDict of the file; its attributes (torch's metadata) are dropped."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


class _Call:
    """A function of the file that is done here, in our way. Nothing can be set on it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state for a function")


class _Storage:
    __slots__ = ("values",)

    def __init__(self, values: Tensor):
        self.values = values

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state for a storage")


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, archive: _Archive, allowed: Collection[str], words: Callable[[str], str]):
        super().__init__(file)
        self._archive, self._allowed, self._words = archive, allowed, words
        self._stubs: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module} {name}"
        if full not in self._stubs:
            self._stubs[full] = self._found(full)
        return self._stubs[full]

    def _found(self, full: str) -> Any:
        module, name = full.split(" ", 1)
        if module == "torch" and name in _STORAGES:
            return type(name, (Stub,), {"__slots__": (), "name": full})
        known: dict[str, Callable] = {
            "torch._utils _rebuild_tensor_v2": _tensor,
            "torch._utils _rebuild_parameter": lambda data, *rest: _checked(data, Tensor),
            "collections OrderedDict": lambda *items: _Dict(*items),
            "__builtin__ set": lambda items=(): set(_checked(items, list)),
            "builtins set": lambda items=(): set(_checked(items, list)),
            "_codecs encode": Opaque,
        }
        if full in known:
            return _Call(known[full])
        if full in _INERT or full in self._allowed:
            return type(name, (Stub,), {"__slots__": (), "name": full})
        raise InputError(
            f"The file names '{module}.{name}', which AtomLab does not read{self._words(full)}",
            got=self._archive.name,
            mend="Nothing of the file was run. If a published model needs this name, report it",
        )

    def persistent_load(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise pickle.UnpicklingError("an unknown persistent id")
        _, kind, key, _device, count = pid
        dtype = _STORAGES.get(getattr(kind, "name", "").removeprefix("torch "))
        if dtype is None or not isinstance(key, str) or type(count) is not int or not 0 <= count <= MAX_NUMBERS:
            raise pickle.UnpicklingError("a storage of an unknown kind or size")
        return _Storage(self._archive.storage(key, dtype, count))


class _Archive:
    """The zip around the pickle: entries stored as they are, one folder."""

    def __init__(self, path: Path):
        self.name = path.name
        self._zip = zipfile.ZipFile(path)
        pickles = [n for n in self._zip.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError("The file is no saved module: it needs one data.pkl inside", got=self.name)
        self._folder = pickles[0].removesuffix("data.pkl")
        order = self._folder + "byteorder"
        if order in self._zip.namelist() and self.entry("byteorder") != b"little":
            raise InputError("The file was written on a machine of the other byte order", got=self.name)
        self._storages: dict[str, Tensor] = {}

    def entry(self, name: str) -> bytes:
        info = self._zip.getinfo(self._folder + name)
        # torch writes entries as they are: a compressed one may be a bomb
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > info.compress_size:
            raise InputError("The file has compressed parts, which torch never writes", got=f"{self.name}: {name}")
        return self._zip.read(info)

    def storage(self, key: str, dtype: torch.dtype, count: int) -> Tensor:
        if key not in self._storages:
            data = self.entry(f"data/{key}")
            size = torch.empty(0, dtype=dtype).element_size()
            if len(data) != count * size:
                raise pickle.UnpicklingError(f"storage {key} has {len(data)} bytes and claims {count * size}")
            raw = torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)
            self._storages[key] = raw != 0 if dtype == torch.bool else raw.view(dtype)
        values = self._storages[key]
        if values.dtype != dtype or len(values) != count:
            raise pickle.UnpicklingError(f"storage {key} is used in two ways")
        return values


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """A copy of the view, after every number was checked against the storage."""
    values = _checked(storage, _Storage).values
    numbers = [offset, *_checked(size, tuple), *_checked(stride, tuple)]
    if any(type(n) is not int or not 0 <= n <= MAX_NUMBERS for n in numbers):
        raise pickle.UnpicklingError("a tensor with sizes that are no sizes")
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS or math.prod(size) > len(values):
        raise pickle.UnpicklingError("a tensor larger than its storage")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if (math.prod(size) and last >= len(values)) or offset > len(values):
        raise pickle.UnpicklingError("a tensor that reaches beyond its storage")
    return torch.as_strided(values, size, stride, offset).clone(memory_format=torch.contiguous_format)


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise pickle.UnpicklingError(f"a {type(value).__name__} in place of a {kind.__name__}")
    return value


def plain_number(value: Any) -> float | int | None:
    """A Python number, or the one inside a numpy scalar or a tensor of the file; None if it is none."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, Stub) and value.name.endswith("multiarray scalar") and len(value.args) == 2:
        dtype, raw = value.args
        code = dtype.args[0] if isinstance(dtype, Stub) and dtype.args else None
        if isinstance(raw, Opaque) and code in ("f8", "f4", "i8", "i4"):
            raw = raw.text.encode("latin1", errors="replace")
        if isinstance(raw, bytes) and code in ("f8", "f4", "i8", "i4") and len(raw) == int(code[1]):
            return np.frombuffer(raw, dtype=f"<{code}")[0].item()
    return None


def read_module(path: str | Path, allowed: Collection[str], words: Callable[[str], str] = lambda name: "") -> Any:
    """The object tree of a file of `torch.save(module)`: stubs, tensors and plain values.

    allowed: `module name` pairs that become stubs. words(name) adds a phrase to the refusal of another name. Raises
    InputError for a name that is not allowed, and for a damaged or crafted file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("There is no such file", got=str(path))
    try:
        archive = _Archive(path)
        data = archive.entry("data.pkl")
        _scan(data, archive.name)
        return _Reader(io.BytesIO(data), archive, allowed, words).load()
    except InputError:
        raise
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, KeyError, IndexError, ValueError),
        *(TypeError, AttributeError, OSError, RuntimeError, NotImplementedError, OverflowError, MemoryError),
    ) as error:
        raise InputError(
            "The file cannot be read: it is damaged, or was made to do harm",
            got=f"{path.name}: {type(error).__name__}: {error}",
            mend="Fetch it again from its authors",
        ) from error


def _scan(data: bytes, name: str) -> None:
    """Refuse a pickle that is too large or holds codes beyond those of saved modules, before any of it is followed."""
    if len(data) > MAX_BYTES:
        raise InputError("The file's description is too large", got=f"{name}: {len(data)} bytes")
    tuples = 0
    for count, (code, argument, _) in enumerate(pickletools.genops(data), 1):
        tuples += code.name.startswith("TUPLE")
        # an index beyond what was stored so far would make the reader allocate that much
        far = code.name in ("LONG_BINPUT", "LONG_BINGET") and argument > count
        if code.name not in _CODES or count > MAX_CODES or tuples > MAX_TUPLES or far:
            what = "The file's pickle holds a code, or a number of codes, that saved modules do not have"
            raise InputError(what, got=f"{name}: {code.name}")
