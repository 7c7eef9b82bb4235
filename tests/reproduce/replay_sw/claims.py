"""What the MACE-MP-0 paper found about forgetting, and the words for what we found on two small tasks."""

from __future__ import annotations

import re
from pathlib import Path

TITLE = "Forgetting with and without replay, Stillinger-Weber (MACE-MP-0, C.2)"
TASKS = {"level": "another level", "element": "germanium"}
COLOURS = {
    "naive": "tab:blue", "naive-long": "navy", "lora": "tab:cyan", "replay": "tab:orange", "replay-long": "peru",
    "replay-heavy": "tab:red", "replay-narrow": "gold", "pseudo": "tab:green",
}  # fmt: skip


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
    ("three times as many steps: force RMSE on the new level (eV/Å)", "about equal",
     _ratio("level", "forces_rmse_eV_A", ("naive-long", "replay-long"))),
    ("the same: forgetting of forces", "naive about 4.0, replay 1.1 to 1.4",
     _ratio("level", "forgetting_forces", ("naive-long", "replay-long"))),
    ("replayed structures of weight 4: force RMSE on the new level (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("replay", "replay-heavy"))),
    ("the same: forgetting of forces", "no such number",
     _ratio("level", "forgetting_forces", ("replay", "replay-heavy"))),
    ("replayed with the base's own labels: force RMSE on the new level (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("replay", "pseudo"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("replay", "pseudo"))),
]  # fmt: skip


def figure(rows: dict[str, dict], path: Path) -> None:
    """Each arm's error on the new task, and what it forgets of silicon."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 3.8), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    left, right = picture.subplots(1, 2, sharey=True)
    there = [(task, arm) for task in TASKS for arm in COLOURS if f"{task}-{arm}-0" in rows]
    for k, (task, arm) in enumerate(there):
        v = rows[f"{task}-{arm}-0"]["values"]
        for place, value in ((left, 1e3 * v["forces_rmse_eV_A"]), (right, v["forgetting_forces"])):
            bar = place.barh(k, value, color=COLOURS[arm])
            place.bar_label(bar, fmt="%.3g", fontsize=7, padding=2)
    left.set_yticks(range(len(there)), [f"{arm}, {TASKS[task]}" for task, arm in there], fontsize=8)
    left.invert_yaxis()
    left.set(xlabel="force RMSE on the new task (meV/Å)")
    right.set(xscale="log", xlabel="silicon's forces: RMSE(fine-tuned) / RMSE(base)")
    for place in (left, right):
        place.margins(x=0.12)
    right.axvline(1.0, color="0.6", lw=0.8)
    canvas.print_png(str(path))
