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


CLAIMS = [
    ("forces, RMSE(fine-tuned) / RMSE(base) after another level of theory", "naive about 4.0, replay 1.1 to 1.4",
     _ratio("level", "forgetting_forces")),
    ("the same after another element (the paper stays within its base's elements)", "no such number",
     _ratio("element", "forgetting_forces")),
    ("energy (naive has moved to the new level's zero)", "naive about 10 times replay",
     _ratio("level", "forgetting_energy")),
    ("force RMSE on the new level (eV/Å)", "about equal", _ratio("level", "forces_rmse_eV_A")),
    ("the same where replay's steps have as many structures in all as naive's, so that half as many are new",
     "no such number", _ratio("level", "forces_rmse_eV_A", ("naive", "replay-narrow"))),
    ("low-rank additions (LoRA) to the new level: force RMSE there (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("naive", "lora"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("naive", "lora"))),
    ("replayed with the base's own labels: force RMSE on the new level (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("replay", "pseudo"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("replay", "pseudo"))),
    ("force RMSE on the new element (eV/Å)", "about equal", _ratio("element", "forces_rmse_eV_A")),
]  # fmt: skip
