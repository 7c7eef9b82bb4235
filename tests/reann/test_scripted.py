"""REANN's released form is a TorchScript file: its tensors and activations are read, its program is not run."""

import warnings

import pytest
import torch
from torch import nn

import atomlab
from atomlab.architectures.published import read as read_published
from atomlab.architectures.published.reann import read
from atomlab.architectures.published.scripted import read_scripted
from atomlab.build import build
from atomlab.errors import InputError


class Relu_like(nn.Module):
    """Names and attributes as in the package's files; the formula is none of the reader's business."""

    def __init__(self, alpha, beta):
        super().__init__()
        self.alpha, self.beta = nn.Parameter(alpha), nn.Parameter(beta)

    def forward(self, x):
        return x


class Tanh_like(Relu_like):
    def forward(self, x):
        return x + 1


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes = [1, 2]
        self.flag = True

    def forward(self, x):
        return x


def tree(state, activations):
    """Modules whose state dict is `state`, scripted."""
    root = Holder()
    for key, value in state.items():
        *path, name = key.split(".")
        module = root
        for k, part in enumerate(path):
            if part not in module._modules:
                place = ".".join(path[: k + 1])
                alpha, beta = state.get(f"{place}.alpha"), state.get(f"{place}.beta")
                kind = activations["nnmod" if place.startswith("nnmod") else "density"]
                module.add_module(part, Holder() if alpha is None else kind(alpha, beta))
            module = module._modules[part]
        if name not in module._parameters:
            module.register_buffer(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(root)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = {"elements": ["Si", "Ge"], "waves": 3, "orbitals": 7, "hidden": [6, 5], "message_hidden": [5]}
    model = atomlab.create("reann", **config, rounds=1, activation="tanh_like").double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, dtype=p.dtype))
    return model


def saved(model, path):
    from atomlab.architectures.published.reann import upstream_state

    scripted = tree(upstream_state(model), {"nnmod": Tanh_like, "density": Relu_like})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(scripted, path)
    return scripted


def test_weights_and_activations_of_a_scripted_file(model, tmp_path):
    from ase.build import bulk

    scripted = saved(model, tmp_path / "PES.pt")
    state = read_scripted(tmp_path / "PES.pt")
    theirs = scripted.state_dict()
    assert set(state) == set(theirs) and all(torch.equal(state[k], theirs[k]) for k in theirs)
    graph = build(bulk("Si"), model.needs)
    for reader in (read, read_published):
        again = reader(tmp_path / "PES.pt")
        assert again.config["activation"] == "tanh_like" and again.config["message_activation"] == "relu_like"
        assert torch.equal(again(graph).energy, model(graph).energy)


def test_a_damaged_scripted_file(model, tmp_path):
    saved(model, tmp_path / "PES.pt")
    content = (tmp_path / "PES.pt").read_bytes()
    (tmp_path / "half.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path / "half.pt")
