"""LLPR against Bayesian linear regression, finite differences, and what copies and duplicates must do."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from analysis.toy import Toy
from atomlab import errors
from atomlab.analysis.llpr import LLPR
from atomlab.analysis.readout import check_linear, rows_of
from atomlab.architectures import create
from atomlab.build import build
from atomlab.errors import InputError


@pytest.fixture(autouse=True)
def fresh_notices(monkeypatch):
    monkeypatch.setattr(errors, "_said", set())


def silicon(seed, amount=0.15):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(amount, seed=seed)
    atoms.set_cell(atoms.cell * (1 + 0.03 * np.sin(seed)), scale_atoms=True)
    return atoms


def labelled(seeds, noise=0.0, amount=0.15):
    rng, out = np.random.default_rng(5), []
    for seed in seeds:
        atoms = silicon(seed, amount)
        energy = float(Toy().energy(build(atoms, Toy.needs))[0].detach())
        atoms.info["REF_energy"] = energy + noise * len(atoms) * rng.normal()
        out.append(atoms)
    return out


TRAIN = [silicon(k) for k in range(30)]
TEST = [silicon(100 + k, 0.3) for k in range(4)]


def test_it_is_bayesian_linear_regression_of_the_energy_per_atom():
    f = rows_of(Toy(), TRAIN).f
    t = rows_of(Toy(), TEST).f
    x, s = f / 8, 0.3
    covariance = np.linalg.inv(x.T @ x + s**2 * np.eye(x.shape[1]))
    expected = np.sqrt(np.einsum("sp,pq,sq->s", t, covariance, t))
    np.testing.assert_allclose(LLPR.fit(Toy(), TRAIN, regulariser=s).energy(TEST), expected, rtol=1e-9)


def test_structures_of_any_size_count_by_energy_per_atom():
    mixed = [*TRAIN[:20], *(a.repeat((2, 1, 1)) for a in TRAIN[20:25])]
    single = [*TRAIN[:20], *TRAIN[20:25]]
    one, two = (LLPR.fit(Toy(), d, regulariser=0.1).energy(TEST) for d in (single, mixed))
    np.testing.assert_allclose(one, two, rtol=1e-9)


def test_copies_double_and_duplicates_halve():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    double = [a.repeat((1, 2, 1)) for a in TEST]
    np.testing.assert_allclose(model.energy(double), 2 * model.energy(TEST), rtol=1e-9)
    full = LLPR(model.potential, model.hessian + 0.1**2 * np.eye(12), [], 0.0)
    twice = LLPR(model.potential, 2 * full.hessian, [], 0.0)
    np.testing.assert_allclose(full.energy(TEST), model.energy(TEST), rtol=1e-9)
    np.testing.assert_allclose(twice.energy(TEST) ** 2, full.energy(TEST) ** 2 / 2, rtol=1e-9)
    np.testing.assert_allclose(LLPR.fit(Toy(), TRAIN + TRAIN, 0.0).hessian, 2 * model.hessian, rtol=1e-9)


def test_rotation_order_and_place_do_not_matter():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    moved = []
    for atoms in TEST:
        other = atoms[np.random.default_rng(0).permutation(8)]
        other.rotate(40, (1, 2, 3), rotate_cell=True)
        other.translate((1, 2, 3))
        moved.append(other)
    np.testing.assert_allclose(model.energy(moved), model.energy(TEST), rtol=1e-8)


def test_forces_and_stress_are_differences_of_the_features():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    model.scale, model.calibrated_on = 0.7, 99
    atoms, h = TEST[0], 1e-4
    forces, stress = model.gradients([atoms, TEST[1]])
    inverse = np.linalg.inv(model.hessian + model.s2 * np.eye(12))

    def f(change):
        other = atoms.copy()
        change(other)
        return rows_of(Toy(), [other]).f[0]

    for a, x in ((0, 0), (5, 2)):
        step = np.zeros((8, 3))
        step[a, x] = h
        up, down = (f(lambda o, d=sign * step: o.translate(d)) for sign in (1, -1))
        slope = (up - down) / (2 * h)
        assert forces[0][a, x] == pytest.approx(0.7 * np.sqrt(slope @ inverse @ slope), rel=1e-6)

    for voigt, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):

        def strained(sign, i=i, j=j):
            strain = np.eye(3)
            strain[i, j] += sign * h / 2
            strain[j, i] += sign * h / 2
            return f(lambda o: o.set_cell(o.cell.array @ strain, scale_atoms=True))

        slope = (strained(1) - strained(-1)) / (2 * h) / atoms.get_volume()
        assert stress[0, voigt] == pytest.approx(0.7 * np.sqrt(slope @ inverse @ slope), rel=1e-6)


def test_shares_of_atoms_add_up():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    for share, sigma in zip(model.shares(TEST), model.energy(TEST)):
        assert share.shape == (8,) and share.sum() == pytest.approx(sigma**2, rel=1e-9)


def test_differences_are_relative_to_one_image():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    path = [TEST[0], TEST[0].copy(), TEST[1]]
    sigma = model.difference(path, 1)
    assert sigma[0] == sigma[1] == 0.0 and sigma[2] > 0
    f = rows_of(Toy(), path).f
    inverse = np.linalg.inv(model.hessian + model.s2 * np.eye(12))
    assert sigma[2] == pytest.approx(np.sqrt((f[2] - f[1]) @ inverse @ (f[2] - f[1])), rel=1e-9)


def test_the_scale_comes_from_errors_of_unseen_structures():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    unseen = labelled(range(200, 260), noise=0.02)
    with pytest.warns(errors.Notice, match="not calibrated"):
        raw = model.energy(unseen)
    error = np.array([a.info["REF_energy"] for a in unseen]) - rows_of(Toy(), unseen).energy
    scale = model.calibrate(unseen)
    assert scale == pytest.approx(np.sqrt(np.mean(error**2 / raw**2)), rel=1e-9)
    np.testing.assert_allclose(model.energy(unseen), scale * raw)
    # the authors' way: least squares of logarithms over bins, here by trying
    bins = model.calibrate(unseen, "bins", bins=5)
    groups = np.array_split(np.argsort(raw), 5)

    def loss(a):
        return sum(np.log((error[g] ** 2).mean() / (a**2 * (raw[g] ** 2).mean())) ** 2 for g in groups)

    tried = np.geomspace(bins / 3, 3 * bins, 2001)
    assert tried[np.argmin([loss(a) for a in tried])] == pytest.approx(bins, rel=2e-3)


def test_the_regulariser_is_chosen_where_none_is_given():
    unseen = labelled(range(200, 240), noise=0.02)
    free, fixed = LLPR.fit(Toy(), TRAIN), LLPR.fit(Toy(), TRAIN, regulariser=3.0)
    before = free.s2
    free.calibrate(unseen)
    fixed.calibrate(unseen)
    assert free.s2 != before and fixed.s2 == 9.0

    def likelihood(model):
        error = np.array([a.info["REF_energy"] for a in unseen]) - rows_of(Toy(), unseen).energy
        v = model.energy(unseen) ** 2
        return -0.5 * np.mean(np.log(v) + error**2 / v)

    assert likelihood(free) >= likelihood(fixed)


def test_training_data_are_refused_for_calibration():
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    known = TRAIN[3].copy()
    known.info["REF_energy"] = 0.0
    with pytest.raises(InputError, match="1 of the 13 structures .* training data"):
        model.calibrate([*labelled(range(200, 212)), known])
    with pytest.raises(InputError, match="needs an energy for each"):
        model.calibrate([silicon(300)])
    with pytest.raises(InputError, match="no such calibration"):
        model.calibrate(labelled(range(200, 212), noise=0.1), "guess")


def test_huber_and_weights_are_those_of_the_loss():
    train = labelled(range(30))
    train[4].info["REF_energy"] += 8 * 0.5
    rest = [a for k, a in enumerate(train) if k != 4]
    huber = LLPR.fit(Toy(), train, 0.1, delta=0.1)
    np.testing.assert_allclose(huber.hessian, LLPR.fit(Toy(), rest, 0.1).hessian)
    weights = np.ones(30)
    weights[4] = 0
    np.testing.assert_allclose(LLPR.fit(Toy(), train, 0.1, weights=weights).hessian, huber.hessian)
    with pytest.raises(InputError, match="energies of all"):
        LLPR.fit(Toy(), TRAIN, 0.1, delta=0.1)
    with pytest.raises(InputError, match="No training structure is left"):
        LLPR.fit(Toy(), labelled(range(5), noise=0.1), 0.1, delta=1e-9)
    with pytest.raises(InputError, match="One weight"):
        LLPR.fit(Toy(), train, 0.1, weights=[1.0])


def test_too_few_structures_need_a_regulariser():
    with pytest.raises(InputError, match="no inverse"):
        LLPR.fit(Toy(), TRAIN[:3], regulariser=0.0)
    assert np.isfinite(LLPR.fit(Toy(), TRAIN[:3]).energy(TEST)).all()


def test_it_is_kept_on_disk_for_one_model_only(tmp_path):
    model = LLPR.fit(Toy(), TRAIN, regulariser=0.1)
    model.calibrate(labelled(range(200, 230), noise=0.02))
    model.save(tmp_path / "llpr.npz")
    again = LLPR.load(tmp_path / "llpr.npz", Toy())
    np.testing.assert_array_equal(again.energy(TEST), model.energy(TEST))
    with pytest.raises(InputError, match="training data"):
        again.calibrate([*labelled([200]), TRAIN[0]])
    other = Toy()
    with torch.no_grad():
        other.centres += 0.1
    with pytest.raises(InputError, match="other weights"):
        LLPR.load(tmp_path / "llpr.npz", other)


def test_a_last_layer_that_is_not_linear_is_refused():
    frames = [silicon(k) for k in range(6)]
    for k, atoms in enumerate(frames):
        atoms.numbers[k % 3 :: 3] = 32
    mace = create("mace", elements=[14, 32], channels=4, readout_hidden=4, zbl=True)
    check_linear(mace, frames)
    reann = create("reann", elements=[14, 32])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in reann.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    check_linear(reann, frames)
    with pytest.raises(InputError, match="not linear"):
        check_linear(create("atomft", base=mace), frames)
    with pytest.raises(InputError, match="input of its last layer"):
        check_linear(create("stillinger-weber"), [bulk("Si")])


def test_a_mace_has_an_uncertainty_in_every_quantity():
    mace = create("mace", elements=[1, 6, 8], channels=4, readout_hidden=4)
    model = LLPR.fit(mace, [molecule(n) for n in ("H2O", "CH4", "CO2", "CH3OH", "C2H4")])
    test = [molecule("H2CO"), molecule("C2H6")]
    forces, stress = model.gradients(test)
    assert (model.energy(test) > 0).all() and [f.shape for f in forces] == [(4, 3), (8, 3)]
    assert np.isnan(stress).all()  # a molecule has no volume
    assert all(np.isfinite(f).all() and (f > 0).any() for f in forces)
