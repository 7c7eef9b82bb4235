"""Models on disk: what is written comes back, and whatever cannot be read is refused in words."""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk
from safetensors.torch import load_file, save_file

import atomlab
from atomlab import checkpoint
from atomlab.architectures import create
from atomlab.build import build
from atomlab.errors import InputError, Notice
from atomlab.potential import Sum, outputs


def mace(heads=("default",), elements=(14,), **config):
    model = create("mace", elements=elements, heads=heads, channels=4, radial_hidden=[8], cutoff=4.0, **config)
    model.set_atomic_energies({z: -100.0 - z / 3 for z in elements}, head=0)
    return model


def rattled(symbol="Si"):
    atoms = bulk(symbol, cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def energy(model, atoms, head=0):
    graph = build(atoms, model.needs, head).to(dtype=model.dtype)
    return float(outputs(model, graph, ("energy",)).energy[0])


def header_changed(path, **changes):
    """Rewrite the JSON in a checkpoint's header."""
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    table = json.loads(raw[8 : 8 + n])
    info = json.loads(table["__metadata__"]["atomlab"])
    info.update(changes)
    table["__metadata__"]["atomlab"] = json.dumps(info)
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + n :])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_to_the_bit(tmp_path, dtype):
    model = checkpoint.place(mace(), "cpu", dtype)
    path = atomlab.save(model, tmp_path / "m.safetensors", {"data_hash": "abc", "errors": {"forces_rmse": 0.1}})
    again = atomlab.load(path, device="cpu", dtype=dtype)
    assert energy(again, rattled()) == energy(model, rattled())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]) and tensor.dtype == again.state_dict()[name].dtype
    assert again.card == model.card and again.config == model.config


