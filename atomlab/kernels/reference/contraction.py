"""Products of an atom's features among themselves, and linear maps that depend on the element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..dispatch import op

__all__ = ["element_linear", "symmetric_contraction"]


@op
def element_linear(x: Tensor, weight: Tensor, species: Tensor | None = None) -> Tensor:
    """x[a] @ weight[species[a]]: x (A, m, K), weight (Z, K, N), species (A,) or, if Z = 1, none; (A, m, N)."""
    if weight.shape[0] == 1 or species is None:
        return x @ weight[0]
    present = torch.bincount(species, minlength=weight.shape[0]).nonzero()[:, 0].tolist()
    if len(present) == 1:
        return x @ weight[present[0]]
    out = x.new_zeros(*x.shape[:2], weight.shape[2])
    for z in present:
        mine = (species == z).nonzero()[:, 0]
        out = out.index_copy(0, mine, x.index_select(0, mine) @ weight[z])
    return out


@op
def symmetric_contraction(
    x: Tensor, weights: Tensor, species: Tensor, index: Sequence[Tensor], basis: Tensor
) -> Tensor:
    """out[a, m, k] = Σ_n Σ_r basis[n, m, r] weights[species[a], r, k] Π x[a, index[n], k].

    x (A, M, K); weights (Z, R, K); species (A,); index: for each order its tuples (n_order, order) of columns of x;
    basis (Σ n_order, 2 L + 1, R). Returns (A, 2 L + 1, K). Batatia et al., NeurIPS 2022, eqs. 10 and 11, with the
    couplings reduced to their symmetric part.
    """
    components = x.transpose(0, 1).contiguous()  # a component of all atoms is one block of memory
    products = []
    for tuples in index:
        product = components.index_select(0, tuples[:, 0])
        for k in range(1, tuples.shape[1]):
            product = product * components.index_select(0, tuples[:, k])
        products.append(product)
    n, m, r = basis.shape
    coupled = basis.view(n, m * r).t() @ torch.cat(products).view(n, -1)
    row = weights if weights.shape[0] == 1 else weights.index_select(0, species)
    return (coupled.view(m, r, x.shape[0], x.shape[2]) * row.transpose(0, 1)).sum(1).transpose(0, 1)
