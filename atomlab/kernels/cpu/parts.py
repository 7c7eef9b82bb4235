"""Rules that are no operations of their own: what stands between these in a pass without autograd (`chain.Chain`).

They run once forwards and once backwards, and keep what they need in between. Weights are held by the rule; `Turned`
holds one with its transpose, so that neither direction has to make it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..autograd import Rule
from .matrices import inner_product

__all__ = ["Products", "Readout", "RowsOnto", "SelfAttention", "Times", "Turned"]

norm, norm_back = torch.ops.aten.native_layer_norm, torch.ops.aten.native_layer_norm_backward


class Turned:
    """The matrix W (C, K) of a layer x W^T + b: forth (K, C), back W itself, both contiguous."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self.back = weight.detach().contiguous()
        self.forth = self.back.t().contiguous()
        self.bias = None if bias is None else bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.forth if self.bias is None else torch.addmm(self.bias, x, self.forth)


class Products(Rule):
    """x W^T for several W: as many results as matrices. x (N, K)."""

    def __init__(self, matrices: Sequence[Turned]):
        self.matrices = matrices

    def forward(self, x):
        return tuple(inner_product(x[0], m.forth) for m in self.matrices)

    def backward(self, g, x, wanted):
        dx = inner_product(g[0], self.matrices[0].back)
        for part, m in zip(g[1:], self.matrices[1:]):
            inner_product(part, m.back, dx)
        return (dx,)


class Times(Rule):
    """x y, of one shape."""

    def forward(self, x):
        return (x[0] * x[1],)

    def backward(self, g, x, wanted):
        return g[0] * x[1] if wanted[0] else None, g[0] * x[0] if wanted[1] else None


class RowsOnto(Rule):
    """x with y z added to its rows `index`, each of which is named once; y and z (len(index), C)."""

    def __init__(self, index: Tensor):
        self.index = index

    def forward(self, x):
        return (x[0].index_add(0, self.index, x[1] * x[2]),)

    def backward(self, g, x, wanted):
        rows = g[0].index_select(0, self.index)
        return g[0], rows * x[2], rows * x[1]


class SelfAttention(Rule):
    """A transformer's encoder layer between two layer norms, over the atoms of each structure; x (A, N).

    With x' = norm_in(x), u = x' + out(attention(projection(x'))), y = norm_attention(u),
    z = norm_feedforward(y + contract(gelu(expand(y)))): norm_out(z) + x'. ends: where each structure's atoms end.
    """

    def __init__(self, layers: Sequence[Turned], norms: Sequence[tuple[Tensor, Tensor, float]], heads: int, ends):
        self.projection, self.out, self.expand, self.contract = layers
        self.norms, self.heads, self.ends = norms, heads, ends

    def forward(self, x):
        self.kept = [None] * 4
        first = self._norm(0, x[0])
        self.qkv = self.projection(first)
        u = first + self.out(self._attend())
        y = self._norm(1, u)
        self.hidden = self.expand(y)
        wide = torch.nn.functional.gelu(self.hidden)
        z = self._norm(2, self.contract(wide).add_(y))
        return (self._norm(3, z).add_(first),)

    def backward(self, g, x, wanted):
        dw = self._norm_back(2, self._norm_back(3, g[0]))
        dhidden = torch.ops.aten.gelu_backward(dw @ self.contract.back, self.hidden)
        du = self._norm_back(1, torch.addmm(dw, dhidden, self.expand.back))
        dqkv = self._attend_back(du @ self.out.back)
        return (self._norm_back(0, torch.addmm(g[0] + du, dqkv, self.projection.back)),)

    def _norm(self, n, x):
        weight, bias, eps = self.norms[n]
        out, mean, rstd = norm(x, [x.shape[1]], weight, bias, eps)
        self.kept[n] = x, mean, rstd
        return out

    def _norm_back(self, n, g):
        x, mean, rstd = self.kept[n]
        weight, bias, _ = self.norms[n]
        return norm_back(g, x, [x.shape[1]], mean, rstd, weight, bias, [True, False, False])[0]

    def _attend(self):
        size = self.qkv.shape[1] // 3
        out, self.weights, start = self.qkv.new_empty((len(self.qkv), size)), [], 0
        for end in self.ends:
            q, k, v = self._heads(self.qkv[start:end])
            w = torch.softmax(torch.bmm(q, k.transpose(1, 2)).mul_(q.shape[2] ** -0.5), dim=2)
            out[start:end].view(end - start, self.heads, -1).transpose(0, 1).copy_(torch.bmm(w, v))
            self.weights.append(w)
            start = end
        return out

    def _heads(self, qkv):
        """Query, key and value of one structure, each (H, A, D)."""
        return qkv.view(len(qkv), 3, self.heads, -1).permute(1, 2, 0, 3).unbind()

    def _attend_back(self, g):
        dqkv, start = torch.empty_like(self.qkv), 0
        for end, w in zip(self.ends, self.weights):
            q, k, v = self._heads(self.qkv[start:end])
            dq, dk, dv = self._heads(dqkv[start:end])
            dy = g[start:end].view(end - start, self.heads, -1).transpose(0, 1)
            dv.copy_(torch.bmm(w.transpose(1, 2), dy))
            dw = torch.bmm(dy, v.transpose(1, 2))
            ds = torch._softmax_backward_data(dw, w, 2, w.dtype).mul_(q.shape[2] ** -0.5)
            dq.copy_(torch.bmm(ds, k))
            dk.copy_(torch.bmm(ds.transpose(1, 2), q))
            start = end
        return dqkv


class Readout(Rule):
    """SiLU layers, and of the last layer's results (N, heads) each row's own: (N,)."""

    def __init__(self, layers: Sequence[Turned], last: Turned, head: Tensor):
        self.layers, self.last, self.head = layers, last, head

    def forward(self, x):
        self.before, y = [], x[0]
        for layer in self.layers:
            self.before.append(layer(y))
            y = torch.nn.functional.silu(self.before[-1])
        return (self.last(y).gather(1, self.head[:, None])[:, 0],)

    def backward(self, g, x, wanted):
        g = g[0][:, None] * self.last.back.index_select(0, self.head)
        for layer, z in zip(reversed(self.layers), reversed(self.before)):
            g = torch.ops.aten.silu_backward(g, z) @ layer.back
        return (g,)
