"""What can be set in a sweep: learning curves of sizes x seeds x strategies. Importing this imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from ..spec import setting

__all__ = ["BUDGET", "SweepSettings"]

BUDGET = ("effort", "epochs", "time_limit")  # what a training may cost: the same for every arm
Score = Literal["forces_rmse", "forces_mae", "energy_rmse", "energy_mae"]


class SweepSettings(BaseModel):
    """Sizes, seeds, arms and their settings; which are chosen on validation data; where it runs."""

    model_config = ConfigDict(extra="forbid")

    sizes: list[int] = setting([10, 40, 100], "Numbers of structures to learn from", "structures", main=True)
    seeds: list[int] = setting([0, 1, 2], "Seeds: of the structures that are drawn, and of the training", main=True)
    strategies: dict[str, dict[str, Any]] = setting(
        {"naive": {}, "scratch": {}},
        "What is compared: names of strategies, or {a name of your own: {strategy: naive, freeze: [...]}}; with "
        "{kind: train, model: mace, config: {...}} an architecture from random weights",
        main=True,
    )
    settings: dict[str, Any] = setting(
        {}, "Settings that all trainings share, such as {epochs: 50, batch_structures: 4}", main=True
    )
    valid: int | float = setting(
        0.1, "Structures that each training is validated on and its settings chosen by: a number or a share",
        "structures", gt=0,
    )  # fmt: skip
    test: int | float = setting(
        0.2, "Structures that the curves are measured on, never seen in any training: a number or a share",
        "structures", gt=0,
    )  # fmt: skip
    test_data: str | None = setting(
        None, "Another data set to measure the curves on, instead of a part of this one", role="data"
    )
    split: str = setting("random", "What stays together between test set and the rest: random, group, composition, ...")
    choose: dict[str, list[Any]] = setting(
        {},
        "Settings to choose on validation data, such as {learning_rate: [0.002, 0.005, 0.01]}; an arm may name values "
        "of its own under `choose`, as many as the others, since every arm gets as many trials",
    )
    choose_size: int | None = setting(
        None, "The number of structures at which is chosen, once for each arm; by default the middle of the sizes",
        "structures",
    )  # fmt: skip
    score: Score = setting("forces_rmse", "The validation error by which is chosen")
    workers: int = setting(
        0, "Trainings at a time; 0: as many as this machine bears, or as the cluster has", "runs", ge=0, le=100_000
    )
    retries: int = setting(1, "How often a training is gone on with whose process died", "times", ge=0, le=100)
    cluster: str | dict[str, Any] = setting(
        "",
        "Where to run: processes of this machine by default; with the extra `cluster` through dask: local, the address "
        "of a scheduler or its file, or {slurm: {queue: ..., cores: 8, memory: 16GB, walltime: '04:00:00', jobs: 10}}",
    )

    @field_validator("strategies", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A list of names, or names with commas, as a table."""
        if isinstance(value, str):
            value = [name.strip() for name in value.split(",") if name.strip()]
        if isinstance(value, list):
            return {str(name): {} for name in value}
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_together(self) -> SweepSettings:
        for name in ("sizes", "seeds", "strategies"):
            if not getattr(self, name):
                raise ValueError(f"'{name}' is empty: there is nothing to run")
        for name in ("sizes", "seeds"):
            values = getattr(self, name)
            if len(set(values)) < len(values) or min(values) < (name == "sizes"):
                raise ValueError(f"'{name}' are different numbers from {int(name == 'sizes')} on, got {values}")
        trials = {}
        for arm, own in self.strategies.items():
            wrong = [setting for setting in BUDGET if setting in own]
            if wrong:
                raise ValueError(
                    f"'{wrong[0]}' is set for '{arm}' alone: every arm has the same budget; put it under `settings`"
                )
            count = 1
            for values in own.get("choose", self.choose).values():
                if not isinstance(values, list) or not values:
                    raise ValueError(f"what '{arm}' chooses among are lists of values, got {values!r}")
                count *= len(values)
            trials[arm] = count
        if len(set(trials.values())) > 1:
            told = ", ".join(f"{arm} {count}" for arm, count in trials.items())
            raise ValueError(f"every arm gets the same number of trials, got {told}")
        return self
