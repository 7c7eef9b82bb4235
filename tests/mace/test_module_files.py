"""A saved module is read as data: what is in it is rebuilt, what it asks for is refused, and nothing runs."""

import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest
import torch

from atomlab.architectures import published
from atomlab.architectures.published import mace
from atomlab.architectures.published.modules import Opaque, Stub, plain_number, read_module
from atomlab.errors import InputError


def packed(path: Path, data: bytes, storages: dict[str, bytes] | None = None, compression=zipfile.ZIP_STORED) -> Path:
    """A file like torch's around the pickle `data`."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model/data.pkl", data)
        archive.writestr("model/byteorder", b"little")
        for key, value in (storages or {}).items():
            archive.writestr(f"model/data/{key}", value)
    return path


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def tensor(offset=0, size=(2, 2), stride=(2, 1), count=4, key="0", kind="FloatStorage") -> bytes:
    """The pickle of one tensor over storage `key`."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cuda:0") + number(count)
    shape = b"(" + b"".join(map(number, size)) + b"t(" + b"".join(map(number, stride)) + b"t"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + (
        storage + b"tQ" + number(offset) + shape + b"\x89ccollections\nOrderedDict\n)RtR."
    )


FOUR = {"0": struct.pack("<4f", 1, 2, 3, 4)}


