"""What follows the linear layers of networks: SiLU and gates. The layers themselves are matrix products, torch's."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..dispatch import implements
from .device import specified
from .formula import sigmoid
from .pointwise import Input, call

NUMBER = Input(1)


def _silu(z):
    return [z[0] * sigmoid(z[0])]


def _times(z, times):
    return [_silu(z)[0] * times[0]]


def _plus(z, plus):
    return [_silu(z)[0] + plus[0]]


def _times_plus(z, times, plus):
    return [_silu(z)[0] * times[0] + plus[0]]


_FORMS: dict[tuple[bool, bool], Callable] = {
    (False, False): _silu,
    (True, False): _times,
    (False, True): _plus,
    (True, True): _times_plus,
}


@implements("triton", "activated")
def activated(z: Tensor, times: Tensor | None = None, plus: Tensor | None = None) -> Tensor:
    there = (times is not None, plus is not None)
    x = [t for t in (z, times, plus) if t is not None]
    if any(t.shape != z.shape for t in x):
        return NotImplemented

    def plain(z, *others):
        left = iter(others)
        return specified("activated")(z, *(next(left) if has else None for has in there))

    found = call(_FORMS[there], plain, z.numel(), *((t, NUMBER) for t in x))
    return found if found is NotImplemented else found.view(z.shape)


def _gated(value, gate, *times):
    return [_silu(value)[0] * sigmoid(gate[0]) * (times[0][0] if times else 1.0)]


@implements("triton", "gated")
def gated(z: Tensor, times: Tensor | None = None) -> Tensor:
    value, gate = z.chunk(2, dim=1)
    x = [value, gate] if times is None else [value, gate, times]
    if any(t.shape != value.shape for t in x):
        return NotImplemented

    def plain(value, gate, *times):
        y = value * value.sigmoid() * gate.sigmoid()
        return y * times[0] if times else y

    found = call(_gated, plain, value.numel(), *((t, NUMBER) for t in x))
    return found if found is NotImplemented else found.view(value.shape)
