"""Coupling coefficients: against e3nn, their symmetry under rotation, their counts, and the time they take."""

import time

import numpy as np
import pytest
import torch

from atomlab.architectures.spherical import coupling_basis, monomials, reduced_basis, tensor_paths, wigner_3j
from atomlab.kernels import spherical_harmonics

TRIPLES = [(a, b, c) for a in range(7) for b in range(4) for c in range(abs(a - b), min(a + b, 6) + 1)]


def turned(l, rotation):
    """Matrix D of Y_l(R u) = D Y_l(u), from many directions."""
    u = np.random.default_rng(0).normal(size=(60, 3))
    u /= np.linalg.norm(u, axis=1)[:, None]
    part = slice(l * l, (l + 1) ** 2)
    y = spherical_harmonics(torch.tensor(u), 3)[:, part].numpy()
    y_turned = spherical_harmonics(torch.tensor(u @ rotation.T), 3)[:, part].numpy()
    return np.linalg.lstsq(y, y_turned, rcond=None)[0].T


@pytest.fixture(scope="module")
def rotation():
    q, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_3j_symbols_are_e3nns():
    """Up to the sign of some of odd sum, which e3nn changed after 0.4.4, with which all published models were made."""
    o3 = pytest.importorskip("e3nn.o3")
    changed = set()
    for triple in TRIPLES:
        expected, mine = o3.wigner_3j(*triple, dtype=torch.float64).numpy(), wigner_3j(*triple)
        if not np.allclose(mine, expected, atol=2e-15):
            changed.add(tuple(sorted(triple)))
            assert np.allclose(mine, -expected, atol=2e-15) and sum(triple) % 2
    assert changed <= {(1, k, k) for k in range(2, 7)} | {(3, 4, 6), (4, 4, 5), (4, 5, 6), (5, 5, 5), (5, 6, 6)}


def test_couplings_are_those_of_published_files(shared):
    """The signs that e3nn changed since are in the files."""
    seen = 0
    for path in sorted((shared / "golden" / "mace").glob("m*.npz")):
        with np.load(path) as arrays:
            tolerance = 2e-7 if path.name.startswith("m8") else 4e-15  # m8 was written in float32
            for key in arrays.files:
                if "U_matrix" in key:
                    given, l_out, order = arrays[key], int(key.split(".")[4]), int(key[-1])
                    l_max = round(given.shape[-2] ** 0.5) - 1
                    assert np.allclose(coupling_basis(l_max, l_out, order), given, atol=tolerance), key
                    seen += 1
    assert seen > 20


def test_3j_symbols_keep_their_form_under_rotation(rotation):
    for l1, l2, l3 in [(1, 1, 1), (2, 1, 1), (2, 2, 2), (3, 2, 1), (3, 3, 2), (3, 2, 2)]:
        c = wigner_3j(l1, l2, l3)
        d = [turned(l, rotation) for l in (l1, l2, l3)]
        assert np.allclose(np.einsum("abc,ai,bj,ck->ijk", c, *d), c, atol=1e-12)
        assert np.linalg.norm(c) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no coupling"):
        wigner_3j(1, 1, 3)


def test_paths_of_the_published_models():
    short = ["".join(map(str, path)) for path in tensor_paths(1, 3)]
    assert short == "000 110 011 101 121 022 112 132 033 123".split()
    assert ["".join(map(str, p)) for p in tensor_paths(0, 3)] == "000 011 022 033".split()
    assert ["".join(map(str, p)) for p in tensor_paths(2, 3)] == (
        "000 110 220 011 101 121 211 231 022 112 132 202 222 033 123 213 233".split()
    )


@pytest.mark.parametrize(("l_out", "counts"), [(0, (1, 4, 23)), (1, (1, 6, 51)), (2, (1, 7, 65))])
def test_bases_have_the_published_numbers_of_paths(l_out, counts):
    for order, count in enumerate(counts, 1):
        u = coupling_basis(3, l_out, order)
        lead = (2 * l_out + 1,) if l_out else ()
        assert u.shape == (*lead, *(16,) * order, count)


@pytest.mark.parametrize(("l_out", "rank"), [(0, 8), (1, 12)])
def test_the_short_basis_spans_the_symmetric_part(l_out, rank):
    u = coupling_basis(3, l_out, 3)
    index, basis, fold = reduced_basis(u, l_out, 1e-12)
    assert fold.shape == (rank, u.shape[-1])
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=16), rng.normal(size=u.shape[-1])
    direct = np.einsum("...abcp,p,a,b,c->...", u, w, x, x, x)
    short = np.einsum("nmr,r,n->m", basis, fold @ w, x[index].prod(axis=1))
    assert np.allclose(short, direct if l_out else [direct], atol=1e-12)


@pytest.mark.parametrize("l_out", [0, 1, 2])
@pytest.mark.parametrize("order", [2, 3])
def test_products_turn_like_their_l(rotation, l_out, order):
    u = coupling_basis(2, l_out, order)
    u = u if l_out else u[None]
    x = np.random.default_rng(2).normal(size=9)
    d = np.zeros((9, 9))
    for l in range(3):
        d[l * l : (l + 1) ** 2, l * l : (l + 1) ** 2] = turned(l, rotation)
    letters = "abc"[:order]
    form = f"m{letters}p,{','.join(letters)}->mp"
    before = np.einsum(form, u, *[x] * order)
    after = np.einsum(form, u, *[d @ x] * order)
    assert np.allclose(after, turned(l_out, rotation) @ before, atol=1e-11)


def test_monomials_are_all_sorted_tuples():
    assert monomials(3, 2).tolist() == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]
    assert len(monomials(16, 3)) == 816


def test_a_large_model_is_made_in_a_second():
    from atomlab.architectures import spherical
    from atomlab.architectures.mace import MACE

    spherical._chains.cache_clear()
    for table in (coupling_basis, wigner_3j, monomials):
        table.cache_clear()
    start = time.process_time()
    model = MACE(elements=[14], l_edges=3, l_nodes=2, correlation=3, channels=32)
    for product in model.products:
        for contraction in product.symmetric_contractions.contractions:
            contraction._tables(contraction.weights_max)
    assert time.process_time() - start < 1.0
