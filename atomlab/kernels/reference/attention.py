"""Attention among the atoms of one structure, in a batch of structures."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..dispatch import op

__all__ = ["structure_attention"]


@op
def structure_attention(
    query: Tensor, key: Tensor, value: Tensor, batch: Tensor, size: int, dropout: float = 0.0
) -> Tensor:
    """softmax(q k^T / sqrt(D)) v over the atoms of the same structure.

    query, key, value (A, H, D) for H heads; batch (A,) sorted structure index below `size`. Returns (A, H, D).
    `dropout`: probability with which a weight is left out (training only).
    Structures are padded to the largest one, so memory goes as size * largest^2.
    """
    if size == 1:
        return _attend(query[None], key[None], value[None], None, dropout)[0]
    counts = torch.bincount(batch, minlength=size)
    longest = int(counts.max())
    start = torch.cumsum(counts, 0) - counts
    slot = batch * longest + torch.arange(len(batch), device=batch.device) - start.index_select(0, batch)
    query, key, value = (
        x.new_zeros(size * longest, *x.shape[1:]).index_copy(0, slot, x).view(size, longest, *x.shape[1:])
        for x in (query, key, value)
    )
    absent = torch.arange(longest, device=batch.device)[None] >= counts[:, None]
    out = _attend(query, key, value, absent, dropout)
    return out.flatten(0, 1).index_select(0, slot)


def _attend(query: Tensor, key: Tensor, value: Tensor, absent: Tensor | None, dropout: float) -> Tensor:
    scores = torch.einsum("sqhd,skhd->shqk", query, key) / math.sqrt(query.shape[-1])
    if absent is not None:
        # a finite number: rows of a structure's padding would else be 0/0 and poison the gradients
        scores = scores.masked_fill(absent[:, None, None, :], torch.finfo(scores.dtype).min)
    weights = nn.functional.dropout(torch.softmax(scores, dim=-1), dropout)
    return torch.einsum("shqk,skhd->sqhd", weights, value)
