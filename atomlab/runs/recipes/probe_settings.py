"""What may be watched while a model is fine-tuned. Imports neither torch nor ASE: command and forms read it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..spec import setting

__all__ = ["ProbeSettings"]


class ProbeSettings(BaseModel):
    """Properties that are measured on a schedule beside the loss, relative to the base model."""

    model_config = ConfigDict(extra="forbid")

    probe_tasks: str | None = setting(
        None,
        "Watch forgetting: a labelled data set of other tasks; its errors are told as multiples of the base's "
        "(arXiv:2401.00096, fine-tuning)",
        role="data",
    )
    probe_foundation: str | None = setting(
        None,
        "Watch the base's own ground: held-out data of the kind that the base learned from; another ratio than "
        "forgetting on other tasks, and told apart from it",
        role="data",
    )
    probe_md: int = setting(
        0,
        "Watch stability: so many steps of NVE dynamics of a structure at each probe; 0 = none",
        "steps",
        ge=0,
        le=10**6,
    )
    probe_temperature: float = setting(300.0, "Temperature of that dynamics' first velocities", "K", gt=0, le=1e5)
    probe_structure: str | None = setting(
        None,
        "Crystal whose lattice constant and bulk modulus are watched, and start of the dynamics; without one the "
        "dynamics start from the first validation frame",
        role="structure",
    )
    probe_path: str | None = setting(
        None, "Images of a path, in order: its energy barrier is watched (the images stay as they are)", role="data"
    )
    probe_share: float = setting(
        0.15, "Probes together take at most this share of the run's time; what does not fit is left out and said",
        gt=0, le=0.5,
    )  # fmt: skip
