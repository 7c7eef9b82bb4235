"""A potential is one method, `forward(graph) -> Terms`. Forces, virial and stress are derived here, for all models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .errors import InputError
from .graph import Graph, Needs

if TYPE_CHECKING:
    from ase import Atoms

    from .calculator import Calculator

__all__ = ["Card", "Outputs", "Potential", "Sum", "Terms", "outputs", "volumes"]


@dataclass(frozen=True)
class Card:
    """What a model is, as plain data (JSON).

    `contains` says what `Sum`'s guard reads: {"zbl": "model" | "no", "d3": "model" | "labels" | "no" | "unknown"}.
    `extensive`: the energy of a supercell is the multiple. `local`: distant fragments add up. Both depend on the
    configuration.
    """

    name: str = "unnamed"
    elements: tuple[int, ...] = ()
    heads: tuple[str, ...] = ("default",)
    level_of_theory: str = "unknown"
    licence: str = "unknown"
    reference: str = ""
    description: str = ""
    contains: Mapping[str, str] = field(default_factory=dict)
    extensive: bool = True
    local: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data; `Card(**card.as_dict())` gives the card back."""
        return asdict(self)

    def __post_init__(self):
        object.__setattr__(self, "elements", tuple(int(z) for z in self.elements))
        object.__setattr__(self, "heads", tuple(self.heads))
        object.__setattr__(self, "contains", dict(self.contains))


@dataclass
class Terms:
    """By-products of ONE pass.

    energy (S,) eV, float64 in every dtype; atoms (A,) eV, float64, None where the energy is no sum over atoms;
    features (A, F), invariant first, differentiable in positions; readout (A, F) or (S, F), input of the last linear
    layer.
    """

    energy: Tensor
    atoms: Tensor | None = None
    features: Tensor | None = None
    readout: Tensor | None = None


@dataclass
class Outputs:
    """energy (S,) eV; atoms (A,) eV or None; forces (A, 3) eV/Å; virial (S, 3, 3) eV; stress (S, 6) eV/Å^3 in Voigt
    order, tension positive, NaN for structures without three independent cell vectors; features (A, F)."""

    energy: Tensor
    atoms: Tensor | None = None
    forces: Tensor | None = None
    virial: Tensor | None = None
    stress: Tensor | None = None
    features: Tensor | None = None


