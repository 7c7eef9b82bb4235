"""What a fine-tuned model has forgotten: its errors as multiples of the base's, under two names for two measures.

`forgetting`: on configurations of *other tasks* (arXiv:2401.00096, C.2: 1 = nothing forgotten).
`foundation_ratio`: on held-out data of the kind that the base itself learned from. The two are not the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..potential import Potential
from ..predict import Predictions, evaluate

if TYPE_CHECKING:
    from ..data import Dataset

__all__ = ["forgetting", "foundation_ratio", "ratios", "ratios_by_structure"]

PROPERTIES = ("energy", "forces", "stress")


def forgetting(
    base: Potential,
    tuned: Potential,
    tasks: Mapping[str, Dataset],
    *,
    base_head: str | int | None = None,
    head: str | int | None = None,
) -> dict[str, dict[str, float]]:
    """{task: {'energy', 'forces', 'stress': RMSE(tuned) / RMSE(base)}} on data of tasks that were not fine-tuned on.

    base_head: of the base. head: of the tuned model; by default the base's head, if the tuned model has one of its name
    (that is what replay keeps), else the only one it has.
    """
    row = base.head_index(base_head)
    if head is None:
        name = base.card.heads[row]
        head = name if name in tuned.card.heads else None
    out = {}
    for task, data in tasks.items():
        before, after = evaluate(base, data, head=row), evaluate(tuned, data, head=head)
        out[task] = ratios(before, after)
    return out


def ratios(base: Predictions, tuned: Predictions) -> dict[str, float]:
    """RMSE(tuned) / RMSE(base) of energy per atom, forces and stress, as far as there are labels."""
    before, after = base.errors(), tuned.errors()
    return {name: _ratio(name, before[name]["rmse"], after[name]["rmse"]) for name in PROPERTIES if name in before}


def ratios_by_structure(base: Predictions, tuned: Predictions) -> np.ndarray:
    """The same for the forces of each structure by itself (S,), NaN without labels: for a box over configurations."""
    before, after = (np.array([np.sqrt(np.mean(f**2)) for f in p.force_errors()]) for p in (base, tuned))
    return after / np.where(before > 0, before, np.nan)


def foundation_ratio(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """{'energy', 'forces', 'stress'}: of the errors `replay_..._rmse` of a run after and before its first step.

    Empty where there are none, or where the base's own labels are replayed: its errors are then 0.
    """
    names = {name: f"replay_{name}_rmse" for name in PROPERTIES}
    return {name: after[key] / before[key] for name, key in names.items() if key in after and before.get(key, 0) > 0}


def _ratio(name: str, before: float, after: float) -> float:
    if before == 0:
        raise InputError(
            f"The base makes no error in the {name} of these data, so no ratio can be made of it",
            mend="Take other labels than the base's own",
        )
    return after / before