def test_tensors_come_back_with_their_values_types_and_views(tmp_path):
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    kept = {
        "a": base,
        "transposed": base.t(),
        "slice": base[1:3, ::2],
        "empty": torch.zeros(0),
        "flags": torch.tensor([True, False]),
        "counts": torch.tensor(7, dtype=torch.int32),
        "long": torch.tensor([1, -5]),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "plain": [1, 2.5, None, "x", (True, {"y": -3})],
    }
    torch.save(kept, tmp_path / "kept.pt")
    found = read_module(tmp_path / "kept.pt", ())
    assert set(found) == set(kept) and found["plain"] == kept["plain"]
    for key, value in kept.items():
        if isinstance(value, torch.Tensor):
            assert found[key].dtype == value.dtype and torch.equal(found[key], value.detach())


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, r"(posix|nt)\.system"),
        (eval, r"__builtin__\.eval|builtins\.eval"),
        (torch.load, r"torch\.load|torch\.ser"),
    ],
)
def test_calls_are_refused_by_name_and_never_made(tmp_path, function, name):
    trace = tmp_path / "trace"
    argument = f"open({str(trace)!r}, 'w')" if function is eval else f"touch {trace}"
    data = pickle.dumps({"weights": Evil(function, argument)}, protocol=2)
    for reader in (mace.read, published.read, lambda path: read_module(path, ())):
        with pytest.raises(InputError, match=name if reader is not published.read else None):
            reader(packed(tmp_path / "evil.model", data))
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    [
        "torch.hub\nload",
        "torch._utils\n_rebuild_sparse_tensor",
        "torch.storage\n_load_from_bytes",
        "torch.nn.modules.linear\nLinear",
        "e3nn.o3._linear\nCodeGenMixin",
        "mace.modules.models\nos",
        "__builtin__\ngetattr",
        "builtins\n__import__",
        "numpy.core.multiarray\n_reconstruct",
        "collections\nOrderedDict.fromkeys",
        "codecs\nencode",
    ],
)
def test_no_prefix_opens_a_door(tmp_path, name):
    with pytest.raises(InputError, match=name.replace("\n", ".")):
        mace.read(packed(tmp_path / "x.model", b"\x80\x02c" + name.encode() + b"\n."))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 400}, "16 bytes and claims 1600"),
        ({"count": 3}, "16 bytes and claims 12"),
        ({"count": -1}, "unknown kind or size"),
        ({"size": (3, 2)}, "larger than its storage"),
        ({"stride": (2, 2)}, "beyond its storage"),
        ({"stride": (-2, 1)}, "no sizes"),
        ({"stride": (2,)}, "larger than its storage"),
        ({"offset": 1}, "beyond its storage"),
        ({"offset": -1}, "no sizes"),
        ({"size": (2000, 2000), "stride": (0, 0)}, "larger than its storage"),
        ({"size": (1,) * 20, "stride": (1,) * 20}, "larger than its storage"),
        ({"kind": "DoubleStorage"}, "16 bytes and claims 32"),
        ({"kind": "HalfStorage"}, "torch.HalfStorage"),
        ({"key": "1"}, "data/1"),
        ({"key": "../byteorder"}, "byteorder"),
    ],
    ids=str,
)
def test_tensors_stay_within_their_storage(tmp_path, change, words):
    whole = read_module(packed(tmp_path / "good.model", tensor(), FOUR), ())
    assert torch.equal(whole, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(InputError, match=words):
        read_module(packed(tmp_path / "bad.model", tensor(**change), FOUR), ())


def test_objects_of_ours_cannot_be_changed_by_a_file(tmp_path):
    """BUILD sets attributes: on a function of ours it would outlive the file."""
    build = b"}" + text("x") + b"K\x01sb."
    slots = b"N}" + text("_function") + b"K\x01s\x86b."
    for target in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n"):
        for state in (build, slots):
            with pytest.raises(InputError):
                read_module(packed(tmp_path / "x.model", b"\x80\x02" + target + state), ())
    stub = read_module(packed(tmp_path / "x.model", b"\x80\x02ctorch\ndevice\n)\x81" + build), ())
    assert isinstance(stub, Stub) and stub.state == {"x": 1} and not hasattr(Stub, "x")
    with pytest.raises(InputError):  # on the stub's class itself
        read_module(packed(tmp_path / "x.model", b"\x80\x02ctorch\ndevice\n" + build), ())


def test_crafted_archives_and_pickles_are_refused_before_they_cost(tmp_path):
    with pytest.raises(InputError, match="compressed"):
        read_module(packed(tmp_path / "bomb.model", b"\x80\x02N." + bytes(10**6), compression=zipfile.ZIP_DEFLATED), ())
    for data, what in (
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "LONG_BINPUT"),  # would make the reader's memo 16 GB
        (b"\x80\x02" + b"N" + b"\x85" * 30_000 + b".", "TUPLE1"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"(S'x'\nios\nsystem\n.", "STRING"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "SHORT_BINUNICODE"),
    ):
        with pytest.raises(InputError, match=what):
            read_module(packed(tmp_path / "x.model", data), ())
    with pytest.raises(InputError, match="byte order"):
        path = packed(tmp_path / "x.model", b"\x80\x02N.")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/data.pkl", b"\x80\x02N.")
            archive.writestr("m/byteorder", b"big")
        read_module(path, ())
    with pytest.raises(InputError, match="data.pkl"):
        with zipfile.ZipFile(tmp_path / "x.model", "w") as archive:
            archive.writestr("other.txt", b"")
        read_module(tmp_path / "x.model", ())
    with pytest.raises(InputError, match="no such file"):
        read_module(tmp_path / "absent.model", ())


def test_a_tree_that_contains_itself_ends(tmp_path):
    loop = Stub()
    loop.state = {"_modules": {"again": loop}, "_buffers": {"b": torch.zeros(1)}}
    with pytest.raises(InputError, match="deeply"):
        mace._state(loop, "loop")


def test_numbers_of_numpy_are_read_and_nothing_else():
    def scalar(code, raw):
        dtype = type("dtype", (Stub,), {"name": "numpy dtype"})(code, False, True)
        return type("scalar", (Stub,), {"name": "numpy.core.multiarray scalar"})(dtype, raw)

    assert plain_number(scalar("f8", Opaque(struct.pack("<d", 18.5).decode("latin1")))) == 18.5
    assert plain_number(scalar("i4", struct.pack("<i", -3))) == -3
    assert plain_number(torch.tensor(2.0)) == 2.0 and plain_number(True) is True
    for wrong in (scalar("f8", b"123"), scalar("O8", b"12345678"), scalar("f8", Opaque("é" * 9)), "5", None, Stub()):
        assert plain_number(wrong) is None


# ---- with a real file


