"""Weight files that are not what they should be: every one ends in a sentence."""

import pickle
import warnings

import numpy as np
import pytest
import torch

from atomlab.architectures.published.files import read_data
from atomlab.architectures.published.gptff import read
from atomlab.architectures.published.reann import read as read_reann
from atomlab.errors import InputError


@pytest.fixture
def weights(shared):
    return shared / "weights/gptff/gptff_v1.pth"


def test_truncated(weights, tmp_path):
    content = weights.read_bytes()
    for size in (0, 1000, len(content) // 2, len(content) - 10):
        path = tmp_path / f"part{size}.pth"
        path.write_bytes(content[:size])
        with pytest.raises(InputError, match="half-way"):
            read(path)


class Code:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


@pytest.mark.parametrize("way", ["torch", "plain"])
def test_code_is_refused_and_not_run(tmp_path, way):
    marker, path = tmp_path / "ran", tmp_path / "bad.pth"
    content = {"state_dict": {}, "cfg": Code(marker)}
    if way == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError):
        read(path)
    assert not marker.exists()


def test_code_is_named(tmp_path):
    path = tmp_path / "bad.pth"
    torch.save({"cfg": Code(tmp_path / "ran")}, path)
    with pytest.raises(InputError, match="run code.*open"):
        read(path)


def test_wrong_architecture_says_which(weights, shared, tmp_path):
    with pytest.raises(InputError, match="another architecture.*'gptff'.*Allowed: reann"):
        path = tmp_path / "state.pth"
        torch.save(torch.load(weights, map_location="cpu", weights_only=True)["state_dict"], path)
        read_reann(path)
    with pytest.raises(InputError, match="another architecture.*'reann'"):
        read(shared / "golden/reann_h2o_weights.npz")
    with pytest.raises(InputError, match="another architecture.*'mace'"):
        read(shared / "golden/mace/m2_residual_L1.npz")


def test_missing_and_misshapen_entries_are_named(weights, tmp_path):
    data = torch.load(weights, map_location="cpu", weights_only=True)
    path = tmp_path / "other.pth"
    kept = data["state_dict"].pop("fc2.bias")
    torch.save(data, path)
    with pytest.raises(InputError, match="lacks entries.*hidden.1.bias"):
        read(path)
    data["state_dict"]["fc2.bias"] = kept[:5]
    torch.save(data, path)
    with pytest.raises(InputError, match="misshapen"):
        read(path)
    data["state_dict"] = {**data["state_dict"], "fc2.bias": kept, "surplus": kept}
    torch.save(data, path)
    with pytest.raises(InputError, match="unknown entries.*surplus"):
        read(path)
    torch.save({"state_dict": data["state_dict"]}, path)
    with pytest.raises(InputError, match="settings"):
        read(path)


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="no such weight file"):
        read(tmp_path / "nothing.pth")
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no state dict"):
        read(path)
    path = tmp_path / "objects.npz"
    np.savez(path, a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(InputError):
        read_data(path)
    program = tmp_path / "program.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), program)
    with pytest.raises(InputError, match="another architecture.*weight, bias"):
        read(program)