def test_the_header_tells_everything_without_torch(tmp_path):
    path = atomlab.save(mace(), tmp_path / "m.safetensors", {"data_hash": "abc"})
    code = (
        "import sys; from atomlab.checkpoint import header; h = header(sys.argv[1]);"
        "assert 'torch' not in sys.modules;"
        "print(h['cutoff'], h['elements'], h['metadata']['data_hash'], h['atomic_energies']['default'], h['units'])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("4.0 [14] abc {'Si': -104.66") and "eV/Å" in out.stdout


def test_energies_stay_double_when_a_model_is_loaded_in_float32(tmp_path):
    path = atomlab.save(checkpoint.place(mace(), "cpu", "float64"), tmp_path / "m.safetensors")
    single = atomlab.load(path, dtype="float32", device="cpu")
    assert single.dtype == torch.float32 and single.atomic_energies.dtype == torch.float64
    assert float(single.atomic_energies[0, 0]) == -100.0 - 14 / 3
    assert energy(single, rattled()) == pytest.approx(energy(atomlab.load(path, "cpu", "float64"), rattled()), abs=1e-3)


def test_sums_and_wrappers_come_back_with_what_is_inside(tmp_path):
    whole = Sum(mace(), create("lennard-jones", elements=[14], epsilon=0.01, sigma=2.0, cutoff=5.0))
    again = atomlab.load(atomlab.save(whole, tmp_path / "sum.safetensors"), device="cpu")
    assert isinstance(again, Sum) and energy(again, rattled()) == energy(whole, rattled())
    patched = create("atomft", base=mace(), alpha=0.1)
    with torch.no_grad():
        patched.readout[-1].weight.normal_()
    again = atomlab.load(atomlab.save(patched, tmp_path / "ft.safetensors"), device="cpu")
    assert energy(again, rattled()) == energy(patched, rattled()) != energy(patched.base, rattled())


def test_a_formula_needs_no_weights_and_keeps_its_precision(tmp_path):
    model = create("stillinger-weber", elements=["Si", "Ge"])
    again = atomlab.load(atomlab.save(model, tmp_path / "sw.safetensors"), device="cpu", dtype="float32")
    assert energy(again, rattled()) == energy(model, rattled())


def test_the_chosen_head_acts_as_the_default(tmp_path):
    model = mace(heads=("pbe", "r2scan"))
    model.set_atomic_energies({14: -3.0}, head="r2scan")
    path = atomlab.save(model, tmp_path / "two.safetensors")
    with pytest.warns(Notice, match=r"pbe, r2scan.*'pbe' is used"):
        first = atomlab.load(path, device="cpu")
    second = atomlab.load(path, device="cpu", head="r2scan")
    atoms = rattled()
    for model in (first, second):
        atoms.calc = model.calculator()
        found = atomlab.evaluate(model, [atoms], want=("energy",)).energy[0]
        assert atoms.get_potential_energy() == pytest.approx(found)
        head = 0 if model is first else 1
        assert found == pytest.approx(energy(model, atoms, head), abs=1e-4)
    with pytest.raises(InputError, match=r"no such head.*pbe, r2scan"):
        atomlab.load(path, device="cpu", head="pbesol")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomlab.save(mace(elements=(14, 32)), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["m.safetensors"]


def test_only_what_can_be_read_again_is_written(tmp_path):
    class Mine(type(mace())):
        kind = "my-own"

    with pytest.raises(InputError, match="no such architecture.*my-own"):
        atomlab.save(Mine(elements=[14], channels=2), tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        atomlab.save(mace(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="plain finite data"):
        atomlab.save(mace(), tmp_path / "m.safetensors", {"rmse": float("nan")})


def test_truncated_files_are_refused(tmp_path):
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    raw = path.read_bytes()
    for n in (0, 5, 300, len(raw) - 1):
        path.write_bytes(raw[:n])
        with pytest.raises(InputError, match="truncated|no model") as error:
            atomlab.load(path, device="cpu")
        assert f"{n} bytes" in str(error.value)


def test_a_damaged_header_is_refused(tmp_path):
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    raw = bytearray(path.read_bytes())
    raw[40:60] = b"\x00" * 20
    path.write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):
        atomlab.load(path, device="cpu")


def test_a_newer_format_is_refused(tmp_path):
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    header_changed(path, format=99, atomlab="7.0")
    with pytest.raises(InputError, match=r"newer version.*format 99, AtomLab 7\.0.*Upgrade"):
        atomlab.load(path, device="cpu")


def test_foreign_or_wrong_tensors_are_refused(tmp_path):
    foreign = tmp_path / "llm.safetensors"
    save_file({"model.layers.0.weight": torch.zeros(2, 2)}, foreign)
    with pytest.raises(InputError, match=r"not one of AtomLab.*model\.layers\.0\.weight"):
        atomlab.load(foreign, device="cpu")
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    info = {"atomlab": json.dumps(checkpoint.header(path))}
    tensors = load_file(path)
    name = next(n for n, t in tensors.items() if t.ndim and t.dtype == torch.float32)
    save_file({n: t for n, t in tensors.items() if n != name} | {"stranger": torch.zeros(1)}, path, info)
    with pytest.raises(InputError, match=f"1 missing .{name}.* and 1 unknown .stranger"):
        atomlab.load(path, device="cpu")
    save_file(tensors | {name: torch.zeros(3, 5, 7)}, path, info)
    with pytest.raises(InputError, match=rf"{name}.*\(3, 5, 7\)"):
        atomlab.load(path, device="cpu")
    save_file(tensors | {name: tensors[name].double()}, path, info)
    with pytest.raises(InputError, match=rf"{name}.*float64.*float32"):
        atomlab.load(path, device="cpu")


def test_an_unknown_architecture_is_named(tmp_path):
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    header_changed(path, potential={**checkpoint.header(path)["potential"], "kind": "mase"})
    with pytest.raises(InputError, match=r"mase.*Did you mean 'mace'"):
        atomlab.load(path, device="cpu")


class Evil:
    def __reduce__(self):
        return os.system, ("touch EVIL",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".model"])
def test_code_in_a_pickle_is_never_run(tmp_path, monkeypatch, suffix):
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Evil()}, f"zip{suffix}")
    with open(f"plain{suffix}", "wb") as file:
        pickle.dump(Evil(), file)
    with zipfile.ZipFile(f"bomb{suffix}", "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps(Evil(), protocol=2))
    for name in ("zip", "plain", "bomb"):
        with pytest.raises(InputError):
            atomlab.load(f"{name}{suffix}", device="cpu")
    assert not os.path.exists("EVIL")


def test_names_that_are_nearly_right(tmp_path):
    atomlab.save(mace(), tmp_path / "silicon.safetensors")
    with pytest.raises(InputError, match=r"Did you mean 'silicon\.safetensors'"):
        atomlab.load(tmp_path / "silicom.safetensors")
    with pytest.raises(InputError, match="holds no model"):
        atomlab.load(tmp_path)
    (tmp_path / "notes.txt").write_text("not a model at all")
    with pytest.raises(InputError, match="neither a safetensors file"):
        atomlab.load(tmp_path / "notes.txt")


def test_a_run_directory_stands_for_its_best_model(tmp_path):
    atomlab.save(mace(), tmp_path / "best.safetensors")
    assert atomlab.load(tmp_path, device="cpu").kind == "mace"


def test_devices_and_precisions_in_words(tmp_path, monkeypatch):
    path = atomlab.save(mace(), tmp_path / "m.safetensors")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert atomlab.load(path).device.type == "cpu"
    with pytest.raises(InputError, match="CUDA device was asked for, but there is none"):
        atomlab.load(path, device="cuda")
    with pytest.raises(InputError, match="no such device"):
        atomlab.load(path, device="gpu")
    with pytest.raises(InputError, match="float32, float64"):
        atomlab.load(path, dtype="float16")


def test_a_card_survives(tmp_path):
    model = mace()
    model.card = replace(model.card, name="mine", licence="MIT", contains={"zbl": "no", "d3": "labels"})
    again = atomlab.load(atomlab.save(model, tmp_path / "m.safetensors"), device="cpu")
    assert again.card == model.card


def test_the_energy_of_a_saved_model_is_what_the_calculator_gives(tmp_path):
    model = mace()
    atoms = rattled()
    atoms.calc = atomlab.load(atomlab.save(model, tmp_path / "m.safetensors"), device="cpu").calculator()
    assert np.isclose(atoms.get_potential_energy(), energy(model, rattled()), atol=1e-4)


def test_published_files_are_known_by_their_content(tmp_path, shared):
    import shutil

    model = atomlab.load(shared / "golden" / "mace" / "m8_saved_model.model", device="cpu", dtype="float64")
    assert model.kind == "mace"
    # the name is of no account, the content is
    shutil.copy(shared / "weights" / "gptff" / "gptff_v1.pth", tmp_path / "weights.model")
    assert atomlab.load(tmp_path / "weights.model", device="cpu").kind == "gptff"
    torch.save(
        {"graph_converter.x": torch.zeros(1), "atom_embedding.embedding.weight": torch.zeros(1)}, tmp_path / "c.pth"
    )
    with pytest.raises(InputError, match=r"no program that AtomLab reads.*c\.pth.*mace, gptff"):
        atomlab.load(tmp_path / "c.pth", device="cpu")
    torch.save({"encoder.weight": torch.zeros(1)}, tmp_path / "u.pth")
    with pytest.raises(InputError, match=r"no program that AtomLab reads.*u\.pth"):
        atomlab.load(tmp_path / "u.pth", device="cpu")
