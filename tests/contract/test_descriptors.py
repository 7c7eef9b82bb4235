"""Descriptors of every registered architecture: turning, moving, reordering and batching change nothing."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from atomlab.analysis import descriptors
from atomlab.architectures import architecture, create, models
from atomlab.architectures.trainable import Trainable
from atomlab.errors import InputError
from atomlab.potential import Potential

VARIANTS = {"mace": [{"l_nodes": 0}, {"l_nodes": 1, "l_edges": 2, "layers": 3}, {"l_nodes": 2, "layers": 2}]}
CASES = [(name, config) for name in models() for config in VARIANTS.get(name, [{}])]


def made(name: str, config: dict) -> Potential:
    if name == "atomft":
        potential = create(name, base=made("mace", {"l_nodes": 1}))
    elif issubclass(architecture(name), Trainable):
        potential = create(name, elements=[14, 32], **config)
    else:  # a formula: it has no features
        potential = create(name)
    potential = potential.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in potential.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return potential


def crystals():
    frames = [bulk("Si", cubic=True), bulk("Ge", a=5.6), bulk("Si", cubic=True, a=5.6)]
    frames[2].numbers[::3] = 32
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=seed)
    return frames


@pytest.mark.parametrize("name, config", CASES, ids=[f"{n}-{k}" for k, (n, _) in enumerate(CASES)])
def test_descriptors_belong_to_the_atoms(name, config):
    potential, frames = made(name, config), crystals()
    try:
        here = descriptors(potential, frames)
    except InputError as error:
        assert not issubclass(architecture(name), Trainable)
        assert "no per-atom features" in str(error) or "does not know" in str(error)
        return
    scale = max(np.abs(d).max() for d in here)

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * scale)

    turned = [a.copy() for a in frames]
    for atoms in turned:
        atoms.rotate(53, (1, -2, 0.5), rotate_cell=True)
        atoms.translate((1.0, 2.0, 3.0))
        atoms.wrap()
    order = [np.random.default_rng(1).permutation(len(a)) for a in frames]
    for k, d in enumerate(here):
        # the two atoms of the primitive cell are images of each other
        assert d.shape[0] == len(frames[k]) and (k == 1 or np.ptp(d, axis=0).max() > 1e-6 * scale)
        same(descriptors(potential, turned)[k], d)
        same(descriptors(potential, [frames[k][order[k]]])[0], d[order[k]])
        same(descriptors(potential, frames[k])[0], d)
        same(descriptors(potential, frames[k].repeat((2, 1, 1)))[0], np.tile(d, (2, 1)))


def test_mace_gives_the_first_channels_of_each_layer():
    potential = create("mace", elements=[14, 32], l_nodes=1, channels=16, layers=2).eval()
    all_columns = descriptors(potential, crystals(), invariant=False)[0]
    assert all_columns.shape[1] == 16 + 3 * 16 + 16
    invariant = descriptors(potential, crystals())[0]
    first, last = (descriptors(potential, crystals(), layers=k)[0] for k in (0, 1))
    assert invariant.shape[1] == 32 and first.shape[1] == last.shape[1] == 16
    np.testing.assert_array_equal(invariant, np.hstack([first, last]))
