"""What the MACE-MP-0 paper found about forgetting, and the words for what we found on two small tasks."""

from __future__ import annotations

import re

TITLE = "Forgetting with and without replay, Stillinger-Weber (MACE-MP-0, C.2)"


def _ratio(task: str, name: str, arms: tuple[str, ...] = ("naive", "replay")):
    def ours(rows: dict[str, dict]) -> str:
        parts = []
        for arm in arms:
            found = [row["values"][name] for key, row in rows.items() if re.fullmatch(rf"{task}-{arm}-\d+", key)]
            if not found:
                raise KeyError(arm)
            parts.append(f"{arm} {sum(found) / len(found):.3g}")
        return ", ".join(parts)

    return ours


NARROW = ("naive", "replay-narrow")
CLAIMS = [
    ("forces, RMSE(fine-tuned) / RMSE(base) after another level of theory", "naive about 4.0, replay 1.1 to 1.4",
     _ratio("level", "forgetting_forces")),
    ("the same after another element (the paper stays within its base's elements)", "no such number",
     _ratio("element", "forgetting_forces")),
    ("energy (naive has moved to the new level's zero)", "naive about 10 times replay",
     _ratio("level", "forgetting_energy")),
    ("force RMSE on the new level (eV/Å)", "about equal", _ratio("level", "forces_rmse_eV_A")),
    ("force RMSE on the new element (eV/Å)", "about equal", _ratio("element", "forces_rmse_eV_A")),
    ("where half as many of a step's structures are new as in naive's: force RMSE on the new level (eV/Å)",
     "no such number", _ratio("level", "forces_rmse_eV_A", NARROW)),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", NARROW)),
    ("the same with half the learning rate: force RMSE on the new element (eV/Å)", "no such number",
     _ratio("element", "forces_rmse_eV_A", NARROW)),
    ("the same: forgetting of forces", "no such number", _ratio("element", "forgetting_forces", NARROW)),
    ("low-rank additions (LoRA) to the new level: force RMSE there (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("naive", "lora"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("naive", "lora"))),
    ("replayed with the base's own labels: force RMSE on the new level (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("replay", "pseudo"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("replay", "pseudo"))),
]  # fmt: skip