@pytest.fixture(scope="module")
def saved(shared):
    return shared / "golden" / "mace" / "m8_saved_model.model"


def edited(source: Path, target: Path, edit) -> Path:
    """A copy of the file with its pickle changed by `edit`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, edit(data) if info.filename.endswith("data.pkl") else data)
    return target


def test_a_real_file_is_read_whole_without_the_other_program(saved):
    import sys

    model = published.read(saved)
    assert model.card.heads == ("pt_head", "new") and model.card.elements == (1, 6, 8, 14, 22, 29)
    assert model.card.contains["zbl"] == "model" and model.card.name == "m8_saved_model"
    assert model.dtype == torch.float32 and model.atomic_energies.dtype == torch.float64
    assert not any(name.split(".")[0] == "mace" for name in sys.modules)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.95, 0.9999])
def test_a_truncated_file_is_refused(saved, tmp_path, share):
    data = saved.read_bytes()
    (tmp_path / "cut.model").write_bytes(data[: int(share * len(data))])
    for reader in (mace.read, published.read):
        with pytest.raises(InputError):
            reader(tmp_path / "cut.model")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"RealAgnosticDensityInteractionBlock", b"RealAgnosticResidualNonLinearInteractionBlock", "a gate"),
        (b"ScaleShiftMACE", b"AtomicDipolesMACE", "dipoles"),
        (b"mace.modules.models\nScaleShiftMACE", b"mace.modules.lora\nLoRALinear", "LoRA"),
        (b"e3nn.o3._linear\nLinear", b"mace.modules.wrapper_ops\nCuEquivarianceLinear", "cuequivariance"),
        (b"torch.nn.functional\nsilu", b"torch.nn.functional\ntanh", "torch.nn.functional.tanh"),
        (b"torch.nn.functional\nsilu", b"torch\nfloat32", "not SiLU"),
        (text("use_so3") + b"q\x1a\x89", text("use_so3") + b"q\x1a\x88", "use_so3"),
        (text("use_agnostic_product"), text("edge_irreps_elsewhere"), None),
    ],
)
def test_kinds_that_are_not_here_are_refused_in_words(saved, tmp_path, old, new, words):
    counted = []

    def edit(data):
        if old.startswith(text("use_so3")):
            start = data.index(text("use_so3")) + len(text("use_so3"))
            place = data.index(b"\x89", start)
            counted.append(1)
            return data[:place] + b"\x88" + data[place + 1 :]
        counted.append(data.count(old))
        return data.replace(old, new)

    path = edited(saved, tmp_path / "x.model", edit)
    assert counted[0] > 0
    if words is None:  # an attribute that is absent, as in older files
        assert mace.read(path).card.heads == ("pt_head", "new")
        return
    with pytest.raises(InputError, match=words):
        mace.read(path)


def test_damaged_pickles_end_in_words_or_in_the_same_shapes(saved, tmp_path):
    """Random bytes of the pickle changed: an InputError or a model, nothing else, and no call."""
    import random

    stream, refused = random.Random(5), 0
    for _ in range(60):

        def edit(data):
            broken = bytearray(data)
            for _ in range(3):
                broken[stream.randrange(len(broken))] = stream.randrange(256)
            return bytes(broken)

        try:
            mace.read(edited(saved, tmp_path / "x.model", edit))
        except InputError:
            refused += 1
    assert refused > 5


def test_a_file_that_lies_about_its_size_costs_no_memory(saved, tmp_path):
    old = b"K\x08K\x20K\x20K\x18"  # the widths 8, 32, 32, 24 of the first radial network

    def edit(data):
        assert data.count(old)
        return data.replace(old, b"K\x08M\xff\x0fM\xff\x0fK\x18")

    with pytest.raises(InputError, match="misshapen|lacks|differ"):
        mace.read(edited(saved, tmp_path / "x.model", edit))


def test_the_reader_takes_a_path_only(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        published.read(tmp_path / "nothing.model")
    (tmp_path / "words.pth").write_text("hello")
    with pytest.raises(InputError):
        published.read(tmp_path / "words.pth")
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="no program"):
        published.read(tmp_path / "other.pth")