class Potential(nn.Module):
    """Base of all models. A model writes `forward`, declares `needs`, and hands its `config` and `card` to `__init__`.

    `config` is plain JSON data with which `type(self)(**config)` makes the same architecture again; `kind` is the name
    in `atomlab.models()`.
    """

    kind: str = ""
    needs: Needs = Needs()
    default_head: int = 0  # the head that is meant where none is named

    def __init__(self, config: Mapping[str, Any], card: Card):
        super().__init__()
        self.config = dict(config)
        self.card = card

    def describe(self) -> dict[str, Any]:
        """Plain JSON data with which `rebuilt` makes the same potential again, its weights aside."""
        return {"kind": self.kind, "config": self.config, "card": self.card.as_dict()}

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Potential]) -> Potential:
        """The potential that `describe` told of; `make` builds those inside it from their own descriptions."""
        potential = cls(**description["config"])  # type: ignore[call-arg]
        potential.card = Card(**description["card"])
        return potential

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Potential:
        """As in torch, but no cast touches the E0 table, or a formula's constants (a potential without parameters)."""
        formula = not any(True for _ in self.parameters())
        before = {name: b for name, b in self._buffers.items() if formula or name == "atomic_energies"}
        super()._apply(fn, recurse)
        for name, value in before.items():
            self._buffers[name] = value.to(self._buffers[name].device)
        return self

    def forward(self, graph: Graph) -> Terms:
        """Energy and by-products; closed under two derivatives in the positions."""
        raise TypeError(
            f"{type(self).__name__} does not say how its energy is computed: write `forward(graph) -> Terms`"
        )

    def analytic(self, graph: Graph, want: Sequence[str]) -> Outputs | None:
        """Energy, forces and virial without autograd; None = "use autograd for this request"."""
        return None

    def parts(self) -> tuple[Potential, ...]:
        """The potentials whose energies add up to this one's."""
        return (self,)

    def remarks(self, atoms: Atoms) -> list[tuple[str, str]]:
        """(notice code, sentence) pairs that a user of this model must know for that structure; measured, not free."""
        return []

    def energy(self, graph: Graph) -> Tensor:
        """Energy (S,) in eV, float64."""
        return self(graph).energy

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the parameters (float64 for a model without)."""
        return next((p.dtype for p in self.parameters()), torch.float64)

    @property
    def device(self) -> torch.device:
        """Device of the parameters or buffers (CPU for a model without)."""
        return next((t.device for t in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    @property
    def cutoff(self) -> float:
        """The largest neighbour cutoff in Å."""
        return self.needs.cutoff

    def head_index(self, head: str | int | None) -> int:
        """Index of a head by its name; None is `default_head`, the first unless one was chosen in `load`."""
        if head is None:
            return self.default_head
        if isinstance(head, str):
            if head not in self.card.heads:
                raise InputError("The model has no such head", got=head, allowed=self.card.heads)
            return self.card.heads.index(head)
        return int(head)

    def calculator(self, **kw) -> Calculator:
        """An ASE calculator; the arguments are those of `atomlab.calculator.Calculator`."""
        from .calculator import Calculator

        return Calculator(self, **kw)


class Sum(Potential):
    """`Sum(main, *corrections)`: energies add up; features, readout, heads and card are main's.

    Refuses to add ZBL or dispersion that the main model's card says is already inside, unless `force=True`.
    """

    kind = "sum"

    def __init__(self, main: Potential, *corrections: Potential, force: bool = False):
        super().__init__({"force": force}, main.card)
        self.members = nn.ModuleList([main, *corrections])
        self.default_head = main.default_head
        seen = dict(main.card.contains)
        for extra in corrections:
            for what in _corrects(extra):
                if seen.get(what, "no") not in ("no", "unknown") and not force:
                    raise InputError(
                        f"'{main.card.name}' already contains {what.upper()} (in its {seen[what]}): "
                        "adding it again counts it twice",
                        mend="Leave the correction away; Sum(..., force=True) adds it all the same",
                    )
                seen[what] = "model"
            self.needs = self.needs | extra.needs
        self.needs = self.needs | main.needs
        local = all(p.card.local for p in self.members)
        extensive = all(p.card.extensive for p in self.members)
        self.card = replace(main.card, contains=seen, local=local, extensive=extensive)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "members": [member.describe() for member in self.members]}

    @classmethod
    def rebuilt(cls, description: Mapping[str, Any], make: Callable[[Mapping[str, Any]], Potential]) -> Sum:
        # whoever made the sum decided about counting twice; a file is not asked again
        whole = cls(*(make(d) for d in description["members"]), force=True)
        whole.config, whole.card = dict(description["config"]), Card(**description["card"])
        return whole

    def parts(self) -> tuple[Potential, ...]:
        return tuple(part for member in self.members for part in member.parts())

    def remarks(self, atoms: Atoms) -> list[tuple[str, str]]:
        return [remark for part in self.parts() for remark in part.remarks(atoms)]

    def forward(self, graph: Graph) -> Terms:
        return _added([part(graph) for part in self.parts()])


def _corrects(potential: Potential) -> Iterable[str]:
    return [what for what, where in potential.card.contains.items() if where == "model"]


def _added(terms: Sequence[Terms]) -> Terms:
    main = terms[0]
    energy = torch.stack([t.energy for t in terms]).sum(0)
    atoms = None if any(t.atoms is None for t in terms) else torch.stack([t.atoms for t in terms]).sum(0)
    return Terms(energy, atoms, main.features, main.readout)


def volumes(graph: Graph) -> Tensor:
    """Volume (S,) in Å^3, float64, NaN where the cell has not three independent vectors."""
    cell = graph.cell.detach().to(torch.float64)
    v = (cell[:, 0] * torch.linalg.cross(cell[:, 1], cell[:, 2])).sum(1).abs()  # det wakes up LAPACK
    scale = cell.norm(dim=2).prod(1)
    return torch.where(v > 1e-9 * scale.clamp(min=1e-300), v, torch.full_like(v, float("nan")))


def outputs(
    potential: Potential, graph: Graph, want: Sequence[str] = ("energy", "forces"), create_graph: bool = False
) -> Outputs:
    """Energy and what else is wanted: 'forces', 'virial', 'stress', 'features'.

    Differentiable terms are summed and get one backward with respect to positions and a symmetric strain; analytic
    terms are added with their own forces and virial. With `create_graph=True` (training), terms with parameters go
    through autograd; a parameter-free analytic one is added detached.
    """
    analytic, rest = [], []
    for part in potential.parts():
        trained = create_graph and any(p.requires_grad for p in part.parameters())
        out = None if trained else part.analytic(graph, want)
        if out is None:
            rest.append(part)
        else:
            analytic.append(out)
    found = _derived(rest, graph, want, create_graph) if rest else None
    for out in analytic:
        found = out if found is None else _plus(found, out)
    if "stress" in want and found.virial is not None:
        found.stress = _stress(found.virial, graph)
    return found


def _derived(parts: Sequence[Potential], graph: Graph, want: Sequence[str], create_graph: bool) -> Outputs:
    need_forces = "forces" in want
    need_virial = "virial" in want or "stress" in want
    with torch.enable_grad() if need_forces or need_virial or create_graph else torch.no_grad():
        graph, positions, strain = _leaves(graph, need_virial)
        terms = _added([part(graph) for part in parts])
        out = Outputs(terms.energy, terms.atoms, features=terms.features)
        inputs = [positions] * need_forces + [strain] * need_virial
        if inputs and terms.energy.requires_grad:
            grads = torch.autograd.grad(
                terms.energy.sum(), inputs, create_graph=create_graph, allow_unused=True, materialize_grads=True
            )
        else:
            grads = [torch.zeros_like(x) for x in inputs]
        if need_forces:
            out.forces = -grads[0]
        if need_virial:
            out.virial = -grads[-1]
    if not create_graph:
        for name in ("energy", "atoms", "forces", "virial", "features"):
            value = getattr(out, name)
            setattr(out, name, None if value is None else value.detach())
    return out


def _leaves(graph: Graph, strained: bool) -> tuple[Graph, Tensor, Tensor | None]:
    positions = graph.positions.detach().requires_grad_(True)
    if not strained:
        return graph.moved(positions), positions, None
    strain = torch.zeros_like(graph.cell, requires_grad=True)
    deformation = torch.eye(3, dtype=strain.dtype, device=strain.device) + 0.5 * (strain + strain.transpose(1, 2))
    moved = torch.einsum("ak,akl->al", positions, deformation.index_select(0, graph.batch))
    return graph.moved(moved, graph.cell.detach() @ deformation), positions, strain


def _plus(a: Outputs, b: Outputs) -> Outputs:
    def add(x: Tensor | None, y: Tensor | None) -> Tensor | None:
        return None if x is None or y is None else x + y

    return Outputs(
        a.energy + b.energy,
        add(a.atoms, b.atoms),
        add(a.forces, b.forces),
        add(a.virial, b.virial),
        features=a.features,
    )


def _stress(virial: Tensor, graph: Graph) -> Tensor:
    stress = -virial / volumes(graph).to(virial.dtype)[:, None, None]
    return stress.flatten(1)[:, [0, 4, 8, 5, 2, 1]]
