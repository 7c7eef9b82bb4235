"""What follows the linear layers of networks: SiLU and gates."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import silu

from ..formula import sigmoid
from .pointwise import Input, call

__all__ = ["gated", "silu_times"]

NUMBER = Input(1)


def _silu(z, *times):
    y = z[0] * sigmoid(z[0])
    return [y * times[0][0] if times else y]


def silu_times(z: Tensor, times: Tensor | None = None) -> Tensor:
    """SiLU(z) times, of one shape."""
    x = [z] if times is None else [z, times]

    def plain(z, *times):
        return silu(z) * times[0] if times else silu(z)

    return call(_silu, plain, z.numel(), *((t, NUMBER) for t in x)).view(z.shape)


def _gated(value, gate, *times):
    y = value[0] * sigmoid(value[0]) * sigmoid(gate[0])
    return [y * times[0][0] if times else y]


def gated(z: Tensor, times: Tensor | None = None) -> Tensor:
    """SiLU(z[:, :C]) σ(z[:, C:]) times: z (N, 2 C), times (N, C); (N, C)."""
    value, gate = z.chunk(2, dim=1)
    x = [value, gate] if times is None else [value, gate, times]

    def plain(value, gate, *times):
        y = silu(value) * gate.sigmoid()
        return y * times[0] if times else y

    return call(_gated, plain, value.numel(), *((t, NUMBER) for t in x)).view(value.shape)
