"""Weight files of every family that are not what they should be, through the front door: each ends in a sentence."""

import os
import pickle

import numpy as np
import pytest
import torch
from ase.build import bulk

import atomlab
from atomlab.architectures.published import dimenetpp, gptff, mace, reann
from atomlab.architectures.published import read as read_published
from atomlab.build import build
from atomlab.corrections.zbl import ZBL
from atomlab.errors import InputError
from atomlab.potential import outputs

pytestmark = pytest.mark.filterwarnings("ignore::atomlab.errors.Notice")
READERS = {"mace": mace.read, "gptff": gptff.read, "reann": reann.read, "dimenetpp": dimenetpp.read}


def arrays(path, start=""):
    with np.load(path) as found:
        kept = [k for k in found.files if k.startswith(start) and not k.startswith("__")]
        return {k.removeprefix(start): torch.from_numpy(found[k]) for k in kept}


@pytest.fixture(scope="module")
def files(shared, tmp_path_factory):
    """One sound file of each kind."""
    folder, golden = tmp_path_factory.mktemp("files"), shared / "golden"
    states = {
        "equireann": arrays(golden / "equireann_golden.npz", "t1_l2/state/"),
        "dimenetpp": arrays(golden / "dimenetpp_quarter.npz"),
        "chgnet": {"model": {"state_dict": {"graph_converter.x": torch.zeros(1),
                                            "atom_embedding.embedding.weight": torch.zeros(1)}}},
    }  # fmt: skip
    for name, state in states.items():
        torch.save(state, folder / f"{name}.pth")
    made = {name: folder / f"{name}.pth" for name in states}
    return made | {
        "mace": golden / "mace/m8_saved_model.model",
        "gptff": shared / "weights/gptff/gptff_v2.pth",
        "reann": golden / "reann_h2o_weights.npz",
    }


def test_sound_files_are_read(files):
    for name, path in files.items():
        if name not in ("dimenetpp", "chgnet"):
            assert atomlab.load(path, device="cpu").kind == name
    assert read_published(files["dimenetpp"], cutoff=5.0).kind == "dimenetpp"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("family", ["mace", "gptff", "reann", "equireann", "dimenetpp", "chgnet"])
def test_a_file_of_another_architecture_is_named(files, reader, family):
    if reader in (family, family.removeprefix("equi")) or (reader, family) == ("mace", "reann"):
        pytest.skip("its own reader; or an npz, which is no saved module")
    said = "whole model of mace-torch" if family == "mace" else f"another architecture.*'{family}'.*Allowed.*{reader}"
    with pytest.raises(InputError, match=said):
        READERS[reader](files[family])


def test_a_family_without_a_reader_is_named(files):
    with pytest.raises(InputError, match=r"no program that AtomLab reads.*chgnet\.pth: the weights of 'chgnet'"):
        atomlab.load(files["chgnet"])


def test_weights_without_their_settings_say_what_is_needed(files, shared, tmp_path):
    with pytest.raises(InputError, match=r"do not say their cutoff.*published\.read\(FILE, cutoff=\.\.\.\)"):
        atomlab.load(files["dimenetpp"])
    torch.save(arrays(shared / "golden/mace/m2_residual_L1.npz"), tmp_path / "state.pth")
    with pytest.raises(InputError, match="weights of a MACE without the model.*Save the whole model"):
        atomlab.load(tmp_path / "state.pth")


@pytest.mark.parametrize("family", ["mace", "gptff", "reann", "equireann", "dimenetpp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_half_a_download_is_refused(files, tmp_path, family, share):
    content = files[family].read_bytes()
    path = tmp_path / files[family].name
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged|no model"):
        atomlab.load(path, device="cpu")


@pytest.mark.parametrize("family", ["gptff", "reann", "equireann", "dimenetpp"])
def test_a_missing_entry_is_named(files, tmp_path, family):
    path = files[family]
    data = arrays(path) if path.suffix == ".npz" else torch.load(path, "cpu", weights_only=True)
    state = data["state_dict"] if family == "gptff" else data
    gone = {
        "gptff": "fc1.weight",
        "reann": "density.inta",
        "equireann": "density.params",
        "dimenetpp": "rbf.freq",
    }[family]
    del state[gone]
    torch.save(data, tmp_path / "less.pth")
    words = {"gptff": "hidden.0.weight", "reann": gone, "equireann": gone, "dimenetpp": "freq"}[family]
    with pytest.raises(InputError, match=f"(?s)(lacks?|without|miss).*{words}"):
        read_published(tmp_path / "less.pth", **({"cutoff": 5.0} if family == "dimenetpp" else {}))


@pytest.mark.parametrize("family", ["gptff", "reann", "equireann", "dimenetpp"])
def test_whatever_entry_is_missing_it_ends_in_words(files, family):
    path = files[family]
    data = arrays(path) if path.suffix == ".npz" else torch.load(path, "cpu", weights_only=True)
    state = data["state_dict"] if family == "gptff" else data
    settings = {"gptff": (data.get("cfg"),), "dimenetpp": (None, 5.0)}.get(family, ("relu_like",))
    make = {"gptff": gptff, "dimenetpp": dimenetpp}.get(family, reann).from_upstream
    read_without = []
    for key in state:
        try:
            make({k: v for k, v in state.items() if k != key}, *settings)
        except InputError:
            continue
        read_without.append(key)
    # these follow from others, or must be 0
    assert set(read_without) <= {"density.index_para", "density.nipsin", "density.ocmod.memssage_0.initpot"}


class Code:
    def __reduce__(self):
        return os.system, ("touch RAN",)


@pytest.mark.parametrize("family", ["gptff", "reann", "dimenetpp"])
@pytest.mark.parametrize("way", ["torch", "pickle"])
def test_code_beside_sound_weights_is_refused_and_not_run(files, tmp_path, monkeypatch, family, way):
    monkeypatch.chdir(tmp_path)
    path = files[family]
    data = arrays(path) if path.suffix == ".npz" else torch.load(path, "cpu", weights_only=True)
    content = {**data, "extra": Code()}
    if way == "torch":
        torch.save(content, "bad.pth")
    else:
        (tmp_path / "bad.pth").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match="run code"):
        atomlab.load("bad.pth", device="cpu")
    assert not os.path.exists("RAN")


# --- elements ---------------------------------------------------------------------------------------------------------


def made(name):
    if name == "atomft":
        return atomlab.create(name, base=made("mbnn"))
    return atomlab.create(name, **({} if name == "emt" else {"elements": ["Si"]}))


@pytest.mark.parametrize("name", atomlab.models("architecture"))
def test_an_unknown_element_is_named(name):
    model, atoms = made(name), bulk("Pb", cubic=True)
    atoms.calc = model.calculator()
    with pytest.raises(InputError, match="does not know the element.*Pb"):
        atoms.get_potential_energy()
    with pytest.raises(InputError, match="Pb"):
        outputs(model, build(atoms, model.needs).to(dtype=model.dtype))


def test_an_element_that_a_published_model_was_not_trained_on_is_refused(files):
    atoms = bulk("Si", cubic=True)
    atoms.numbers[0] = 84
    for family, path in (("gptff", files["gptff"]), ("reann", files["reann"])):
        atoms.calc = atomlab.load(path, device="cpu").calculator()
        with pytest.raises(InputError, match="does not know.*Po"):
            atoms.get_potential_energy()
        assert atoms.calc.potential.kind == family


def test_zbl_is_not_silently_cut_off():
    model = ZBL([14])
    with pytest.raises(InputError, match="does not cover some elements.*Pb.*Allowed: Si"):
        model.energy(build(bulk("Pb"), model.needs))
