"""What every trainable architecture holds: E0, scale and shift per head, and the index of each element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor, nn

from ..errors import InputError
from ..graph import Graph
from ..kernels import segment_sum
from ..potential import Card, Potential

__all__ = ["Trainable", "choice", "element_numbers"]


def element_numbers(elements: Sequence[int | str], below: int = len(chemical_symbols)) -> tuple[int, ...]:
    """Atomic numbers, less than `below`, of elements given as numbers or symbols; refuses none and doubles."""
    numbers = tuple(atomic_numbers.get(e, 0) if isinstance(e, str) else int(e) for e in elements)
    unknown = [e for e, z in zip(elements, numbers) if not 0 < z < below]
    if unknown:
        raise InputError("Some elements do not exist here", got=unknown, allowed=f"symbols or numbers 1 to {below - 1}")
    if not numbers or len(set(numbers)) < len(numbers):
        raise InputError("A potential needs a list of different elements", got=list(elements))
    return numbers


def choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """`value`, if it is one of the allowed ones."""
    if value not in allowed:
        raise InputError(f"The option '{name}' has no such value", got=value, allowed=allowed)
    return value


class Trainable(Potential):
    """Base of the architectures with parameters.

    Buffers, float64 whatever the type of the parameters: `atomic_energies` (heads, elements) eV, `scale` (heads,) and
    `shift` (heads,) eV. The energy is  Σ_i (scale * network_i + shift + E0_i), summed in float64, E0 last.
    """

    atomic_energies: Tensor
    scale: Tensor
    shift: Tensor
    element_index: Tensor

    def __init__(self, config: Mapping[str, Any], card: Card):
        super().__init__(config, card)
        self.elements = card.elements
        heads, kinds = len(card.heads), len(card.elements)
        self.register_buffer("atomic_energies", torch.zeros(heads, kinds, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(heads, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(heads, dtype=torch.float64))
        index = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        index[list(card.elements)] = torch.arange(kinds)
        self.register_buffer("element_index", index, persistent=False)

    def _apply(self, fn, recurse=True):
        """Casting leaves scale and shift in float64 as it leaves E0: they are of the energy, not of the network."""
        kept = {name: self._buffers[name] for name in ("scale", "shift")}
        super()._apply(fn, recurse)
        for name, value in kept.items():
            self._buffers[name] = value.to(self._buffers[name].device)
        return self

    def set_atomic_energies(self, energies: Mapping[int, float], head: int | str | None = 0) -> None:
        """E0 in eV by atomic number, for one head. Elements that are not named keep theirs."""
        row = self.head_index(head)
        for number, energy in energies.items():
            if number not in self.elements:
                known = [chemical_symbols[z] for z in self.elements]
                raise InputError("The model has no such element", got=chemical_symbols[number], allowed=known)
            self.atomic_energies[row, self.elements.index(number)] = float(energy)

    def species(self, graph: Graph) -> Tensor:
        """Index of each atom's element among the model's (A,); unknown elements are refused in words."""
        index = self.element_index.index_select(0, graph.numbers)
        if bool((index < 0).any()):
            found = sorted({chemical_symbols[int(z)] for z in graph.numbers[index < 0]})
            known = [chemical_symbols[z] for z in self.elements]
            raise InputError(f"'{self.card.name}' does not know some elements", got=", ".join(found), allowed=known)
        return index

    def total(self, graph: Graph, species: Tensor, network: Tensor) -> tuple[Tensor, Tensor]:
        """Energies (S,) and (A,) in eV, float64, of the per-atom outputs `network` (A,) of the model."""
        head = graph.head.index_select(0, graph.batch)
        atoms = self.scale[head] * network.to(torch.float64) + self.shift[head]
        energy = segment_sum(atoms, graph.batch, graph.size)
        constant = self.atomic_energies[head, species]
        return energy + segment_sum(constant, graph.batch, graph.size), atoms + constant

    def by_head(self, values: Tensor, head: Tensor) -> Tensor:
        """Each row's value of its head: values (N, heads), head (N,) -> (N,)."""
        return values[:, 0] if values.shape[1] == 1 else values.gather(1, head[:, None])[:, 0]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by the part they belong to, in the order of the pass: for freezing and weight decay."""
        raise TypeError(f"{type(self).__name__} does not say which parameters belong together")

    def extended(self, elements: Sequence[int], parents: Mapping[int, int]) -> Trainable:
        """The same model for more elements: new rows are copied from their parents, new E0 are 0 until set.

        `elements`: atomic numbers to be added. `parents`: new atomic number -> one that the model knows.
        """
        fresh = [z for z in element_numbers(elements) if z not in self.elements]
        for z in fresh:
            if parents.get(z) not in self.elements:
                known = [chemical_symbols[n] for n in self.elements]
                raise InputError(
                    f"The new element {chemical_symbols[z]} needs a parent that the model knows", allowed=known
                )
        other = type(self)(**{**self.config, "elements": [*self.elements, *fresh]})
        other.to(device=self.device, dtype=self.dtype).train(self.training)
        other.card = replace(self.card, elements=other.elements)
        source = {**{z: z for z in self.elements}, **{z: parents[z] for z in fresh}}
        rows = [self.elements.index(source[z]) for z in other.elements]
        with torch.no_grad():
            other._inherit(self, rows, source)
            other.scale.copy_(self.scale)
            other.shift.copy_(self.shift)
            other.atomic_energies[:, : len(self.elements)] = self.atomic_energies
        return other

    def with_heads(self, heads: Sequence[str], sources: Mapping[str, str] | None = None) -> Trainable:
        """The same model with these heads; each starts as its source: the head of `sources`, of its name, or the first.

        E0, scale and shift are the source's too; a new head's own come from its data. Which tensors have a row for each
        head is seen by making the model with one head more: their shapes, and no others, change.
        """
        sources = {name: name for name in self.card.heads} | dict(sources or {})
        rows = torch.tensor([self.head_index(sources.get(head, self.card.heads[0])) for head in heads])
        other = self._made_with(heads)
        more = self._made_with([*(str(n) for n in range(len(self.card.heads) + 1))]).state_dict()
        state = self.state_dict()
        for key, value in state.items():
            axis = [n for n, (a, b) in enumerate(zip(value.shape, more[key].shape)) if a != b]
            if axis:
                state[key] = value.index_select(axis[0], rows.to(value.device))
        other.load_state_dict(state)
        other.card = replace(self.card, heads=other.card.heads)
        return other.train(self.training)

    def _made_with(self, heads: Sequence[str]) -> Trainable:
        other = type(self)(**{**self.config, "heads": [str(head) for head in heads]})
        return other.to(device=self.device, dtype=self.dtype)

    def _inherit(self, parent: Trainable, rows: Sequence[int], source: Mapping[int, int]) -> None:
        """Take all weights from `parent`.

        Row k of an element table is the parent's row `rows[k]`; `source`: atomic number -> that of the parent.
        """
        raise TypeError(f"{type(self).__name__} does not say how elements are added")
