"""Parameter groups: which weights are trained, which stay as they are, and which decay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatch

from torch import nn

from ..errors import InputError, nearest
from ..potential import Potential, Sum
from .choices import Choices
from .optim import Group

__all__ = ["frozen_groups", "groups", "groups_of"]


def groups_of(potential: Potential) -> dict[str, list[nn.Parameter]]:
    """The potential's own parameter groups; a sum's are its main member's; a model that names none has one group."""
    if isinstance(potential, Sum):
        return groups_of(potential.members[0])
    named = getattr(potential, "parameter_groups", None)
    # without names: all but what the model itself holds fixed (AtomFT's base)
    found = named() if named is not None else {"all": [p for p in potential.parameters() if p.requires_grad]}
    return {name: list(parameters) for name, parameters in found.items() if parameters}


def frozen_groups(potential: Potential, patterns: Sequence[str]) -> list[str]:
    """Names of the groups that the patterns ('interactions.*') mean; a pattern without any is refused."""
    named = groups_of(potential)
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in named):
            raise InputError(
                "There is no such parameter group to freeze", got=pattern, allowed=named, mend=nearest(pattern, named)
            )
    return [name for name in named if any(fnmatch(name, pattern) for pattern in patterns)]


def groups(
    potential: Potential, freeze: Sequence[str], weight_decay: float, choices: Choices,
    only: Collection[nn.Parameter] | None = None,
) -> list[Group]:  # fmt: skip
    """Frozen groups, and weight decay on all but embeddings and readouts, as MACE does.

    only: the parameters that are trained, whatever group they are in (adapters); the others are frozen.
    """
    named = groups_of(potential)
    if not named:
        raise InputError(f"'{potential.card.name}' has no parameters that could be trained")
    frozen = frozen_groups(potential, freeze)
    wanted = None if only is None else {id(p) for p in only}
    found = []
    for name, parameters in named.items():
        decay = 0.0 if "embedding" in name or "readout" in name else weight_decay
        chosen = [p for p in parameters if name not in frozen and (wanted is None or id(p) in wanted)]
        taken = {id(p) for p in chosen}
        rest = [p for p in parameters if id(p) not in taken]
        if chosen or not rest:
            found.append(Group(name, chosen, True, decay))
        if rest:
            found.append(Group(f"{name}, kept" if chosen else name, rest, False, decay))
    count = sum(p.numel() for group in found if group.trained for p in group.parameters)
    kept = f"; frozen: {', '.join(frozen)}" if frozen else ""
    choices.note("trained", count, f"{count} parameters are trained{kept}")
    return found
