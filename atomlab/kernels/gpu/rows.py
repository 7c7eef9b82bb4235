"""Which rows belong to each place of an index, found once for each index tensor, without waiting for the GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from .device import kept

__all__ = ["PIECE", "Rows", "rows_of"]

PIECE = 256  # places of a long list that one program sums
LONG = 128  # mean length of the lists from which they are cut


class Rows:
    """The places e with index[e] = a are order[first[a]:first[a + 1]]; first (size + 1,), order (E,), both int64.

    `pieces`: the same lists cut at every 256th place, as (first of each piece, first piece of each list); None where
    lists are short on average.
    """

    def __init__(self, index: Tensor, size: int):
        values, self.order = torch.sort(index.view(-1), stable=True)
        places = torch.arange(size + 1, device=index.device, dtype=values.dtype)
        self.first = torch.searchsorted(values, places)
        self.size, self.pieces = size, None
        if len(values) > LONG * size:
            cuts = torch.arange(0, len(values), PIECE, device=index.device)
            starts = torch.cat([self.first, cuts]).sort().values
            self.pieces = starts, torch.searchsorted(starts, self.first)


def rows_of(index: Tensor, size: int) -> Rows:
    """The rows of an index (E,)."""
    return kept(index, ("rows", size), lambda index: Rows(index, size))
