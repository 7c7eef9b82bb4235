"""For tests of potentials, ours and other people's: `check_potential(model)` fails in words."""

from __future__ import annotations

from collections.abc import Sequence

from .analysis.health import CHECKS, Finding, health
from .potential import Potential

__all__ = ["check_potential"]

# promises of the mathematics; the others judge what a model has learned
STRUCTURAL = ("forces", "stress", "rotation", "translation_and_order", "batch", "extensivity", "locality", "continuity")


def check_potential(
    potential: Potential, elements: Sequence[int] | None = None, only: Sequence[str] = STRUCTURAL
) -> list[Finding]:
    """Run the checks and raise AssertionError with one sentence for each that failed.

    `only` names checks of `atomlab.analysis.health.CHECKS`; by default those that hold for random weights too.
    """
    unknown = [name for name in only if name not in CHECKS]
    if unknown:
        raise ValueError(f"There are no checks {unknown}. There are: {', '.join(CHECKS)}.")
    found = list(health(potential, elements, only))
    failed = [f"{f.name}: {f.text}" for f in found if f.status == "fail"]
    assert not failed, "\n".join(failed)
    return found
