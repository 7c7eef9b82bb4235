"""The settings that all strategies have in common. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["TrainingSettings", "described"]

Effort = Literal["quick", "normal", "thorough"]
E0Method = Literal["auto", "isolated", "least-squares", "residuals"]


def described(default: Any, title: str, reason: str, unit: str = "", main: bool = False, **limits: Any) -> Any:
    extra: dict[str, Any] = {"unit": unit, "main": main}
    return Field(default, title=title, description=reason, json_schema_extra=extra, **limits)


class TrainingSettings(BaseModel):
    """What every strategy has in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    effort: Effort = described(
        "quick", "Effort", "How long to train: sets the number of epochs from the size of the data set.", main=True
    )
    epochs: int | None = described(
        None, "Epochs", "Passes over the training set; by default from the effort.", "epochs", ge=1, le=100_000
    )
    time_limit: float | None = described(
        None, "Time limit", "Stop after this time and keep the best; by default there is none.", "min", gt=0, le=100_000
    )
    learning_rate: float | None = described(
        None, "Learning rate", "Step size of the optimiser at its highest; by default from the strategy.",
        main=True, gt=0, le=1,
    )  # fmt: skip
    optimiser: Literal["adam", "adamw", "amsgrad"] = described(
        "amsgrad", "Optimiser", "AMSGrad is what MACE-MP-0 was trained with (its supplement, C2)."
    )
    weight_decay: float = described(
        5e-7, "Weight decay", "On the groups 'interactions' and 'products' only, as MACE does.", ge=0, le=1
    )
    schedule: Literal["constant", "cosine", "plateau", "exponential"] = described(
        "cosine", "Schedule", "How the learning rate falls; the cosine needs no choice but its end."
    )
    final_rate: float = described(
        0.01, "Final rate", "The learning rate at the end of a cosine or exponential schedule, by the highest.",
        gt=0, le=1,
    )  # fmt: skip
    plateau_patience: int = described(
        10, "Plateau patience", "Schedule 'plateau': this many validations without a better loss lower the rate.",
        "validations", ge=1, le=10_000,
    )  # fmt: skip
    plateau_factor: float = described(
        0.8, "Plateau factor", "Schedule 'plateau': what the rate is multiplied with then.", gt=0, lt=1
    )
    warmup: float = described(
        0.02, "Warm-up", "Share of the run in which the rate rises from 0, while Adam's averages settle.", ge=0, le=0.5
    )
    ema: float | None = described(
        None, "Weight averaging", "Decay of the moving average of the weights (EMA): it is what is validated and "
        "kept; 0 switches it off, by default it spans the last twentieth of the run.", ge=0, lt=1,
    )  # fmt: skip
    clip: float = described(
        10.0, "Gradient clipping", "Largest norm of the gradient, 0 for none; it tames single bad frames.", ge=0, le=1e6
    )
    early_stop: int = described(
        0,
        "Early stop",
        "Stop after this many validations without a better loss, 0 for never.",
        "validations",
        ge=0,
        le=10_000,
    )
    batch_structures: int | None = described(
        None, "Batch size", "Structures in one step; by default from the size of the data set.", "structures",
        main=True, ge=1, le=100_000,
    )  # fmt: skip
    batch_atoms: int | None = described(
        None,
        "Batch size in atoms",
        "Instead of a number of structures: for sets whose sizes differ.",
        "atoms",
        ge=1,
        le=10**7,
    )
    batch_edges: int | None = described(
        None,
        "Batch size in edges",
        "Instead of a number of structures: memory follows the edges.",
        "edges",
        ge=1,
        le=10**9,
    )
    loss: Literal["mse", "huber", "conditional_huber"] = described(
        "mse", "Loss", "Mean square; Huber is linear for large errors; conditional Huber is MACE's, with a smaller "
        "delta for atoms with large forces (MACE-MP-0, C2).",
    )  # fmt: skip
    huber_delta: float = described(
        0.01, "Huber delta", "Losses 'huber' and 'conditional_huber': where square becomes linear, in each label's own "
        "unit (MACE-MP-0: 0.01).", "eV/atom, eV/Å, eV/Å^3", gt=0, le=100,
    )  # fmt: skip
    huber_deltas: dict[Literal["energy", "forces", "stress"], Annotated[float, Field(gt=0, le=100)]] = described(
        {}, "Huber deltas", "Deltas of single labels in place of the Huber delta, such as {'energy': 1, 'forces': 1, "
        "'stress': 0.0062415}: GPTFF's 1 eV/atom, 1 eV/Å and 1 GPa (its stress weight, 1 / GPa², is 25669.7 here).",
        "eV/atom, eV/Å, eV/Å^3",
    )  # fmt: skip
    energy_weight: float = described(
        1.0, "Energy weight", "Weight of the energy per atom; 0 trains on forces alone and fits the energy constant "
        "afterwards (Si to Ge transfer paper).", ge=0, le=1e6,
    )  # fmt: skip
    forces_weight: float = described(
        10.0, "Force weight", "Weight of the force components; 10 to 1 is MACE-MP-0's choice (C2).", ge=0, le=1e6
    )
    stress_weight: float = described(
        0.0, "Stress weight", "Weight of the stress; 0 leaves it out, which makes a step cheaper.", ge=0, le=1e6
    )
    energy_stage: float = described(
        0.25, "Energy stage", "Share of the run, at its end, with a higher energy weight (MACE-MP-0's small model: a "
        "second stage took 18 to 13 meV/atom); 0 for none.", ge=0, lt=1,
    )  # fmt: skip
    energy_stage_factor: float = described(
        100.0, "Energy stage factor", "What the energy weight is multiplied with in the energy stage.", ge=1, le=1e6
    )
    energy_stage_rate: float = described(
        1.0, "Energy stage rate", "What the learning rate is multiplied with in the energy stage.", gt=0, le=10
    )
    second_weights: dict[Literal["energy", "forces", "stress"], float] = described(
        {}, "Second weights", "Loss weights of that last stage, such as {'energy': 100, 'forces': 1, 'stress': 10}, "
        "instead of the factor; a property that is not named keeps its weight.",
    )  # fmt: skip
    e0: E0Method | dict[str, float] = described(
        "auto", "Atomic energies", "Where E0 come from: isolated atoms in the data, least squares on the energies or "
        "on the base model's residuals, or numbers by symbol; 'auto' takes the first that the data allow.", "eV",
    )  # fmt: skip
    validation_share: float = described(
        0.2, "Validation share", "Largest share of the work spent on validation, counted in atoms so that a seeded run "
        "is the same on every machine.", ge=0.01, le=0.9,
    )  # fmt: skip

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingSettings:
        sizes = [n for n in ("batch_structures", "batch_atoms", "batch_edges") if getattr(self, n) is not None]
        if len(sizes) > 1:
            raise ValueError(f"give one batch size, by structures, by atoms or by edges; got {' and '.join(sizes)}")
        if self.energy_weight + self.forces_weight + self.stress_weight <= 0:
            raise ValueError(
                "all of energy_weight, forces_weight and stress_weight are 0: there is nothing to learn from"
            )
        if any(weight < 0 for weight in self.second_weights.values()):
            raise ValueError(f"second_weights are 0 or more, got {self.second_weights}")
        first = {n: getattr(self, f"{n}_weight") for n in ("energy", "forces", "stress")}
        second = first | self.second_weights
        if sum(second.values()) <= 0:
            raise ValueError("second_weights leave the second stage nothing to learn from")
        if self.huber_deltas and self.loss == "mse":
            raise ValueError("huber_deltas are for the losses 'huber' and 'conditional_huber'; the loss is 'mse'")
        for name in [n for n in self.huber_deltas if first[n] + second[n] <= 0]:
            raise ValueError(f"huber_deltas name the {name}, whose weight is 0: set {name}_weight, or leave it out")
        return self
